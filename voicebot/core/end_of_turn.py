"""How long a silence must be before the caller's turn is taken.

A wait is a sum of few terms, in milliseconds, each with a name, so that a timeline can say why it was what it was:

    words     what the dialplan expects here (`quick_ms`, `pause_ms`), and how the words so far stand to it
    list      a dictated answer whose pitch stays up: the next letter or digit follows
    drawn     a long level sound at the end: "and uhhh"
    habit     this caller's own pauses within turns, in this call; not once a question is answered
    model     the operator's end-of-turn model, where there is one
    patience  what the operator adds for everybody

Why a sum: if pauses are about exponentially distributed with mean m, the wait that costs least at a fixed price of a
cut-off is a constant minus m times the log-odds of "over", and evidence adds up in log-odds.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import IntEnum
from math import exp, log
from typing import Protocol

from voicebot.core.events import MAX_WAIT_MS
from voicebot.core.expect import Expectation, Mode
from voicebot.core.grammar import HESITATIONS, complete, normalise

FLOOR_MS = 240
"""No sooner: voice activity reports a silence only then, and a caller breathes."""
HANGING = HESITATIONS | frozenset(
    "a an and at because between but by can could dash dot double during er erm every for from have hmm i i'd i'll "
    "i'm if in into is it's like my no-wait of on or our plus point since so than that the their then to triple uh um "
    "until want was we well while whose with would your".split()
)
"""English words that nobody ends on."""
DIGITS = frozenset("zero oh one two three four five six seven eight nine".split())
MONTHS = frozenset("january february march april june july august september october november december".split())
SHORTEST_NUMBER, WHOLE_NUMBER = 3, 7
"""So many digits in a row, and not yet so many, are probably the beginning of a number."""

HABIT_MS = 450.0
"""Pauses within turns, before anything is known of a caller."""
HABIT_SHARE, FORGOTTEN = 0.2, 0.05
"""A pause counts for this much of the habit; a turn that is taken brings it back by so much."""
LONGEST_HABIT_MS = 2000


class Standing(IntEnum):
    """How the words so far stand to what is expected; a larger one waits longer."""

    COMPLETE = 0
    UNKNOWN = 1
    """Nothing is known: no grammar here."""
    PARTIAL = 2
    """Not yet what is expected, or nothing understood yet."""
    HANGING = 3
    """More must come."""


STEPS = {
    False: (0.0, 1.0, 1.0, 2.5),
    True: (0.0, 1.0, 2.0, 3.0),
}
"""By `Expectation.bare`, then standing: wait `quick_ms` plus so many times the way from there to `pause_ms`. Half an
answer to one question is surer to go on than a sentence that fits no example."""


class Ending(Protocol):
    """How the voice ended: what is used of `audio.prosody.Prosody`, see there."""

    @property
    def pitch(self) -> float: ...
    @property
    def slope(self) -> float: ...
    @property
    def stretch(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Evidence:
    expectation: Expectation
    text: str = ""
    """The caller's words in this turn so far, partial or final."""
    ending: Ending | None = None
    model: float | None = None
    """Probability 0..1 that the turn is over."""


@dataclass(frozen=True, slots=True)
class Weights:
    """Milliseconds for one unit of each. `list` and `drawn` are fitted: `voicebot measure turn-ends --fit`."""

    list: float = 54.0
    drawn: float = 49.0
    habit: float = 0.5
    model: float = 70.0


MOST_LIST, MOST_DRAWN, MOST_MODEL = 2.0, 2.0, 4.0
"""Beyond so many units, evidence counts no more."""


class EndOfTurn:
    """One call's. Ask `wait_ms` at the end of a voice and again whenever more is known; tell it what then happened.
    `hanging`: words of the call's language that nobody ends on."""

    def __init__(
        self, patience_ms: int = 0, hanging: Collection[str] = HANGING, weights: Weights | None = None
    ) -> None:
        self.habit_ms = HABIT_MS
        self._patience_ms, self._hanging, self._weights = patience_ms, hanging, weights or Weights()

    def wait_ms(self, evidence: Evidence) -> int:
        """Silence after the end of the voice, on the media clock, that ends the turn."""
        return max(FLOOR_MS, min(MAX_WAIT_MS, sum(self.terms(evidence).values())))

    def terms(self, evidence: Evidence) -> dict[str, int]:
        """What adds up to `wait_ms`, before its bounds; terms of nothing are left out."""
        expectation, weights = evidence.expectation, self._weights
        unit_ms = max(0, expectation.pause_ms - expectation.quick_ms)
        stands = standing(expectation, evidence.text, self._hanging)
        answered = expectation.bare and stands is Standing.COMPLETE  # then nobody's habits matter
        found = {
            "words": expectation.quick_ms + unit_ms * STEPS[expectation.bare][stands],
            "list": weights.list * list_tone(evidence.ending) if expectation.bare else 0.0,
            "drawn": weights.drawn * drawn(evidence.ending),
            "habit": 0.0 if answered else weights.habit * (self.habit_ms - HABIT_MS),
            "model": -weights.model * log_odds(evidence.model),
            "patience": float(self._patience_ms),
        }
        return {name: round(ms) for name, ms in found.items() if round(ms)}

    def went_on(self, pause_ms: int) -> None:
        """The caller went on after a pause within a turn, or after a turn that was taken too soon."""
        self.habit_ms += HABIT_SHARE * (min(max(0, pause_ms), LONGEST_HABIT_MS) - self.habit_ms)

    def taken(self) -> None:
        """The turn was taken and the caller did not go on."""
        self.habit_ms += FORGOTTEN * (HABIT_MS - self.habit_ms)


def settled(expectation: Expectation, text: str) -> bool:
    """Whether `text` is all that the caller is likely to say now: its words may be closed early."""
    return standing(expectation, text) is Standing.COMPLETE


def standing(expectation: Expectation, text: str, hanging: Collection[str] = HANGING) -> Standing:
    """How `text` stands to what is expected."""
    words = normalise(text)
    free = expectation.mode is Mode.FREE or not expectation.phrases
    if not free and complete(expectation, text):  # first, for "a" and "i" are letters where a name is spelled
        return Standing.COMPLETE
    if words and words[-1] in hanging:
        return Standing.HANGING
    return Standing.UNKNOWN if free and not _half_said(words) else Standing.PARTIAL


def _half_said(words: list[str]) -> bool:
    """Half a number or a date, where no grammar knows better: "five five five", "on march"."""
    run = next((count for count, word in enumerate(reversed(words)) if word not in DIGITS), len(words))
    return SHORTEST_NUMBER <= run < WHOLE_NUMBER or (len(words) > 1 and words[-1] in MONTHS)


def list_tone(ending: Ending | None) -> float:
    """How far the voice stayed or went up, as in a list that goes on. A fall says nothing: the last but one item of
    a list may fall, too, and a caller cut off in dictating is worse than a caller who waits."""
    if ending is None:
        return 0.0
    return min(MOST_LIST, max(0.0, ending.pitch + ending.slope))


def drawn(ending: Ending | None) -> float:
    """How much longer than usual the last sound was held level; 0 for a fall, a rise or a short one."""
    if ending is None:
        return 0.0
    return min(MOST_DRAWN, max(0.0, ending.stretch)) * exp(-ending.slope * ending.slope)


def log_odds(probability: float | None) -> float:
    """Of a probability, bounded; 0 for none."""
    if probability is None:
        return 0.0
    bounded = min(max(probability, 1e-6), 1 - 1e-6)
    return max(-MOST_MODEL, min(MOST_MODEL, log(bounded / (1 - bounded))))
