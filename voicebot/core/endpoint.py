"""Does what the caller said so far look complete? The words' share of the end-of-turn decision."""

from __future__ import annotations

from voicebot.core.expect import Expectation, Mode
from voicebot.core.grammar import complete

UNFINISHED = frozenset(
    "a an and at but by can could for from have i i'd i'll i'm in is it's like my no-wait of on or so than that the "
    "then to uh um er erm hmm want was we well with would".split()
)
"""A turn that ends in one of these goes on."""


def settled(expectation: Expectation, text: str) -> bool:
    """Whether `text` looks like all the caller wants to say now. No words are never settled."""
    words = text.split()
    if not words or words[-1] in UNFINISHED:
        return False
    match expectation.mode:
        case Mode.CLOSED:
            return complete(expectation, text)
        case Mode.OPEN:
            return True
        case Mode.FREE:
            return False
