"""Twilio's side of the service: web hooks, and the media stream.

    POST /twilio/voice    a call comes in          → TwiML: connect a media stream, or refuse
    WS   /twilio/stream   its audio                 → the call
    POST /twilio/after    the stream is over        → hang up, put through, or make good for a lost stream
    POST /twilio/status   the call is over

Every request must carry Twilio's signature over the public URL; the stream besides a one-time token bound to its
call. Nothing that costs happens before both were seen.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from fastapi import APIRouter, Request, Response, WebSocket
from starlette.requests import HTTPConnection
from twilio.request_validator import RequestValidator
from twilio.twiml.voice_response import Connect, VoiceResponse

from voicebot import log
from voicebot.call.runtime import new_call_id
from voicebot.carriers.base import CallInfo
from voicebot.carriers.media_stream import MediaStream
from voicebot.carriers.twilio import TwilioRest, dial
from voicebot.core import twilio as wire
from voicebot.core.timeline import EndReason
from voicebot.service.admission import Grant
from voicebot.service.desk import Desk, first_start

MAX_BODY_BYTES = 64 * 1024
REMEMBERED = 2000
"""Calls whose end is kept for `/twilio/after`, which follows within a second or two."""
POLICY_VIOLATION = 1008
NO_TOKEN = "Set VOICEBOT_TWILIO_AUTH_TOKEN to the auth token of your Twilio account, then try again."
_log = log.get("twilio")


@dataclass(slots=True)
class _Outcome:
    """How a call's stream ended, for the TwiML that comes after it."""

    reason: EndReason = EndReason.MEDIA_LOST
    destination: str = ""
    lost: int = 0
    """Streams of this call that were lost."""


