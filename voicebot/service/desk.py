"""The front desk of the service: what every route and both websockets share, and how a call is let in."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import HTTPConnection

from voicebot import log
from voicebot.call.runtime import Runtime, new_call_id
from voicebot.carriers.base import CallInfo, Line
from voicebot.config import Settings
from voicebot.core.dialplan import Dialplan
from voicebot.core.timeline import EndReason, Record
from voicebot.service.admission import Doors, Tokens
from voicebot.service.health import CallWatch, Metrics
from voicebot.service.store import Store

START_DEADLINE_S = 5.0
"""A stream that has not said `start` by then is nobody we know."""
_log = log.get("service")


@dataclass(slots=True)
class Desk:
    settings: Settings
    runtime: Runtime
    store: Store
    metrics: Metrics = field(default_factory=Metrics)
    tokens: Tokens = field(default_factory=Tokens)
    doors: Doors = field(init=False)

    def __post_init__(self) -> None:
        self.doors = Doors(self.settings.max_calls, self.settings.max_calls_per_caller)

    def refuses(self, caller: str) -> str | None:
        """Why no call can be taken now; None when one can."""
        return self.runtime.not_ready() or self.doors.full(caller)

    async def reject(
        self, carrier: str, caller: str, called: str, carrier_call_id: str, dialplan: str, why: str
    ) -> None:
        """Refused calls are listed too."""
        self.metrics.refused.labels(carrier, why).inc()
        info = CallInfo(new_call_id(), carrier, caller, called, carrier_call_id)
        _log.info("call_refused", carrier=carrier, why=why)
        await self.runtime.list_rejected(info, dialplan, why)

    async def carry(self, line: Line, plan: Dialplan, also: Callable[[Record], None] | None = None) -> EndReason:
        """Carry a call that was let in, with its figures kept."""
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
            reason = await self.runtime.run_call(line, plan, seen)
        finally:
            self.doors.leave(info.caller)
            self.metrics.live.dec()
        _log.info("call_ended", call_id=info.call_id, reason=reason.value, seconds=round(line.clock_ms() / 1000, 1))
        return reason

    def console_open(self, connection: HTTPConnection) -> bool:
        """Whether this request may see the console: the token where one is set, else this machine only."""
        wanted = self.settings.console_token.get_secret_value()
        if not wanted:
            return self.settings.loopback
        scheme, _, given = connection.headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and hmac.compare_digest(given.encode(), wanted.encode())


def same_origin(connection: HTTPConnection, public_url: str) -> bool:
    """A page of ours, or no browser at all: other sites may not place calls with the visitor's permission."""
    origin = connection.headers.get("origin")
    if origin is None:
        return True
    host = connection.headers.get("host", "")
    return origin in (f"http://{host}", f"https://{host}") or (bool(public_url) and origin == public_url)


async def first_start(socket: Any, stream: Any) -> bool:
    """Read until `start` has come; False when it does not, in time, or something else does."""
    try:
        async with asyncio.timeout(START_DEADLINE_S):
            for _ in range(20):  # `connected`, and a little patience with what is malformed
                message = await socket.receive()
                if message.get("type") != "websocket.receive":
                    return False
                text = message.get("text")
                stream.receive(text if isinstance(text, str) else message.get("bytes") or b"")
                if stream.start is not None:
                    return True
    except (TimeoutError, RuntimeError):
        pass
    return False
