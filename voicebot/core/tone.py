"""What the bot makes of how a turn was said: words for the agent, a manner for the voice.

Only what stands out is told, and only against the same caller's turns before. Whether somebody laughs is not told: it
cannot be told reliably from 8 kHz and twenty milliseconds at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

LEAST_MS = 1200
"""Less speech than this has no pace."""
LEAST_TURNS = 2
"""So many turns before, or nobody knows what is usual for the caller."""
FASTER, SLOWER = 1.25, 0.78
HURRIED, SLOW = 5.6, 2.6
"""Syllables a second that are so for anybody."""
LOUDER_DB, QUIETER_DB = 6.0, -7.0
RAISED_ST = 2.5
"""Louder and higher by so much is a raised voice."""
HESITANT_PAUSES = 2

USUAL_RATE = 4.3
"""Syllables a second of most people on the telephone, pauses left out, as `audio.tone` counts them."""
FOLLOWS = 0.4
"""How much of the caller's pace the voice takes on, as an exponent: all of it would be mockery."""
SLOWEST, FASTEST = 0.88, 1.12
FORGETS = 0.6
"""Of what is known of the caller's pace, so much is kept at every turn."""


class Sound(Protocol):
    """How a turn was said: what is used of `audio.tone.Tone`, see there."""

    @property
    def rate(self) -> float: ...
    @property
    def pace(self) -> float: ...
    @property
    def level_db(self) -> float: ...
    @property
    def pitch_st(self) -> float: ...
    @property
    def pauses(self) -> int: ...
    @property
    def drawn(self) -> int: ...
    @property
    def speech_ms(self) -> int: ...
    @property
    def turns(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Manner:
    """How something is to be said."""

    pace: float = 1.0
    """Over the voice's usual pace."""
    style: str = ""
    """For a voice that takes instructions, a sentence: "Speak calmly." """


PLAIN = Manner()


def tag(sound: Sound) -> str:
    """A few words that follow "The caller sounds", such as `hurried, louder than before`; empty: as usual."""
    known = sound.turns >= LEAST_TURNS
    louder = known and sound.level_db >= LOUDER_DB
    told = []
    if louder and sound.pitch_st >= RAISED_ST:
        told.append("as if with a raised voice")
    elif louder:
        told.append("louder than before")
    elif known and sound.level_db <= QUIETER_DB:
        told.append("quieter than before")
    if sound.speech_ms >= LEAST_MS and sound.rate:
        if sound.rate >= HURRIED or (known and sound.pace >= FASTER):
            told.append("hurried")
        elif sound.rate <= SLOW or (known and sound.pace <= SLOWER):
            told.append("slow")
    if sound.drawn + sound.pauses >= HESITANT_PAUSES:
        told.append("hesitant")
    return ", ".join(told)


class Mirror:
    """How the bot's voice answers to one caller's."""

    def __init__(self) -> None:
        self._rate_sum = self._weight = 0.0
        self._style = ""

    def heard(self, sound: Sound) -> None:
        """A turn of the caller's."""
        self._style = "The caller has raised their voice: speak calmly." if "raised" in tag(sound) else ""
        self._rate_sum *= FORGETS
        self._weight *= FORGETS
        if sound.rate:
            self._rate_sum += sound.rate * sound.speech_ms
            self._weight += sound.speech_ms

    @property
    def manner(self) -> Manner:
        """For what is said next."""
        if self._weight < LEAST_MS:
            return Manner(style=self._style) if self._style else PLAIN
        pace = (self._rate_sum / self._weight / USUAL_RATE) ** FOLLOWS
        return Manner(round(min(FASTEST, max(SLOWEST, pace)), 2), self._style)
