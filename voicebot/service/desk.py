"""The front desk of the service: what every route and both websockets share, and how a call is let in."""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection
from starlette.websockets import WebSocket

from voicebot import log
from voicebot.call.runtime import Runtime, new_call_id
from voicebot.carriers.base import CallInfo, Dial, Line
from voicebot.carriers.media_stream import GONE, Socket, close
from voicebot.config import Settings
from voicebot.core import twilio as wire
from voicebot.core.dialplan import Dialplan
from voicebot.core.timeline import EndReason, Record
from voicebot.service.admission import Doors, Grant, Links, Tokens
from voicebot.service.call_worker import Away
from voicebot.service.crew import Crew, at_home
from voicebot.service.health import CallWatch, Metrics
from voicebot.service.store import Store

START_DEADLINE_S = 5.0
"""A stream that has not said `start` by then is nobody we know."""
PATIENCE = 20
"""Messages that may come before `start`."""
MAX_WAITING = 200
"""Streams that may wait for their `start` at once."""
MAX_LISTING = 50
"""Refused calls that may wait for their place in the list."""
COMPLAIN_EVERY_S = 1.0
"""Strangers may knock often; the log says so once a second at most, the metrics count them all."""
POLICY_VIOLATION, BUSY = 1008, 1013
"""Close codes of a websocket."""
_log = log.get("service")


class Admitted(NamedTuple):
    """A stream that may become a call."""

    stream: wire.Stream
    call_sid: str
    grant: Grant
    plan: Dialplan


def _nobody(reason: EndReason, destination: str) -> None:
    """Wants to know how the bot ends its call."""


