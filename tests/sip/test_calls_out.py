"""Calls out, over real SIP, from a worker without a service around it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.peers.sip_caller import HOST, Caller, caller
from tests.service.world import TONE, until
from tests.sip.world import needs_pjsua2
from voicebot.audio.g711 import ulaw_decode, ulaw_encode
from voicebot.carriers.base import CallInfo, HungUp
from voicebot.carriers.sip import SipLine
from voicebot.carriers.sip_process import Worker
from voicebot.carriers.sip_setup import Setup

pytestmark = needs_pjsua2


@asynccontextmanager
async def called(phone: Caller) -> AsyncIterator[SipLine]:
    """The line of a call to `phone`."""
    worker = Worker(Setup(dials=True).facts, lambda *_: None, lambda _: None)
    try:
        await until(lambda: worker.ready)
        number = worker.dial(f"sip:anna@{HOST}:{phone.sip_port}", -1, {})
        line = SipLine(CallInfo("out", "sip", "", ""), worker, number, str)
        worker.calls[number] = line
        yield line
    finally:
        worker.close()


async def test_the_bot_waits_for_the_answer_and_does_not_talk_to_a_ringing_tone() -> None:
    async with caller(0) as phone:
        phone.rings_s = 0.8
        async with called(phone) as line:
            await until(lambda: phone.requests)
            assert not await line.answered(0.5)
            assert await line.answered(2)
            line.send(TONE * 5, 0, 3200)
            await until(lambda: ulaw_decode(ulaw_encode(TONE * 5)) in bytes(phone.heard))
            await phone.hang_up()
            assert HungUp("caller_hangup") == [event async for event in line.events()][-1]


async def test_a_call_nobody_answers_is_taken_back() -> None:
    async with caller(0) as phone:
        phone.rings_s = 8.0
        async with called(phone) as line:
            await until(lambda: phone.requests)
            assert not await line.answered(0.3)
            hanging_up = asyncio.ensure_future(line.hangup("bot_hangup"))
            await phone.is_asked("CANCEL")
            await hanging_up


async def test_whom_it_cannot_reach_it_says() -> None:
    async with caller(0) as phone:
        phone.answers["INVITE"] = 404
        async with called(phone) as line:
            assert not await line.answered(3)
            assert 404 == line.ended["code"]
