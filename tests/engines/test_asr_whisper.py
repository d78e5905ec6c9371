"""Whisper and faster-whisper with real worker processes and the libraries' own loading code, on checkpoints of random
weights made here. What such a model says is noise; that it loads, streams, batches, times words and ends is not."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import signal
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from tests.engines import tiny_whisper
from voicebot.core.expect import NOTHING, Expectation, Mode
from voicebot.core.hallucinations import Segment
from voicebot.core.words import Words
from voicebot.engines import asr_faster_whisper, asr_whisper
from voicebot.engines.base import EngineConfig
from voicebot.engines.whisper_backend import RATE, Load, Sound, Wish, prompt_of
from voicebot.engines.whisper_engine import WhisperAsr, settings_of
from voicebot.engines.worker_session import Session
from voicebot.errors import PeerError, UsageError

NAMES = Expectation("names", Mode.OPEN, ("{who}",), hints=("Nguyen", "Siobhan"))
HEAVY = [
    pytest.param(
        engine,
        marks=pytest.mark.skipif(
            any(importlib.util.find_spec(name) is None for name in needs),
            reason=f"needs {', '.join(needs)}",
        ),
        id=engine.__name__.rpartition("_")[2],
    )
    for engine, needs in (
        (asr_whisper, ("whisper", "torch")),
        (asr_faster_whisper, ("faster_whisper", "transformers", "whisper")),
    )
]


@pytest.fixture(scope="module", params=HEAVY)
def engine(request: pytest.FixtureRequest) -> ModuleType:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def model(engine: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    if engine is asr_whisper:
        tiny_whisper.openai_whisper(folder / "tiny.pt")
        return folder / "tiny.pt"
    tiny_whisper.faster_whisper(folder / "tiny", folder / "work")
    return folder / "tiny"


def sound(seconds: float, seed: int = 0) -> Sound:
    chance = np.random.default_rng(seed)
    return (chance.standard_normal(int(seconds * RATE)) * 0.1).astype(np.float32)


def pcm(seconds: float) -> bytes:
    return (sound(seconds) * 32767).astype("<i2").tobytes()


def wish(beam: int = 1) -> Wish:
    return Wish("en", "Nguyen, Siobhan.", beam)


async def told(session: Session) -> list[Words]:
    async with asyncio.timeout(30):
        return [words async for words in session.words()]


def test_a_batch_of_sounds_is_heard_as_each_alone(engine: ModuleType, model: Path) -> None:
    backend = engine.load(Load(str(model), "cpu", "auto", 1))
    sounds = [sound(1.0, 1), sound(2.5, 2), sound(4.0, 3)]
    together = backend.hear(sounds, wish())
    assert 3 == len(together)
    alone = [backend.hear([each], wish())[0] for each in sounds]
    assert [[s.text for s in each] for each in alone] == [[s.text for s in each] for each in together]


@pytest.mark.parametrize("beam", [1, 3])
def test_what_is_heard_has_words_with_times_inside_the_sound(engine: ModuleType, model: Path, beam: int) -> None:
    backend = engine.load(Load(str(model), "cpu", "auto", 1))
    [[segment]] = backend.hear([sound(3.0)], wish(beam))
    assert isinstance(segment, Segment)
    assert 0 <= segment.no_speech <= 1
    assert segment.log_probability < 0
    assert segment.words
    assert all(0 <= word.start_ms <= word.end_ms <= 3100 for word in segment.words)
    assert all(0 <= word.confidence <= 1 for word in segment.words)
    assert segment.text.split() == " ".join(word.text for word in segment.words).split()


@pytest.fixture
async def asr(engine: ModuleType, model: Path) -> AsyncIterator[WhisperAsr]:
    started = engine.create(
        EngineConfig(options={"model": str(model), "threads": 1, "step_ms": 300, "deadline_s": 60, "beam": 2})
    )
    await started.start()
    yield started
    await started.close()


async def test_an_utterance_ends_with_one_final_and_calls_do_not_mix(asr: WhisperAsr) -> None:
    await asr.prepare([NAMES])
    sessions = [asr.open(NAMES), asr.open(NOTHING), asr.open(NAMES)]
    for session in sessions:
        session.push(pcm(1.0))
    for session in sessions:
        session.finish()
    for heard in await asyncio.gather(*map(told, sessions)):
        assert [True] == [words.final for words in heard if words.final]
        assert heard[-1].final


async def test_an_utterance_without_audio_ends_empty(asr: WhisperAsr) -> None:
    session = asr.open(NAMES)
    session.finish()
    assert [""] == [words.text for words in await told(session)]


async def test_a_worker_that_was_killed_is_replaced_and_its_utterance_says_so(asr: WhisperAsr) -> None:
    session = asr.open(NAMES)
    session.push(pcm(0.5))
    worker = asr.workers[0]
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGKILL)
    session.finish()
    with pytest.raises(PeerError, match="was lost"):
        await told(session)
    async with asyncio.timeout(30):
        await worker.ready.wait()
    again = asr.open(NAMES)
    again.push(pcm(0.5))
    again.finish()
    assert (await told(again))[-1].final


async def test_a_cancelled_utterance_ends_without_a_word(asr: WhisperAsr) -> None:
    session = asr.open(NAMES)
    session.push(pcm(0.5))
    session.cancel()
    assert [] == await told(session)


@pytest.fixture
def broken(engine: ModuleType, tmp_path: Path) -> Path:
    if engine is asr_whisper:
        (tmp_path / "broken.pt").write_bytes(b"this is no checkpoint")
        return tmp_path / "broken.pt"
    for name in asr_faster_whisper.FILES:
        (tmp_path / name).write_text("{}")
    return tmp_path


async def test_a_model_that_cannot_be_loaded_is_said_at_once(engine: ModuleType, broken: Path) -> None:
    started = engine.create(EngineConfig(options={"model": str(broken)}))
    with pytest.raises(PeerError, match="cannot be loaded"):
        await started.start()


# --- without the libraries ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("engine", "name"), [(asr_whisper, "whisper/base"), (asr_faster_whisper, "faster-whisper/base")]
)
def test_a_model_that_is_not_on_disk_is_one_sentence_with_the_command(
    engine: ModuleType, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOICEBOT_MODELS_DIR", str(tmp_path))
    with pytest.raises(UsageError, match=f"voicebot models get {name}"):
        engine.create(EngineConfig())


@pytest.mark.parametrize("options", [{"beem": 3}, {"beam": 0}, {"step_ms": "quick"}, {"batch": True}])
def test_a_wrong_option_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=next(iter(options))):
        settings_of("whisper", options)


def test_names_come_before_the_words_of_the_dialplan_in_a_prompt_and_notation_is_left_out() -> None:
    types = (("size", ("small", "large")), ("extra", ("[some] milk",)), ("letter", ("a", "bee")))
    expectation = Expectation("order", Mode.OPEN, ("{size}",), types, hints=("Siobhan", "Nguyen"))
    assert "Siobhan, Nguyen, small, large." == prompt_of(expectation)
    assert "" == prompt_of(NOTHING)


def test_a_prompt_has_an_end() -> None:
    many: Sequence[str] = [f"Name{number}" for number in range(500)]
    assert 400 < len(prompt_of(Expectation("many", Mode.OPEN, (), hints=tuple(many)))) <= 501
