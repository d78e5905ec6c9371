"""The engine as a call uses it, with the real program behind it."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace

import numpy as np
import pytest
import uvloop

from voicebot.core.tone import PLAIN, Manner
from voicebot.engines import speech_pipe, tts_espeak
from voicebot.engines.base import EngineConfig, Speech
from voicebot.engines.speech_engine import SpeechTts
from voicebot.engines.speech_pipe import Program
from voicebot.errors import PeerError, UsageError

LONG = "The office is open from Monday to Friday, and on Saturday we take calls until noon. "


async def clauses(*texts: str) -> AsyncIterator[str]:
    for text in texts:
        yield text


async def said(tts: SpeechTts, *texts: str) -> list[Speech]:
    return [speech async for speech in tts.speak(clauses(*texts))]


def samples(speech: list[Speech]) -> np.ndarray:
    return np.frombuffer(b"".join(s.pcm for s in speech), "<i2").astype(np.float64)


def words(speech: list[Speech]) -> list[tuple[str, int]]:
    """(text, sample from the start)"""
    starts = np.cumsum([0, *(len(s.pcm) // 2 for s in speech)])
    return [(w.text, int(at) + w.at) for at, s in zip(starts, speech, strict=False) for w in s.words]


@pytest.fixture
async def tts() -> AsyncIterator[SpeechTts]:
    engine = tts_espeak.create(EngineConfig())
    await engine.start()
    yield engine
    await engine.close()


async def test_speech_is_8_khz_in_chunks_of_about_60_ms(tts: SpeechTts) -> None:
    speech = await said(tts, LONG)
    assert {8000} == {s.rate for s in speech}
    assert max(len(s.pcm) // 2 for s in speech[:-1]) <= 8000 * 100 // 1000
    assert 4 < len(samples(speech)) / 8000 < 8


async def test_a_hurried_manner_is_faster_and_the_next_sentence_is_as_ever(tts: SpeechTts) -> None:
    async def seconds(manner: Manner) -> float:
        return len(samples([speech async for speech in tts.speak(clauses(LONG), manner)])) / 8000

    before, hurried, after = await seconds(PLAIN), await seconds(Manner(1.2)), await seconds(PLAIN)
    assert pytest.approx(1.2, abs=0.07) == before / hurried
    assert before == after


async def test_words_concatenate_to_the_clauses_and_come_in_their_chunks(tts: SpeechTts) -> None:
    texts = ("Hello, Zoë — it's $5.50. ", "1234 <b>items</b> [[w3:d]]?", " … ", LONG * 8)
    speech = await said(tts, *texts)
    assert "".join(texts) == "".join(text for text, _ in words(speech))
    assert all(0 <= w.at < len(s.pcm) // 2 for s in speech for w in s.words)
    places = [at for _, at in words(speech)]
    assert sorted(places) == places


async def test_a_word_is_placed_where_it_sounds(tts: SpeechTts) -> None:
    """Before "two" there is the pause of the full stop: little energy up to its place, much after it."""
    speech = await said(tts, "One. Two.")
    audio, at = samples(speech), words(speech)[1][1]
    before, after = audio[at - 800 : at], audio[at : at + 1600]
    assert 10 * np.mean(np.abs(before)) < np.mean(np.abs(after))


@pytest.mark.parametrize("variant", ["", "f3", "klatt", "Andy"])
async def test_every_voice_speaks_at_telephone_level_without_clipping(variant: str) -> None:
    engine = tts_espeak.create(EngineConfig(options={"variant": variant}))
    await engine.start()
    audio = samples(await said(engine, LONG))
    await engine.close()
    loud = audio[np.abs(audio) > 100]
    assert -20 == pytest.approx(20 * np.log10(np.sqrt(np.mean(loud**2)) / 32768), abs=3)
    assert np.mean(np.abs(audio) >= 32767) < 0.0005


async def test_silence_in_front_is_short_and_a_sentence_ends_with_a_pause() -> None:
    engine = tts_espeak.create(EngineConfig(language="es"))
    await engine.start()
    audio = np.abs(samples(await said(engine, "¿Quién llama?")))
    await engine.close()
    loud = np.flatnonzero(audio > 150)
    assert loud[0] <= 8000 * 20 // 1000
    assert 230 <= (len(audio) - loud[-1]) / 8 <= 280


async def test_a_respelled_name_keeps_its_spelling_in_the_transcript() -> None:
    engine = tts_espeak.create(EngineConfig(options={"say": {"Siobhan": "shi vawn"}}))
    plainly = tts_espeak.create(EngineConfig())
    await asyncio.gather(engine.start(), plainly.start())
    speech, respelled = await said(engine, "Ask Siobhan now."), await said(plainly, "Ask shi vawn now.")
    await asyncio.gather(engine.close(), plainly.close())
    assert ["Ask ", "Siobhan ", "now."] == [text for text, _ in words(speech)]
    assert len(samples(respelled)) == pytest.approx(len(samples(speech)), abs=80)
    assert engine.voice_id != plainly.voice_id


async def test_calls_share_one_program_and_a_slow_reader_holds_nobody_up(tts: SpeechTts) -> None:
    async with aclosing(tts.speak(clauses(LONG * 3))) as slow:
        await anext(slow)
        others = await asyncio.gather(*(said(tts, f"Number {n}.") for n in range(8)))
    assert [f"Number {n}." for n in range(8)] == ["".join(t for t, _ in words(speech)) for speech in others]


async def test_more_sentences_than_one_program_takes_are_refused_and_the_others_spoken() -> None:
    program = Program(tts_espeak.PROGRAM)
    await program.start({"voice": "en-us"})

    async def samples_of(text: str) -> int:
        return sum([len(spoken.pcm) // 2 async for spoken in program.say(text)])

    asked = [asyncio.ensure_future(samples_of("One.")) for _ in range(speech_pipe.OUTSTANDING + 1)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    await program.close()
    assert [PeerError] == [type(answer) for answer in answers if isinstance(answer, BaseException)]
    assert all(isinstance(answer, PeerError) or answer > 2000 for answer in answers)


async def test_closing_the_reader_cancels_and_the_next_clause_is_spoken(tts: SpeechTts) -> None:
    for _ in range(40):  # more than may be outstanding
        async with aclosing(tts.speak(clauses(LONG))) as speech:
            await anext(speech)
    assert "Next." == "".join(text for text, _ in words(await said(tts, "Next.")))


async def test_a_program_that_dies_is_started_again_and_the_clause_spoken(tts: SpeechTts) -> None:
    whole = await said(tts, LONG)
    os.kill(tts.pids[0], signal.SIGKILL)
    again = await said(tts, LONG)
    assert [word for word, _ in words(whole)] == [word for word, _ in words(again)]


async def test_a_program_that_dies_in_the_middle_costs_no_word_and_repeats_none(tts: SpeechTts) -> None:
    """The text is longer than pipe and reader can hold, so the program is killed while it speaks."""
    text, speech = LONG * 3, []
    whole, dying = await said(tts, text), tts.pids[0]
    async for chunk in tts.speak(clauses(text)):
        speech.append(chunk)
        if len(speech) == 3:
            os.kill(dying, signal.SIGKILL)
    assert dying != tts.pids[0]
    assert [word for word, _ in words(whole)] == [word for word, _ in words(speech)]
    assert len(samples(whole)) == pytest.approx(len(samples(speech)), abs=80)


async def test_a_program_that_hangs_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tts_espeak, "PROGRAM", replace(tts_espeak.PROGRAM, answer_s=0.2))
    tts = tts_espeak.create(EngineConfig())
    await tts.start()
    hanging = tts.pids[0]
    os.kill(hanging, signal.SIGSTOP)
    assert "Still here." == "".join(text for text, _ in words(await said(tts, "Still here.")))
    assert hanging != tts.pids[0]
    await tts.close()


def test_the_same_holds_on_uvloop() -> None:
    """The service runs on it, and its pipes and processes are others: speak, die, be replaced, close."""

    async def story() -> tuple[list[str], list[int], int]:
        engine = tts_espeak.create(EngineConfig())
        await engine.start()
        pids, spoken = engine.pids, [text for text, _ in words(await said(engine, "Number one. "))]
        async with aclosing(engine.speak(clauses(LONG))) as speech:
            await anext(speech)
        os.kill(pids[0], signal.SIGKILL)
        spoken += [text for text, _ in words(await said(engine, "Number two."))]
        pids += engine.pids
        await engine.close()
        return spoken, pids, len(asyncio.all_tasks())

    spoken, pids, tasks = uvloop.run(story())
    assert ["Number ", "one. ", "Number ", "two."] == spoken
    assert (2, 1) == (len(set(pids)), tasks)
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


async def test_a_program_that_cannot_start_is_a_peer_error_that_says_why() -> None:
    with pytest.raises(PeerError, match="no voice 'tlh'"):
        await Program(tts_espeak.PROGRAM).start({"voice": "tlh"})


async def test_a_program_ends_when_the_engine_closes() -> None:
    engine = tts_espeak.create(EngineConfig(workers=2))
    await engine.start()
    pids = engine.pids
    await engine.close()
    assert 2 == len(set(pids))
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


@pytest.mark.parametrize(
    ("language", "voice"),
    [("en-US", "en-us"), ("en-GB", "en-gb-x-rp"), ("en-ZA", "en-us"), ("es-MX", "es-419"), ("de-AT", "de"),
     ("fr", "fr"), ("pt-BR", "pt-br"), ("zh", "cmn")],
)  # fmt: skip
def test_a_language_tag_chooses_the_voice(language: str, voice: str) -> None:
    assert voice == tts_espeak.voice_for(language)


@pytest.mark.parametrize(
    ("config", "mend"),
    [
        (EngineConfig(language="tlh"), "Use one of: .*en-us"),
        (EngineConfig(options={"variant": "nobody"}), "Use one of: .*klatt"),
        (EngineConfig(options={"rate": 4000}), "from 80 to 400"),
        (EngineConfig(options={"speed": 1}), "Use one of: rate"),
        (EngineConfig(options={"say": "x"}), "say must map"),
    ],
)
def test_a_wrong_option_says_what_to_use_instead(config: EngineConfig, mend: str) -> None:
    with pytest.raises(UsageError, match=mend):
        tts_espeak.create(config)


def test_it_can_run_here() -> None:
    assert tts_espeak.check() is None
