"""The process that streams a recogniser of whole recordings, with one that hears tones."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.peers.tone_recogniser import VOCABULARY, spoken
from voicebot.core.expect import NOTHING, Expectation, Mode
from voicebot.core.words import Words
from voicebot.engines.base import EngineConfig
from voicebot.engines.whisper_engine import WhisperAsr, settings_of
from voicebot.engines.worker_session import Session
from voicebot.errors import PeerError

FAULTY = Expectation("faulty", Mode.OPEN, (), hints=("explode",))


@pytest.fixture
def record(tmp_path: Path) -> Path:
    return tmp_path / "batches"


@pytest.fixture
async def asr(record: Path) -> AsyncIterator[WhisperAsr]:
    engine = "tests.peers.tone_recogniser"
    settings = settings_of("whisper", {"step_ms": 400, "batch": 4})
    started = WhisperAsr(engine, record, settings, EngineConfig(language="en-GB"))
    await started.start()
    yield started
    await started.close()


def batches(record: Path) -> list[list[str]]:
    """Of each: how many sounds, how long the longest, beams, language, prompt."""
    return [line.split(maxsplit=4) for line in record.read_text().splitlines()] if record.exists() else []


async def told(session: Session) -> list[Words]:
    async with asyncio.timeout(20):
        return [words async for words in session.words()]


async def say(session: Session, words: list[str], chunk_ms: int = 100) -> None:
    pcm = spoken(words)
    for at in range(0, len(pcm), chunk_ms * 32):
        session.push(pcm[at : at + chunk_ms * 32])
        await asyncio.sleep(0.005)


def at_length() -> list[str]:
    """Forty seconds, without the repetition that is taken for a loop."""
    return random.Random(1).choices(VOCABULARY, k=100)


async def say_at_length(session: Session, words: list[str], record: Path) -> None:
    """Not faster than it is heard: what is too far ahead is dropped, by design."""
    async with asyncio.timeout(40):
        for start in range(0, len(words), 5):
            before = len(batches(record))
            await say(session, words[start : start + 5])
            while len(batches(record)) == before:  # noqa: ASYNC110 - another process writes it
                await asyncio.sleep(0.01)


async def test_what_two_hypotheses_agree_on_comes_while_the_caller_speaks(asr: WhisperAsr) -> None:
    said = VOCABULARY[:8]
    session = asr.open(NOTHING)
    partials: list[Words] = []
    came = asyncio.Event()

    async def listen() -> None:
        async for words in session.words():
            partials.append(words)
            came.set()

    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(listen())
        for word in said:
            await say(session, [word])
            await asyncio.sleep(0.05)
        await came.wait()
        assert not partials[0].final
        session.finish()
    texts = [words.text for words in partials]
    assert " ".join(said) == texts[-1]
    assert all(" ".join(said).startswith(text) for text in texts)
    assert [False] * (len(partials) - 1) + [True] == [words.final for words in partials]
    assert said == [word.text for word in partials[-1].words]


async def test_word_times_are_those_of_the_utterance_even_when_its_beginning_was_cut_off(
    asr: WhisperAsr, record: Path
) -> None:
    said = at_length()
    session = asr.open(NOTHING)
    await say_at_length(session, said, record)
    session.finish()
    final = (await told(session))[-1]
    assert said == final.text.split()
    assert all(abs(word.start_ms - at * 400) <= 60 for at, word in enumerate(final.words))


async def test_no_more_than_the_model_hears_at_once_is_given_to_it(asr: WhisperAsr, record: Path) -> None:
    session = asr.open(NOTHING)
    await say_at_length(session, at_length(), record)
    session.finish()
    await told(session)
    lengths_ms = [int(batch[1]) for batch in batches(record)]
    assert max(lengths_ms) <= 30_000
    assert lengths_ms[-1] < 20_000


async def test_calls_that_end_together_are_heard_in_batches(asr: WhisperAsr, record: Path) -> None:
    sessions = [asr.open(NOTHING) for _ in range(9)]
    for at, session in enumerate(sessions):
        session.push(spoken([VOCABULARY[at]]))
    for session in sessions:
        session.finish()
    heard = await asyncio.gather(*map(told, sessions))
    assert VOCABULARY[:9] == [words[-1].text for words in heard]
    finals = [int(batch[0]) for batch in batches(record) if batch[2] == "5"]
    assert 9 == sum(finals)
    assert max(finals) > 1
    assert max(finals) <= 4


async def test_the_language_and_the_names_of_the_dialplan_reach_the_model(asr: WhisperAsr, record: Path) -> None:
    session = asr.open(Expectation("names", Mode.OPEN, (), hints=("Nguyen", "Siobhan")))
    session.push(spoken(["alpha"]))
    session.finish()
    await told(session)
    assert ["5", "en", "Nguyen, Siobhan."] == batches(record)[-1][2:]


async def test_a_batch_that_fails_costs_its_own_utterances_only(asr: WhisperAsr) -> None:
    faulty, sound = asr.open(FAULTY), asr.open(NOTHING)
    for session in (faulty, sound):
        session.push(spoken(["alpha", "bravo"]))
        session.finish()
    with pytest.raises(PeerError, match="gave the utterance up"):
        await told(faulty)
    assert "alpha bravo" == (await told(sound))[-1].text


async def test_what_is_longer_than_the_backlog_is_dropped_and_counted(asr: WhisperAsr) -> None:
    session = asr.open(NOTHING)
    for _ in range(40):
        session.push(bytes(32_000))
    assert asr.audio_lost_bytes > 0
    session.cancel()


async def test_a_model_that_cannot_be_loaded_is_one_sentence() -> None:
    broken = WhisperAsr("tests.peers.no_such_module", Path("."), settings_of("whisper", {}), EngineConfig())
    with pytest.raises(PeerError, match="cannot be loaded: ModuleNotFoundError"):
        await broken.start()
