"""Twilio's side of the service: web hooks, and the media stream.

    POST /twilio/voice    a call comes in          → TwiML: connect a media stream, or refuse
    WS   /twilio/stream   its audio                 → the call
    POST /twilio/after    the stream is over        → hang up, put through, or make good for a lost stream
    POST /twilio/dialled  a transfer is over        → hang up, or back to the bot where nobody took the caller
    POST /twilio/status   the call is over

Every request must carry Twilio's signature over the public URL; the stream besides a one-time token bound to its
call. Nothing that costs happens before both were seen.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request, Response, WebSocket
from starlette.background import BackgroundTask
from starlette.requests import HTTPConnection
from twilio.twiml.voice_response import Connect, VoiceResponse

from voicebot import log
from voicebot.call.runtime import new_call_id
from voicebot.carriers.base import CallInfo
from voicebot.carriers.media_stream import MediaStream, close
from voicebot.carriers.twilio import TwilioRest, dial, twilio_line
from voicebot.config import Settings
from voicebot.core import twilio_signature
from voicebot.core.call_headers import kept
from voicebot.core.dialplan import Dialplan
from voicebot.core.timeline import EndReason
from voicebot.service.admission import Grant
from voicebot.service.call_worker import Away
from voicebot.service.desk import BUSY, POLICY_VIOLATION, Desk

MAX_FIELDS = 200
REMEMBERED = 2000
"""Calls whose end is kept for `/twilio/after`, which follows within a second or two."""
STREAMS = 2
"""Times a call is connected: once, and once more when its stream was lost."""
TAKEN = frozenset({"completed", "answered"})
"""`DialCallStatus` of a transfer that somebody took."""
OVER = frozenset({"completed", "busy", "failed", "no-answer", "canceled"})
"""`CallStatus` of a call that is no more."""
SIP_HEADER = "SipHeader_"
NO_TOKEN = "Set VOICEBOT_TWILIO_AUTH_TOKEN to the auth token of your Twilio account, then try again."
_log = log.get("twilio")


@dataclass(slots=True)
class _Leg:
    """What is known of a call between its requests."""

    ending: EndReason = EndReason.MEDIA_LOST
    """How its stream ended, unless the bot says otherwise."""
    destination: str = ""
    """Where to put it through, once."""
    streams: int = 0
    """How often it was connected."""
    carried: bool = False
    """Whether a stream came."""
    line: MediaStream | Away | None = None
    call_id: str = ""
    """Ours, of the call that its stream was."""
    transfer: str = ""
    """The name of the transfer that it is on."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """That came with it: the first request has them."""


@dataclass(slots=True)
class Twilio:
    """The routes, over the desk that everything shares."""

    desk: Desk
    legs: OrderedDict[str, _Leg] = field(default_factory=OrderedDict)
    """By CallSid, of the latest calls."""
    rest: TwilioRest | None = field(init=False)

    def __post_init__(self) -> None:
        self.rest = rest_of(self.desk.settings)

    def router(self) -> APIRouter:
        router = APIRouter(prefix="/twilio")
        router.post("/voice")(self.voice)
        router.post("/after")(self.after)
        router.post("/dialled")(self.dialled)
        router.post("/status")(self.status)
        router.websocket("/stream")(self.stream)
        return router

    # --- web hooks

    async def voice(self, request: Request) -> Response:
        """A call comes in."""
        form = await self._signed(request)
        if isinstance(form, Response):
            return form
        call_sid, caller, called = _who(form)
        if not call_sid:
            return Response("CallSid is missing.", 400)
        why = self.desk.refuses(caller)
        headers = _headers(form)
        plan = None if why else self.desk.runtime.choose(called, caller, headers=headers)
        why = why or (self.desk.refuses_to(plan) if plan else None)
        if plan is None or why:  # the answer comes first: whoever is refused for want of time gets it at once
            told = why or "no dialplan takes this call"
            listing = BackgroundTask(self.desk.reject, "twilio", caller, called, call_sid, "", told)
            return Response(_REJECT["busy" if why else "rejected"], media_type="text/xml", background=listing)
        response = VoiceResponse()
        self._leg(call_sid).headers = headers
        self._connect(response, Grant(call_sid, plan.name, caller, called, headers=headers))
        return _xml(response)

    def _connect(self, response: VoiceResponse, grant: Grant) -> None:
        """Add what opens a media stream, and what follows should the stream end and the call not."""
        leg = self._leg(grant.call_sid)
        leg.streams, leg.ending, leg.destination = leg.streams + 1, EndReason.MEDIA_LOST, ""
        connect = Connect()
        stream = connect.stream(url=self._public().replace("http", "ws", 1) + "/twilio/stream")
        stream.parameter(name="token", value=self.desk.tokens.mint(grant))
        response.append(connect)
        response.redirect(self._public() + "/twilio/after", method="POST")

    async def after(self, request: Request) -> Response:
        """The stream is over and the caller still there: Twilio asks what to do. A call that we do not know was
        carried by a process that is gone: its stream is lost."""
        form = await self._signed(request)
        if isinstance(form, Response):
            return form
        call_sid, caller, called = _who(form)
        leg = self._leg(call_sid)
        if leg.destination:
            destination, leg.destination = leg.destination, ""
            return Response(dial(destination, self._public() + "/twilio/dialled"), media_type="text/xml")
        response = VoiceResponse()
        if leg.ending is EndReason.MEDIA_LOST:
            plan = self.desk.runtime.choose(called, caller, headers=leg.headers)
            if plan and leg.streams < STREAMS and not self.desk.refuses(caller, announced=True):
                _say(response, plan, plan.sentences.one_moment)
                self._connect(response, Grant(call_sid, plan.name, caller, called, headers=leg.headers))
                return _xml(response)
            if operator := _operator(plan):
                return Response(dial(operator), media_type="text/xml")
            _say(response, plan, plan.sentences.trouble if plan else "I'm sorry, we were cut off. Please call again.")
        response.hangup()
        return _xml(response)

    async def dialled(self, request: Request) -> Response:
        """A transfer is over. Whom nobody took is back with us: the conversation goes on over a new stream."""
        form = await self._signed(request)
        if isinstance(form, Response):
            return form
        call_sid, caller, called = _who(form)
        response, leg = VoiceResponse(), self._leg(call_sid)
        name, leg.transfer = leg.transfer, ""
        if form.get("DialCallStatus") not in TAKEN:
            plan = self.desk.runtime.choose(called, caller, headers=leg.headers)
            if plan and name and not self.desk.refuses(caller):
                leg.streams = 0
                self._connect(response, Grant(call_sid, plan.name, caller, called, leg.call_id, name, leg.headers))
                return _xml(response)
            _say(response, plan, plan.sentences.unreached if plan else "I'm sorry, nobody could take your call.")
        response.hangup()
        return _xml(response)

    async def status(self, request: Request) -> Response:
        """Twilio's last word on a call. The stream says so first, unless it hangs: then it ends now. A call whose
        stream never came is listed here, or nowhere."""
        form = await self._signed(request)
        if isinstance(form, Response):
            return form
        call_sid = form.get("CallSid", "")
        leg = self.legs.pop(call_sid, None) if form.get("CallStatus") in OVER else None
        if leg and leg.line:
            await leg.line.lost(EndReason.CALLER_HANGUP)
        elif leg and not leg.carried:
            await self.desk.reject("twilio", form.get("From", ""), form.get("To", ""), call_sid, "", "no stream came")
        return Response(status_code=204)

    # --- the stream

    async def stream(self, socket: WebSocket) -> None:
        """The call's audio, both ways."""
        if not self._signature_ok(socket, ()):
            self._bad_signature(socket)
            await close(socket, POLICY_VIOLATION, "")  # before accept: the upgrade is refused with 403
            return
        admitted = await self.desk.admit("twilio", socket)
        if admitted is None:
            return
        stream, call_sid, grant, plan = admitted
        if (why := self.desk.refuses(grant.caller, announced=True)) is not None:
            await self.desk.reject("twilio", grant.caller, grant.called, call_sid, plan.name, why)
            await close(socket, BUSY, "busy")
            return
        leg = self._leg(call_sid)

        def ending(reason: EndReason, destination: str) -> None:
            leg.ending, leg.destination = reason, destination
            leg.transfer = next((name for name, each in plan.transfers.items() if each.to == destination), "")

        known = CallInfo(new_call_id(), "twilio", grant.caller, grant.called, call_sid, grant.headers)
        info = replace(known, continues=grant.continues, unreached=grant.unreached)
        leg.carried, leg.call_id = True, info.call_id
        away = self.desk.away(socket, info, plan, ending)
        line = leg.line = away or twilio_line(socket, stream, info, self.rest, ending)
        try:
            reason = await self.desk.carry(line, plan)
            if reason is not EndReason.MEDIA_LOST and leg.ending is EndReason.MEDIA_LOST:
                leg.ending = reason
        finally:
            leg.line = None
            await line.close("call ended")

    def _leg(self, call_sid: str) -> _Leg:
        leg = self.legs.setdefault(call_sid, _Leg())
        self.legs.move_to_end(call_sid)
        while len(self.legs) > REMEMBERED:
            self.legs.popitem(last=False)
        return leg

    # --- signatures

    def _public(self) -> str:
        return _public(self.desk.settings)

    async def _signed(self, request: Request) -> dict[str, str] | Response:
        """The form of a request that Twilio signed; else the answer that refuses it."""
        if not self.desk.settings.twilio_auth_token.get_secret_value():
            _log.warning("twilio_refused", why="no auth token is set", do=NO_TOKEN)
            return Response(NO_TOKEN, 403)
        try:
            fields = parse_qsl((await request.body()).decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS)
        except ValueError:
            return Response("This is no form.", 400)
        if not self._signature_ok(request, fields):
            self._bad_signature(request)
            return Response(f"The signature is not Twilio's for {self._public()}{request.url.path}. Check "
                            "VOICEBOT_PUBLIC_URL and VOICEBOT_TWILIO_AUTH_TOKEN.", 403)  # fmt: skip
        return dict(reversed(fields))  # of a name that comes twice, the first counts

    def _signature_ok(self, connection: HTTPConnection, fields: Sequence[tuple[str, str]]) -> bool:
        """Over the URL that is configured, never over Host or X-Forwarded headers, which anybody can set."""
        url = self._public() + connection.url.path
        if connection.scope["type"] == "websocket":
            url = url.replace("http", "ws", 1)
        if connection.url.query:
            url += "?" + connection.url.query
        token = self.desk.settings.twilio_auth_token.get_secret_value()
        return twilio_signature.valid(token, url, fields, connection.headers.get("x-twilio-signature", ""))

    def _bad_signature(self, connection: HTTPConnection) -> None:
        self.desk.metrics.refused.labels("twilio", "bad signature").inc()
        self.desk.complain("twilio_refused", why="bad signature", path=connection.url.path)


