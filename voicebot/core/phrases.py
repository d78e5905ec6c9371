"""Phrases of a dialplan inside what was heard: where one may end, its words, the ways to say it.

The notation itself is read by `core.grammar`; the recogniser needs whole utterances, the dialogue needs spans.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import assert_never

from voicebot.core.grammar import NOTHING, Choice, Node, Row, TypeUse, Word

Types = Mapping[str, Node]


def ends(node: Node, words: Sequence[str], start: int, types: Types) -> frozenset[int]:
    """Every index after which `node` may end when it begins at `start`; empty when it does not match. Cost is
    bounded by the phrase's size times the words. `types` must not reach themselves."""
    match node:
        case Word(text):
            hit = start < len(words) and words[start] == text
            return frozenset((start + 1,)) if hit else frozenset()
        case TypeUse(name):
            return ends(types[name], words, start, types) if name in types else frozenset()
        case Choice(options):
            return frozenset(end for option in options for end in ends(option, words, start, types))
        case Row(parts):
            reached = frozenset((start,))
            for part in parts:
                reached = frozenset(end for at in reached for end in ends(part, words, at, types))
                if not reached:
                    break
            return reached
        case _:
            assert_never(node)


def longest(node: Node, words: Sequence[str], start: int, types: Types) -> int:
    """Where the longest match from `start` ends; `start` when there is none."""
    return max(ends(node, words, start, types), default=start)


def firsts(node: Node, types: Types) -> frozenset[str]:
    """Every word that a match may begin with: where none of them stands, there is no need to try."""
    match node:
        case Word(text):
            return frozenset((text,))
        case TypeUse(name):
            return firsts(types[name], types) if name in types else frozenset()
        case Choice(options):
            return frozenset(word for option in options for word in firsts(option, types))
        case Row(parts):
            found: frozenset[str] = frozenset()
            for part in parts:
                found |= firsts(part, types)
                if not may_be_empty(part):
                    break
            return found
        case _:
            assert_never(node)


def leaves(node: Node) -> Iterator[Word | TypeUse]:
    """Its words and types, in order."""
    match node:
        case Word() | TypeUse():
            yield node
        case Row(nodes) | Choice(nodes):
            for each in nodes:
                yield from leaves(each)
        case _:
            assert_never(node)


def may_be_empty(node: Node) -> bool:
    match node:
        case Word() | TypeUse():
            return False
        case Row(parts):
            return all(may_be_empty(part) for part in parts)
        case Choice(options):
            return any(may_be_empty(option) for option in options)
        case _:
            assert_never(node)


def spellings(node: Node, limit: int = 200) -> list[tuple[str, ...]]:
    """Ways to say it, types as `{name}`; at most `limit`."""
    return list(islice(_ways(node), limit))


def _ways(node: Node) -> Iterator[tuple[str, ...]]:
    match node:
        case Word(text):
            yield (text,)
        case TypeUse(name):
            yield (f"{{{name}}}",)
        case Choice(options):
            for option in options:
                yield from _ways(option)
        case Row(parts):
            if node == NOTHING:
                yield ()
                return
            for head in _ways(parts[0]):
                for tail in _ways(Row(parts[1:])):
                    yield head + tail
        case _:
            assert_never(node)


def write(node: Node) -> str:
    """Back to the notation."""
    match node:
        case Word(text):
            return text
        case TypeUse(name):
            return f"{{{name}}}"
        case Choice(options) if NOTHING in options:
            return "[" + " | ".join(write(option) for option in options if option != NOTHING) + "]"
        case Choice(options):
            return "(" + " | ".join(write(option) for option in options) + ")"
        case Row(parts):
            return " ".join(write(part) for part in parts)
        case _:
            assert_never(node)
