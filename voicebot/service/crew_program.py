"""The program of a process that carries calls for the service: `crew` starts it, `call_worker` talks to it.

    python -m voicebot.service.crew_program [MODULE …] DESCRIPTOR NUMBER

Each MODULE is one whose `lend` lends engines. It takes calls that were let in, and knows no tokens, no limits and no
web hooks. Signals are the service's to get. When the service is gone, calls that are up may finish, as on SIGTERM.
"""

from __future__ import annotations

import asyncio
import base64
import gc
import importlib
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, assert_never

import structlog
import uvicorn

from voicebot import log
from voicebot.call.runtime import Runtime
from voicebot.carriers.base import CallInfo
from voicebot.carriers.browser import browser_line, show
from voicebot.carriers.media_stream import MediaStream
from voicebot.carriers.twilio import TwilioRest, twilio_line
from voicebot.config import Settings
from voicebot.core import twilio as wire
from voicebot.core.timeline import EndReason, Record
from voicebot.errors import VoicebotError
from voicebot.service import crew_link as link
from voicebot.service.app import look_at_dialplans
from voicebot.service.desk import START_DEADLINE_S, first_start
from voicebot.service.health import COUNTED
from voicebot.service.sockets import Adopted, HandedOver, adopt, web_config
from voicebot.service.store import Store
from voicebot.service.twilio_routes import rest_of
from voicebot.service.watchdog import watched

STATE_EVERY_S = 0.5
Make = Callable[[Settings, Store], Any]
"""Makes a runtime."""
_log = log.get("crew")


@dataclass(slots=True)
class _Worker:
    """`group` holds its calls; `over` is set when there is nothing more to do."""

    runtime: Runtime
    config: uvicorn.Config
    rest: TwilioRest | None
    group: asyncio.TaskGroup
    service: link.Link = field(init=False)
    lines: dict[int, MediaStream] = field(default_factory=dict)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    def take(self, told: link.Told, descriptor: int | None) -> None:
        match told:
            case link.Carry():
                assert descriptor is not None
                self.group.create_task(self._carry(told, HandedOver(descriptor, base64.b64decode(told.said))))
            case link.Lost(number, reason):
                if line := self.lines.get(number):
                    self.group.create_task(line.lost(EndReason(reason)))
            case link.Reload():
                self.group.create_task(self._reload())
            case link.Drain(seconds):
                self.group.create_task(self.runtime.drain(seconds))
            case link.Stop():
                self.over.set()
            case link.Ready() | link.State() | link.Seen() | link.Ending() | link.Over():
                pass  # ours to say
            case _:
                assert_never(told)

    async def _reload(self) -> None:
        try:
            await self.runtime.reload()
        except Exception as error:  # must not end the calls; the next look comes soon
            _log.error("reload_failed", error=type(error).__name__)

    def alone(self) -> None:
        """The service is gone."""
        _log.error("service_gone", calls=len(self.runtime.calls))
        self.group.create_task(self._finish())

    async def _finish(self) -> None:
        await self.runtime.drain(self.runtime.settings.drain_seconds)
        self.over.set()

    async def _carry(self, told: link.Carry, handed: HandedOver) -> None:
        info, reason = CallInfo(**told.info), EndReason.MEDIA_LOST
        try:
            socket, stream = await adopt(handed, self.config), wire.Stream()
            try:
                if await first_start(socket, stream, START_DEADLINE_S):
                    reason = await self._talk(told, info, socket, stream)
            finally:
                socket.leave()
        except Exception as error:  # one call costs that call
            _log.error("call_failed", call_id=info.call_id, exc_info=error)
        finally:
            line = self.lines.pop(told.call, None)
            self.service.send(link.Over(told.call, reason.value, line.clock_ms() / 1000 if line else 0.0))

    async def _talk(self, told: link.Carry, info: CallInfo, socket: Adopted, stream: wire.Stream) -> EndReason:
        if told.plan not in self.runtime.dialplans:  # it is newer than our last look
            await self.runtime.reload()
        plan = self.runtime.dialplans[told.plan]
        page = info.carrier == "browser"

        def ending(reason: EndReason, destination: str) -> None:
            # The carrier's next web hook comes after this: the service reads its links before it starts on a request.
            self.service.send(link.Ending(told.call, reason.value, destination))

        def seen(record: Record) -> None:
            if page:
                show(line, record)
            if record.kind in COUNTED:
                self.service.send(link.Seen(told.call, record.ms, record.kind, record.fields))

        line = browser_line(socket, stream, info) if page else twilio_line(socket, stream, info, self.rest, ending)
        self.lines[told.call] = line
        try:
            reason = await self.runtime.run_call(line, plan, seen)
            if page:
                await line.hangup(reason.value)
        finally:
            await line.close("call ended")
        return reason

    async def tell(self) -> None:
        """That we are ready, and then for ever how we are."""
        loop = asyncio.get_running_loop()
        self._tell(0.0)
        self.service.send(link.Ready())
        while True:
            due = loop.time() + STATE_EVERY_S
            await asyncio.sleep(STATE_EVERY_S)
            self._tell(max(0.0, loop.time() - due))

    def _tell(self, lag_s: float) -> None:
        pulse = self.runtime.pulse
        most = pulse.most if self.runtime.calls else max(1, pulse.most)  # whoever has none can take one
        self.service.send(link.State(most, lag_s, asdict(pulse.reading)))


async def work(sock: socket.socket, settings: Settings, make: Make = Runtime) -> None:
    """Until the service says so, or is gone and so are our calls. `UsageError` as when a service starts."""
    store = Store.at(settings.data_dir)
    runtime = make(settings, store)
    try:
        await runtime.start()
        gc.collect()
        gc.freeze()  # as the service does
        async with watched(), asyncio.TaskGroup() as group:
            worker = _Worker(runtime, web_config(None), rest_of(settings), group)
            worker.service = link.Link(sock, worker.take, worker.alone)
            chores = [group.create_task(worker.tell()), group.create_task(look_at_dialplans(runtime))]
            await worker.over.wait()
            for chore in chores:
                chore.cancel()
    finally:
        await runtime.close()
        store.close()


def main(make: Make = Runtime) -> None:
    """Ends with 0 when told to."""
    *lenders, descriptor, number = sys.argv[1:]
    for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(sig, lambda *_: None)  # not SIG_IGN, which the processes of engines would inherit
    for lender in lenders:
        importlib.import_module(lender).lend()
    settings = Settings()
    log.configure(settings.log_format, settings.log_level)
    structlog.contextvars.bind_contextvars(worker=int(number))
    with (
        socket.socket(fileno=int(descriptor)) as sock,
        asyncio.Runner(loop_factory=web_config(None).get_loop_factory()) as runner,
    ):
        try:
            runner.run(work(sock, settings, make))
        except VoicebotError as error:
            _log.error("call_worker_failed", error=str(error))
            sys.exit(2)


if __name__ == "__main__":
    main()
