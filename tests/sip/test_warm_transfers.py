"""A caller is put through over a second line: real SIP and RTP on both, the real bot in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.peers.sip_caller import HOST, Caller, caller, free_port
from tests.service.world import TONE, until
from tests.sip.world import needs_pjsua2, records, simple_engine
from voicebot.audio.g711 import ulaw_decode, ulaw_encode
from voicebot.call.runtime import Runtime
from voicebot.config import Settings
from voicebot.service.app import create_app
from voicebot.service.store import Store

pytestmark = [needs_pjsua2, pytest.mark.timeout(120)]
PLAN = """
name: {name}
takes: {{numbers: [{name}]}}
transfers:
  human: {{to: "sip:human@{host}:{port}", kind: {kind}, say: One moment., briefing: Somebody wants bread.,
           on_failure: sorry}}
start: welcome
nodes:
  welcome: {{do: [{{transfer: human}}]}}
  sorry: {{say: Then that is all., do: hang_up}}
"""


@asynccontextmanager
async def service(folder: Path, humans: dict[str, Caller], kind: str) -> AsyncIterator[int]:
    """Its SIP port. `humans`: whom the dialplan of that name puts callers through to."""
    plans, data = folder / "plans", folder / "data"
    plans.mkdir()
    for name, human in humans.items():
        text = PLAN.format(name=name, host=HOST, port=human.sip_port, kind=kind)
        (plans / f"{name}.yaml").write_text(text)
    settings = Settings(  # type: ignore[call-arg]
        _env_file=None, data_dir=data, dialplans=plans, sip_port=free_port(), default_dialplan="", vad="webrtc"
    )
    store = Store.at(data)
    application = create_app(settings, Runtime(settings, store, make=simple_engine), store)
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
    async with caller(0) as human, service(tmp_path, {"desk": human}, "warm") as port, caller(port) as phone:
        assert 200 == await phone.invite("desk")
        await human.hears(2.0)
        assert [] == [each for each in phone.requests if each.method == "REFER"]
        await human.key("1")
        await until(lambda: "joined" in states(tmp_path))
        await talked(phone, human)
        assert 200 == await phone.ask("BYE")
        await human.is_asked("BYE")
        await until(lambda: "call_ended" in [each.kind for each in records(tmp_path / "data", "desk")])
    assert "transfer" == reason(tmp_path)


async def test_a_phone_that_takes_no_refer_is_put_through_all_the_same(tmp_path: Path) -> None:
    async with caller(0) as human, service(tmp_path, {"desk": human}, "cold") as port, caller(port) as phone:
        phone.answers["REFER"] = 501
        assert 200 == await phone.invite("desk")
        await phone.is_asked("REFER")
        await until(lambda: "joined" in states(tmp_path))
        await talked(phone, human)
        await human.hang_up()
        await phone.is_asked("BYE")
    assert "transfer" == reason(tmp_path)


@pytest.mark.slow
async def test_who_declines_or_does_not_answer_leaves_the_caller_to_the_bot(tmp_path: Path) -> None:
    async with (
        caller(0) as declines,
        caller(0) as busy,
        service(tmp_path, {"desk": declines, "office": busy}, "warm") as port,
        caller(port) as one,
        caller(port) as other,
    ):
        busy.answers["INVITE"] = 486
        assert [200, 200] == [await one.invite("desk"), await other.invite("office")]
        await declines.hears(1.0)
        await declines.key("2")
        await declines.is_asked("BYE")
        await asyncio.gather(one.is_asked("BYE"), other.is_asked("BYE"))
    for name in ("desk", "office"):
        said = [each.fields["heard"] for each in records(tmp_path / "data", name) if each.kind == "said"]
        assert "Then that is all." in said[-1]
        assert "bot_hangup" == reason(tmp_path, name)
    [noted] = [each for each in records(tmp_path / "data", "office") if each.kind == "transfer"]
    assert (False, True) == (noted.fields["ok"], "486" in noted.fields["why"])


def states(folder: Path) -> list[str]:
    return [each.fields["state"] for each in records(folder / "data", "desk") if each.kind == "state"]


def reason(folder: Path, dialplan: str = "desk") -> str:
    found = records(folder / "data", dialplan)
    return next(each.fields["reason"] for each in found if each.kind == "call_ended")
