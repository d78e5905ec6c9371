"""Engines whose time counts: while one is at work, the replay's clock goes with the wall."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

from voicebot.core.expect import Expectation
from voicebot.core.words import Words
from voicebot.engines.base import AsrSession
from voicebot.replay.clock import clock


class ChargedAsr:
    """A recogniser that works somewhere else. From the opening of an utterance to its end the clock is the wall's:
    nobody can tell from outside whether it is behind, and what is said takes as long as it takes."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        if (patience := getattr(engine, "patience", None)) is not None:
            self.patience = patience

    @property
    def rate(self) -> int:
        rate: int = self._engine.rate
        return rate

    async def start(self) -> None:
        """Costs the call nothing."""
        with clock().still():
            await self._engine.start()

    async def close(self) -> None:
        """Costs nothing either."""
        with clock().still():
            await self._engine.close()

    async def prepare(self, expectations: Sequence[Expectation]) -> None:
        """As `start`."""
        with clock().still():
            await self._engine.prepare(expectations)

    def open(self, expectation: Expectation) -> ChargedUtterance:
        """One utterance; see `AsrSession`."""
        return ChargedUtterance(self._engine.open(expectation))


class ChargedUtterance:
    """Holds the clock to the wall until its final words, or until nobody wants them."""

    def __init__(self, inner: AsrSession) -> None:
        self._inner = inner
        self.push, self.finish = inner.push, inner.finish
        self._wall: AbstractContextManager[None] | None = clock().wall()
        self._wall.__enter__()

    def cancel(self) -> None:
        self._inner.cancel()
        self._let_go()

    async def words(self) -> AsyncIterator[Words]:
        """As the engine gives them."""
        try:
            async for words in self._inner.words():
                if words.final:
                    self._let_go()
                yield words
        finally:
            self._let_go()

    def _let_go(self) -> None:
        if self._wall is not None:
            self._wall.__exit__(None, None, None)
            self._wall = None


class UnchargedEot:
    """A model of turn ends in a thread. Live it has some milliseconds and a deadline; here it is never late."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self.close = engine.close

    async def start(self) -> None:
        """Costs the call nothing."""
        with clock().still():
            await self._engine.start()

    async def judge(self, pcm: bytes) -> float | None:
        """As `Eot.judge`."""
        with clock().still():
            vote: float | None = await self._engine.judge(pcm)
        return vote
