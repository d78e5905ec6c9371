"""Who hears what of the line: the detector the line itself, the recogniser what is made of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from tests.peers.engines import Ears, Keeping
from tests.virtual_time import run
from voicebot.audio.echo import EchoGuard
from voicebot.call.ear import Ear
from voicebot.carriers.base import Audio
from voicebot.core.expect import NOTHING
from voicebot.engines import denoise, registry
from voicebot.engines.bandwidth import Choice
from voicebot.engines.base import EngineConfig, Voice
from voicebot.engines.guard import Chain, Member, Watch
from voicebot.engines.guard_asr import GuardedAsr
from voicebot.engines.treatment import Decision, Hears

ON = Decision(True, "the test says so")
ALL = Hears(Choice("neural", ""), ON, Decision(denoise.check() is None, ""))


@dataclass
class Tapped:
    """A real detector, and all that it was given."""

    engine: Any
    heard: list[tuple[int, bytes]] = field(default_factory=list)

    def open(self) -> Any:
        session = self.engine.open()
        ask = session.ask

        def told(pcm: bytes, at: int, answer: Callable[[Sequence[Voice]], None]) -> None:
            self.heard.append((at, pcm))
            ask(pcm, at, answer)

        session.ask = told
        return session


def line(frames: int = 100) -> list[Audio]:
    """A soft buzz that loses every tenth packet, which are told as silence."""
    t = np.arange(frames * 160)
    buzz = sum(np.sin(2 * np.pi * 120 * n * t / 8000) / n for n in range(1, 9)) * 60 * (t > 4000)
    pcm = np.rint(buzz).astype("<i2").tobytes()
    lost = [at % 10 == 9 for at in range(frames)]
    return [
        Audio(bytes(320) if lost[at] else pcm[at * 320 : (at + 1) * 320], at * 160, lost[at]) for at in range(frames)
    ]


def hear(vad: Any, ears: Ears, hears: Hears, gaps: bool = True) -> None:
    async def work() -> None:
        chain = Chain("asr", Member("ours", ears, hears=hears))
        async with GuardedAsr(chain, Watch()) as asr, asyncio.TaskGroup() as group:
            ear = Ear(vad, asr, EchoGuard(), group, lambda _: None, lambda _: None, gaps)
            ear.open(NOTHING)
            for audio in line():
                ear.hear(audio, over_bot=False)
                await asyncio.sleep(0.02)
            ear.finish()
            await asyncio.sleep(0.1)
            ear.close()

    run(work())


@pytest.mark.parametrize("detector", ["webrtc", "silero"])
def test_a_detector_of_voice_hears_the_line_as_it_came_whatever_the_recogniser_hears(detector: str) -> None:
    if missing := registry.check("vad", detector):
        pytest.skip(missing)
    engine = registry.load("vad", detector).create(EngineConfig())
    run(engine.start())
    tapped, ears = Tapped(engine), Keeping(rate=16000)
    hear(tapped, ears, ALL)
    assert [(each.at, each.pcm) for each in line()] == tapped.heard
    assert 2 * sum(len(each.pcm) for each in line()) == len(ears.audio), "the recogniser heard twice as many samples"


def test_where_packets_were_lost_the_recogniser_hears_the_voice_go_on_unless_the_dialplan_says_no() -> None:
    made, left = Keeping(), Keeping()
    engine = registry.load("vad", "webrtc").create(EngineConfig())
    hear(engine, made, Hears())
    hear(engine, left, Hears(), gaps=False)
    gone = slice(79 * 320, 80 * 320)
    assert bytes(320) == bytes(left.audio[gone])
    voice = np.frombuffer(bytes(made.audio[gone]), "<i2").astype(float)
    assert voice[:80].std() > 0.7 * np.frombuffer(line()[78].pcm, "<i2").astype(float).std()


def test_an_engine_that_takes_over_hears_through_what_is_best_for_itself() -> None:
    first, second = Keeping(rate=16000, scripts=[[OSError("gone")]]), Keeping()

    async def work() -> None:
        members = (Member("first", first, hears=ALL), Member("second", second))
        async with GuardedAsr(Chain("asr", *members), Watch()) as asr:
            utterance = asr.open(NOTHING)
            for audio in line():
                utterance.push(audio.pcm)
            utterance.finish()
            assert "hello" == [words async for words in utterance.words()][-1].text

    run(work())
    assert b"".join(each.pcm for each in line()) == bytes(second.audio), "the line as it is: nobody measured this one"
