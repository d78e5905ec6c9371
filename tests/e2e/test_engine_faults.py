"""Whole calls in real time on the vendors' own clients, whose servers fail in the middle of them: somebody is heard in
time, the caller's business is done by whoever takes over, and the record is whole."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.peers.openai_audio import AudioServer, Reply, speaks
from tests.peers.openai_audio import tone as speech
from tests.peers.openai_chat import Answer, ChatServer, Drop, Stall, calls, refuses, says
from tests.peers.openai_realtime import RealtimeServer, Take
from voicebot.call.runtime import Runtime, new_call_id
from voicebot.carriers.base import CallInfo
from voicebot.carriers.wavline import WavLine
from voicebot.config import Settings
from voicebot.core.timeline import Record, decode
from voicebot.engines import tts_espeak
from voicebot.engines.base import EngineConfig
from voicebot.replay.bench import speak

PLAN = """
name: clinic
engines:
  asr: [openai, pocketsphinx]
  llm: [openai, scripted]
  tts: [openai, espeak]
  options: {asr_openai: {transport: realtime}}
limits: {silence_s: 2}
start: hello
nodes:
  hello:
    say: Hill Clinic. How can I help?
    intents:
      hours: {examples: [when do you open], do: [{hang_up: We open at nine in the morning.}]}
      leave: {examples: [goodbye], do: [{hang_up: Goodbye.}]}
"""
BOUND_MS = 4000
"""Two seconds and a machine that has other things to do; `tests/call/test_faults.py` holds the bound to the frame."""


@dataclass
class Servers:
    chat: ChatServer
    audio: AudioServer
    realtime: RealtimeServer


@dataclass
class Case:
    answers: tuple[Answer, ...] = (calls(("hang_up", "{}"), text="We open at nine."),)
    takes: tuple[Take, ...] = (Take("when do you open"),)
    then: tuple[Reply, ...] = ()
    """What the voice's server does once the call is up."""
    before: Callable[[Servers], Awaitable[None]] | None = None
    fault: tuple[str, str] | None = None
    """(stage, who takes over)"""
    said: str = "nine"


async def _no_chat(servers: Servers) -> None:
    servers.chat._server.close()
    await servers.chat._server.wait_closed()


LLM, TTS, ASR = ("llm", "scripted"), ("tts", "espeak"), ("asr", "pocketsphinx")
CASES = {
    "nothing fails": Case(),
    "llm: connect refused": Case(before=_no_chat, fault=LLM),
    "llm: hang after connect": Case((Answer(before=30),), fault=LLM),
    "llm: 429 with Retry-After": Case((refuses(429, retry_after="20"),), fault=LLM),
    "llm: 500 three times": Case((refuses(500),) * 3, fault=LLM),
    "llm: headers, then nothing": Case((says(Stall(30)),), fault=LLM),
    "llm: stall in mid-stream": Case((says("Well, we open ", Stall(30)),), fault=LLM),
    "llm: drop in mid-stream": Case((says("Well, we open ", Drop()),), fault=LLM),
    "llm: empty reply": Case((says(),), fault=LLM),
    "tts: 200 and no audio": Case(then=(speaks(),) * 2, fault=TTS),
    "tts: half-open": Case(then=(Reply(before=30),) * 2, fault=TTS),
    "tts: stall in mid-stream": Case(then=(speaks(speech(600), Stall(30)),), fault=TTS),
    "tts: MP3 instead of PCM": Case(then=(speaks(b"ID3" + bytes(3000)),) * 2, fault=TTS),
    "asr: audio accepted and no words": Case(takes=(Take(fault="hangs"),), fault=ASR),
    "asr: closed in mid-utterance": Case(takes=(Take(drop_after_ms=900),), fault=ASR),
    "asr: transcription fails": Case(takes=(Take(fault="fails"),), fault=ASR),
}


async def caller() -> bytes:
    voice = tts_espeak.create(EngineConfig("en-US", "en-us+klatt"))
    await voice.start()
    try:
        return await speak(voice, "when do you open")
    finally:
        await voice.close()


async def one(case: Case, folder: Path, utterance: bytes) -> list[Record]:
    """The timeline of a call."""
    async with AsyncExitStack() as stack:
        servers = Servers(
            await stack.enter_async_context(ChatServer(case.answers)),
            await stack.enter_async_context(AudioServer()),
            await stack.enter_async_context(RealtimeServer(case.takes)),
        )
        settings = Settings(data_dir=folder / "data", dialplans=folder / "clinic.yaml", vad="webrtc")
        urls = {"openai_tts_base_url": servers.audio.url, "openai_asr_base_url": servers.realtime.url}
        runtime = Runtime(settings.model_copy(update={"openai_base_url": servers.chat.url, **urls}))
        await runtime.start()
        stack.push_async_callback(runtime.close)
        servers.audio.then(*case.then)
        if case.before:
            await case.before(servers)
        line = WavLine(CallInfo(call_id := new_call_id(), "wavline", "", "clinic"), [utterance])
        async with asyncio.timeout(60):
            await runtime.run_call(line, runtime.dialplans["clinic"])
        timeline = folder / "data" / "calls" / call_id / "timeline.jsonl"
        return list(decode(timeline.read_bytes().splitlines()))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared, so that the recogniser's models are built once."""
    folder = tmp_path_factory.mktemp("faults")
    (folder / "clinic.yaml").write_text(PLAN)
    return folder


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", CASES)
async def test_a_call_survives(name: str, folder: Path) -> None:
    case = CASES[name]

    records = await one(case, folder, await caller())

    (turn, *_) = [r for r in records if r.kind == "turn"]
    bot = [r.ms for r in records if r.kind in ("fixed", "heard_from") and r.ms >= turn.ms]
    assert bot[0] - turn.ms <= BOUND_MS
    said = " ".join(r.fields["heard"] for r in records if r.kind == "said")
    assert case.said in said
    faults = [(r.fields["stage"], r.fields["then"]) for r in records if r.kind == "engine" and r.fields.get("fault")]
    assert faults == [] if case.fault is None else case.fault in faults
    assert "call_ended" == records[-1].kind
    assert records[-1].fields["reason"] in ("bot_hangup", "caller_hangup")
