"""A service to knock at: the whole application over a real socket, with a bot that knows tones only."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI

from voicebot.call.pulse import Pulse
from voicebot.carriers.base import CallInfo, Dial, Digit, HungUp, Line, LineEvent
from voicebot.config import Settings
from voicebot.core import dialplan, twilio_signature
from voicebot.core.call_headers import NONE
from voicebot.core.dialplan import Dialplan
from voicebot.core.timeline import EndReason, Record
from voicebot.service.app import create_app
from voicebot.service.crew import COMMAND
from voicebot.service.desk import Desk
from voicebot.service.sockets import MAX_MESSAGE, Sockets
from voicebot.service.store import Store

TOKEN = "an auth token"
PUBLIC = "https://bot.example.com"
PLAN = """
name: {name}
description: Says a tone.
takes: {{numbers: ["{number}"]}}
transfers: {{desk: {{to: "+12025550142"}}}}
operator: desk
start: hello
nodes: {{hello: {{say: Hello., do: [{{hang_up: Goodbye.}}]}}}}
"""
TONE = b"\x10\x20" * 640
"""80 ms."""


def plan(name: str, number: str) -> Dialplan:
    return dialplan.parse(PLAN.format(name=name, number=number), f"{name}.yaml")


@dataclass
class ToneRuntime:
    """Greets every call with 400 ms of tone. Key 9: the bot hangs up; 8: it puts the caller through; 7: it breaks; 6:
    its process has had enough."""

    settings: Settings
    log: Store
    state: str | None = None
    dialplans: dict[str, Dialplan] = field(default_factory=dict)
    calls: dict[str, Line] = field(default_factory=dict)
    opened: list[CallInfo] = field(default_factory=list)
    """Calls for which an engine would have been opened."""
    events: list[LineEvent] = field(default_factory=list)
    events_of: dict[str, list[LineEvent]] = field(default_factory=dict)
    """The same by the carrier's id of the call."""
    ended: list[EndReason] = field(default_factory=list)
    faults: dict[str, str] = field(default_factory=dict)
    pulse: Pulse = field(default_factory=Pulse)
    reloads: int = 0

    async def start(self) -> None:
        for each in (plan("tones", "+15550002222"), plan("others", "+15550003333")):
            self.dialplans[each.name] = each

    async def close(self) -> None: ...

    async def reload(self) -> None:
        self.reloads += 1

    async def drain(self, seconds: float) -> None: ...

    def engine_names(self) -> dict[str, set[str]]:
        return {"tts": {"tone"}}

    def not_ready(self, announced: bool = False, coming: int = 0) -> str | None:
        return self.state or ("busy" if self.pulse.full(coming) and not announced else None)

    def choose(self, called: str, caller: str, name: str = "", headers: Mapping[str, str] = NONE) -> Dialplan | None:
        if name:
            return self.dialplans.get(name)
        return dialplan.choose(self.dialplans.values(), called, caller, datetime.now(UTC), headers)

    async def list_rejected(self, info: CallInfo, name: str, why: str) -> None:
        await self.log.rejected(info, name, why)

    async def run_call(
        self,
        line: Line,
        plan: Dialplan,
        watch: Callable[[Record], None] | None = None,
        dial: Dial | None = None,
    ) -> EndReason:
        self.opened.append(line.info)
        await self.log.started(line.info, plan.name, datetime.now(UTC), "")
        self.calls[line.info.call_id] = line
        reason: EndReason | None = None
        for chunk in range(5):
            line.send(TONE, 0, (chunk + 1) * 640)
        own = self.events_of.setdefault(line.info.carrier_call_id, [])
        async for event in line.events():
            self.events.append(event)
            own.append(event)
            match event:
                case Digit("9"):
                    reason = EndReason.BOT_HANGUP
                    await line.hangup(reason.value)
                case Digit("8"):
                    reason = EndReason.TRANSFER
                    await line.transfer("+12025550142")
                case Digit("7"):
                    raise RuntimeError("broken, as the test asked")
                case Digit(digit) if watch:
                    self.pulse.overloaded |= digit == "6"
                    watch(Record(line.clock_ms(), "digits", {"digits": digit}))
                case HungUp(why):
                    reason = reason or EndReason(why)
        assert reason is not None
        del self.calls[line.info.call_id]
        await self.log.ended(line.info.call_id, reason, line.clock_ms() / 1000, 1)
        if watch:
            watch(Record(line.clock_ms(), "call_ended", {"reason": reason.value, "seconds": 1.0}))
        self.ended.append(reason)
        return reason

    def got(self, kind: type[LineEvent]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


@dataclass
class Service:
    """A running service and the keys to it."""

    settings: Settings
    runtime: ToneRuntime
    store: Store
    app: FastAPI
    base: str
    """http://127.0.0.1:port"""
    web: httpx.AsyncClient

    @property
    def desk(self) -> Desk:
        desk: Desk = self.app.state.desk
        return desk

    async def hook(self, path: str, url: str = PUBLIC, token: str = TOKEN, **form: str) -> httpx.Response:
        """A web hook of Twilio's for call CA1, signed as if it went to `url`."""
        form = {"CallSid": "CA1", "From": "+15550001111", "To": "+15550002222"} | form
        signed = twilio_signature.signature(token, url + path, form.items())
        return await self.web.post(path, data=form, headers={"X-Twilio-Signature": signed})

    @property
    def stream(self) -> str:
        return self.base.replace("http", "ws") + "/twilio/stream"

    @property
    def browser_stream(self) -> str:
        return self.base.replace("http", "ws") + "/browser/stream"

    def rows(self) -> list[tuple[str, str | None]]:
        """(carrier call id, end reason) of the listed calls."""
        return [(row.carrier_call_id, row.end_reason) for row in self.store.list()]


STREAM_HEADERS = {
    "X-Twilio-Signature": twilio_signature.signature(TOKEN, PUBLIC.replace("http", "ws") + "/twilio/stream")
}


@asynccontextmanager
async def serving(
    folder: Path, make: Callable[[Settings, Store], Any] = ToneRuntime, crew: Sequence[str] = COMMAND, **given: Any
) -> AsyncIterator[Service]:
    """The application on a port of its own, from start-up to shut-down. `crew`: what its other processes run, where
    `workers` says that there are some."""
    known = {
        "twilio_auth_token": TOKEN,
        "public_url": PUBLIC,
        "data_dir": folder,
        "default_dialplan": "",
        "sip_workers": 0,
    }
    settings = Settings(_env_file=None, **(known | given))  # type: ignore[call-arg]
    store = Store.at(folder)
    runtime = make(settings, store)
    app = create_app(settings, runtime, store, crew)
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_level="critical", lifespan="off", ws=Sockets, ws_max_size=MAX_MESSAGE)
    server = _Server(config)
    base = f"http://127.0.0.1:{listening.getsockname()[1]}"
    async with app.router.lifespan_context(app), httpx.AsyncClient(base_url=base, verify=False) as web:
        running = asyncio.ensure_future(server.serve([listening]))
        try:
            await until(lambda: server.started or running.done())
            yield Service(settings, runtime, store, app, base, web)
        finally:
            server.over.set()
            await running
            store.close()


class _Server(uvicorn.Server):
    """uvicorn without its tenths of seconds between looks at what there is to do."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.over = asyncio.Event()

    async def main_loop(self) -> None:
        await self.on_tick(0)
        await self.over.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for each in self.servers:
            each.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        await until(lambda: not self.server_state.tasks)


async def token_of(service: Service, **form: str) -> str:
    """Call in, and read the stream token out of the TwiML."""
    answer = await service.hook("/twilio/voice", **form)
    _, _, rest = answer.text.partition('name="token" value="')
    return rest.partition('"')[0]


async def until(true: Callable[[], object]) -> None:
    """Until it is so; the test fails when it never is."""
    async with asyncio.timeout(5):
        while not true():  # noqa: ASYNC110 - what is waited for knows nothing of tests
            await asyncio.sleep(0.01)
