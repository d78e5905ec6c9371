"""The guard around the ears of one call.

The last five seconds of every utterance are kept. A recogniser that breaks off is opened again, or the next of the
chain takes its place, and hears them. One that only takes long (no final words soon after the end, or no word at all
where it usually has some) is not given up: another one is asked as well, and whoever has the words first is believed.
`words` never raises: at worst the final is empty.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from math import inf
from types import TracebackType
from typing import Any

from voicebot import log
from voicebot.audio.frames import RATE
from voicebot.core.expect import Expectation
from voicebot.core.words import Words
from voicebot.engines.base import Asr, AsrSession
from voicebot.engines.guard import Chain, Member, Patience, Relay, Watch, patience_of, warm_up
from voicebot.engines.treatment import stages
from voicebot.errors import PeerError

KEPT_S = 5
USUAL = Patience(first_s=0.9, gap_s=3.0, whole_s=3.0)
"""Final words are due `first_s` after the end, some words `gap_s` after the beginning (of an engine that gives them
while the caller speaks), and nobody waits longer than `whole_s` after the end."""
SECOND_S = 0.6
"""What a second engine is given, after the first one's time."""
DOUBTFUL = 0.5
"""Confidence of a partial that has to do as the final."""
EMPTY = Words("", final=True, confidence=0.0)
_log = log.get("guard_asr")


