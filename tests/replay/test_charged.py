"""Recognisers that work somewhere else: the clock goes with the wall while one listens, and only then."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence

from tests.call.world import ANYTHING
from voicebot.core.expect import Expectation
from voicebot.core.words import Words
from voicebot.replay.charged import ChargedAsr, UnchargedEot
from voicebot.replay.clock import clock, run

TOOK_S = 0.08


class Elsewhere:
    """A recogniser in a thread, which knows no clock but the wall's."""

    rate = 16000

    def __init__(self) -> None:
        self._finished = asyncio.Event()

    async def start(self) -> None:
        await asyncio.to_thread(time.sleep, TOOK_S)

    close = start

    async def prepare(self, _: Sequence[Expectation]) -> None:
        await self.start()

    def open(self, _: Expectation) -> Elsewhere:
        return self

    def push(self, pcm: bytes) -> None: ...

    def finish(self) -> None:
        self._finished.set()

    def cancel(self) -> None: ...

    async def words(self) -> AsyncIterator[Words]:
        await self._finished.wait()
        await asyncio.to_thread(time.sleep, TOOK_S)
        yield Words("hello", True)


def test_its_time_is_charged_while_it_listens_and_not_while_it_starts() -> None:
    async def hear() -> tuple[float, float, float]:
        asr, loop = ChargedAsr(Elsewhere()), clock()
        began_s = loop.time()
        await asr.start()
        await asr.prepare([ANYTHING])
        started_s = loop.time() - began_s
        utterance = asr.open(ANYTHING)
        utterance.finish()
        heard = [words.text async for words in utterance.words()]
        assert ["hello"] == heard
        took_s = loop.time() - began_s - started_s
        await asyncio.sleep(1000)
        await asr.close()
        return started_s, took_s, loop.time() - began_s - started_s - took_s

    started_s, took_s, jumped_s = run(hear())
    assert 0.0 == started_s
    assert TOOK_S <= took_s < 10
    assert 1000 == round(jumped_s, 3)


def test_one_that_nobody_wants_any_more_lets_the_clock_go() -> None:
    async def hear() -> int:
        utterance = ChargedAsr(Elsewhere()).open(ANYTHING)
        utterance.cancel()
        utterance.cancel()
        return clock().walls

    assert 0 == run(hear())


def test_a_model_of_turn_ends_is_never_late() -> None:
    class Slow:
        async def judge(self, pcm: bytes) -> float | None:
            try:
                async with asyncio.timeout(0.05):
                    return await asyncio.to_thread(lambda: time.sleep(TOOK_S) or 0.7)
            except TimeoutError:
                return None

        async def close(self) -> None: ...

    assert 0.7 == run(UnchargedEot(Slow()).judge(b""))
