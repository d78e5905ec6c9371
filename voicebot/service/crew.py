"""Other processes that carry calls, so that a service uses several cores (`VOICEBOT_WORKERS`).

The service itself stays one process: it answers web hooks and pages, holds SIP, lets calls in, lists and counts. A
media stream that was let in goes, connection and all, to whichever process has the fewest calls, its own included, and
stays there. What must be known of a call between two web hooks is told over a link of each process (`crew_link`).
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from pydantic import SecretStr
from starlette.websockets import WebSocket

from voicebot import log
from voicebot.call.pulse import Reading
from voicebot.call.runtime import GOODBYE_S, Runtime
from voicebot.carriers.base import CallInfo
from voicebot.config import Settings
from voicebot.core.dialplan import Dialplan
from voicebot.core.timeline import EndReason
from voicebot.engines import registry
from voicebot.service import crew_link as link
from voicebot.service.call_worker import Away, CallWorker, Program
from voicebot.service.health import Metrics
from voicebot.service.sockets import HERE, Sockets
from voicebot.service.store import Store

COMMAND = ("-m", "voicebot.service.crew_program")
START_S = 30.0
"""The service is ready when all its processes are, or after this."""
REMEMBERED = 2000
"""Calls of which it is known who carries them."""
_log = log.get("crew")


@dataclass(slots=True)
class Crew:
    """`serving` is its life, inside of a task group of the service's."""

    settings: Settings
    runtime: Runtime
    store: Store
    metrics: Metrics
    command: Sequence[str] = COMMAND
    workers: list[CallWorker] = field(default_factory=list)
    _whose: OrderedDict[str, CallWorker] = field(default_factory=OrderedDict)
    """Call id → who carried it, of the latest: one that was put through may come back, to whoever knows it."""
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    @asynccontextmanager
    async def serving(self, group: asyncio.TaskGroup) -> AsyncIterator[None]:
        """From ready to stopped. Nothing happens where one process is all."""

        def changed(worker: CallWorker, gone: subprocess.Popen[bytes] | None) -> None:
            self._changed.set()
            if gone:
                self.metrics.restarts.inc()
                group.create_task(self._bury(gone))

        program = Program((*self.command, *registry.lenders()), environment(self.settings))
        try:
            for number in range(1, self.settings.workers):
                self.workers.append(CallWorker(number, program, changed))
            await self._started()
            yield
        finally:
            await asyncio.gather(*(worker.stop() for worker in self.workers))

    async def _started(self) -> None:
        try:
            async with asyncio.timeout(START_S):
                while not all(worker.ready or worker.restarts for worker in self.workers):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            pass
        if missing := [worker.number for worker in self.workers if not worker.ready]:
            _log.error("call_workers_missing", workers=missing)

    async def _bury(self, gone: subprocess.Popen[bytes]) -> None:
        """Close the record of the calls that a process took with it."""
        try:
            await asyncio.to_thread(gone.wait)
            crashed = await asyncio.to_thread(self.store.close_crashed)
            _log.warning("crashed_calls_closed", calls=crashed)
        except Exception as error:  # the next start closes them
            _log.error("repair_failed", error=type(error).__name__)

    # --- calls

    @property
    def room(self) -> int:
        """How many more calls the others could take."""
        return sum(worker.room for worker in self.workers)

    @property
    def calls(self) -> int:
        return sum(len(worker.calls) for worker in self.workers)

    @property
    def readings(self) -> list[Reading]:
        return [Reading(**worker.state.reading) for worker in self.workers if worker.state.reading]

    @property
    def lag_s(self) -> float:
        return max((worker.state.lag_s for worker in self.workers), default=0.0)

    def loads(self) -> dict[int, int]:
        """Process → its calls; 0 is ours."""
        return {0: len(self.runtime.calls)} | {worker.number: len(worker.calls) for worker in self.workers}

    def take(
        self, socket: WebSocket, info: CallInfo, plan: Dialplan, ending: Callable[[EndReason, str], None]
    ) -> Away | None:
        """Give the call to another process; None where it is to stay in ours."""
        connection = socket.scope["extensions"].get(HERE)
        if not isinstance(connection, Sockets):
            return None
        worker = self._choose(plan, info.continues)
        handed = connection.hand_over() if worker else None
        if worker is None or handed is None:
            connection.stays()
            return None
        self._whose[info.call_id] = worker
        while len(self._whose) > REMEMBERED:
            self._whose.popitem(last=False)
        return worker.carry(info, plan.name, handed, ending)

    def _choose(self, plan: Dialplan, continues: str) -> CallWorker | None:
        ready = [worker for worker in self.workers if worker.ready]
        if not ready or at_home(plan):
            return None
        if continues:
            known = self._whose.get(continues)
            return known if known in ready else None
        best = min(ready, key=lambda worker: (worker.room == 0, len(worker.calls)))
        ours = (bool(self.runtime.calls) and self.runtime.pulse.full(), len(self.runtime.calls))
        return best if (best.room == 0, len(best.calls)) <= ours else None

    def reload(self) -> None:
        """Have them look at the dialplans now."""
        for worker in self.workers:
            worker.send(link.Reload())

    async def drain(self, seconds: float) -> None:
        """As the runtime does with its own: their calls may finish, then say goodbye."""
        for worker in self.workers:
            worker.send(link.Drain(seconds))
        try:
            async with asyncio.timeout(seconds + GOODBYE_S):
                for call in [call for worker in self.workers for call in worker.calls.values()]:
                    await asyncio.wait([call.over])
        except TimeoutError:
            pass


def at_home(plan: Dialplan) -> bool:
    """Whether its calls need what only the service's own process has: second lines, over SIP, and agents' lines."""
    return plan.mode == "interpret" or any(transfer.kind == "warm" for transfer in plan.transfers.values())


def environment(settings: Settings) -> dict[str, str]:
    """Ours, with the settings as they are, wherever they came from."""
    given = {f"VOICEBOT_{name.upper()}": _text(getattr(settings, name)) for name in Settings.model_fields}
    return dict(os.environ) | given


def _text(value: object) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)
