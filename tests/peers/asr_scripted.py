"""A recogniser that hears what a test tells it to: the contract, without the ears."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence

from voicebot.core.expect import Expectation
from voicebot.core.words import Words

EMPTY = Words("", final=True, confidence=0.0)


class ScriptedAsr:
    """The nth utterance is understood as the nth of `said`: a text, or Words for more. Beyond them nothing is
    understood. A text grows word by word, one every `ms_per_word` of audio."""

    def __init__(self, said: Iterable[str | Words] = (), rate: int = 8000, ms_per_word: int = 300) -> None:
        self.rate = rate
        self.said = [Words(each, final=True) if isinstance(each, str) else each for each in said]
        self.opened: list[ScriptedSession] = []
        self.prepared: list[Expectation] = []
        self._bytes_per_word = rate * 2 * ms_per_word // 1000

    async def start(self) -> None:
        """Nothing to start."""

    async def close(self) -> None:
        """Nothing to close."""

    async def prepare(self, expectations: Sequence[Expectation]) -> None:
        self.prepared += expectations

    def open(self, expectation: Expectation) -> ScriptedSession:
        at = len(self.opened)
        words = self.said[at] if at < len(self.said) else EMPTY
        session = ScriptedSession(expectation, words, self._bytes_per_word)
        self.opened.append(session)
        return session


class ScriptedSession:
    def __init__(self, expectation: Expectation, final: Words, bytes_per_word: int) -> None:
        self.expectation, self.final = expectation, final
        self.heard = bytearray()
        self.finished = self.cancelled = False
        self._bytes_per_word = bytes_per_word
        self._news = asyncio.Event()

    def push(self, pcm: bytes) -> None:
        self.heard += pcm
        self._news.set()

    def finish(self) -> None:
        self.finished = True
        self._news.set()

    def cancel(self) -> None:
        self.cancelled = True
        self._news.set()

    async def words(self) -> AsyncIterator[Words]:
        told = ""
        while True:
            await self._news.wait()
            self._news.clear()
            if self.cancelled:
                return
            if self.finished:
                yield self.final
                return
            so_far = " ".join(self.final.text.split()[: len(self.heard) // self._bytes_per_word])
            if so_far != told:
                told = so_far
                yield Words(so_far, final=False)
