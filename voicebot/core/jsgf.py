"""An expectation as a JSGF grammar, for recognisers that take one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import assert_never

from voicebot.core.expect import Expectation
from voicebot.core.grammar import NOTHING, Choice, Grammar, GrammarError, Node, Row, TypeUse, Word, grammar

MAX_EXPANSION = 60_000
"""Words of a JSGF grammar once every type is written out where it is used."""


def jsgf(expectation: Expectation, before: Sequence[str] = (), after: Sequence[str] = ()) -> str:
    """The expectation as a JSGF 1.0 grammar whose public rule is `utterance`; `before` and `after` are words
    that may be said around a phrase. `GrammarError` when, written out, it would exceed `MAX_EXPANSION`."""
    rules = grammar(expectation)
    size = expansion(rules)
    if size > MAX_EXPANSION:
        raise GrammarError(f"Written out it has {size} words, more than {MAX_EXPANSION}", expectation.phrases[0], 0)
    lines = ["#JSGF V1.0;", "grammar expected;"]
    body = " | ".join(_jsgf(phrase) for phrase in rules.phrases)
    around = (f"[{' | '.join(before)}] " if before else "", f" [{' | '.join(after)}]" if after else "")
    lines.append(f"public <utterance> = {around[0]}({body}){around[1]};")
    lines += [f"<{_rule(name)}> = {_jsgf(node)};" for name, node in rules.types.items()]
    return "\n".join(lines) + "\n"


def _rule(name: str) -> str:
    return "type_" + re.sub(r"[^a-zA-Z0-9_]", lambda m: f"_{ord(m[0]):x}_", name)


def _jsgf(node: Node) -> str:
    match node:
        case Word(text):
            return text
        case TypeUse(name):
            return f"<{_rule(name)}>"
        case Row(parts):
            return " ".join(_jsgf(part) for part in parts)
        case Choice(options) if NOTHING in options:
            return "[" + " | ".join(_jsgf(option) for option in options if option != NOTHING) + "]"
        case Choice(options):
            return "(" + " | ".join(_jsgf(option) for option in options) + ")"
        case _:
            assert_never(node)


def expansion(rules: Grammar) -> int:
    """Words of the grammar with every type written out where it is used: the size of the recogniser's graph."""
    sizes: dict[str, int] = {}

    def size(node: Node) -> int:
        match node:
            case Word():
                return 1
            case TypeUse(name):
                if name not in sizes:
                    sizes[name] = size(rules.types[name])
                return sizes[name]
            case Row(nodes) | Choice(nodes):
                return sum(size(each) for each in nodes)
            case _:
                assert_never(node)

    return sum(size(phrase) for phrase in rules.phrases)
