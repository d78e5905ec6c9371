"""The manners of a good telephone: hold, keys of every kind, codecs, packets of other lengths, session timers."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from tests.audio.test_dtmf import tone
from tests.peers.sip_caller import Caller, caller
from tests.service.world import TONE, Service, until
from tests.sip.world import needs_pjsua2, sip_of, sip_service
from voicebot.audio.g711 import alaw_decode, alaw_encode
from voicebot.carriers.base import Audio, Digit, Hold, Played
from voicebot.core import sip
from voicebot.core.timeline import EndReason

pytestmark = needs_pjsua2


async def on_the_line(service: Service, phone: Caller) -> None:
    await phone.invite()
    await phone.hears(0.6)


@pytest.mark.parametrize("how", ["sendonly", "inactive", "0.0.0.0"])
async def test_the_bot_is_told_of_hold_and_after_it_the_call_goes_on(tmp_path: Path, how: str) -> None:
    async with sip_service(tmp_path) as service, caller(service.settings.sip_port) as phone:
        await on_the_line(service, phone)
        [line] = service.runtime.calls.values()
        held = phone.sdp(host="0.0.0.0") if how == "0.0.0.0" else phone.sdp(direction=how)
        assert 200 == await phone.offer(body=held)
        await until(lambda: [Hold(True)] == service.runtime.got(Hold))
        line.send(TONE * 5, 1, 3200)
        clock_ms, events = line.clock_ms(), len(service.runtime.events)
        await phone.speak(TONE * 6)  # music on hold
        await until(lambda: line.clock_ms() >= clock_ms + 400)
        meanwhile = service.runtime.events[events:]
        assert [] == [event for event in meanwhile if isinstance(event, Played)]
        assert not any(any(event.pcm) for event in meanwhile if isinstance(event, Audio))
        assert 200 == await phone.offer(body=phone.sdp())
        await until(lambda: [Hold(True), Hold(False)] == service.runtime.got(Hold))
        await until(lambda: Played(1, 3200) == service.runtime.got(Played)[-1])
        await phone.speak(TONE * 6)
        await until(lambda: any(service.runtime.got(Audio)[-1].pcm))
        await phone.ask("BYE")


async def test_keys_come_once_as_events_as_info_and_as_tones(tmp_path: Path) -> None:
    async with sip_service(tmp_path) as service, caller(service.settings.sip_port) as phone:
        await phone.invite()
        for digit in "1#5":
            await phone.key(digit)
            await phone.speak(bytes(1600))
        assert 200 == await phone.ask("INFO", b"Signal=3\r\nDuration=160\r\n", "application/dtmf-relay")
        await until(lambda: 4 == len(service.runtime.got(Digit)))
        assert list("1#53") == [each.digit for each in service.runtime.got(Digit)]


async def test_a_phone_without_telephone_events_is_heard_by_its_tones(tmp_path: Path) -> None:
    async with sip_service(tmp_path) as service, caller(service.settings.sip_port) as phone:
        await phone.invite(body=phone.sdp(("PCMA",)))
        await phone.speak(b"".join(tone(digit, 100) for digit in "24*"))
        await until(lambda: 3 == len(service.runtime.got(Digit)))
        assert list("24*") == [each.digit for each in service.runtime.got(Digit)]


async def test_a_law_is_spoken_where_only_that_is_offered_and_the_codec_may_change_in_mid_call(tmp_path: Path) -> None:
    async with sip_service(tmp_path) as service, caller(service.settings.sip_port) as phone:
        assert 200 == await phone.invite(body=phone.sdp(("G722", "PCMA", "telephone-event")))
        assert "PCMA" == phone.codec
        await phone.hears(0.6)
        assert alaw_decode(alaw_encode(TONE * 5)) in bytes(phone.heard)
        assert 200 == await phone.offer(body=phone.sdp(("PCMU", "telephone-event")))
        assert "PCMU" == phone.codec
        await phone.key("9")
        await phone.is_asked("BYE")


@pytest.mark.parametrize("frame", [80, 240, 480])
async def test_packets_of_other_lengths_are_heard_whole(tmp_path: Path, frame: int) -> None:
    async with sip_service(tmp_path) as service, caller(service.settings.sip_port) as phone:
        await phone.invite()
        rng = np.random.default_rng(3)
        said = (rng.normal(0, 2000, 16000)).astype("<i2").tobytes()
        await phone.speak(said, frame)
        await phone.speak(bytes(4800))
        heard = np.frombuffer(b"".join(each.pcm for each in service.runtime.got(Audio)), "<i2").astype(float)
        pieces = np.frombuffer(said, "<i2").astype(float).reshape(20, 800)[4:]
        found = [np.correlate(heard, piece).max() / (piece @ piece) for piece in pieces]
        assert sum(match > 0.9 for match in found) >= 12  # the jitter buffer may stretch where this machine was busy


async def test_a_session_timer_is_agreed_on(tmp_path: Path) -> None:
    async with sip_service(tmp_path) as service, caller(service.settings.sip_port) as phone:
        phone.headers = (("Supported", "timer"), ("Session-Expires", "90;refresher=uac"), ("Min-SE", "90"))
        assert 200 == await phone.invite()
        [answer] = [each for each in phone.responses if each.code == 200]
        assert "90;refresher=uac" == sip.value(answer.headers, "Session-Expires")
        assert 200 == await phone.offer()  # the refresh


async def test_a_call_whose_media_stops_ends_as_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voicebot.service.sip.MEDIA_LOST_S", 2.0)
    async with sip_service(tmp_path) as service, caller(service.settings.sip_port) as phone:
        await phone.invite()
        await phone.speak(TONE * 5)
        await phone.is_asked("BYE")
        await until(lambda: service.runtime.ended)
        assert [EndReason.MEDIA_LOST] == service.runtime.ended


async def test_a_held_call_is_not_taken_for_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voicebot.service.sip.MEDIA_LOST_S", 1.0)
    async with sip_service(tmp_path) as service, caller(service.settings.sip_port) as phone:
        await on_the_line(service, phone)
        await phone.offer(body=phone.sdp(direction="inactive"))
        [line] = service.runtime.calls.values()
        clock_ms = line.clock_ms()
        await asyncio.sleep(3.0)
        assert [] == [request.method for request in phone.requests]
        assert [1] == [len(worker.calls) for worker in sip_of(service).workers]
        assert clock_ms + 2500 < service.runtime.got(Audio)[-1].at // 8  # silence came all the while
