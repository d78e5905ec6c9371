"""One clock for all calls of a process: every call has its beat, and no call has a timer of its own.

Calls are spread over slots, so that a hundred of them do not all want the loop at the same moment. How late a slot's
last call had its beat is how late the loop was, and what calls send: whoever wants to know is told (`on_late`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from voicebot import log

BEAT_S = 0.04
"""Between two beats of a call."""
SLOTS = 4
_SLOT_S = BEAT_S / SLOTS
_log = log.get("beat")


class Beat:
    """`join` within a running loop. While nobody is in, nothing runs."""

    def __init__(self, on_late: Callable[[float], None] = lambda _: None) -> None:
        """`on_late`: seconds by which the last call of each slot had its beat too late."""
        self.on_late = on_late
        self._slots: tuple[dict[object, Callable[[], None]], ...] = tuple({} for _ in range(SLOTS))
        self._now = 0
        self._due_s = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def join(self, beat: Callable[[], None]) -> Callable[[], None]:
        """`beat` is called every `BEAT_S` from now on, until what is returned here is called."""
        slot, member = min(self._slots, key=len), object()
        slot[member] = beat
        if self._timer is None:
            self._due_s = asyncio.get_running_loop().time()
            self._next()
        return lambda: self._leave(slot, member)

    def _leave(self, slot: dict[object, Callable[[], None]], member: object) -> None:
        slot.pop(member, None)
        if self._timer and not any(self._slots):
            self._timer.cancel()
            self._timer = None

    def _next(self) -> None:
        self._due_s += _SLOT_S
        self._timer = asyncio.get_running_loop().call_at(self._due_s, self._run)

    def _run(self) -> None:
        loop, due_s = asyncio.get_running_loop(), self._due_s
        late_s = loop.time() - due_s
        if late_s > BEAT_S:  # what was missed is missed
            self._due_s += late_s
        self._next()
        self._now = (self._now + 1) % SLOTS
        for beat in tuple(self._slots[self._now].values()):
            try:
                beat()
            except Exception as error:  # a call that stumbles must not hold the others up
                _log.error("beat_failed", exc_info=error)
        self.on_late(max(0.0, loop.time() - due_s))