def rest_of(settings: Settings) -> TwilioRest | None:
    """Twilio's REST API with the account's credentials; None where there are none."""
    token = settings.twilio_auth_token.get_secret_value()
    if not settings.twilio_account_sid or not token:
        return None
    return TwilioRest(
        settings.twilio_account_sid, token, settings.twilio_api_url, _public(settings) + "/twilio/dialled"
    )


def _public(settings: Settings) -> str:
    return settings.public_url or f"http://{settings.host}:{settings.port}"


def _who(form: Mapping[str, str]) -> tuple[str, str, str]:
    """(CallSid, who calls, whom)."""
    return form.get("CallSid", ""), form.get("From", ""), form.get("To", "")


def _headers(form: Mapping[str, str]) -> dict[str, str]:
    """Of a call to a SIP domain: "X- headers in the incoming INVITE are passed as SipHeader_<name> parameters"."""
    return kept((name.removeprefix(SIP_HEADER), value) for name, value in form.items() if name.startswith(SIP_HEADER))


def _operator(plan: Dialplan | None) -> str:
    """The number of the people behind a dialplan, where it names some."""
    return plan.transfers[plan.operator].to if plan and plan.operator in plan.transfers else ""


def _say(response: VoiceResponse, plan: Dialplan | None, text: str) -> None:
    """In Twilio's own voice, since ours is what was lost. It speaks American English unless told."""
    if plan is None or plan.language == "en-US":
        response.say(text)
    else:
        response.say(text, language=plan.language)


def _rejection(reason: str) -> str:
    response = VoiceResponse()
    response.reject(reason=reason)
    return str(response)


_REJECT = {reason: _rejection(reason) for reason in ("busy", "rejected")}


def _xml(response: VoiceResponse) -> Response:
    return Response(str(response), media_type="text/xml")
