"""Moshi in one process for several calls, on a tiny checkpoint; with moshi and torch only."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest

os.environ |= {"NO_TORCH_COMPILE": "1", "NO_CUDA_GRAPH": "1", "HF_HUB_OFFLINE": "1"}
WHY = "moshi is not installed here (it pins other versions than we do: see deploy/speech-to-speech.md)"
pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("moshi", reason=WHY)

from aiohttp import web  # noqa: E402

from tests.engines import tiny_moshi  # noqa: E402
from tests.engines.duplex_caller import calling, is_a  # noqa: E402
from voicebot.core.duplex import Context, ReplyAudio  # noqa: E402
from voicebot.core.moshi import FRAME_SAMPLES  # noqa: E402
from voicebot.engines import s2s_moshi  # noqa: E402
from voicebot.engines.base import EngineConfig  # noqa: E402
from voicebot.engines.moshi_batch import Batch, Checkpoint, Step  # noqa: E402
from voicebot.engines.moshi_program import application  # noqa: E402
from voicebot.errors import PeerError  # noqa: E402

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    folder = tmp_path_factory.mktemp("moshi")
    tiny_moshi.make(folder)
    files = (folder / "config.json", folder / "moshi.safetensors", folder / "mimi.safetensors", folder / "mimi.json")
    return Checkpoint("local/none", *map(str, files), str(folder / "tokenizer.model"))


def noise(seed: int, frames: int) -> list[np.ndarray[Any, Any]]:
    chance = np.random.default_rng(seed)
    return [(0.05 * chance.standard_normal(FRAME_SAMPLES)).astype(np.float32) for _ in range(frames)]


def alone(checkpoint: Checkpoint, frames: list[Any]) -> list[Step]:
    batch = Batch(checkpoint, 1, "cpu", greedy=True)
    return [batch.step({0: frame}, {0} if number == 0 else set())[0] for number, frame in enumerate(frames)]


def same(wanted: list[Step], found: list[Step]) -> Iterator[bool]:
    for one, other in zip(wanted, found, strict=True):
        yield one.text == other.text
        yield (one.pcm is None) == (other.pcm is None)
        if one.pcm is not None and other.pcm is not None:
            yield np.allclose(one.pcm, other.pcm, atol=1e-3)


def test_a_call_among_others_hears_what_it_would_hear_alone(checkpoint: Checkpoint) -> None:
    frames = noise(1, 12)
    wanted = alone(checkpoint, frames)
    assert any(step.pcm is not None for step in wanted)
    batch, found = Batch(checkpoint, 3, "cpu", greedy=True), list[Step]()
    others = {0: noise(2, 40), 2: noise(3, 40)}
    for number in range(30):
        moving, joined = {}, set[int]()
        if number % 3 != 2:  # one of the others stutters
            moving[0] = others[0].pop()
        if 5 <= number and number % 2 and len(found) < len(frames):  # ours joins late, and comes every other time
            moving[1] = frames[len(found)]
            joined |= set() if found else {1}
        if number >= 9:
            moving[2] = others[2].pop()
        joined |= {slot for slot, first in ((0, 0), (2, 9)) if number == first}
        said = batch.step(moving, joined)
        assert set(moving) == set(said)
        if 1 in said:
            found.append(said[1])
    assert all(same(wanted, found))


def test_a_slot_that_is_joined_again_knows_nothing_of_the_call_before(checkpoint: Checkpoint) -> None:
    frames = noise(4, 8)
    wanted = alone(checkpoint, frames)
    batch = Batch(checkpoint, 2, "cpu", greedy=True)
    for number, frame in enumerate(noise(5, 6)):
        batch.step({0: frame, 1: frame}, {0, 1} if number == 0 else set())
    found = [batch.step({0: frame}, {0} if number == 0 else set())[0] for number, frame in enumerate(frames)]
    assert all(same(wanted, found))


def test_frames_are_audio_of_80_ms_from_the_third_step_on(checkpoint: Checkpoint) -> None:
    steps = alone(checkpoint, noise(6, 10))
    assert (FRAME_SAMPLES,) == steps[-1].pcm.shape  # type: ignore[union-attr]
    assert [True] * 8 == [step.pcm is not None for step in steps[2:]]
    assert any(step.text for step in steps)


@asynccontextmanager
async def serving(checkpoint: Checkpoint, slots: int) -> AsyncIterator[str]:
    runner = web.AppRunner(application(Batch(checkpoint, slots, "cpu")), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    yield f"ws://127.0.0.1:{port}/api/chat"
    await runner.cleanup()


async def test_two_calls_talk_at_once_a_third_is_told_and_one_that_ends_makes_room(checkpoint: Checkpoint) -> None:
    async with serving(checkpoint, 2) as url:
        engine = s2s_moshi.create(EngineConfig(options={"url": url, "lag_s": 20}))
        await engine.start()
        async with calling(engine) as one:
            async with calling(engine) as other:
                await one.until(lambda _: one.audio_ms() > 800, 30)
                await other.until(lambda _: other.audio_ms() > 800, 30)
                with pytest.raises(PeerError, match="all slots are taken"):
                    await engine.open(Context(""))
            await asyncio.sleep(0.3)
            async with calling(engine) as another:
                await another.until(is_a(ReplyAudio), 30)
            assert one.gone is None
