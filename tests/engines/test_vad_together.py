"""Silero for many calls at once: each hears what it would hear alone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tests import virtual_time
from voicebot.carriers.wavline import read
from voicebot.engines import vad_silero
from voicebot.engines.base import EngineConfig, Voice
from voicebot.engines.vad_silero import FEW, GATHER_S, SileroSession, SileroVad

DATA = Path(__file__).parent.parent / "data"
SOUNDS = sorted([*(DATA / "coffee").glob("*.flac"), *(DATA / "turns").glob("*.flac")])
pytestmark = pytest.mark.skipif(vad_silero.check() is not None, reason="silero-vad is not installed")


class Caller:
    """Asks about a recording, a frame every 20 ms. `at_once`: how many windows the model judged together, each time."""

    def __init__(self, vad: SileroVad, pcm: bytes) -> None:
        self.session: SileroSession = vad.open()
        self._frames = [pcm[at : at + 320] for at in range(0, len(pcm) - 319, 320)]
        self.heard: list[Voice] = []
        self.answers = 0
        self.late_s: list[float] = []

    async def speak(self, begins_s: float = 0.0) -> None:
        loop = asyncio.get_running_loop()
        due_s = loop.time() + begins_s
        for number, frame in enumerate(self._frames):
            await asyncio.sleep(due_s - loop.time())
            asked_s = loop.time()

            def answer(voices: Sequence[Voice], asked_s: float = asked_s) -> None:
                self.heard += voices
                self.answers += 1
                self.late_s.append(loop.time() - asked_s)

            self.session.ask(frame, number * 160, answer)
            due_s += 0.02


@pytest.fixture
async def vad() -> SileroVad:
    found = SileroVad(EngineConfig())
    await found.start()
    return found


@pytest.fixture
def at_once(vad: SileroVad, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    judge, sizes = vad.judge, list[int]()

    def counted(windows: np.ndarray, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        sizes.append(len(windows))
        return judge(windows, state)

    monkeypatch.setattr(vad, "judge", counted)
    return sizes


def alone(pcm: bytes) -> Caller:
    vad = SileroVad(EngineConfig())

    async def speaks() -> Caller:
        await vad.start()
        caller = Caller(vad, pcm)
        await caller.speak()
        return caller

    return virtual_time.run(speaks())


def pcm_of(number: int) -> bytes:
    return bytes(960 * number) + read(SOUNDS[number % len(SOUNDS)])[:48000] + bytes(8000)


def test_many_calls_find_together_what_each_finds_alone(vad: SileroVad, at_once: list[int]) -> None:
    async def together() -> list[Caller]:
        callers = [Caller(vad, pcm_of(number)) for number in range(3 * FEW)]
        async with asyncio.TaskGroup() as group:
            for number, caller in enumerate(callers):
                group.create_task(caller.speak(0.003 * number))
        return callers

    callers = virtual_time.run(together())
    assert 3 <= np.mean(at_once)
    assert len(callers) < sum(len(caller.heard) for caller in callers)
    for number, caller in enumerate(callers):
        lone = alone(pcm_of(number))
        assert lone.heard == caller.heard
        assert lone.answers == caller.answers == len(pcm_of(number)) // 320
        np.testing.assert_allclose(lone.session.state, caller.session.state, atol=1e-4)
        assert GATHER_S + 1e-6 >= max(caller.late_s)


def test_a_few_calls_wait_for_nobody(vad: SileroVad, at_once: list[int]) -> None:
    async def together() -> list[Caller]:
        callers = [Caller(vad, pcm_of(0)) for _ in range(FEW - 1)]
        await asyncio.gather(*(caller.speak() for caller in callers))
        return callers

    assert {0.0} == {late for caller in virtual_time.run(together()) for late in caller.late_s}
    assert {1} == set(at_once)


def test_a_call_that_leaves_before_the_answer_gets_none_and_the_others_theirs(vad: SileroVad) -> None:
    async def together() -> tuple[Caller, Caller]:
        leaves, *stay = [Caller(vad, pcm_of(0)) for _ in range(FEW + 1)]
        async with asyncio.TaskGroup() as group:
            for caller in (leaves, *stay):
                task = group.create_task(caller.speak())
                if caller is leaves:
                    first = task
            while leaves.session not in vad._waiting:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
            first.cancel()
            leaves.session.close()
        return leaves, stay[0]

    gone, stayed = virtual_time.run(together())
    assert len(pcm_of(0)) // 320 == stayed.answers
    assert alone(pcm_of(0)).heard == stayed.heard
    assert gone.answers < stayed.answers
    assert FEW == vad.calls


def test_a_model_that_fails_leaves_nobody_without_an_answer(vad: SileroVad, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("as the test asked")

    async def together() -> list[Caller]:
        callers = [Caller(vad, pcm_of(0)) for _ in range(FEW)]
        monkeypatch.setattr(vad, "judge", fails)
        await asyncio.gather(*(caller.speak() for caller in callers))
        await asyncio.sleep(1)
        return callers

    assert {len(pcm_of(0)) // 320} == {caller.answers for caller in virtual_time.run(together())}
