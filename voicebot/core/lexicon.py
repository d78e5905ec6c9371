"""Names and jargon: how they are spelled, how the voice should say them, what a recogniser makes of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import assert_never

from voicebot.core.grammar import Choice, Node, Row, TypeUse, Word, normalise
from voicebot.core.grammar import parse as parse_phrase
from voicebot.core.plan import Term

Heard = Mapping[str, Node]
"""Spelled, lower case, to what may be heard for it (itself included)."""


def heard(lexicon: Mapping[str, Term]) -> dict[str, Node]:
    """Of every one-word term that is heard in other ways than it is spelled, or said in another."""
    found: dict[str, Node] = {}
    for key, term in lexicon.items():
        said = [] if not term.said or term.said.lower() == key.lower() else [_plain(term.said)]
        ways = [*said, *(parse_phrase(alias) for alias in term.heard)]
        if ways and len(normalise(key)) == 1:
            found[key.lower()] = Choice((Word(key.lower()), *dict.fromkeys(ways)))
    return found


def _plain(text: str) -> Node:
    """A text that is no phrase in our notation, as one."""
    words = tuple(Word(word) for word in normalise(text))
    return words[0] if len(words) == 1 else Row(words)


def widen(node: Node, terms: Heard) -> Node:
    """The phrase, with every term also in the ways it is heard."""
    match node:
        case Word(text):
            return terms.get(text, node)
        case TypeUse():
            return node
        case Row(parts):
            return Row(tuple(widen(part, terms) for part in parts))
        case Choice(options):
            return Choice(tuple(widen(option, terms) for option in options))
        case _:
            assert_never(node)


def for_voice(text: str, lexicon: Mapping[str, Term]) -> str:
    """The text as the synthesiser should get it: every term that has a `said` is replaced, whole words only."""
    said = {key.lower(): term.said for key, term in lexicon.items() if term.said}
    if not said:
        return text
    keys = sorted(said, key=len, reverse=True)
    pattern = r"(?<!\w)(" + "|".join(map(re.escape, keys)) + r")(?!\w)"
    return re.sub(pattern, lambda m: said[m[1].lower()], text, flags=re.IGNORECASE)
