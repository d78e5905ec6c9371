"""PJSIP itself calls: hold, resume, REFER, another codec in mid-call, a call given up before it is answered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import soundfile

from tests.peers.pjsua_phone import PjsuaPhone, pjsua_phone
from tests.peers.sip_caller import HOST, NUMBER, caller
from tests.service.world import TONE, Service, until
from tests.sip.world import needs_pjsua2, sip_of, sip_service
from voicebot.carriers.base import Audio, Digit, Hold
from voicebot.carriers.sip import SipLine
from voicebot.core import sip
from voicebot.core.timeline import EndReason

pytestmark = needs_pjsua2


@asynccontextmanager
async def world(folder: Path) -> AsyncIterator[tuple[Service, PjsuaPhone, str]]:
    """A service, the telephone, and whom it calls."""
    says = folder / "says.wav"
    soundfile.write(says, np.frombuffer(TONE * 25, "<i2"), 8000, subtype="PCM_16")
    async with sip_service(folder / "service") as service, pjsua_phone(says, folder / "hears.wav") as phone:
        yield service, phone, f"sip:{NUMBER}@{HOST}:{service.settings.sip_port}"


def speaks(service: Service) -> bool:
    """Whether the caller is heard just now."""
    return any(any(each.pcm) for each in service.runtime.got(Audio)[-10:])


async def test_pjsip_talks_holds_resumes_changes_its_codec_and_hangs_up(tmp_path: Path) -> None:
    async with world(tmp_path) as (service, phone, bot):
        phone.tell("call", bot)
        await phone.says("media PCMU")
        await until(lambda: speaks(service))
        phone.tell("hold")
        await until(lambda: [Hold(True)] == service.runtime.got(Hold))
        await until(lambda: not speaks(service))
        phone.tell("resume")
        await until(lambda: [Hold(True), Hold(False)] == service.runtime.got(Hold))
        await until(lambda: speaks(service))
        phone.tell("codec", "PCMA")
        await phone.says("media PCMA")
        [line] = service.runtime.calls.values()
        assert isinstance(line, SipLine)
        await until(lambda: "PCMA" == line.codec)
        said = len(service.runtime.got(Audio))
        await until(lambda: said + 20 < len(service.runtime.got(Audio)) and speaks(service))
        phone.tell("key", "5")
        await until(lambda: [Digit("5")] == service.runtime.got(Digit))
        phone.tell("hang_up")
        await until(lambda: [EndReason.CALLER_HANGUP] == service.runtime.ended)
    heard, _ = soundfile.read(tmp_path / "hears.wav", dtype="int16")
    assert np.abs(heard).max() > 4000  # the bot's tone


async def test_pjsip_follows_a_refer_and_our_leg_ends(tmp_path: Path) -> None:
    async with world(tmp_path) as (service, phone, bot), caller(0) as desk:
        phone.tell("call", bot)
        await phone.says("media PCMU")
        await until(lambda: service.runtime.calls)
        [line] = service.runtime.calls.values()
        await line.transfer(f"sip:desk@{HOST}:{desk.sip_port}")
        placed = next(each for each in desk.requests if each.method == "INVITE")
        assert f"sip:desk@{HOST}:{desk.sip_port}" == placed.uri
        assert f"<sip:{NUMBER}@{HOST}>" == sip.value(placed.headers, "Referred-By")
        await until(lambda: [EndReason.TRANSFER] == service.runtime.ended)


async def test_pjsip_gives_up_before_the_answer_and_nothing_is_left_of_it(tmp_path: Path) -> None:
    async with world(tmp_path) as (service, phone, bot):
        [worker] = sip_of(service).workers
        for _ in range(worker.capacity + 1):
            phone.tell("call", bot)
            phone.tell("hang_up")
            await asyncio.sleep(0.2)
        await until(lambda: worker.free == worker.capacity and not service.runtime.calls)
        phone.tell("call", bot)
        await until(lambda: speaks(service))
