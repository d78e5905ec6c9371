"""A Twilio call: the media stream, and Twilio's REST API to hang up or to pass the caller on.

With an account SID both go through the REST API. Without one, or when the API cannot be asked, the line closes its
stream, and the TwiML that follows `<Connect>` asks us at `/twilio/after` what to do: the same result, one request
later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from twilio.base.exceptions import TwilioRestException
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client
from twilio.twiml.voice_response import VoiceResponse

from voicebot import log
from voicebot.carriers.base import CallInfo
from voicebot.carriers.media_stream import MediaStream, Socket
from voicebot.core import twilio as wire
from voicebot.core.timeline import EndReason
from voicebot.errors import PeerError

DEADLINE_S = 5.0
API = "https://api.twilio.com"
TOO_MANY, SERVER_ERROR = 429, 500
GONE = (404, 20404, 21220)
"""The call is over already: Twilio's ways of saying so."""
_log = log.get("twilio")


class _Redirected(TwilioHttpClient):  # type: ignore[misc]
    """Twilio's own client, sent to another address: a region's edge, or a double in a test."""

    def __init__(self, base: str) -> None:
        super().__init__(timeout=DEADLINE_S)
        self._base = base

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
        return super().request(method, url.replace(API, self._base, 1), *args, **kwargs)


def client(account_sid: str, auth_token: str, api_url: str = API) -> Client:
    """Twilio's REST client with a deadline on every request."""
    return Client(account_sid, auth_token, http_client=_Redirected(api_url.rstrip("/")))


class TwilioRest:
    """What a live call needs of the REST API. Blocking requests run in a thread. `dialled` is the URL that is asked
    once a transfer is over, however it went."""

    def __init__(self, account_sid: str, auth_token: str, api_url: str = API, dialled: str = "") -> None:
        self._client, self._dialled = client(account_sid, auth_token, api_url), dialled

    async def hang_up(self, call_sid: str) -> None:
        """Harmless when the call is over already."""
        await self._update(call_sid, status="completed")

    async def transfer(self, call_sid: str, destination: str) -> None:
        """Dial `destination` for the caller; `PeerError` when Twilio refuses."""
        await self._update(call_sid, twiml=dial(destination, self._dialled))

    async def _update(self, call_sid: str, **change: str) -> None:
        try:
            async with asyncio.timeout(DEADLINE_S + 1):
                await asyncio.to_thread(lambda: self._client.calls(call_sid).update(**change))
        except TwilioRestException as error:
            if error.status in GONE or error.code in GONE:
                return
            later = error.status == TOO_MANY or error.status >= SERVER_ERROR
            raise PeerError(f"Twilio refused: {error.status} {error.code}", retryable=later) from error
        except Exception as error:  # requests' errors, time-outs
            raise PeerError(f"Twilio could not be asked: {type(error).__name__}", retryable=True) from error


def twilio_line(
    socket: Socket,
    stream: wire.Stream,
    info: CallInfo,
    rest: TwilioRest | None,
    ending: Callable[[EndReason, str], None],
) -> MediaStream:
    """The line of a stream whose `start` was let in. `ending(reason, destination)` is told how the bot ends the call
    before Twilio is, so that whoever answers at `/twilio/after` knows."""

    async def hang_up(reason: str) -> None:
        ending(EndReason(reason), "")
        if rest is None or not await _tried(rest.hang_up(info.carrier_call_id)):
            await line.close(reason)

    async def transfer(destination: str) -> None:
        ending(EndReason.TRANSFER, destination)
        try:
            if rest is None or not await _tried(rest.transfer(info.carrier_call_id, destination), refusals=True):
                await line.close("transfer")
        except PeerError:
            ending(EndReason.MEDIA_LOST, "")  # the call goes on, and nothing was decided
            raise

    async def _tried(request: Awaitable[None], refusals: bool = False) -> bool:
        try:
            await request
        except PeerError as error:
            if refusals and not error.retryable:
                raise
            _log.warning("rest_api_failed", call_id=info.call_id, error=str(error))
            return False
        return True

    line = MediaStream(socket, stream, info, hang_up, transfer)
    return line


def dial(destination: str, dialled: str = "") -> str:
    """TwiML that passes the caller on to a number or a SIP address of the dialplan, and asks the URL `dialled` for more
    once that call is over, or nobody took it."""
    response = VoiceResponse()
    verb = response.dial(answer_on_bridge=True, timeout=30, **({"action": dialled} if dialled else {}))
    if destination.startswith("sip:"):
        verb.sip(destination)
    else:
        verb.number(destination)
    return str(response)
