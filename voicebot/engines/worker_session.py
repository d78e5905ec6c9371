"""One utterance of a recogniser that works in a process of its own: audio out, words in, deadlines kept. When the
process is lost or late the utterance says so at once, so that somebody else can be asked while it is still fresh.

Everything happens in callbacks of the running event loop: no task, no thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from voicebot import log
from voicebot.core.words import Words
from voicebot.engines.worker_messages import Kind, Message, words_from_json
from voicebot.engines.worker_process import Process
from voicebot.errors import PeerError

BACKLOG_S = 30
"""Audio of one utterance that may wait to be decoded; what comes beyond is dropped and counted."""
MESSAGE_MS = 60
"""Audio is sent in pieces of this length."""
EMPTY = Words("", final=True, confidence=0.0)
_log = log.get("recogniser")


@dataclass(frozen=True, slots=True)
class Deadlines:
    hung_s: float
    """A worker that owes a result and says nothing for this long is killed."""
    final_s: float
    """A result that is not there after this is given up, however busy the worker."""
    start_s: float
    """A worker that was replaced may say nothing for this long: it still starts."""


SOON = Deadlines(hung_s=3.0, final_s=10.0, start_s=20.0)


class Session:
    """One utterance; without a worker nothing is decoded, and its result is empty. The newest partial replaces one that
    was not read yet. `lost` is told of bytes that were dropped, `finished` has the last word about a result."""

    def __init__(
        self,
        number: int,
        worker: Process | None,
        rate: int,
        lost: Callable[[int], None],
        deadlines: Deadlines = SOON,
        finished: Callable[[Words], Words] = lambda words: words,
    ) -> None:
        self.number = number
        self._worker, self._rate, self._lost = worker, rate, lost
        self._deadlines, self._after = deadlines, finished
        self._loop = asyncio.get_running_loop()
        self._batch = bytearray()
        self._sent = self._decoded = 0
        self._partial: Words | None = None
        self._final: Words | None = None
        self._fault: PeerError | None = None
        self._news = asyncio.Event()
        self._finished = self._cancelled = False
        self._due_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def push(self, pcm: bytes) -> None:
        if self._worker is None or self._finished or self._over:
            return
        waiting = self._sent - self._decoded + len(self._batch)
        if waiting + len(pcm) > BACKLOG_S * self._rate * 2:
            self._lost(len(pcm))
            return
        self._batch += pcm
        if len(self._batch) >= MESSAGE_MS * self._rate // 1000 * 2:
            self._flush()

    def _flush(self) -> None:
        if self._worker and self._batch:
            self._worker.send(Kind.AUDIO, self.number, bytes(self._batch))
            self._sent += len(self._batch)
            self._batch.clear()

    def finish(self) -> None:
        if self._finished or self._cancelled or self._fault:
            return
        self._finished = True
        if self._worker is None:
            self._end(EMPTY)
        elif self._final is not None:
            self._news.set()
        else:
            self._flush()
            self._worker.send(Kind.FINISH, self.number, b"")
            self._due_at = self._loop.time() + self._deadlines.final_s
            soonest = min(self._deadlines.hung_s, self._deadlines.final_s)
            self._timer = self._loop.call_later(soonest, self._overdue)

    def _overdue(self) -> None:
        """No result yet. A worker that said something meanwhile is only busy."""
        if self._worker is None or self._over:
            return
        quiet = self._loop.time() - self._worker.heard_at
        patience = self._deadlines.hung_s if self._worker.ready.is_set() else self._deadlines.start_s
        if quiet >= patience:
            self._worker.kill("no result")
        elif self._loop.time() >= self._due_at:
            _log.error("result_late", utterance=self.number)
            self._worker.cancel(self.number)
            self._fail(PeerError("The recogniser's process was too late with its words."))
        else:
            left = min(patience - quiet, self._due_at - self._loop.time(), self._deadlines.hung_s)
            self._timer = self._loop.call_later(left, self._overdue)

    def cancel(self) -> None:
        self._cancelled = True
        if self._worker:
            self._worker.cancel(self.number)
        self._stop_timer()
        self._news.set()

    def take(self, message: Message | None) -> None:
        """From the worker: progress, words, or None when it was lost."""
        match message:
            case None:
                self._fail(PeerError("The recogniser's process was lost.", retryable=True))
            case Message(Kind.AUDIO, _, payload):
                self._decoded = int(payload)
            case Message(Kind.PARTIAL, _, payload):
                self._partial = words_from_json(payload)
                self._news.set()
            case Message(Kind.FAULT, _, payload):
                _log.error("utterance_given_up", utterance=self.number, why=payload.decode(errors="replace"))
                self._fail(PeerError("The recogniser gave the utterance up."))
            case Message(Kind.FINAL, _, payload):
                self._end(self._after(words_from_json(payload)))

    @property
    def _over(self) -> bool:
        return self._cancelled or self._final is not None or self._fault is not None

    def _end(self, final: Words) -> None:
        if not self._over:
            self._final = final
            self._stop_timer()
            self._news.set()

    def _fail(self, fault: PeerError) -> None:
        if not self._over:
            self._fault = fault
            self._stop_timer()
            self._news.set()

    def _stop_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None

    async def words(self) -> AsyncIterator[Words]:
        """Partials, then one final after `finish`. `PeerError` as soon as the worker is lost or too late."""
        while not self._cancelled:
            await self._news.wait()
            self._news.clear()
            if self._cancelled:
                return
            if self._fault:
                raise self._fault
            partial, self._partial = self._partial, None
            if self._final is not None and self._finished:
                yield self._final
                return
            if partial is not None:
                yield partial
