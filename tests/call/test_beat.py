"""The clock that all calls share."""

from __future__ import annotations

import asyncio
import time

from tests import virtual_time
from voicebot.call.beat import BEAT_S, SLOTS, Beat


def test_every_call_has_its_beat_until_it_leaves() -> None:
    async def calls() -> list[int]:
        beat, beats = Beat(), [0, 0, 0]
        leave = [beat.join(lambda at=at: beats.__setitem__(at, beats[at] + 1)) for at in range(3)]
        await asyncio.sleep(100.5 * BEAT_S)
        leave[0]()
        leave[0]()
        await asyncio.sleep(100 * BEAT_S)
        return beats

    first, *others = virtual_time.run(calls())
    assert first in (100, 101)
    assert {200, 201} >= set(others)


def test_calls_are_spread_over_the_slots() -> None:
    async def calls() -> set[int]:
        beat, at = Beat(), dict[int, float]()
        loop = asyncio.get_running_loop()
        for call in range(SLOTS):
            beat.join(lambda call=call: at.__setitem__(call, loop.time()))
        await asyncio.sleep(10 * BEAT_S)
        return {round(each * 1000) for each in at.values()}

    assert SLOTS == len(virtual_time.run(calls()))


def test_a_call_that_stumbles_does_not_hold_the_others_up() -> None:
    async def calls() -> int:
        beat, beats = Beat(), [0]
        for _ in range(SLOTS):  # one of them has its slot
            beat.join(lambda: 1 // 0)
        beat.join(lambda: beats.__setitem__(0, beats[0] + 1))
        await asyncio.sleep(5.5 * BEAT_S)
        return beats[0]

    assert 5 <= virtual_time.run(calls())


async def test_it_says_how_late_the_loop_was() -> None:
    late: list[float] = []
    beat = Beat(late.append)
    leave = beat.join(lambda: None)
    await asyncio.sleep(BEAT_S)
    time.sleep(0.2)  # noqa: ASYNC251 - the loop is held up
    await asyncio.sleep(2 * BEAT_S)
    leave()
    assert 0.15 < max(late)


async def test_without_calls_nothing_runs() -> None:
    late: list[float] = []
    beat = Beat(late.append)
    beat.join(lambda: None)()
    await asyncio.sleep(2 * BEAT_S)
    assert [] == late
