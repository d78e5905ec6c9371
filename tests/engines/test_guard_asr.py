"""The guard around the ears, in virtual time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from tests.peers.engines import Ears, Keeping
from tests.virtual_time import run
from voicebot.core.expect import NOTHING
from voicebot.core.words import Words
from voicebot.engines.bandwidth import Choice, Mode
from voicebot.engines.guard import Chain, Member, Watch
from voicebot.engines.guard_asr import GuardedAsr
from voicebot.engines.treatment import Hears
from voicebot.errors import PeerError

FRAME = b"\x01\x00" * 160


@dataclass
class Heard:
    words: list[Words]
    took_s: float
    """From the end of the utterance to the final."""
    records: list[dict[str, Any]]

    @property
    def final(self) -> str:
        return self.words[-1].text


def listen(*ears: Ears, seconds: float = 2.0, times: int = 1, wait_s: float = 0.0) -> Heard:
    """Utterances of so many seconds; what was heard of the last."""

    async def work() -> Heard:
        watch, records = Watch(), []  # type: ignore[var-annotated]
        watch.tell = lambda **fields: records.append(fields)
        chain = Chain("asr", *map(Member, ["first", "second"], ears))
        loop = asyncio.get_running_loop()
        async with GuardedAsr(chain, watch) as guarded, asyncio.TaskGroup() as group:
            for _ in range(times):
                utterance = guarded.open(NOTHING)
                reading = group.create_task(_all(utterance))
                for _ in range(int(seconds * 50)):
                    utterance.push(FRAME)
                    await asyncio.sleep(0.02)
                utterance.finish()
                ended = loop.time()
                words = await reading
                took_s = round(loop.time() - ended, 2)
                await asyncio.sleep(wait_s)
        return Heard(words, took_s, records)

    heard: Heard = run(work())
    return heard


async def _all(utterance: Any) -> list[Words]:
    return [words async for words in utterance.words()]


def told(heard: Heard) -> list[tuple[str, str]]:
    return [(r["name"], r["then"]) for r in heard.records]


def test_ears_that_work_are_passed_on_as_they_are() -> None:
    first = Ears("a latte", [[0.5, ("partial", "a"), 0.5, ("partial", "a lat")]])
    heard = listen(first, Ears())
    assert ["a", "a lat", "a latte"] == [w.text for w in heard.words]
    assert [False, False, True] == [w.final for w in heard.words]
    assert [] == heard.records


def test_where_nobody_answers_the_next_engine_hears_the_utterance() -> None:
    second = Ears("a latte")
    heard = listen(Ears(scripts=[[PeerError("no")]]), second)
    assert ("a latte", [("first", "second")]) == (heard.final, told(heard))
    assert 16000 == second.opened[0].heard


def test_a_connection_that_breaks_in_the_middle_is_replaced_and_the_audio_replayed() -> None:
    second = Ears("a latte")
    heard = listen(Ears(scripts=[[1.0, ("broken", "closed")]]), second)
    assert ("a latte", 16000) == (heard.final, second.opened[0].heard)


def test_one_engine_alone_is_opened_again_and_hears_what_was_said() -> None:
    only = Ears("a latte", [[1.0, ("broken", "closed")], []])
    heard = listen(only)
    assert ("a latte", [("first", "first")]) == (heard.final, told(heard))
    assert 16000 == only.opened[1].heard


def test_no_more_than_the_last_five_seconds_are_replayed() -> None:
    second = Ears("a latte")
    listen(Ears(scripts=[[8.0, ("broken", "closed")]]), second, seconds=9.0)
    assert 0 <= 8000 * 6 - second.opened[0].heard <= 160 * 2


def test_words_that_end_without_a_final_are_a_failure() -> None:
    heard = listen(Ears(scripts=[[0.5, "end"]]), Ears("a latte"))
    assert ("a latte", [("first", "second")]) == (heard.final, told(heard))


def test_when_the_final_is_late_somebody_else_is_asked_as_well() -> None:
    first, second = Ears(scripts=[[60.0]]), Ears("a latte")
    heard = listen(first, second)
    assert ("a latte", 1.0) == (heard.final, heard.took_s)
    assert [("first", "second")] == told(heard)
    assert first.opened[0].cancelled


def test_a_late_final_that_comes_first_after_all_is_believed() -> None:
    first, second = Ears("the right words", [[2.0, 0.85]]), Ears("others")
    heard = listen(first, second)
    assert ("the right words", []) == (heard.final, heard.records)


def test_a_second_engine_that_understood_nothing_does_not_silence_the_first() -> None:
    heard = listen(Ears("a latte", [[3.5]]), Ears(""))
    assert "a latte" == heard.final


def test_where_words_used_to_come_early_their_absence_is_noticed_while_the_caller_speaks() -> None:
    first = Ears(scripts=[[0.2, ("partial", "yes")], [60.0]])
    second = Ears("a latte", [[0.1, ("partial", "a la")]])
    heard = listen(first, second, seconds=4.0, times=2)
    assert ["a la", "a latte"] == [w.text for w in heard.words]
    assert 0.1 == heard.took_s


def test_when_nobody_has_the_final_the_last_partial_has_to_do() -> None:
    heard = listen(Ears(scripts=[[0.5, ("partial", "a lat"), 60.0]]))
    assert [Words("a lat", False), Words("a lat", True, 0.5)] == heard.words
    assert 3.0 == heard.took_s


def test_when_all_fail_the_final_is_empty_and_the_call_lives() -> None:
    heard = listen(Ears(scripts=[[PeerError("no")]]), Ears(scripts=[[PeerError("no")]]))
    assert [Words("", True, 0.0)] == heard.words
    assert [("first", "second"), ("second", "")] == told(heard)


def test_an_utterance_nobody_wants_ends_without_words() -> None:
    async def work() -> list[Words]:
        first = Ears()
        async with GuardedAsr(Chain("asr", Member("first", first)), Watch()) as guarded, asyncio.TaskGroup() as group:
            utterance = guarded.open(NOTHING)
            reading = group.create_task(_all(utterance))
            await asyncio.sleep(0.1)
            utterance.cancel()
            await reading
            assert first.opened[0].cancelled
        return reading.result()

    assert [] == run(work())


def test_an_engine_that_cannot_warm_up_is_known_to_be_down_before_the_caller_speaks() -> None:
    @dataclass
    class Connected(Ears):
        warmed: int = 0

        def for_call(self) -> Any:
            outer = self

            class ForCall:
                open = staticmethod(self.open)

                async def warm(self) -> None:
                    outer.warmed += 1
                    await asyncio.sleep(0.5)
                    raise PeerError("connection refused")

                async def close(self) -> None: ...

            return ForCall()

    first = Connected()
    heard = listen(first, Ears("a latte"))
    assert 1 == first.warmed
    assert ("first", "connection refused") == (heard.records[0]["name"], heard.records[0]["fault"])


@pytest.mark.parametrize("mode", ["classical", "neural"])
def test_an_engine_at_16_khz_hears_two_samples_for_each_to_the_last_and_something_above_the_line(mode: Mode) -> None:
    ears = Keeping("a latte", rate=16000)
    hiss = np.random.default_rng(1).normal(0, 3000, 16080).astype("<i2").tobytes()

    async def work() -> None:
        member = Member("wide", ears, hears=Hears(Choice(mode, "the test says so")))
        async with GuardedAsr(Chain("asr", member), Watch()) as guarded:
            utterance = guarded.open(NOTHING)
            for at in range(0, len(hiss), 320):
                utterance.push(hiss[at : at + 320])
            utterance.finish()
            assert "a latte" == [words async for words in utterance.words()][-1].text

    run(work())
    assert 2 * len(hiss) == len(ears.audio)
    power = np.abs(np.fft.rfft(np.frombuffer(bytes(ears.audio), "<i2"))) ** 2
    assert power[8200:].sum() > 0.03 * power.sum()
