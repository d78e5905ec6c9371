"""Calls in, over real SIP and RTP, to a real PJSIP worker."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.peers.sip_caller import NUMBER, caller
from tests.service.world import TONE, until
from tests.sip.world import needs_pjsua2, sip_of, sip_service
from voicebot.audio.g711 import ulaw_decode, ulaw_encode
from voicebot.carriers.base import Audio, Digit, Played
from voicebot.core import sip
from voicebot.core.timeline import EndReason

pytestmark = needs_pjsua2
GREETING = TONE * 5
"""What the bot says, 400 ms."""


async def test_the_caller_hears_the_greeting_and_hangs_up(tmp_path: Path) -> None:
    async with sip_service(tmp_path) as service, caller(service.settings.sip_port) as phone:
        assert 200 == await phone.invite()
        await phone.hears(0.6)
        assert ulaw_decode(ulaw_encode(GREETING)) in bytes(phone.heard)
        assert 200 == await phone.ask("BYE")
        await until(lambda: service.runtime.ended)
        assert [EndReason.CALLER_HANGUP] == service.runtime.ended
        assert [(phone.call_id, "caller_hangup")] == service.rows()
        [info] = service.runtime.opened
        assert ("sip", "+15550001111", NUMBER) == (info.carrier, info.caller, info.called)


async def test_what_was_played_is_told_to_the_sample(tmp_path: Path) -> None:
    async with sip_service(tmp_path) as service, caller(service.settings.sip_port) as phone:
        await phone.invite()
        await phone.hears(0.6)
        played = service.runtime.got(Played)
        assert Played(0, 3200) == played[-1]
        assert sorted(each.sample for each in played) == [each.sample for each in played]


async def test_the_bot_hears_the_caller(tmp_path: Path) -> None:
    async with sip_service(tmp_path) as service, caller(service.settings.sip_port) as phone:
        await phone.invite()
        said = TONE * 12
        await phone.speak(said)
        await phone.speak(bytes(16000))
        audio = service.runtime.got(Audio)
        heard = b"".join(each.pcm for each in audio)
        assert ulaw_decode(ulaw_encode(said[6400:12800])) in heard
        assert [each.at + len(each.pcm) // 2 for each in audio[:-1]] == [each.at for each in audio[1:]]


async def test_the_bot_hangs_up_with_a_reason(tmp_path: Path) -> None:
    async with sip_service(tmp_path) as service, caller(service.settings.sip_port) as phone:
        await phone.invite()
        await phone.key("9")
        bye = await phone.is_asked("BYE")
        assert 'Q.850;cause=16;text="bot_hangup"' == sip.value(bye.headers, "Reason")
        await until(lambda: service.runtime.ended)
        assert [Digit("9")] == service.runtime.got(Digit)
        assert [EndReason.BOT_HANGUP] == service.runtime.ended


async def test_headers_that_begin_with_x_come_along(tmp_path: Path) -> None:
    async with sip_service(tmp_path) as service, caller(service.settings.sip_port) as phone:
        phone.headers = (("X-Account", "42"), ("Subject", "no"), ("x-long", "a" * 1000))
        await phone.invite()
        assert {"x-account": "42", "x-long": "a" * 128} == service.runtime.opened[0].headers


async def test_a_caller_that_gives_up_before_the_answer_leaves_nothing_behind(tmp_path: Path) -> None:
    async with sip_service(tmp_path) as service, caller(service.settings.sip_port) as phone:
        phone.call_id = "gives-up"
        phone.send(phone.request("INVITE", body=phone.sdp()))
        phone.send(phone.request("CANCEL"))
        answer = await phone.final("INVITE")
        assert answer.code in (200, 487)
        if answer.code == 200:  # the answer was quicker; then it is a call, and is hung up as one
            phone._remote = answer
            phone.send(phone.request("ACK"))
            await phone.ask("BYE")
        else:
            await until(lambda: [("gives-up", "rejected")] == service.rows())
        [worker] = sip_of(service).workers
        await until(lambda: worker.free == worker.capacity)


async def test_a_caller_whose_ack_is_late_is_heard_all_the_same(tmp_path: Path) -> None:
    async with sip_service(tmp_path) as service, caller(service.settings.sip_port) as phone:
        assert 200 == await phone.invite(ack=False)
        await phone.hears(0.6)
        await asyncio.sleep(0.6)  # the answer comes again meanwhile
        phone.send(phone.request("ACK"))
        await phone.key("9")
        await phone.is_asked("BYE")
        assert 1 == len(service.runtime.opened)
