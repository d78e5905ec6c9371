"""The guard around the voice, in virtual time: engines that do as they are told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.peers.engines import WORD_MS, Voice, tone
from tests.virtual_time import run
from voicebot.engines.base import Speech, SpokenWord
from voicebot.engines.guard import Chain, Member, Watch
from voicebot.engines.guard_tts import GuardedTts
from voicebot.errors import PeerError


@dataclass
class Told:
    guarded: GuardedTts
    records: list[dict[str, Any]]


def guard(*voices: Voice) -> Told:
    watch, records = Watch(), []  # type: ignore[var-annotated]
    watch.tell = lambda **fields: records.append(fields)
    names = ["first", "second", "third"]
    return Told(GuardedTts(Chain("tts", *map(Member, names, voices)), watch), records)


@dataclass
class Said:
    words: str
    seconds: float
    first_s: float
    """Virtual time to the first audio."""
    rates: set[int]


def say(told: Told, *clauses: str) -> Said:
    """Say them one after the other, as the cascade does."""

    async def work() -> Said:
        loop = asyncio.get_running_loop()
        began, first_s, words, size, rates = loop.time(), -1.0, "", 0, set()
        for clause in clauses:
            async for speech in told.guarded.speak(_one(clause)):
                if speech.pcm and first_s < 0:
                    first_s = loop.time() - began
                words += "".join(word.text for word in speech.words)
                size += len(speech.pcm)
                rates.add(speech.rate)
        return Said(words.strip(), size / 16000, round(first_s, 2), rates)

    said: Said = run(work())
    return said


async def _one(text: str) -> AsyncIterator[str]:
    yield text


def test_a_voice_that_works_is_passed_on_as_it_is() -> None:
    told = guard(Voice(), Voice())
    said = say(told, "one two three")
    assert ("one two three", 0.9, []) == (said.words, said.seconds, told.records)


def test_a_clause_that_was_not_begun_is_said_by_the_next_engine() -> None:
    second = Voice()
    told = guard(Voice([[PeerError("connection refused")]]), second)
    said = say(told, "one two three")
    assert ("one two three", ["one two three"]) == (said.words, second.asked)
    assert [("first", "connection refused", "second")] == [(r["name"], r["fault"], r["then"]) for r in told.records]


def test_an_engine_that_is_silent_is_replaced_within_the_bound() -> None:
    told = guard(Voice([[60.0]]), Voice())
    said = say(told, "one two three")
    assert ("one two three", 1.5) == (said.words, said.first_s)


def test_an_answer_without_audio_is_a_failure() -> None:
    second = Voice()
    told = guard(Voice([["end"]]), second)
    assert "one two three" == say(told, "one two three").words
    assert ["It gave no audio."] == [r["fault"] for r in told.records]


def test_a_clause_that_stalls_in_the_middle_is_said_to_its_end_by_the_next_engine() -> None:
    second = Voice()
    told = guard(Voice([[2, 60.0]]), second)
    said = say(told, "one two three four")
    assert ("one two three four", ["three four"]) == (said.words, second.asked)
    assert 1.2 == said.seconds


def test_a_word_that_was_cut_is_said_again_and_counts_once() -> None:
    class Cut(Voice):
        def _word(self, word: str) -> Speech:
            pcm = tone(WORD_MS if word != "everything" else 100)
            return Speech(pcm, 8000, (SpokenWord(word + " ", 0),))

    second = Voice()
    said = say(guard(Cut([[2, PeerError("dropped")]]), second), "say everything twice")
    assert (["everything twice"], "say everything twice") == (second.asked, said.words)


def test_without_word_times_what_is_left_is_reckoned_from_the_sound() -> None:
    second = Voice(timed=False)
    text = "abcd abcd abcd abcd abcd abcd"
    said = say(guard(Voice([[3, PeerError("dropped")]], timed=False), second), text)
    assert text == said.words
    assert 2 <= len(second.asked[0].split()) <= 4, "three words of 300 ms are about 14 characters"


def test_a_break_after_the_last_word_costs_nothing() -> None:
    second = Voice()
    told = guard(Voice([[3, 60.0]]), second)
    said = say(told, "one two three")
    assert ("one two three", []) == (said.words, second.asked)
    assert [""] == [r["then"] for r in told.records]


def test_rates_may_differ_between_engines_within_a_clause() -> None:
    said = say(guard(Voice([[1, PeerError("dropped")]], rate=24000), Voice(rate=22050)), "one two three")
    assert {8000} == said.rates
    assert 0.9 == pytest.approx(said.seconds, abs=0.01)


def test_one_engine_alone_is_asked_again_where_that_may_help() -> None:
    only = Voice([[PeerError("broken pipe", retryable=True)]])
    told = guard(only)
    assert "one two" == say(told, "one two").words
    assert ["first"] == [r["then"] for r in told.records]


def test_when_nobody_can_say_it_the_call_is_told() -> None:
    told = guard(Voice([[PeerError("no")]]), Voice([[PeerError("neither")]]))
    with pytest.raises(PeerError, match="neither"):
        say(told, "one two")
    assert ["second", ""] == [r["then"] for r in told.records]


def test_a_library_that_breaks_is_an_engine_that_fails() -> None:
    told = guard(Voice([[ZeroDivisionError()]]), Voice())
    assert "one two" == say(told, "one two").words
    assert ["It broke (ZeroDivisionError)."] == [r["fault"] for r in told.records]


def test_an_engine_that_keeps_failing_is_left_alone_then_tried_and_taken_back() -> None:
    first, second = Voice([[PeerError("no")]] * 2), Voice()
    told = guard(first, second)

    async def work() -> list[int]:
        asked = []
        for wait_s in (0, 0, 1, 11):
            await asyncio.sleep(wait_s)
            async for _ in told.guarded.speak(_one("one")):
                pass
            asked.append(len(first.asked))
        return asked

    assert [1, 2, 2, 3] == run(work())
    assert ["closed", "open", "closed"] == [r["breaker"] for r in told.records]
    assert told.records[-1]["recovered"]


def test_a_clause_with_nothing_to_say_is_silence_and_no_request() -> None:
    only = Voice()
    said = say(guard(only), "— … ")
    assert ([], "", 0.1) == (only.asked, said.words, said.seconds)


def test_a_voice_slower_than_speech_gets_a_head_start() -> None:
    slow = Voice(pause_s=0.4)  # 300 ms of speech every 400 ms

    async def starts(told: Told) -> list[float]:
        loop, found = asyncio.get_running_loop(), []
        for _ in range(2):
            began, first_s = loop.time(), None
            async for speech in told.guarded.speak(_one("one two three four five")):
                first_s = first_s or (loop.time() - began if speech.pcm else None)
            found.append(round(first_s or -1, 1))
        return found

    assert [0.4, 1.2] == run(starts(guard(slow)))
