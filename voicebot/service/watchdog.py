"""A watchdog for the event loop: when it stands still, the log says where.

The loop strokes it ten times a second; a thread looks whether it did. What blocks a loop is a step that never comes
back to it, so the stack of the loop's thread names the line.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from voicebot import log

STROKE_S = 0.1
BLOCKED_S = 0.3
"""Without a stroke for so long the loop is blocked: audio that was sent ahead lasts for 0.2 s."""
_log = log.get("watchdog")


@asynccontextmanager
async def watched() -> AsyncIterator[None]:
    """The loop that runs now, for as long as the context lasts."""
    dog = _Watchdog(threading.get_ident())
    loop = asyncio.get_running_loop()

    timer: asyncio.Handle

    def stroke() -> None:
        nonlocal timer
        dog.stroked_s = time.monotonic()
        timer = loop.call_later(STROKE_S, stroke)

    stroke()
    thread = threading.Thread(target=dog.watch, name="watchdog", daemon=True)
    thread.start()
    try:
        yield
    finally:
        timer.cancel()
        dog.done.set()
        await asyncio.to_thread(thread.join)


class _Watchdog:
    """`watch` runs in a thread of its own."""

    def __init__(self, watched: int) -> None:
        self._watched = watched
        self.stroked_s = time.monotonic()
        self.done = threading.Event()

    def watch(self) -> None:
        while not self.done.wait(STROKE_S):
            since_s = self.stroked_s
            if time.monotonic() - since_s < BLOCKED_S:
                continue
            frame = sys._current_frames().get(self._watched)
            stack = "".join(traceback.format_stack(frame)[-12:]) if frame else ""
            del frame
            _log.error("event_loop_blocked", seconds=round(time.monotonic() - since_s, 2), stack=stack)
            while self.stroked_s == since_s and not self.done.wait(STROKE_S):  # once is enough
                pass
            _log.warning("event_loop_runs_again", seconds=round(self.stroked_s - since_s, 2))
