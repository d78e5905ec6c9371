"""A whole conversation with each dialplan that ships, over SIP and RTP, with the embedded engines."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from tests.peers.sip_caller import Caller, caller, free_port
from tests.sip.world import needs_pjsua2
from voicebot.call.runtime import Runtime
from voicebot.carriers.wavline import read
from voicebot.config import Settings
from voicebot.core.timeline import Record, decode, latencies
from voicebot.engines.base import EngineConfig
from voicebot.engines.registry import load
from voicebot.replay.bench import speak
from voicebot.service.app import create_app
from voicebot.service.store import Store

ROOT = Path(__file__).parents[2]
ORDER = ROOT / "tests/data/coffee/iced_mocha.flac"
QUIET_S = 0.8
pytestmark = [needs_pjsua2, pytest.mark.slow, pytest.mark.timeout(240)]


class Talk:
    """A caller who lets the bot finish, and speaks with a synthetic voice that is not the bot's."""

    def __init__(self, phone: Caller) -> None:
        self.phone = phone
        self._voice = load("tts", "espeak").create(EngineConfig("en-US", "en-us+klatt"))

    async def says(self, text: str) -> None:
        await self._voice.start()
        try:
            pcm = await speak(self._voice, text)
        finally:
            await self._voice.close()
        await self.plays(pcm)

    async def plays(self, pcm: bytes) -> None:
        await self.phone.speak(pcm + bytes(16000 * 2))

    async def listens(self) -> None:
        """Until the bot has said something and is quiet again."""
        start = len(self.phone.heard)
        async with asyncio.timeout(30):
            while not self._finished(start):
                self.phone.send_rtp(self.phone.rtp(b"\xff" * 160))  # a microphone in a quiet room
                await asyncio.sleep(0.02)

    def _finished(self, start: int) -> bool:
        heard = np.abs(np.frombuffer(bytes(self.phone.heard[start:]), "<i2").astype(int)) > 200
        tail = heard[-int(QUIET_S * 8000) :]
        return bool(heard.any()) and len(heard) > len(tail) and not tail.any()


@asynccontextmanager
async def conversation(folder: Path, called: str) -> AsyncIterator[Talk]:
    """With the dialplan that takes `called`; ends when the service has written it all."""
    settings = Settings(  # type: ignore[call-arg]
        _env_file=None, data_dir=folder, dialplans=ROOT / "dialplans", sip_port=free_port(), default_dialplan=""
    )
    store = Store.at(folder)
    application = create_app(settings, Runtime(settings, store), store)
    try:
        async with application.router.lifespan_context(application), caller(settings.sip_port) as phone:
            assert 200 == await phone.invite(called)
            yield Talk(phone)
            async with asyncio.timeout(10):
                while store.list()[0].end_reason is None:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
    finally:
        store.close()


def records(folder: Path) -> list[Record]:
    [timeline] = folder.glob("calls/*/timeline.jsonl")
    return list(decode(timeline.read_bytes().splitlines()))


def said(folder: Path) -> str:
    return " ".join(each.fields["heard"] for each in records(folder) if each.kind == "said")


async def test_a_coffee_is_ordered(tmp_path: Path) -> None:
    async with conversation(tmp_path, "coffee") as talk:
        await talk.listens()
        await talk.plays(read(ORDER))
        await talk.listens()
        if "What size" in said(tmp_path):
            await talk.phone.key("2")
            await talk.listens()
        await talk.says("yes")
        await talk.phone.is_asked("BYE")
    [note] = [json.loads(line) for line in (tmp_path / "notes.jsonl").read_text().splitlines()]
    assert "iced mocha" in json.dumps(note)
    found = records(tmp_path)
    greeting = next(each.ms for each in found if each.kind == "heard_from")
    assert greeting <= 500
    assert latencies(found)
    assert "bot_hangup" == next(each.fields["reason"] for each in found if each.kind == "call_ended")


async def test_a_message_is_left_at_the_front_desk(tmp_path: Path) -> None:
    async with conversation(tmp_path, "frontdesk") as talk:
        await talk.listens()
        await talk.phone.key("5")
        await talk.listens()
        await talk.says("please call me back")
        await talk.phone.key("#")
        await talk.phone.is_asked("BYE")
    assert "Please leave your message" in said(tmp_path)
    assert (tmp_path / "notes.jsonl").exists()


async def test_the_clinics_hours_are_told(tmp_path: Path) -> None:
    async with conversation(tmp_path, "clinic") as talk:
        await talk.listens()
        await talk.says("opening hours")
        await talk.listens()
        await talk.says("that's all")
        await talk.phone.is_asked("BYE")
    assert "Anything else" in said(tmp_path)
    assert "network" == records(tmp_path)[-1].kind
