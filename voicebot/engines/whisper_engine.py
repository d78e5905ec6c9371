"""What `asr_whisper` and `asr_faster_whisper` share: options, the worker process, and its utterances.

A model hears in a process of its own (`whisper_worker`), so that neither the event loop nor the GIL waits for it.
Nothing is ever downloaded: a model that is not on disk is one sentence that names the command.

Options (`engines.options.whisper` or `.faster_whisper` of a dialplan):

    model       a name such as small or large-v3, fetched by `voicebot models get`, or a path; default base
    device      cpu, cuda, or auto
    compute     number format: faster-whisper's int8, float16, …; whisper's float16, float32; default auto
    beam        beams for the final result, 1–10, default 5; partial results are greedy
    step_ms     new audio after which it is heard again, 200–5000, default 700
    batch       utterances heard at once, 1–64, default 8
    threads     of one worker, 0: the library decides; default 0
    deadline_s  for a final result, 1–60, default 8; then it is empty
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from voicebot.core.expect import Expectation
from voicebot.engines.base import EngineConfig
from voicebot.engines.whisper_backend import RATE, prompt_of
from voicebot.engines.worker_process import Process
from voicebot.engines.worker_session import Deadlines, Session
from voicebot.errors import PeerError, UsageError

WORKER = "voicebot.engines.whisper_worker"
START_S = 120.0
"""Deadline for loading the model: large ones come from a slow disk."""
_NUMBERS = {
    "beam": (5, 1, 10),
    "step_ms": (700, 200, 5000),
    "batch": (8, 1, 64),
    "threads": (0, 0, 64),
    "deadline_s": (8, 1, 60),
}
"""Option → (default, least, most)."""
_TEXTS = {"model": "base", "device": "auto", "compute": "auto"}


def settings_of(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Options with defaults. `UsageError` for one that is unknown or out of range."""
    given = {key: value for key, value in options.items() if key != "rate"}  # it hears 16 kHz, whatever the line
    unknown = given.keys() - _NUMBERS.keys() - _TEXTS.keys()
    if unknown:
        raise UsageError(f"{name} has no option {sorted(unknown)[0]!r}. Use one of: {', '.join([*_TEXTS, *_NUMBERS])}.")
    for key, (_, low, high) in _NUMBERS.items():
        value = given.get(key, low)
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise UsageError(f"{name}'s {key} must be a number from {low} to {high}, not {value!r}.")
    numbers = {key: int(given.get(key, default)) for key, (default, _, _) in _NUMBERS.items()}
    return numbers | {key: str(given.get(key, default)) for key, default in _TEXTS.items()}


class WhisperAsr:
    """Shared by all calls: worker processes that each hold the model. A worker that dies or hangs is replaced, and
    who it was listening to is told so."""

    rate = RATE

    def __init__(self, engine: str, model: Path, settings: Mapping[str, Any], config: EngineConfig) -> None:
        """`engine` is the module whose `load` the worker calls; `settings` are those of `settings_of`."""
        self.audio_lost_bytes = 0
        self.workers: list[Process] = []
        self._language = config.language
        self._deadlines = Deadlines(2.0 * settings["deadline_s"], settings["deadline_s"], START_S)
        primary = config.language.partition("-")[0].lower()
        self._hello = json.dumps({**settings, "engine": engine, "model": str(model), "language": primary}).encode()
        self._count = max(1, config.workers)
        self._numbers = itertools.count(1)
        self._prompts: dict[Expectation, str] = {}

    async def start(self) -> None:
        """Load the model in every worker. `PeerError` when it cannot be loaded, or not in time."""
        self.workers = [Process(WORKER, self._hello) for _ in range(self._count)]
        try:
            async with asyncio.timeout(START_S):
                for worker in self.workers:
                    await worker.tried.wait()
        except TimeoutError:
            await self.close()
            raise PeerError("The recogniser's model was not loaded in time.", retryable=True) from None
        broken = next((worker.fault or "its process ended" for worker in self.workers if not worker.ready.is_set()), "")
        if broken:
            await self.close()
            raise PeerError(f"The recogniser's model cannot be loaded: {broken}")

    async def close(self) -> None:
        for worker in self.workers:
            worker.close()
        self.workers = []

    async def prepare(self, expectations: Sequence[Expectation]) -> None:
        self._prompts |= {each: prompt_of(each) for each in expectations}

    def open(self, expectation: Expectation) -> Session:
        """A free expectation is heard, too. `PeerError` while no worker is ready."""
        ready = [worker for worker in self.workers if worker.running and worker.ready.is_set()]
        worker = min(ready, key=lambda each: each.utterances, default=None)
        if worker is None:
            raise PeerError("The recogniser's model is still being loaded.")
        session = Session(next(self._numbers), worker, self.rate, self._lost, self._deadlines)
        prompt = self._prompts.get(expectation) or prompt_of(expectation)
        wanted = json.dumps({"language": self._language, "prompt": prompt}).encode()
        worker.open(session.number, wanted, session.take)
        return session

    def _lost(self, count: int) -> None:
        self.audio_lost_bytes += count
