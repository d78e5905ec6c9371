"""pocketsphinx in this very thread, for a replay: the worker that live calls have in a process of its own decodes a
message when it is sent, and the clock stands while it does.

So the words belong to the sample at which they were known, whatever the machine was doing, and the same audio gives
the same words at the same moments. What decoding cost is measured and told apart (`spent_s`); what a caller would
have waited for, the final words after the end, is charged to the clock.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from voicebot.engines.asr_pocketsphinx import PocketsphinxAsr
from voicebot.engines.base import EngineConfig
from voicebot.engines.pocketsphinx_worker import Worker
from voicebot.engines.worker_messages import Kind, Message, Messages

PARTIAL_S = 0.0047
"""After their audio: no round number, so that nothing else is due at the same instant."""
NBEST_S = 5.0
"""Time for other hypotheses. Live there is a hundredth of a second, and how many there are depends on the machine."""


class InlineWorker:
    """Looks like `engines.worker_process.Process` to the engine. `final_s`: charged for final words; None: as long as
    they took."""

    pid = None

    def __init__(self, hello: bytes, greeted: Callable[[Any], None], final_s: float | None) -> None:
        self.ready, self.loaded, self.running = asyncio.Event(), set[str](), True
        self.heard_at = self.spent_s = 0.0
        """`spent_s`: what all the decoding took, by the wall."""
        self._final_s, self._loop = final_s, asyncio.get_running_loop()
        self._takers: dict[int, Callable[[Message | None], None]] = {}
        self._said = bytearray()
        self._worker = Worker(self._said.extend)
        self.send(Kind.HELLO, 0, hello)
        self.ready.set()
        greeted(self)

    @property
    def utterances(self) -> int:
        return len(self._takers)

    def open(self, number: int, wanted: bytes, take: Callable[[Message | None], None]) -> None:
        """A new utterance; `take` gets its messages."""
        self._takers[number] = take
        self.send(Kind.OPEN, number, wanted)

    def cancel(self, number: int) -> None:
        """Nobody wants the result."""
        if self._takers.pop(number, None):
            self.send(Kind.CANCEL, number, b"")

    def send(self, kind: Kind, number: int, payload: bytes) -> None:
        """Have it done, and its answers delivered when they would have been there."""
        began_s = time.perf_counter()
        self._worker.answer(Message(kind, number, payload))
        took_s = time.perf_counter() - began_s
        if kind in (Kind.AUDIO, Kind.FINISH):
            self.spent_s += took_s
        said = bytes(self._said)
        self._said.clear()
        partial: Message | None = None
        for message in Messages().feed(said):
            match message.kind:
                case Kind.AUDIO:
                    self._deliver(message)
                case Kind.PARTIAL:
                    partial = message
                case Kind.FINAL:
                    self._loop.call_later(took_s if self._final_s is None else self._final_s, self._deliver, message)
                case _:
                    pass
        if partial:
            self._loop.call_later(PARTIAL_S, self._deliver, partial)

    def _deliver(self, message: Message) -> None:
        self.heard_at = self._loop.time()
        gone = message.kind is Kind.FINAL
        take = self._takers.pop(message.utterance, None) if gone else self._takers.get(message.utterance)
        if take:
            take(message)

    def kill(self, why: str) -> None:
        """It never hangs: there is nobody to hang."""

    def close(self) -> None:
        """Every utterance ends without a result."""
        takers, self._takers = self._takers, {}
        for take in takers.values():
            take(None)


def inline(config: EngineConfig, final_s: float | None, started: Callable[[InlineWorker], None]) -> PocketsphinxAsr:
    """The engine, with one worker of this kind, of which `started` is told. `UsageError` as by the engine itself."""
    tuning = {**dict(config.options.get("tuning", {})), "nbest_s": NBEST_S}
    ours = replace(config, options={**config.options, "tuning": tuning}, workers=1)

    def launch(_: str, hello: bytes, greeted: Callable[[Any], None]) -> InlineWorker:
        started(worker := InlineWorker(hello, greeted, final_s))
        return worker

    return PocketsphinxAsr(ours, launch)  # type: ignore[arg-type]
