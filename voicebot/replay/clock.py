"""The clock of a replay: an event loop whose time jumps to the next timer instead of waiting, so that a call goes
through the very code that carries live calls, many times faster than it was spoken.

Three ways for time to pass. While nobody outside of the loop is at work it *jumps*: computing costs nothing. While
an engine is asked whose time counts, it goes *with the wall*: an engine that took 180 ms moves it by 180 ms. While
something is waited for whose time is charged by other means, or not at all, it stands *still*.

A loop of this kind sees its own timers, sockets and pipes only. Work in a thread or a process must be waited for
within `wall` or `still`, or time races ahead of it.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")
BEGIN_S = 1000.0
"""What the clock shows first: far from zero, as a loop's clock is."""
STILL_S = 30.0
"""By the wall. When nothing comes for so long, time passes again, and the deadline of whoever waits comes."""
Ready = list[tuple[selectors.SelectorKey, int]]


class _Selector(selectors.DefaultSelector):
    """Waits for nothing unless somebody outside is at work."""

    clock: Clock

    def select(self, timeout: float | None = None) -> Ready:
        clock = self.clock
        if clock.walls or timeout is None:  # without a timer only the outside can bring anything
            return super().select(timeout)
        ready = super().select(STILL_S if clock.stills and timeout else 0)
        if not ready:
            clock.pass_by(timeout)
        return ready


class Clock(asyncio.SelectorEventLoop):
    """The loop. Its `time()` is the replay's."""

    def __init__(self) -> None:
        self.walls = self.stills = 0
        self._now_s, self._mark_s = BEGIN_S, 0.0
        selector = _Selector()
        super().__init__(selector)
        selector.clock = self

    def time(self) -> float:
        if self.walls:
            self._catch_up()
        return self._now_s

    def _catch_up(self) -> None:
        now_s = time.monotonic()
        self._now_s += now_s - self._mark_s
        self._mark_s = now_s

    def pass_by(self, seconds: float) -> None:
        """So much later, at once."""
        self._now_s += seconds

    @contextmanager
    def wall(self) -> Iterator[None]:
        """While somebody is at work whose time counts."""
        if not self.walls:
            self._mark_s = time.monotonic()
        self.walls += 1
        try:
            yield
        finally:
            self._catch_up()
            self.walls -= 1

    @contextmanager
    def still(self) -> Iterator[None]:
        """While somebody is at work whose time does not count. One whose time counts goes before."""
        self.stills += 1
        try:
            yield
        finally:
            self.stills -= 1


def clock() -> Clock:
    """That of the running loop."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, Clock), "this runs on a replay's clock only"
    return loop


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run to the end on a clock of its own."""
    with asyncio.Runner(loop_factory=Clock) as runner:
        return runner.run(coroutine)
