"""Session timers (RFC 4028): who refreshes a call, how soon it may be, and what ends one that nobody refreshes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.peers.fast_clock import fast_clock, needs_compiler
from tests.peers.sip_caller import Caller, caller
from tests.service.world import TONE, until
from tests.sip.test_calls_out import called
from tests.sip.world import needs_pjsua2, sip_service
from voicebot.audio.g711 import ulaw_decode, ulaw_encode
from voicebot.carriers.base import Audio, Hold
from voicebot.core import sip
from voicebot.core.timeline import EndReason

pytestmark = [needs_pjsua2, needs_compiler]


@pytest.fixture
def leap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    monkeypatch.setattr("voicebot.service.sip.MEDIA_LOST_S", 1000.0)
    return fast_clock(tmp_path, monkeypatch)


def asks_for(phone: Caller, refresher: str, seconds: int = 90) -> None:
    phone.headers = (("Supported", "timer"), ("Session-Expires", f"{seconds};refresher={refresher}"))


@pytest.mark.parametrize("by", ["INVITE", "UPDATE"])
async def test_where_it_is_ours_to_refresh_we_do_again_and_again_and_nothing_is_lost(
    tmp_path: Path, leap: Callable[[int], None], by: str
) -> None:
    async with sip_service(tmp_path) as service, caller(service.settings.sip_port) as phone:
        asks_for(phone, "uas")
        phone.headers += (("Allow", f"INVITE, ACK, BYE, CANCEL, {by}"),)
        phone.answers_with = (("Session-Expires", "90;refresher=uac"), ("Require", "timer"))
        assert 200 == await phone.invite()
        [answer] = [each for each in phone.responses if each.code == 200]
        assert "90;refresher=uas" == sip.value(answer.headers, "Session-Expires")
        await phone.hears(0.3)
        [line] = service.runtime.calls.values()
        for number in (1, 2):
            leap(46)  # half of it, and one
            refresh = await phone.is_asked(by)
            assert "90;refresher=uac" == sip.value(refresh.headers, "Session-Expires")
            before = len(service.runtime.events)
            await phone.speak(TONE * 6)
            assert any(any(e.pcm) for e in service.runtime.events[before:] if isinstance(e, Audio))
            already = len(phone.heard)
            line.send(TONE * 5, number, 3200)
            await until(lambda since=already: ulaw_decode(ulaw_encode(TONE * 5)) in bytes(phone.heard[since:]))
            line.clear()
        await phone.key("9")
        await phone.is_asked("BYE")
        await until(lambda: [EndReason.BOT_HANGUP] == service.runtime.ended)
        assert [] == service.runtime.got(Hold)


async def test_a_refresh_that_never_comes_ends_the_call_and_the_record_says_so(
    tmp_path: Path, leap: Callable[[int], None]
) -> None:
    async with sip_service(tmp_path) as service, caller(service.settings.sip_port) as phone:
        asks_for(phone, "uac")
        assert 200 == await phone.invite()
        await phone.hears(0.3)
        timeline = service.settings.data_dir / "calls" / service.runtime.opened[0].call_id / "timeline.jsonl"
        timeline.parent.mkdir(parents=True)  # the session's doing, of which this service has none
        leap(61)  # a third of it before it has run out, as RFC 4028 wants it
        bye = await phone.is_asked("BYE")
        assert "cause=408" in sip.value(bye.headers, "Reason")
        await until(timeline.exists)
        assert [EndReason.MEDIA_LOST] == service.runtime.ended
        assert "408 No session refresh received." in timeline.read_text()


async def test_a_far_end_that_knows_nothing_of_the_call_any_more_ends_it(
    tmp_path: Path, leap: Callable[[int], None]
) -> None:
    async with sip_service(tmp_path) as service, caller(service.settings.sip_port) as phone:
        asks_for(phone, "uas")
        assert 200 == await phone.invite()
        await phone.hears(0.3)
        phone.answers["INVITE"] = 481
        leap(46)
        await until(lambda: service.runtime.ended)
        assert [EndReason.MEDIA_LOST] == service.runtime.ended


async def test_a_timer_below_what_we_take_is_refused_with_what_we_take(
    tmp_path: Path, leap: Callable[[int], None]
) -> None:
    async with sip_service(tmp_path) as service, caller(service.settings.sip_port) as phone:
        asks_for(phone, "uac", 30)
        assert 422 == await phone.invite()
        assert "90" == sip.value(phone.responses[-1].headers, "Min-SE")
        counted = service.desk.metrics.refused.labels("sip", "PJSIP answered 422")._value
        await until(lambda: 1 == counted.get())
        asks_for(phone, "uac", 90)
        assert 200 == await phone.invite()
        assert 200 == await phone.ask("BYE")


async def test_a_callee_that_wants_a_longer_timer_is_called_with_that_once() -> None:
    async with caller(0) as phone:
        phone.answers["INVITE"], phone.answers_with = 422, (("Min-SE", "3600"),)
        async with called(phone) as line:
            await until(lambda: 422 == line.ended.get("code"))
            asked = [sip.value(each.headers, "Session-Expires") for each in phone.requests if each.method == "INVITE"]
            assert ["1800", "3600"] == asked