class GuardedAsr:
    """One call's: `async with` for as long as the call lives. While the call rings and greets, the first engine warms
    up."""

    def __init__(self, chain: Chain[Asr], watch: Watch) -> None:
        self.chain, self.watch = chain, watch
        self.rate = RATE
        """Whatever the engines': each ear brings the line's audio to its own."""
        self.streams: set[str] = set()
        """Engines that have given words before the end of an utterance."""
        self._own: dict[str, Any] = {}
        self._group = asyncio.TaskGroup()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def final_ms(self) -> int:
        """How long after the end of an utterance its words may come: the first engine's time, and another's."""
        return round((patience_of(self.chain.likely().engine, USUAL).first_s + SECOND_S) * 1000)

    async def __aenter__(self) -> GuardedAsr:
        await self._group.__aenter__()
        for member in self.chain.members:
            for_call = getattr(member.engine, "for_call", None)
            self._own[member.name] = for_call() if for_call else member.engine
        likely = self.chain.likely()
        self.run(warm_up("asr", likely, self._own[likely.name], self.watch))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        try:
            await self._group.__aexit__(kind, error, trace)
        finally:
            for member in self.chain.members:
                if self._own[member.name] is not member.engine:  # the call's own
                    await self._own[member.name].close()

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Until it is done or the call is over. It must not raise."""
        task = self._group.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def open(self, expectation: Expectation) -> GuardedUtterance:
        """One utterance; see `AsrSession`."""
        return GuardedUtterance(self, expectation)

    def ear(self, member: Member[Asr], expectation: Expectation) -> AsrSession:
        """A new one of this engine."""
        session: AsrSession = self._own[member.name].open(expectation)
        return session


class _Ear:
    """One engine listening to the utterance."""

    def __init__(self, member: Member[Asr], session: AsrSession) -> None:
        self.member, self._session, self.text = member, session, ""
        self._through = stages(member.hears, member.engine.rate)
        self.words, self.cancel = session.words, session.cancel

    def push(self, pcm: bytes) -> None:
        if pcm := self._through.push(pcm):
            self._session.push(pcm)

    def finish(self) -> None:
        if tail := self._through.flush():
            self._session.push(tail)
        self._session.finish()


class GuardedUtterance:
    """What is pushed goes to every ear that listens; the first of them is the one that is asked first."""

    def __init__(self, guard: GuardedAsr, expectation: Expectation) -> None:
        self._guard, self._expectation = guard, expectation
        self._loop = asyncio.get_running_loop()
        self._relay = Relay(guard.chain, guard.watch)
        self._kept = bytearray()
        self._ears: list[_Ear] = []
        self._partial: Words | None = None
        self._final: Words | None = None
        self._news = asyncio.Event()
        self._finished = self._cancelled = self._late = False
        self._timers: list[asyncio.TimerHandle] = []
        self._open_next()
        if self._ears and self._ears[0].member.name in guard.streams:
            self._after(self._patience.gap_s, self._second_ear)

    # --- in

    def push(self, pcm: bytes) -> None:
        if self._finished or self._final or self._cancelled:
            return
        self._kept += pcm
        del self._kept[: -KEPT_S * self._guard.rate * 2]
        for ear in self._ears:
            ear.push(pcm)

    def finish(self) -> None:
        if self._finished or self._cancelled:
            return
        self._finished = True
        for ear in self._ears:
            ear.finish()
        if self._final:
            self._news.set()
            return
        self._after(self._patience.first_s, self._second_ear)
        self._after(self._patience.whole_s, self._give_up)

    def cancel(self) -> None:
        if self._late and self._ears and not self._final:  # the call has stopped waiting
            self._guard.watch.failed("asr", self._ears[0].member, PeerError("It gave no final words."), "")
        self._cancelled = True
        self._end(EMPTY)

    async def words(self) -> AsyncIterator[Words]:
        """Partials, then one final after `finish`."""
        while True:
            await self._news.wait()
            self._news.clear()
            if self._cancelled:
                return
            if self._final is not None and self._finished:
                yield self._final
                return
            partial, self._partial = self._partial, None
            if partial is not None:
                yield partial

    # --- ears

    @property
    def _patience(self) -> Patience:
        return patience_of(self._ears[0].member.engine, USUAL) if self._ears else USUAL

    def _open_next(self) -> None:
        """The next engine listens, too; where nobody is left and nobody listens, there are no words."""
        while (member := self._relay.next()) is not None:
            try:
                ear = _Ear(member, self._guard.ear(member, self._expectation))
                if self._kept:
                    ear.push(bytes(self._kept))
                if self._finished:
                    ear.finish()
            except Exception as error:  # a library may raise anything; the caller must not suffer from it
                self._relay.failed(member, error)
                continue
            self._ears.append(ear)
            self._guard.run(self._listen(ear))
            return
        if not self._ears:
            self._end(EMPTY)

    async def _listen(self, ear: _Ear) -> None:
        try:
            async for words in ear.words():
                self._take(ear, words)
                if words.final:
                    return
            raise PeerError("It ended without its final words.", retryable=True)
        except Exception as error:
            self._lost(ear, error)

    def _lost(self, ear: _Ear, error: Exception) -> None:
        if ear not in self._ears:  # it was let go
            return
        self._ears.remove(ear)
        if self._ears:
            self._guard.watch.failed("asr", ear.member, error, self._ears[0].member.name)
        else:
            self._relay.failed(ear.member, error)
            self._open_next()

    def _take(self, ear: _Ear, words: Words) -> None:
        if ear not in self._ears or self._final:
            return
        first = self._ears[0]
        if not words.final:
            ear.text = words.text
            if words.text and not self._finished:
                self._guard.streams.add(ear.member.name)
            if ear is first or not first.text:
                self._partial = words
                self._news.set()
        elif ear is first:
            self._relay.done(ear.member)
            self._end(words)
        elif words.text:
            late = PeerError("It was late with its words.")
            self._guard.watch.failed("asr", first.member, late, ear.member.name)
            self._relay.done(ear.member)
            self._end(words)
        else:
            self._ears.remove(ear)

    # --- deadlines

    def _after(self, seconds: float, do: Callable[[], None]) -> None:
        if seconds < inf:
            self._timers.append(self._loop.call_later(seconds, do))

    def _second_ear(self) -> None:
        """Words are due: ask somebody else, too."""
        self._late = self._finished
        if len(self._ears) == 1 and (self._finished or not self._ears[0].text):
            self._open_next()

    def _give_up(self) -> None:
        """The last partial is better than nothing."""
        if self._ears:
            self._guard.watch.failed("asr", self._ears[0].member, PeerError("It gave no final words."), "")
        text = self._ears[0].text if self._ears else ""
        self._end(Words(text, final=True, confidence=DOUBTFUL) if text else EMPTY)

    def _end(self, final: Words) -> None:
        self._final = self._final or final
        ears, self._ears = self._ears, []
        for ear in ears:
            ear.cancel()
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        self._news.set()
