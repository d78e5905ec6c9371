"""A caller is put through over a second line: real SIP and RTP on both, the real bot in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.peers.sip_caller import HOST, Caller, caller, free_port
from tests.service.world import TONE, until
from tests.sip.world import needs_pjsua2, records
from voicebot.audio.g711 import ulaw_decode, ulaw_encode
from voicebot.call.runtime import Runtime
from voicebot.config import Settings
from voicebot.service.app import create_app
from voicebot.service.store import Store

pytestmark = [needs_pjsua2, pytest.mark.timeout(120)]
PLAN = """
name: desk
takes: {{numbers: [desk]}}
transfers:
  human: {{to: "sip:human@{host}:{port}", kind: {kind}, say: One moment., briefing: Somebody wants bread.,
           on_failure: sorry}}
start: welcome
nodes:
  welcome: {{do: [{{transfer: human}}]}}
  sorry: {{say: Then that is all., do: hang_up}}
"""


@asynccontextmanager
async def service(folder: Path, human: Caller, kind: str) -> AsyncIterator[int]:
    """Its SIP port."""
    plan, data = folder / "desk.yaml", folder / "data"
    plan.write_text(PLAN.format(host=HOST, port=human.sip_port, kind=kind))
    settings = Settings(_env_file=None, data_dir=data, dialplans=plan, sip_port=free_port())  # type: ignore[call-arg]
    store = Store.at(data)
    application = create_app(settings, Runtime(settings, store), store)
    try:
        async with application.router.lifespan_context(application):
            yield settings.sip_port
    finally:
        store.close()


async def quiet(phone: Caller) -> None:
    """A microphone in a quiet room, so that the line is not dead."""
    while True:
        phone.send_rtp(phone.rtp(b"\xff" * 160))
        await asyncio.sleep(0.02)


async def talked(phone: Caller, human: Caller) -> None:
    """Each hears the other."""
    for one, other in ((phone, human), (human, phone)):
        await one.speak(TONE * 25)
        assert ulaw_decode(ulaw_encode(TONE * 3)) in bytes(other.heard)


async def test_who_takes_a_warm_transfer_hears_why_and_then_the_caller(tmp_path: Path) -> None:
    async with caller(0) as human, service(tmp_path, human, "warm") as port, caller(port) as phone:
        assert 200 == await phone.invite("desk")
        await human.hears(2.0)
        assert [] == [each for each in phone.requests if each.method == "REFER"]
        await human.key("1")
        await until(lambda: "joined" in states(tmp_path))
        await talked(phone, human)
        assert 200 == await phone.ask("BYE")
        await human.is_asked("BYE")
        await until(lambda: "call_ended" in [each.kind for each in records(tmp_path / "data")])
    assert "transfer" == reason(tmp_path)


@pytest.mark.slow
async def test_who_declines_leaves_the_caller_to_the_bot(tmp_path: Path) -> None:
    async with caller(0) as human, service(tmp_path, human, "warm") as port, caller(port) as phone:
        assert 200 == await phone.invite("desk")
        await human.hears(1.0)
        await human.key("2")
        await human.is_asked("BYE")
        await phone.is_asked("BYE")
    said = [each.fields["heard"] for each in records(tmp_path / "data") if each.kind == "said"]
    assert "Then that is all." in said[-1]
    assert "bot_hangup" == reason(tmp_path)


async def test_a_phone_that_takes_no_refer_is_put_through_all_the_same(tmp_path: Path) -> None:
    async with caller(0) as human, service(tmp_path, human, "cold") as port, caller(port) as phone:
        phone.answers["REFER"] = 501
        assert 200 == await phone.invite("desk")
        await phone.is_asked("REFER")
        await until(lambda: "joined" in states(tmp_path))
        await talked(phone, human)
        await human.hang_up()
        await phone.is_asked("BYE")
    assert "transfer" == reason(tmp_path)


@pytest.mark.slow
async def test_whom_nobody_answers_the_bot_keeps(tmp_path: Path) -> None:
    async with caller(0) as human, service(tmp_path, human, "warm") as port, caller(port) as phone:
        human.answers["INVITE"] = 486
        assert 200 == await phone.invite("desk")
        await phone.is_asked("BYE")
    [noted] = [each for each in records(tmp_path / "data") if each.kind == "transfer"]
    assert (False, True) == (noted.fields["ok"], "486" in noted.fields["why"])
    assert "bot_hangup" == reason(tmp_path)


def states(folder: Path) -> list[str]:
    return [each.fields["state"] for each in records(folder / "data") if each.kind == "state"]


def reason(folder: Path) -> str:
    return next(each.fields["reason"] for each in records(folder / "data") if each.kind == "call_ended")
