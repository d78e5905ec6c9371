"""20 ms ticks on an absolute clock, and a script that waits for them: what every telephone of ours goes by.

All is done in callbacks of the event loop, so that one process can hold many telephones.
"""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Callable

from voicebot.audio.frames import FRAME_MS

LONGEST_S = 10.0
"""More than what a script waits for, at most: the telephone itself was stalled."""
STALLED_S = 0.01
"""Later than this the telephone itself was held up: it first hears what came meanwhile."""


class Ticks:
    """`each` is called at every tick, `over` says whether the call is. Milliseconds are counted from `start`."""

    def __init__(self, each: Callable[[], None], over: Callable[[], bool]) -> None:
        self._each, self._over = each, over
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.Handle | None = None
        self._stalled = False
        self._turned: asyncio.Future[bool] | None = None
        self._until: Callable[[], bool] = lambda: False
        self.began_s = 0.0
        """Loop time of tick 0."""
        self.count = 0
        self.late_ms = array("f")
        """By tick: how late it was."""

    def start(self) -> None:
        """The first tick is 20 ms from now."""
        self.began_s = self._loop.time()
        self._next()

    def stop(self) -> None:
        """Harmless when it never began."""
        if self._timer:
            self._timer.cancel()

    @property
    def now_ms(self) -> float:
        return (self._loop.time() - self.began_s) * 1000

    # --- what a script waits for

    async def until(self, true: Callable[[], bool], timeout_ms: float) -> bool:
        """Look at every tick; False when the time is up or the call is over."""
        if self._over():
            return False
        self._until, self._turned = true, self._loop.create_future()
        waiting = self._loop.call_later(timeout_ms / 1000, self._turn, False)
        try:
            return await self._turned
        finally:
            waiting.cancel()
            self._turned = None

    async def waits(self, ms: float) -> bool:
        """For that much audio; False when the call is over."""
        end = self.count + ms / FRAME_MS
        return await self.until(lambda: self.count >= end, ms + LONGEST_S * 1000)

    def _turn(self, true: bool) -> None:
        if self._turned and not self._turned.done():
            self._turned.set_result(true)

    # --- the clock

    def _next(self) -> None:
        self._timer = self._loop.call_at(self.began_s + (self.count + 1) * FRAME_MS / 1000, self._tick)

    def _late_s(self) -> float:
        return self._loop.time() - (self.began_s + (self.count + 1) * FRAME_MS / 1000)

    def _tick(self) -> None:
        """All that is due: one frame, or several after a stall."""
        late_s = self._late_s()
        if late_s > STALLED_S and not self._stalled:
            self._stalled = True
            self._timer = self._loop.call_soon(self._tick)
            return
        self._stalled = False
        while late_s >= 0 and not self._over():
            self.count += 1
            self.late_ms.append(late_s * 1000)
            self._each()
            late_s = self._late_s()
        if self._over():
            self._turn(False)
            return
        if self._turned and self._until():
            self._turn(True)
        self._next()
