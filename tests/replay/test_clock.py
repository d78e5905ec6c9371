"""The clock of a replay: it jumps, goes with the wall, or stands still."""

from __future__ import annotations

import asyncio
import time

from voicebot.replay.clock import clock, run


def test_an_hour_of_waiting_takes_no_time() -> None:
    async def wait() -> float:
        began_s = clock().time()
        await asyncio.sleep(3600)
        return clock().time() - began_s

    began_s = time.monotonic()
    assert 3600 == round(run(wait()), 6)
    assert time.monotonic() - began_s < 60, "it was jumped over"


def test_timers_fire_in_their_order() -> None:
    async def both() -> list[str]:
        fired: list[str] = []
        loop = asyncio.get_running_loop()
        loop.call_later(2, fired.append, "second")
        loop.call_later(1, fired.append, "first")
        await asyncio.sleep(3)
        return fired

    assert ["first", "second"] == run(both())


def test_an_engine_that_took_a_while_moves_the_clock_by_as_much() -> None:
    async def work() -> tuple[float, float]:
        began_s, by_the_wall_s = clock().time(), time.monotonic()
        with clock().wall():
            await asyncio.to_thread(time.sleep, 0.05)
        took_s = time.monotonic() - by_the_wall_s
        return clock().time() - began_s, took_s

    moved_s, took_s = run(work())
    assert moved_s >= 0.05
    assert abs(moved_s - took_s) < 0.02


def test_timers_come_when_they_are_due_while_an_engine_is_at_work() -> None:
    async def work() -> bool:
        fired = asyncio.Event()
        asyncio.get_running_loop().call_later(0.01, fired.set)
        with clock().wall():
            await asyncio.to_thread(time.sleep, 0.05)
        return fired.is_set()

    assert run(work())


def test_the_clock_stands_while_something_is_waited_for_whose_time_does_not_count() -> None:
    async def work() -> tuple[float, bool]:
        began_s, fired = clock().time(), asyncio.Event()
        asyncio.get_running_loop().call_later(0.01, fired.set)
        with clock().still():
            await asyncio.to_thread(time.sleep, 0.05)
        return clock().time() - began_s, fired.is_set()

    assert (0.0, False) == run(work())


def test_a_deadline_holds_for_who_never_answers_even_where_the_clock_stands() -> None:
    from voicebot.replay import clock as module

    async def work() -> str:
        try:
            async with asyncio.timeout(5):
                with clock().still():
                    await asyncio.get_running_loop().create_future()
        except TimeoutError:
            return "given up"
        return "?"

    usual, module.STILL_S = module.STILL_S, 0.05
    try:
        assert "given up" == run(work())
    finally:
        module.STILL_S = usual
