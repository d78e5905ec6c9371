"""The recogniser with its real worker process, on real voices that have been through a telephone."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from voicebot.core.expect import NOTHING, Expectation, Mode
from voicebot.core.words import Words
from voicebot.engines import asr_pocketsphinx as pocketsphinx
from voicebot.engines.asr_pocketsphinx import PocketsphinxAsr, fitted
from voicebot.engines.base import AsrSession, EngineConfig
from voicebot.engines.guard import Chain, Member, Watch
from voicebot.engines.guard_asr import GuardedAsr
from voicebot.engines.pocketsphinx_model import build, dictionary, model_of
from voicebot.engines.worker_session import Session
from voicebot.errors import PeerError, UsageError
from voicebot.replay import mixing

DATA = Path(__file__).parent.parent / "data"
DIGIT = Expectation(
    "digit",
    Mode.CLOSED,
    ("{digit}",),
    (("digit", ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")),),
)
ORDER = Expectation(
    "order",
    Mode.OPEN,
    ("[a | an] [{size}] [{roast}] {drink} [with {extra} [and {extra}]]",),
    (
        ("size", ("small", "medium", "large")),
        ("roast", ("(dark | light | medium) roast",)),
        ("drink", ("latte", "mocha", "iced mocha", "iced coffee", "coffee", "espresso")),
        ("extra", ("[a bit of | some] (milk | sugar | brown sugar | soy milk)",)),
    ),
)


def recording(name: str) -> bytes:
    """A recording as the recogniser gets it from a telephone line: 8 kHz, μ-law, a quiet line around it."""
    return mixing.telephone(mixing.edged(mixing.read(DATA / name, 8000), 8000, seed=1))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("asr"))


@pytest.fixture
async def asr(folder: str) -> AsyncIterator[PocketsphinxAsr]:
    engine = pocketsphinx.create(EngineConfig(cache_dir=folder))
    await engine.start()
    await engine.prepare([ORDER, DIGIT])
    yield engine
    await engine.close()


def speak(session: AsrSession, pcm: bytes) -> None:
    for at in range(0, len(pcm), 320):
        session.push(pcm[at : at + 320])


async def told(session: Session) -> list[Words]:
    async with asyncio.timeout(20):
        return [words async for words in session.words()]


def worker_pid(asr: PocketsphinxAsr) -> int:
    pid = asr.workers[0].pid
    assert pid is not None
    return pid


async def test_an_order_is_understood_while_it_is_spoken(asr: PocketsphinxAsr) -> None:
    session = asr.open(ORDER)
    pcm = recording("coffee/iced_mocha.flac")
    heard: list[Words] = []

    async def listen() -> None:
        async for words in session.words():
            heard.append(words)

    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(listen())
        for at in range(0, len(pcm), 1600):
            session.push(pcm[at : at + 1600])
            await asyncio.sleep(0.01)
        session.finish()
    final = heard[-1]
    assert "an iced mocha with a bit of sugar" in final.text
    assert [False] * (len(heard) - 1) + [True] == [words.final for words in heard]
    assert len(heard) > 1  # pushed ten times as fast as spoken, so how many there are is chance
    assert 0 < final.confidence <= 1
    assert final.text == final.nbest[0]
    mocha = next(word for word in final.words if word.text == "mocha")
    assert 0 < mocha.start_ms < mocha.end_ms < len(pcm) // 16


async def test_single_digits_are_understood(asr: PocketsphinxAsr) -> None:
    found = []
    for name in ("two", "five", "nine"):
        session = asr.open(DIGIT)
        speak(session, recording(f"digits/{name}.flac"))
        session.finish()
        found.append((await told(session))[-1].text)
    assert ["two", "five", "nine"] == found


async def test_several_calls_are_heard_at_once(asr: PocketsphinxAsr) -> None:
    orders = [asr.open(ORDER) for _ in range(3)]
    for session in orders:
        speak(session, recording("coffee/iced_mocha.flac"))
        session.finish()
    digit = asr.open(DIGIT)
    speak(digit, recording("digits/five.flac"))
    digit.finish()
    texts = [words[-1].text for words in await asyncio.gather(*(told(each) for each in (*orders, digit)))]
    assert 1 == len(set(texts[:3]))
    assert "five" == texts[3]


async def test_more_calls_than_decoders_wait_and_catch_up(folder: str) -> None:
    asr = pocketsphinx.create(EngineConfig(cache_dir=folder, options={"decoders": 1}))
    await asr.start()
    await asr.prepare([DIGIT])
    sessions = [asr.open(DIGIT) for _ in range(3)]
    for session in sessions:
        speak(session, recording("digits/nine.flac"))
    for session in sessions:
        session.finish()
    assert ["nine"] * 3 == [words[-1].text for words in await asyncio.gather(*map(told, sessions))]
    await asr.close()


async def test_silence_is_understood_as_nothing(asr: PocketsphinxAsr) -> None:
    session = asr.open(DIGIT)
    session.finish()
    assert [""] == [words.text for words in await told(session)]


async def test_where_anything_may_be_said_nothing_is_decoded(asr: PocketsphinxAsr) -> None:
    session = asr.open(NOTHING)
    speak(session, recording("digits/five.flac"))
    session.finish()
    assert [Words("", final=True, confidence=0.0)] == await told(session)


async def test_an_expectation_nobody_prepared_is_built_on_the_spot(asr: PocketsphinxAsr) -> None:
    session = asr.open(Expectation("new", Mode.CLOSED, ("five", "no")))
    speak(session, recording("digits/five.flac"))
    session.finish()
    assert "five" == (await told(session))[-1].text


async def test_a_cancelled_utterance_ends_and_frees_its_decoder(folder: str) -> None:
    asr = pocketsphinx.create(EngineConfig(cache_dir=folder, options={"decoders": 1}))
    await asr.start()
    await asr.prepare([DIGIT])
    first = asr.open(DIGIT)
    speak(first, recording("digits/nine.flac"))
    first.cancel()
    assert [] == await told(first)
    second = asr.open(DIGIT)
    speak(second, recording("digits/two.flac"))
    second.finish()
    assert "two" == (await told(second))[-1].text
    await asr.close()


async def test_a_killed_worker_is_replaced_and_its_utterance_says_so(asr: PocketsphinxAsr) -> None:
    before = worker_pid(asr)
    lost = asr.open(DIGIT)
    speak(lost, recording("digits/five.flac"))
    os.kill(before, signal.SIGKILL)
    lost.finish()
    with pytest.raises(PeerError, match="was lost"):
        await told(lost)
    again = asr.open(DIGIT)
    speak(again, recording("digits/five.flac"))
    again.finish()
    assert "five" == (await told(again))[-1].text
    assert before != worker_pid(asr)


async def test_a_caller_whose_recogniser_was_killed_is_understood_all_the_same(asr: PocketsphinxAsr) -> None:
    async with GuardedAsr(Chain("asr", Member("pocketsphinx", asr)), Watch()) as guarded:
        utterance = guarded.open(DIGIT)
        speak(utterance, recording("digits/five.flac"))
        os.kill(worker_pid(asr), signal.SIGKILL)
        await asyncio.sleep(0.5)  # the caller pauses for a while
        utterance.finish()
        assert "five" == [words async for words in utterance.words()][-1].text


async def test_a_worker_lost_twice_over_is_replaced_once(asr: PocketsphinxAsr) -> None:
    before = worker_pid(asr)
    os.kill(before, signal.SIGKILL)
    time.sleep(0.1)  # noqa: ASYNC251 - the loop waits, too: its socket is broken both ways when it looks
    lost = asr.open(DIGIT)
    speak(lost, recording("digits/five.flac"))
    lost.finish()
    with pytest.raises(PeerError, match="was lost"):
        await told(lost)
    after = worker_pid(asr)
    await asr.workers[0].ready.wait()
    assert before != after == worker_pid(asr)


async def test_a_hung_worker_is_killed_and_replaced(asr: PocketsphinxAsr, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pocketsphinx, "HUNG_S", 0.3)
    before = worker_pid(asr)
    os.kill(before, signal.SIGSTOP)
    session = asr.open(DIGIT)
    speak(session, recording("digits/five.flac"))
    session.finish()
    with pytest.raises(PeerError, match="was lost"):
        await told(session)
    with pytest.raises(ProcessLookupError):
        os.kill(before, 0)


async def test_what_exceeds_the_backlog_is_dropped_and_counted(asr: PocketsphinxAsr) -> None:
    os.kill(worker_pid(asr), signal.SIGSTOP)
    session = asr.open(DIGIT)
    for _ in range(31):
        session.push(bytes(16_000))
    assert 16_000 == asr.audio_lost_bytes
    session.cancel()


async def test_no_worker_outlives_a_parent_that_was_killed(folder: str) -> None:
    program = (
        "import asyncio, sys\n"
        "from voicebot.engines import asr_pocketsphinx as p\n"
        "from voicebot.engines.base import EngineConfig\n"
        "async def main():\n"
        "    asr = p.create(EngineConfig(cache_dir=sys.argv[1]))\n"
        "    await asr.start()\n"
        "    print(asr.workers[0].pid, flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    parent = await asyncio.to_thread(
        subprocess.Popen, [sys.executable, "-c", program, folder], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    worker = int(await asyncio.to_thread(parent.stdout.readline))
    parent.kill()
    await asyncio.to_thread(parent.wait)
    parent.stdout.close()
    assert await asyncio.to_thread(_gone, worker)


def _gone(pid: int) -> bool:
    """Whether the process ends within ten seconds (a zombie that nobody has waited for yet has ended)."""
    for _ in range(500):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                time.sleep(0.02)
                continue
        return True
    return False


async def test_phrases_that_cannot_be_read_are_refused_when_prepared(asr: PocketsphinxAsr) -> None:
    with pytest.raises(UsageError, match="no type"):
        await asr.prepare([Expectation("bad", Mode.CLOSED, ("{nowhere}",))])


def test_a_language_it_does_not_speak_is_refused() -> None:
    with pytest.raises(UsageError, match="English only"):
        pocketsphinx.create(EngineConfig(language="de-DE"))


def test_the_dialplans_pronunciation_wins_and_a_missing_word_gets_one() -> None:
    lines = dict(dictionary({"latte", "zorbelli", "tomato"}, {"latte": "l aa1 t ey2"}))
    assert "L AA T EY" == lines["latte"]
    assert "Z AO R B EH L IY" == lines["zorbelli"]
    assert {"T AH M EY T OW", "T AH M AA T OW"} == {lines["tomato"], lines["tomato(2)"]}


def test_a_model_is_built_once_and_another_pronunciation_is_another_model(tmp_path: Path) -> None:
    model = build(DIGIT, {}, str(tmp_path))
    written = model.dictionary.stat().st_mtime_ns
    assert model == build(DIGIT, {}, str(tmp_path))
    assert written == model.dictionary.stat().st_mtime_ns
    assert model.key != model_of(DIGIT, {"zero": "Z IY R OW"}, str(tmp_path)).key


def test_half_a_phrase_gives_way_to_a_whole_one_further_down() -> None:
    pin = Expectation("pin", Mode.CLOSED, ("one two three",))
    half = Words("one two", True, 0.9, (), ("one two", "one two three"))
    assert Words("one two three", True, 0.4, (), half.nbest) == fitted(half, pin)


@pytest.mark.parametrize(
    ("rate", "wanted", "mean"), [(8000, "off", "off"), (16000, "off", "neural"), (8000, "auto", "neural")]
)
def test_wide_band_audio_has_the_cepstral_mean_of_what_is_extended(rate: int, wanted: str, mean: str) -> None:
    assert mean == pocketsphinx.create(EngineConfig(options={"rate": rate}, bandwidth=wanted)).bandwidth