@dataclass(slots=True)
class Twilio:
    """The routes, over the desk that everything shares."""

    desk: Desk
    outcomes: OrderedDict[str, _Outcome] = field(default_factory=OrderedDict)

    def router(self) -> APIRouter:
        router = APIRouter(prefix="/twilio")
        router.post("/voice")(self.voice)
        router.post("/after")(self.after)
        router.post("/status")(self.status)
        router.websocket("/stream")(self.stream)
        return router

    # --- web hooks

    async def voice(self, request: Request) -> Response:
        """A call comes in."""
        form = await self._signed(request)
        if isinstance(form, Response):
            return form
        call_sid, caller, called = form.get("CallSid", ""), form.get("From", ""), form.get("To", "")
        plan = self.desk.runtime.choose(called, caller)
        why = self.desk.refuses(caller) or (None if plan else "no dialplan takes this call")
        if why is not None or plan is None:
            await self.desk.reject("twilio", caller, called, call_sid, plan.name if plan else "", why or "")
            response = VoiceResponse()
            response.reject(reason="busy" if plan else "rejected")
            return _xml(response)
        return _xml(self._connect(Grant(call_sid, plan.name, caller, called)))

    def _connect(self, grant: Grant) -> VoiceResponse:
        url = self._public().replace("http", "ws", 1) + "/twilio/stream"
        connect = Connect()
        stream = connect.stream(url=url)
        stream.parameter(name="token", value=self.desk.tokens.mint(grant))
        response = VoiceResponse()
        response.append(connect)
        response.redirect(self._public() + "/twilio/after", method="POST")
        return response

    async def after(self, request: Request) -> Response:
        """The stream is over, and Twilio asks what to do with the caller."""
        form = await self._signed(request)
        if isinstance(form, Response):
            return form
        call_sid, caller, called = form.get("CallSid", ""), form.get("From", ""), form.get("To", "")
        outcome = self.outcomes.get(call_sid, _Outcome())
        if outcome.reason is EndReason.TRANSFER and outcome.destination:
            destination, outcome.destination = outcome.destination, ""
            return Response(dial(destination), media_type="text/xml")
        response = VoiceResponse()
        plan = self.desk.runtime.choose(called, caller)
        if outcome.reason is EndReason.MEDIA_LOST and outcome.lost <= 1 and plan and not self.desk.refuses(""):
            response.say("I'm sorry, we were cut off. One moment.")
            response.append(self._connect(Grant(call_sid, plan.name, caller, called)))
            return _xml(response)
        if outcome.reason is EndReason.MEDIA_LOST:
            response.say(plan.sentences.trouble if plan else "I'm sorry, we were cut off. Please call again.")
        response.hangup()
        return _xml(response)

    async def status(self, request: Request) -> Response:
        """Twilio's last word on a call. The stream tells us first; this only frees what waited for it."""
        form = await self._signed(request)
        if isinstance(form, Response):
            return form
        if form.get("CallStatus") in ("completed", "busy", "failed", "no-answer", "canceled"):
            self.outcomes.pop(form.get("CallSid", ""), None)
        return Response(status_code=204)

    # --- the stream

    async def stream(self, socket: WebSocket) -> None:
        """The call's audio, both ways."""
        if not self._signature_ok(socket, {}):
            await socket.close(POLICY_VIOLATION)  # before accept: the upgrade is refused with 403
            return
        await socket.accept()
        stream = wire.Stream()
        if not await first_start(socket, stream) or stream.start is None:
            self.desk.metrics.refused.labels("twilio", "no start").inc()
            await socket.close(POLICY_VIOLATION, "no start")
            return
        start = stream.start
        grant = self.desk.tokens.redeem(start.parameters.get("token", ""), start.call_sid)
        plan = self.desk.runtime.choose("", "", grant.dialplan) if grant else None
        if grant is None or plan is None:
            self.desk.metrics.refused.labels("twilio", "bad token").inc()
            await socket.close(POLICY_VIOLATION, "bad token")
            return
        if (why := self.desk.refuses(grant.caller)) is not None:
            await self.desk.reject("twilio", grant.caller, grant.called, start.call_sid, plan.name, why)
            await socket.close(1013, "busy")
            return
        outcome = self._remember(start.call_sid)
        info = CallInfo(new_call_id(), "twilio", grant.caller, grant.called, start.call_sid)
        line = self._line(socket, stream, info, outcome)
        outcome.reason = await self.desk.carry(line, plan)
        if outcome.reason is EndReason.MEDIA_LOST:
            outcome.lost += 1
        await line.close(outcome.reason.value)

    def _line(self, socket: WebSocket, stream: wire.Stream, info: CallInfo, outcome: _Outcome) -> MediaStream:
        settings, sid = self.desk.settings, info.carrier_call_id
        token = settings.twilio_auth_token.get_secret_value()
        api = (
            TwilioRest(settings.twilio_account_sid, token, settings.twilio_api_url)
            if settings.twilio_account_sid
            else None
        )

        async def hang_up(reason: str) -> None:
            outcome.reason = EndReason(reason)
            if api:
                await api.hang_up(sid)
            else:
                await line.close(reason)

        async def transfer(destination: str) -> None:
            outcome.reason, outcome.destination = EndReason.TRANSFER, destination
            if api:
                await api.transfer(sid, destination)
            else:
                await line.close("transfer")

        line = MediaStream(socket, stream, info, hang_up, transfer)
        return line

    def _remember(self, call_sid: str) -> _Outcome:
        outcome = self.outcomes.pop(call_sid, None) or _Outcome()
        self.outcomes[call_sid] = outcome
        while len(self.outcomes) > REMEMBERED:
            self.outcomes.popitem(last=False)
        outcome.reason = EndReason.MEDIA_LOST  # until the call says otherwise
        return outcome

    # --- signatures

    def _public(self) -> str:
        settings = self.desk.settings
        return settings.public_url or f"http://{settings.host}:{settings.port}"

    async def _signed(self, request: Request) -> dict[str, str] | Response:
        """The form of a request that Twilio signed; else the answer that refuses it."""
        if not self.desk.settings.twilio_auth_token.get_secret_value():
            _log.warning("twilio_refused", why="no auth token is set")
            return Response(NO_TOKEN, 403)
        if int(request.headers.get("content-length") or 0) > MAX_BODY_BYTES:
            return Response("Too long.", 413)
        form = await request.form(max_fields=200)
        fields = {key: [v for v in form.getlist(key) if isinstance(v, str)] for key in form}
        if not self._signature_ok(request, fields):
            self.desk.metrics.refused.labels("twilio", "bad signature").inc()
            _log.warning("twilio_refused", why="bad signature", path=request.url.path)
            return Response(f"The signature is not Twilio's for {self._public()}{request.url.path}. Check "
                            "VOICEBOT_PUBLIC_URL and VOICEBOT_TWILIO_AUTH_TOKEN.", 403)  # fmt: skip
        return {key: values[0] for key, values in fields.items() if values}

    def _signature_ok(self, connection: HTTPConnection, fields: dict[str, list[str]]) -> bool:
        """Over the URL that is configured, never over Host or X-Forwarded headers, which anybody can set."""
        token = self.desk.settings.twilio_auth_token.get_secret_value()
        if not token:
            return False
        url = self._public() + connection.url.path
        if connection.url.query:
            url += "?" + connection.url.query
        if connection.scope["type"] == "websocket":
            url = url.replace("http", "ws", 1)
        params = {key: values if len(values) > 1 else values[0] for key, values in fields.items() if values}
        return bool(RequestValidator(token).validate(url, params, connection.headers.get("x-twilio-signature", "")))


def _xml(response: VoiceResponse) -> Response:
    return Response(str(response), media_type="text/xml")