@dataclass(slots=True)
class Desk:
    settings: Settings
    runtime: Runtime
    store: Store
    metrics: Metrics = field(default_factory=Metrics)
    tokens: Tokens = field(default_factory=Tokens)
    links: Links = field(default_factory=Links)
    doors: Doors = field(init=False)
    crew: Crew | None = None
    """Processes that carry calls beside ours."""
    dial: Dial | None = None
    """How somebody is called while a call is up; None where the service has no SIP."""
    waiting: int = 0
    """Streams that have not said `start` yet."""
    start_deadline_s: float = START_DEADLINE_S
    _complained_s: float = float("-inf")
    _listing: int = 0
    """Refused calls on their way into the list."""

    def __post_init__(self) -> None:
        self.doors = Doors(self.settings.max_calls, self.settings.max_calls_per_caller)

    def refuses(self, caller: str, announced: bool = False) -> str | None:
        """Why no call can be taken now; None when one can. `announced`: it was let in when it rang."""
        return self.not_ready(announced, 0 if announced else self.coming) or self.doors.full(caller)

    def not_ready(self, announced: bool = False, coming: int = 0) -> str | None:
        """As the runtime says it, of all processes together: what others have room for does not come to ours."""
        if self.crew is None:
            return self.runtime.not_ready(announced, coming)
        elsewhere = self.crew.room
        why = self.runtime.not_ready(announced or elsewhere > coming, max(0, coming - elsewhere))
        return why or ("busy" if self.calls + coming >= self.settings.max_calls else None)

    def refuses_to(self, plan: Dialplan) -> str | None:
        """Why none of this dialplan's can be, though others have room: its calls must be carried by our own process."""
        return self.runtime.not_ready(coming=self.coming) if self.crew and at_home(plan) else None

    @property
    def coming(self) -> int:
        """Calls that were let in and are not up yet: their streams have not come, or their rows are being written."""
        return self.tokens.fresh + max(0, self.doors.inside - self.calls)

    def away(
        self, socket: WebSocket, info: CallInfo, plan: Dialplan, ending: Callable[[EndReason, str], None] = _nobody
    ) -> Away | None:
        """A call that was let in, given to another process; None where it is carried here. `ending` as a Twilio line
        has it."""
        return self.crew.take(socket, info, plan, ending) if self.crew else None

    async def admit(self, carrier: str, socket: WebSocket) -> Admitted | None:
        """Accept a stream and see its token: the one place for all carriers. None: it was shown the door."""
        await socket.accept()
        stream = wire.Stream()
        if self.waiting >= MAX_WAITING:
            await self._turn_away(carrier, socket, "too many streams wait", BUSY)
            return None
        self.waiting += 1
        try:
            start = await first_start(socket, stream, self.start_deadline_s)
        finally:
            self.waiting -= 1
        if start is None:
            await self._turn_away(carrier, socket, "no start", POLICY_VIOLATION)
            return None
        grant = self.tokens.redeem(start.parameters.get("token", ""), start.call_sid)
        plan = self.runtime.choose("", "", grant.dialplan) if grant else None
        if grant is None or plan is None:
            await self._turn_away(carrier, socket, "bad token", POLICY_VIOLATION)
            return None
        return Admitted(stream, start.call_sid, grant, plan)

    async def _turn_away(self, carrier: str, socket: WebSocket, why: str, code: int) -> None:
        self.metrics.refused.labels(carrier, why).inc()
        self.complain("stream_refused", carrier=carrier, why=why)
        await close(socket, code, why)

    async def reject(
        self, carrier: str, caller: str, called: str, carrier_call_id: str, dialplan: str, why: str
    ) -> None:
        """Refused calls are listed too, unless too many wait for that: then they are counted only."""
        self.metrics.refused.labels(carrier, why).inc()
        if self._listing >= MAX_LISTING:
            return
        info = CallInfo(new_call_id(), carrier, caller, called, carrier_call_id)
        self.complain("call_refused", carrier=carrier, why=why)
        self._listing += 1
        try:
            await self.runtime.list_rejected(info, dialplan, why)
        finally:
            self._listing -= 1

    async def carry(
        self,
        line: Line | Away,
        plan: Dialplan,
        also: Callable[[Record], None] | None = None,
        dial: Dial | None = None,
    ) -> EndReason:
        """Carry a call that was let in, with its figures kept. `dial`: how others are called from this one, where its
        carrier knows better than the desk."""
        info, watch = line.info, CallWatch(self.metrics, line.info.carrier)

        def seen(record: Record) -> None:
            watch(record)
            if also:
                also(record)

        self.doors.enter(info.caller)
        self.metrics.live.inc()
        _log.info(
            "call_started", call_id=info.call_id, carrier=info.carrier, dialplan=plan.name, pii_caller=info.caller
        )
        try:
            if isinstance(line, Away):
                reason = await line.run(seen)
            else:
                reason = await self.runtime.run_call(line, plan, seen, dial or self.dial)
        finally:
            self.doors.leave(info.caller)
            self.metrics.live.dec()
        _log.info("call_ended", call_id=info.call_id, reason=reason.value, seconds=round(line.clock_ms() / 1000, 1))
        return reason

    @property
    def calls(self) -> int:
        """That are up, whoever carries them."""
        return len(self.runtime.calls) + (self.crew.calls if self.crew else 0)

    async def drain(self, seconds: float) -> None:
        """No more calls; those that are up may finish, and say goodbye in the end."""
        drains = [self.runtime.drain(seconds), *([self.crew.drain(seconds)] if self.crew else [])]
        await asyncio.gather(*drains)

    async def reload(self) -> None:
        """Look at the dialplans now."""
        if self.crew:
            self.crew.reload()
        await self.runtime.reload()

    def complain(self, event: str, **facts: Any) -> None:
        """Log what a stranger did, not too often."""
        if (now_s := time.monotonic()) - self._complained_s >= COMPLAIN_EVERY_S:
            self._complained_s = now_s
            _log.warning(event, **facts)

    def console_open(self, connection: HTTPConnection) -> bool:
        """Whether this request may see the console: by the token where one is set, else from this machine only."""
        wanted = self.settings.console_token.get_secret_value()
        if not wanted:
            return self.settings.loopback and _from_here(connection, self.settings.host)
        scheme, _, given = connection.headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and hmac.compare_digest(given.encode(), wanted.encode())


def _from_here(connection: HTTPConnection, host: str) -> bool:
    """Asked for by a name of this machine, and not passed on by a proxy or a tunnel. A page of another site whose
    name was made to lead here (DNS rebinding) asks by its own name."""
    if any(name in connection.headers for name in ("x-forwarded-for", "x-forwarded-host", "forwarded", "via")):
        return False
    try:
        asked = urlsplit("//" + connection.headers.get("host", "")).hostname
    except ValueError:
        return False
    return asked in ("localhost", "127.0.0.1", "::1", host)


def same_origin(connection: HTTPConnection, public_url: str) -> bool:
    """A page of ours, or no browser at all: other sites may not place calls with the visitor's permission."""
    origin = connection.headers.get("origin")
    if origin is None:
        return True
    host = connection.headers.get("host", "")
    return origin in (f"http://{host}", f"https://{host}") or (bool(public_url) and origin == public_url)


async def first_start(socket: Socket, stream: wire.Stream, deadline_s: float) -> wire.Start | None:
    """Read until `start` has come; None when it does not, in time, or too much else does."""
    try:
        async with asyncio.timeout(deadline_s):
            for _ in range(PATIENCE):  # `connected`, and a little patience with what is malformed
                message = await socket.receive()
                if message.get("type") != "websocket.receive":
                    return None
                text = message.get("text")
                stream.receive(text if isinstance(text, str) else message.get("bytes") or b"")
                if stream.start is not None:
                    return stream.start
    except GONE:
        pass
    return None
