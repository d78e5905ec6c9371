"""What a load is measured against: our service with stub engines, and what its callers say."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence, Set
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import soundfile

from voicebot.audio.g711 import ulaw_decode
from voicebot.carriers.base import RATE
from voicebot.engines import registry
from voicebot.engines.base import EngineConfig
from voicebot.errors import UsageError
from voicebot.replay import bench
from voicebot.replay.carrier import Service, serving
from voicebot.replay.load_talk import Clip, clip

CALLED = "+15550100000"
ASKED = ("Can you tell me the opening hours, please?", "And what about Saturday?", "I would like to book a table.")
ANSWER = "Of course, I can help you with that. What else can I do for you?"
FINAL_S, FIRST_TOKEN_S, FIRST_AUDIO_S = 0.1, 0.25, 0.12
"""What recogniser, model and voice take; none of it is CPU."""
PLAN = """
name: load
description: Answers everything with the same sentence.
takes: {{numbers: ["{called}"]}}
engines:
  asr: [stub]
  llm: [stub]
  tts: [stub]
  options:
    asr_stub: {{final_s: {final_s}}}
    llm_stub: {{first_token_s: {first_token_s}}}
    tts_stub: {{wav: "{wav}", first_audio_s: {first_audio_s}}}
limits: {{max_call_s: 7200}}
start: hello
nodes: {{hello: {{say: Hello., intents: {{bye: {{title: to leave, examples: [goodbye], do: [{{hang_up: Bye.}}]}}}}}}}}
"""
PROGRAM = ("-m", "voicebot.commands.stub_serve")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Bed:
    """Who has which cores. Where the service has them all, the telephones are in its way."""

    cores: Sequence[int]
    workers: int = 1

    def __post_init__(self) -> None:
        if self.workers > len(self.cores):
            raise UsageError(f"--workers is from 1 to {len(self.cores)}, the number of cores here.")

    @property
    def service(self) -> set[int]:
        return set(self.cores[: self.workers])

    @property
    def telephones(self) -> set[int]:
        return set(self.cores[self.workers :]) or set(self.cores)

    @property
    def where(self) -> str:
        """As a table's title says it."""
        if self.workers == 1:
            return "one core, the telephones on another"
        return f"{self.workers} cores, the telephones on {'others' if self.workers < len(self.cores) else 'the same'}"


@asynccontextmanager
async def stubbed(cores: Set[int] = frozenset(), **settings: str) -> AsyncIterator[tuple[Service, list[Clip]]]:
    """A service that answers `CALLED`, on these cores, and what its callers say."""
    with tempfile.TemporaryDirectory(prefix="voicebot-load-") as folder:
        wav = Path(folder) / "answer.wav"
        clips = await voices(wav)
        given = {"sip_port": "0", "max_calls": "100000", "late_ms": "0", "log_level": "warning", **settings}
        async with serving({"load": plan(wav)}, PROGRAM, cores, **given) as service:
            yield service, clips


def plan(wav: Path) -> str:
    """The dialplan; the bot says what is in `wav`."""
    delays = {"final_s": FINAL_S, "first_token_s": FIRST_TOKEN_S, "first_audio_s": FIRST_AUDIO_S}
    return PLAN.format(called=CALLED, wav=wav, **delays)


async def voices(wav: Path) -> list[Clip]:
    """What callers say; and into `wav`, what the bot says. Both by the voice that is built in."""
    voice = registry.load("tts", "espeak").create(EngineConfig("en-US", "en-us+klatt"))
    await voice.start()
    try:
        answer = clip(await bench.speak(voice, ANSWER))
        soundfile.write(wav, np.frombuffer(ulaw_decode(answer.speech.ulaw), "<i2"), RATE)
        return [clip(await bench.speak(voice, text)) for text in ASKED]
    finally:
        await voice.close()


def on_a_fast_loop(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run it to its end, on uvloop where there is one: telephones by the hundred are work."""
    try:
        from uvloop import new_event_loop
    except ImportError:
        return asyncio.run(work())
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(work())
