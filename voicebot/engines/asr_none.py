"""No recogniser: every utterance is over at once, and nothing was understood. For interpreters that hear sound and need
no words, and languages that no recogniser here knows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from voicebot.core.expect import Expectation
from voicebot.core.words import Words
from voicebot.engines.base import EngineConfig
from voicebot.errors import UsageError

NOTHING_HEARD = Words("", final=True, confidence=0.0)


def check() -> str | None:
    return None


def create(config: EngineConfig) -> NoAsr:
    if config.options:
        raise UsageError("none has no options.")
    return NoAsr()


class NoAsr:
    """The recogniser."""

    rate = 8000

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def prepare(self, expectations: Sequence[Expectation]) -> None:
        """Nothing is needed."""

    def open(self, expectation: Expectation) -> NoUtterance:
        """An utterance of which nothing will be known."""
        return NoUtterance()


class NoUtterance:
    """See `base.AsrSession`."""

    def __init__(self) -> None:
        self._over = asyncio.Event()
        self._wanted = True

    def push(self, pcm: bytes) -> None: ...

    def finish(self) -> None:
        self._over.set()

    def cancel(self) -> None:
        self._wanted = False
        self._over.set()

    async def words(self) -> AsyncIterator[Words]:
        """The final, empty, once it is over."""
        await self._over.wait()
        if self._wanted:
            yield NOTHING_HEARD
