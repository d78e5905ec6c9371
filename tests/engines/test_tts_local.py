"""Piper and Coqui with real programs and the libraries' own loading code, on voices of random weights made here."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from tests.engines import tiny_voices
from voicebot.core.tone import Manner
from voicebot.engines import tts_coqui, tts_piper
from voicebot.engines.base import EngineConfig, Speech
from voicebot.engines.speech_engine import Shaper, SpeechTts
from voicebot.engines.speech_level import levelled
from voicebot.errors import PeerError, UsageError

pytestmark = pytest.mark.filterwarnings("ignore")  # torch's exporter has much to say
TEXT = "Hello there. How can I help you today? We are open from nine to five, on every day of the week. "
HEAVY = [
    pytest.param(
        engine,
        marks=pytest.mark.skipif(
            any(importlib.util.find_spec(name) is None for name in needs), reason=f"needs {', '.join(needs)}"
        ),
        id=engine.__name__.rpartition("_")[2],
    )
    for engine, needs in ((tts_piper, ("piper", "torch", "onnx")), (tts_coqui, ("TTS", "torch")))
]


@pytest.fixture(scope="module", params=HEAVY)
def config(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[ModuleType, EngineConfig]:
    engine, folder = request.param, tmp_path_factory.mktemp("voice")
    if engine is tts_piper:
        tiny_voices.piper(folder / "tiny.onnx")
        return engine, EngineConfig(voice=str(folder / "tiny.onnx"))
    subprocess.run([sys.executable, "-m", "tests.engines.tiny_voices", str(folder)], check=True, timeout=100)
    return engine, EngineConfig(options={"model": str(folder), "stand_in": True, "threads": 1})


@pytest.fixture
async def tts(config: tuple[ModuleType, EngineConfig]) -> AsyncIterator[SpeechTts]:
    module, settings = config
    engine = module.create(settings)
    await engine.start()
    yield engine
    await engine.close()


async def clauses(*texts: str) -> AsyncIterator[str]:
    for text in texts:
        yield text


async def said(tts: SpeechTts, *texts: str) -> list[Speech]:
    async with aclosing(tts.speak(clauses(*texts))) as speech:
        return [chunk async for chunk in speech]


def words(speech: list[Speech]) -> list[tuple[str, int]]:
    placed, at = [], 0
    for chunk in speech:
        placed += [(word.text, at + word.at) for word in chunk.words]
        at += len(chunk.pcm) // 2
    return placed


async def test_speech_comes_at_8_khz_with_words_in_order_that_concatenate_to_the_text(tts: SpeechTts) -> None:
    speech = await said(tts, TEXT, "Goodbye.")
    assert {8000} == {chunk.rate for chunk in speech}
    length = sum(len(chunk.pcm) // 2 for chunk in speech)
    assert length > 8000
    placed = words(speech)
    assert TEXT + "Goodbye." == "".join(text for text, _ in placed)
    starts = [at for _, at in placed]
    assert sorted(starts) == starts
    assert 0 <= starts[0]
    assert starts[-1] <= length


async def test_a_faster_manner_is_faster(tts: SpeechTts) -> None:
    async def samples(pace: float) -> int:
        return sum([len(chunk.pcm) // 2 async for chunk in tts.speak(clauses(TEXT), Manner(pace))])

    assert await samples(0.5) > 1.3 * await samples(2.0)  # four times, but for sounds that are as short as can be


async def test_closing_the_reader_cancels_and_the_next_clause_is_spoken(tts: SpeechTts) -> None:
    for _ in range(5):
        async with aclosing(tts.speak(clauses(TEXT))) as speech:
            await anext(speech)
    assert "Next." == "".join(text for text, _ in words(await said(tts, "Next.")))


async def test_a_program_that_died_is_started_again(tts: SpeechTts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voicebot.engines.speech_engine.AGAIN_S", 60.0)
    before = tts.pids[0]
    os.kill(before, signal.SIGKILL)
    assert "Still here." == "".join(text for text, _ in words(await said(tts, "Still here.")))
    assert before != tts.pids[0]


async def test_a_start_that_a_call_gave_up_on_goes_on_for_the_next(
    tts: SpeechTts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("voicebot.engines.speech_engine.AGAIN_S", 0.05)
    os.kill(tts.pids[0], signal.SIGKILL)
    with pytest.raises(PeerError, match="did not start in time"):
        await said(tts, "Too early.")
    starting = tts.pids[0]
    monkeypatch.setattr("voicebot.engines.speech_engine.AGAIN_S", 60.0)
    assert await said(tts, "Now.")
    assert starting == tts.pids[0]


async def test_what_has_no_sound_is_silence_with_its_text(tts: SpeechTts) -> None:
    assert "… " == "".join(text for text, _ in words(await said(tts, "… ")))


@pytest.mark.skipif(
    importlib.util.find_spec("piper") is None or importlib.util.find_spec("onnx") is None, reason="needs piper, onnx"
)
async def test_pipers_words_have_times_of_their_own(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    tiny_voices.piper(tmp_path / "tiny.onnx")
    engine = tts_piper.create(EngineConfig(voice=str(tmp_path / "tiny.onnx")))
    await engine.start()
    speech = await said(engine, "One two three four five six seven eight nine ten.")
    await engine.close()
    carriers = [at for at, chunk in enumerate(speech) if chunk.words]
    assert len(carriers) > 1  # they come with their audio, not spread over it at the end
    assert 10 == len(words(speech))


# --- without the libraries ----------------------------------------------------------------------------------------


def test_a_voice_that_is_not_on_disk_is_one_sentence_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOICEBOT_MODELS_DIR", str(tmp_path))
    with pytest.raises(UsageError, match="voicebot models get piper/de_DE-thorsten-medium"):
        tts_piper.create(EngineConfig(language="de-AT"))
    with pytest.raises(UsageError, match="voicebot models get coqui/xtts_v2"):
        tts_coqui.create(EngineConfig())
    with pytest.raises(UsageError, match="No piper voice is set for tlh"):
        tts_piper.create(EngineConfig(language="tlh"))


@pytest.mark.parametrize("options", [{"sped": 1}, {"speed": 9}, {"say": "shi vawn"}])
@pytest.mark.parametrize("engine", [tts_piper, tts_coqui])
def test_a_wrong_option_is_refused(engine: ModuleType, options: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=next(iter(options))):
        engine.create(EngineConfig(options=options))


def test_words_without_times_are_spread_over_what_was_spoken() -> None:
    shaper = Shaper("Hello big world")
    spoken = [shaper.push(8000, bytes(2) + b"\x00\x10" * 799, []), shaper.push(8000, b"\x00\x10" * 800, [])]
    end = shaper.end(100)
    assert all(speech is not None and not speech.words for speech in spoken)
    assert ["Hello ", "big ", "world"] == [word.text for word in end.words]
    before = sum(len(speech.pcm) // 2 for speech in spoken if speech)
    assert 0 == before + end.words[0].at
    assert sorted(word.at for word in end.words) == [word.at for word in end.words]


@pytest.mark.parametrize("gain", [0.001, 0.1, 1.0, 30.0])
def test_speech_of_any_level_comes_out_at_a_telephones_level_and_never_clips(gain: float) -> None:
    noise = np.random.default_rng(1).standard_normal(16_000) * gain
    samples = np.frombuffer(levelled(noise), "<i2").astype(float) / 32768
    assert -20 == pytest.approx(20 * np.log10(np.sqrt(np.mean(samples**2))), abs=0.5)
    assert np.abs(samples).max() < 0.96
    assert bytes(200) == levelled(np.zeros(100))


def test_a_module_that_stands_in_says_what_is_missing_when_it_is_called() -> None:
    """In a process of its own: what it puts into the table of modules stays there."""
    if importlib.util.find_spec("torchcodec") is not None:
        pytest.skip("torchcodec is installed")
    code = (
        "from voicebot.engines.coqui_program import stand_in; stand_in()\n"
        "import torchcodec\n"
        "try: torchcodec.decode\n"
        "except RuntimeError as error: print(error)\n"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True).stdout
    assert "torchcodec.decode was called, and torchcodec is not installed for this machine.\n" == told
