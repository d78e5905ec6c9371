"""Our side of one process that carries calls: starts it, gives it calls, replaces it when it dies.

Everything happens in callbacks of the running event loop: no task, no thread, nothing to cancel.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import assert_never

from voicebot import log
from voicebot.carriers.base import CallInfo
from voicebot.core.timeline import EndReason, Record
from voicebot.service import crew_link as link
from voicebot.service.sockets import HandedOver

RETRY_S = (0.0, 0.2, 1.0, 5.0, 30.0)
"""Pause before the nth replacement in a row; the last one again and again."""
HUNG_S = 10.0
"""A worker says twice a second how it is; starting takes its time, `START_S`."""
START_S = 120.0
STOP_S = 5.0
LOOK_EVERY_S = 1.0
_log = log.get("crew")


@dataclass(slots=True)
class Away:
    """A call that another process carries, as its carrier's route sees it. `ending`: told how the bot ends it."""

    info: CallInfo
    plan: str
    worker: CallWorker
    number: int
    ending: Callable[[EndReason, str], None]
    over: asyncio.Future[EndReason]
    seconds: float = 0.0
    seen: Callable[[Record], None] = lambda record: None

    async def run(self, seen: Callable[[Record], None]) -> EndReason:
        """Until it is over. To its carrier, a call whose process dies is one whose media is lost."""
        self.seen = seen
        return await self.over

    def clock_ms(self) -> int:
        """Once it is over, how long it was."""
        return round(self.seconds * 1000)

    async def lost(self, reason: EndReason) -> None:
        """The carrier says by another way that the call is over."""
        self.worker.send(link.Lost(self.number, reason.value))

    async def hangup(self, reason: str) -> None:
        """Its process does that."""

    async def close(self, reason: str) -> None:
        """Its process does that."""

    def ended(self, reason: EndReason, seconds: float) -> None:
        self.seconds = seconds
        if not self.over.done():  # whoever waited for it may be gone
            self.over.set_result(reason)


@dataclass(frozen=True, slots=True)
class Program:
    """What a worker runs, and with which environment."""

    command: Sequence[str]
    """Arguments of Python; the number of its end of the link follows."""
    environment: Mapping[str, str] = field(repr=False, default_factory=dict)


class CallWorker:
    """One process after another. `changed(worker, popen)` hears when one is ready (None), or which one is gone."""

    def __init__(
        self, number: int, program: Program, changed: Callable[[CallWorker, subprocess.Popen[bytes] | None], None]
    ) -> None:
        self.number = number
        """From 1; the service itself is 0."""
        self.ready = False
        self.restarts = 0
        self.state = link.State()
        self.calls: dict[int, Away] = {}
        self._program, self._changed = program, changed
        self._loop = asyncio.get_running_loop()
        self._failures = self._taken = 0
        self._stopping = False
        self._spawn()

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def room(self) -> int:
        """How many more calls it could take."""
        return max(0, self.state.most - len(self.calls)) if self.ready else 0

    # --- its life

    def _spawn(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._popen = subprocess.Popen(
                [sys.executable, *self._program.command, str(theirs.fileno()), str(self.number)],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                env=dict(self._program.environment),
            )
        self._link = link.Link(ours, self._take, self._lost)
        self._heard_at = self._loop.time()
        self._timer = self._loop.call_later(LOOK_EVERY_S, self._look)

    def _look(self) -> None:
        self._timer = self._loop.call_later(LOOK_EVERY_S, self._look)
        if self._loop.time() - self._heard_at > (HUNG_S if self.ready else START_S):
            _log.error("call_worker_hung", worker=self.number, pid=self.pid)
            self._lost()

    async def stop(self) -> None:
        """It may close its engines; then it ends, one way or another."""
        self._stopping = True
        self.send(link.Stop())
        with contextlib.suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(self._popen.wait, STOP_S)
        await asyncio.to_thread(self.close().wait)

    def _lost(self) -> None:
        """It is gone, or of no use any more: its calls with it, and another one comes."""
        if self._stopping:
            return
        _log.error("call_worker_lost", worker=self.number, pid=self.pid, calls=len(self.calls))
        gone = self.close()
        pause = RETRY_S[min(self._failures, len(RETRY_S) - 1)]
        self._failures += 1
        self.restarts += 1
        self._timer = self._loop.call_later(pause, self._again)
        self._changed(self, gone)

    def _again(self) -> None:
        try:
            self._spawn()
        except OSError as error:  # no memory, no descriptors: there may be some later
            _log.error("call_worker_not_started", worker=self.number, error=str(error))
            self._timer = self._loop.call_later(RETRY_S[-1], self._again)

    def close(self) -> subprocess.Popen[bytes]:
        """End it, and let go of its calls. The process, to be waited for."""
        self.ready, self.state = False, link.State()
        self._timer.cancel()
        self._link.close()
        with contextlib.suppress(ProcessLookupError):
            self._popen.kill()
        calls, self.calls = list(self.calls.values()), {}
        for call in calls:
            call.seen(Record(0, "call_ended", {"reason": EndReason.CRASHED.value}))
            call.ended(EndReason.MEDIA_LOST, 0.0)
        return self._popen

    # --- what we say

    def send(self, told: link.Told) -> None:
        self._link.send(told)

    def carry(self, info: CallInfo, plan: str, handed: HandedOver, ending: Callable[[EndReason, str], None]) -> Away:
        """Give it a call."""
        self._taken += 1
        call = Away(info, plan, self, self._taken, ending, self._loop.create_future())
        self.calls[call.number] = call
        facts = asdict(replace(info, headers=dict(info.headers)))
        told = link.Carry(call.number, facts, plan, base64.b64encode(handed.said).decode())
        self._link.send(told, handed.descriptor)
        return call

    # --- what we hear

    def _take(self, told: link.Told, _: int | None) -> None:
        self._heard_at = self._loop.time()
        match told:
            case link.Ready():
                self.ready = True
                self._changed(self, None)
            case link.State():
                self.state, self._failures = told, 0
            case link.Seen(number, ms, kind, fields):
                if call := self.calls.get(number):
                    call.seen(Record(ms, kind, fields))
            case link.Ending(number, reason, destination):
                if call := self.calls.get(number):
                    call.ending(EndReason(reason), destination)
            case link.Over(number, reason, seconds):
                if call := self.calls.pop(number, None):
                    call.ended(EndReason(reason), seconds)
            case link.Carry() | link.Lost() | link.Reload() | link.Drain() | link.Stop():
                pass  # ours to say
            case _:
                assert_never(told)
