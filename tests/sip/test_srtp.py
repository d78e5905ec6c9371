"""SRTP (SDES): spoken where it is offered and wanted, and never given up silently. The caller is PJSIP itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.peers.sip_caller import HOST, NUMBER, caller
from tests.service.world import TONE, Service, until
from tests.sip.world import needs_pjsua2, sip_service
from voicebot.carriers.base import Audio, CallInfo, HungUp
from voicebot.carriers.sip import SipLine
from voicebot.carriers.sip_process import Worker
from voicebot.carriers.sip_setup import Setup

pytestmark = needs_pjsua2


@asynccontextmanager
async def pjsip_calls(service: Service, srtp: str) -> AsyncIterator[SipLine]:
    """A second worker as the caller."""
    worker = Worker(Setup(dials=True, srtp=srtp).facts, lambda *_: None, lambda _: None)
    try:
        await until(lambda: worker.ready)
        number = worker.dial(f"sip:{NUMBER}@{HOST}:{service.settings.sip_port}", -1, {"X-Account": "9"})
        line = SipLine(CallInfo("out", "sip", "", ""), worker, number, str)
        worker.calls[number] = line
        yield line
    finally:
        worker.close()


@pytest.mark.parametrize(("ours", "theirs"), [("required", "required"), ("optional", "required"), ("off", "off")])
async def test_both_sides_agree_and_hear_each_other(tmp_path: Path, ours: str, theirs: str) -> None:
    async with sip_service(tmp_path, sip_srtp=ours) as service, pjsip_calls(service, theirs) as line:
        assert await line.answered(5)
        line.send(TONE * 10, 0, 6400)
        heard = 0
        async with asyncio.timeout(5):
            async for event in line.events():
                heard += isinstance(event, Audio) and any(event.pcm)
                if heard > 15:
                    break
        await until(lambda: any(any(each.pcm) for each in service.runtime.got(Audio)))
        assert {"x-account": "9"} == service.runtime.opened[0].headers
        await line.hangup("caller_hangup")
        await until(lambda: service.runtime.ended)


@pytest.mark.parametrize(("ours", "theirs"), [("required", "off"), ("off", "required")])
async def test_there_is_no_call_where_they_disagree(tmp_path: Path, ours: str, theirs: str) -> None:
    async with sip_service(tmp_path, sip_srtp=ours) as service, pjsip_calls(service, theirs) as line:
        assert not await line.answered(5)
        assert [HungUp("caller_hangup")] == [event async for event in line.events()]
        assert line.ended["code"] in (406, 488)
        assert [] == service.runtime.opened
        await until(lambda: service.rows())
        assert [("rejected", f"PJSIP answered {line.ended['code']}")] == [
            (row.end_reason, row.detail) for row in service.store.list()
        ]


async def test_a_plain_phone_is_refused_where_srtp_is_required(tmp_path: Path) -> None:
    async with sip_service(tmp_path, sip_srtp="required") as service, caller(service.settings.sip_port) as phone:
        assert await phone.invite() in (406, 488)
