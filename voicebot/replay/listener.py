"""What a caller makes of a bot's voice: whether it is heard, since when, and when it stopped."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from voicebot.replay import turn_figures
from voicebot.replay.telephone import Speech
from voicebot.replay.turn_figures import PER_MS, WINDOW

STOPPED_MS = 500
"""A longer silence of the bot is no pause between two words."""


class Phone(Protocol):
    """A telephone of ours, over whatever carrier. Milliseconds are of the call, from its answer on."""

    @property
    def heard(self) -> bytearray:
        """μ-law of the bot."""
        ...

    @property
    def late_ms(self) -> Sequence[float]: ...

    def at_ms(self, sample: int) -> float: ...

    @property
    def over(self) -> bool: ...

    @property
    def ticks(self) -> int: ...

    @property
    def began_s(self) -> float: ...

    def plays(self, what: Speech) -> int: ...

    def presses(self, digit: str) -> None: ...

    def until(self, true: Callable[[], bool], timeout_ms: float) -> Awaitable[bool]: ...

    def waits(self, ms: float) -> Awaitable[bool]: ...


class Listener:
    """One call's. Looks at what is new each time that it is asked."""

    def __init__(self, phone: Phone) -> None:
        self._phone = phone
        self._loud: list[bool] = []
        """By window of 5 ms."""

    def _look(self) -> list[bool]:
        heard, done = self._phone.heard, len(self._loud) * WINDOW
        new = turn_figures.pcm(heard[done : len(heard) // WINDOW * WINDOW])
        self._loud.extend(turn_figures.loud(new).tolist())
        return self._loud

    @property
    def speaks(self) -> bool:
        """Whether the bot was ever heard."""
        return any(self._look())

    @property
    def quiet_ms(self) -> float:
        """Since the bot was last heard; 0 while it was not at all."""
        loud = self._look()
        last = next((at for at in range(len(loud) - 1, -1, -1) if loud[at]), len(loud) - 1)
        return (len(loud) - 1 - last) * WINDOW / PER_MS

    def first_ms(self, after_ms: float) -> float | None:
        """When it was first heard after a moment."""
        loud = self._look()
        after = range(self._window(after_ms), len(loud))
        return next((self._phone.at_ms(at * WINDOW) for at in after if loud[at]), None)

    def stopped_ms(self, after_ms: float) -> float | None:
        """When it fell silent after a moment: the end of its last sound before the first silence that is no pause. None
        while it has not."""
        loud, last_ms = self._look(), after_ms
        for at in range(self._window(after_ms), len(loud)):
            ms = self._phone.at_ms(at * WINDOW)
            if loud[at]:
                last_ms = ms + WINDOW / PER_MS
            elif ms - last_ms >= STOPPED_MS:
                return last_ms
        return None

    def _window(self, ms: float) -> int:
        """The first that was heard at that moment or after it."""
        return bisect_left(range(len(self._loud)), ms, key=lambda at: self._phone.at_ms(at * WINDOW))
