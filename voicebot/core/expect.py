"""What the dialplan expects the caller to say next: the tie between dialogue and recogniser.

Phrases are written in one small notation, the same in dialplans and here:

    i'd like [a | an] {size} {drink} [with {milk}]      words, [optional], (this | that), {type}

A `{type}` is looked up in `types`, whose phrases use the same notation (and may name other types,
never themselves).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Mode(StrEnum):
    OPEN = "open"
    """Free word order around the phrases: an n-gram estimated from sentences sampled from them."""
    CLOSED = "closed"
    """One of the phrases, exactly: yes or no, four digits, a spelled name."""
    FREE = "free"
    """Anything at all (a message after the tone): recorded; not understood by a small recogniser."""


@dataclass(frozen=True, slots=True)
class Expectation:
    name: str
    """Where in the dialplan: `coffee/order`, for logs, the cache and `voicebot measure`."""
    mode: Mode
    phrases: tuple[str, ...]
    types: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """(type name, its phrases), every type that `phrases` reaches."""
    hints: tuple[str, ...] = ()
    """Names and jargon for recognisers that take a prompt or hot words."""
    quick_ms: int = 350
    """Silence that ends the turn when what was said looks complete."""
    pause_ms: int = 700
    """Silence that ends the turn when it does not ("and", "um", half a phone number)."""
    bare: bool = False
    """An answer to one question (a date, a name, yes or no), said without a lead-in such as "can I have"."""
    barge_in: str = "full"
    """Who may speak over the bot here: `full`, `keywords` or `strict`, see `core.plan.Turns`."""
    min_words: int = 1
    """Real words that make an interruption here."""
    keys: int = 0
    """Keyed digits that complete an entry: 1 for a menu, 10 for a phone number; 0: `#` or a pause ends it."""
    secret: bool = False
    """What is said or keyed here is masked in logs and timeline."""


NOTHING = Expectation(name="nothing", mode=Mode.FREE, phrases=(), pause_ms=1500)
