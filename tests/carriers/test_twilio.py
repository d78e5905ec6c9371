"""Hanging up and passing on by Twilio's REST API, and what happens when it does not answer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.carriers.test_media_stream import INFO, Socket, events, started
from tests.peers.twilio_rest import ACCOUNT, TOKEN, TwilioRest, twilio_rest
from voicebot.carriers import twilio
from voicebot.carriers.twilio import dial, twilio_line
from voicebot.core.timeline import EndReason
from voicebot.errors import PeerError


@pytest.fixture
def rest() -> Iterator[TwilioRest]:
    with twilio_rest() as running:
        yield running


def api(rest: TwilioRest, token: str = TOKEN) -> twilio.TwilioRest:
    return twilio.TwilioRest(ACCOUNT, token, rest.url)


async def test_hanging_up_completes_the_call(rest: TwilioRest) -> None:
    await api(rest).hang_up("CA1")
    assert [("CA1", {"Status": "completed"})] == rest.asked


async def test_passing_on_gives_the_call_new_twiml(rest: TwilioRest) -> None:
    await api(rest).transfer("CA1", "+12025550142")
    [(call_sid, form)] = rest.asked
    assert ("CA1", {"Twiml": dial("+12025550142")}) == (call_sid, form)
    assert "<Number>+12025550142</Number>" in form["Twiml"]


def test_a_sip_address_is_dialled_as_one() -> None:
    assert "<Sip>sip:desk@example.com</Sip>" in dial("sip:desk@example.com")


def test_a_destination_cannot_become_twiml() -> None:
    assert "<Hangup" not in dial("+1</Number><Hangup/>")


async def test_a_call_that_is_over_already_is_hung_up_without_harm(rest: TwilioRest) -> None:
    rest.over.add("CA1")
    await api(rest).hang_up("CA1")


@pytest.mark.parametrize(("status", "code", "retryable"), [(400, 21201, False), (429, 20429, True), (503, 20503, True)])
async def test_what_twilio_refuses_is_an_error_that_says_whether_to_try_again(
    rest: TwilioRest, status: int, code: int, retryable: bool
) -> None:
    rest.fails = (status, code)
    with pytest.raises(PeerError) as refused:
        await api(rest).transfer("CA1", "+12025550142")
    assert retryable == refused.value.retryable
    assert str(code) in str(refused.value)


async def test_a_wrong_token_is_an_error_that_does_not_show_it(rest: TwilioRest) -> None:
    with pytest.raises(PeerError) as refused:
        await api(rest, "not the token").hang_up("CA1")
    assert "not the token" not in str(refused.value)


async def test_an_api_that_does_not_answer_is_given_up(rest: TwilioRest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(twilio, "DEADLINE_S", 0.2)
    rest.delay_s = 0.6
    with pytest.raises(PeerError) as late:
        await api(rest).hang_up("CA1")
    assert late.value.retryable


async def test_an_api_that_is_not_there_is_an_error() -> None:
    with pytest.raises(PeerError):
        await twilio.TwilioRest(ACCOUNT, TOKEN, "http://127.0.0.1:1").hang_up("CA1")


# --- a line over it


class Call:
    """A line, its far end, and what was said of its ending."""

    def __init__(self, rest: TwilioRest | None) -> None:
        self.socket, self.endings = Socket(), list[tuple[EndReason, str]]()
        self.line = twilio_line(
            self.socket, started(), INFO, api(rest) if rest else None, lambda *ending: self.endings.append(ending)
        )
        self.listener = asyncio.ensure_future(events(self.line))

    async def over(self) -> None:
        if not self.socket.closed:
            self.socket.comes(None)
        await self.listener


async def test_the_bot_hangs_up_by_the_api_and_leaves_the_stream_to_twilio(rest: TwilioRest) -> None:
    call = Call(rest)
    await call.line.hangup("bot_hangup")
    assert [("CA1", {"Status": "completed"})] == rest.asked
    assert (None, [(EndReason.BOT_HANGUP, "")]) == (call.socket.closed, call.endings)
    await call.over()


async def test_without_the_api_the_stream_is_closed_and_the_twiml_after_it_knows(rest: TwilioRest) -> None:
    call = Call(None)
    await call.line.transfer("+12025550142")
    assert (1000, "transfer") == call.socket.closed
    assert [(EndReason.TRANSFER, "+12025550142")] == call.endings
    await call.over()


@pytest.mark.parametrize("how", ["hangup", "transfer"])
async def test_when_the_api_fails_the_stream_is_closed_instead(rest: TwilioRest, how: str) -> None:
    rest.fails = (503, 20503)
    call = Call(rest)
    await (call.line.hangup("bot_hangup") if how == "hangup" else call.line.transfer("+12025550142"))
    assert call.socket.closed
    await call.over()


async def test_a_transfer_that_twilio_refuses_is_an_error_and_the_call_goes_on(rest: TwilioRest) -> None:
    rest.fails = (400, 21201)
    call = Call(rest)
    with pytest.raises(PeerError):
        await call.line.transfer("+12025550142")
    assert call.socket.closed is None
    assert (EndReason.MEDIA_LOST, "") == call.endings[-1]
    await call.over()


async def test_a_call_that_is_gone_is_not_hung_up(rest: TwilioRest) -> None:
    call = Call(rest)
    await call.over()
    await call.line.hangup("bot_hangup")
    assert [] == rest.asked
