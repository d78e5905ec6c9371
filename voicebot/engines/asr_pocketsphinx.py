"""pocketsphinx as a streaming recogniser, bound to what the dialplan expects.

An open expectation becomes a trigram of sentences sampled from its phrases, a closed one a JSGF grammar, and a
free one (a message after the tone) is not decoded at all. Models are built by `prepare` in a process of their
own and kept in `cache_dir`. Decoding happens while the caller speaks, in worker processes
(`pocketsphinx_worker`), because pocketsphinx keeps the GIL; this side is callbacks on two kinds of socket events
and holds no task. A worker that dies or hangs is replaced, and who it was listening to is told so.

Options (`engines.options.pocketsphinx` of a dialplan): `pronounce` {word: "P R AH N"}, `decoders` (utterances at
once in a worker, 8), `rate` (8000 for a telephone, whose band the worker extends; 16000 for wide-band audio),
`tuning` (fields of `Tuning`),
`general` (true: everything is decoded with general English, whatever the dialplan expects: poor, and not bound).
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import importlib.util
import itertools
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from voicebot import log
from voicebot.core.expect import Expectation, Mode
from voicebot.core.grammar import matches
from voicebot.core.words import Words
from voicebot.engines.bandwidth import chosen
from voicebot.engines.base import EngineConfig
from voicebot.engines.pocketsphinx_model import Model, general, model_of, to_json
from voicebot.engines.worker_messages import Kind
from voicebot.engines.worker_process import Process
from voicebot.engines.worker_session import Deadlines, Session
from voicebot.errors import PeerError, UsageError

WORKER = "voicebot.engines.pocketsphinx_worker"
START_S = 20.0
"""Deadline for a worker to say that it is ready."""
BUILD_S = 120.0
"""Deadline for building the models of a dialplan."""
BUILDERS = min(8, os.cpu_count() or 1)
HUNG_S = 3.0
"""A worker that owes a result and says nothing for this long is killed."""
FINAL_S = 10.0
"""A result that is not there after this is given up, however busy the worker."""
PATIENT = Deadlines(START_S, START_S, START_S)
"""For general English: its dictionary alone takes seconds to load."""

UNFIT = 0.4
"""Most confidence for a closed result that is not a phrase, or was not the best hypothesis."""
_log = log.get("asr_pocketsphinx")


def check() -> str | None:
    """None when it can run here, else what it needs."""
    if importlib.util.find_spec("pocketsphinx") is None:
        return "The package pocketsphinx is not installed: pip install pocketsphinx."
    return None


def create(config: EngineConfig) -> PocketsphinxAsr:
    """`UsageError` for a language other than English: the acoustic model in the wheel is American."""
    if config.language.partition("-")[0].lower() != "en":
        raise UsageError(f"pocketsphinx understands English only, not {config.language}. Choose another asr engine.")
    return PocketsphinxAsr(config)


class PocketsphinxAsr:
    """Shared by all calls: worker processes, and the models of every dialplan."""

    def __init__(self, config: EngineConfig, launch: Callable[..., Process] = Process) -> None:
        """`launch` starts a worker; a replay has one that is no process."""
        options = config.options
        self.rate = int(options.get("rate", 8000))
        if self.rate not in (8000, 16000):
            raise UsageError(f"pocketsphinx takes a rate of 8000 or 16000, not {self.rate}.")
        # Wide-band audio is not extended, but has the cepstral mean of what is.
        self.bandwidth = chosen("neural" if self.rate == 16000 else config.bandwidth, "pocketsphinx").mode
        self.audio_lost_bytes = 0
        self._config, self._launch = config, launch
        self._pronounce = {str(w).lower(): str(p) for w, p in dict(options.get("pronounce", {})).items()}
        self._general = bool(options.get("general", False))
        self._folder = config.cache_dir
        self._temporary = ""
        self._models: dict[Expectation, Model] = {}
        self.workers: list[Process] = []
        self._numbers = itertools.count(1)

    async def start(self) -> None:
        """`PeerError` when a worker is not ready in time."""
        if not self._folder:
            self._folder = self._temporary = tempfile.mkdtemp(prefix="voicebot-asr-")
        settings = {
            "rate": self.rate,
            "decoders": int(self._config.options.get("decoders", 8)),
            "folder": self._folder,
            "tuning": {"bandwidth": self.bandwidth, **dict(self._config.options.get("tuning", {}))},
        }
        hello = json.dumps(settings).encode()
        self.workers = [self._launch(WORKER, hello, self._greet) for _ in range(max(1, self._config.workers))]
        try:
            async with asyncio.timeout(START_S):
                for worker in self.workers:
                    await worker.ready.wait()
        except TimeoutError:
            await self.close()
            raise PeerError("The recogniser's process did not start.", retryable=True) from None

    def _greet(self, worker: Process) -> None:
        """A new process: tell it what was prepared."""
        for model in dict.fromkeys(self._models.values()):
            _load(worker, model)

    async def close(self) -> None:
        for worker in self.workers:
            worker.close()
        self.workers = []
        if self._temporary:
            shutil.rmtree(self._temporary, ignore_errors=True)
            self._folder = self._temporary = ""

    async def prepare(self, expectations: Sequence[Expectation]) -> None:
        """Build what is not cached. `UsageError` for phrases or pronunciations that cannot be read."""
        wanted = {e: self._model(e) for e in expectations if self._heard(e)}
        missing = {model.key: e for e, model in wanted.items() if not model.built()}
        if missing:
            await self._build(list(missing.values()))
        self._models |= wanted
        for model in dict.fromkeys(wanted.values()):
            for worker in self.workers:
                _load(worker, model)

    def _heard(self, expectation: Expectation) -> bool:
        """Whether it is decoded at all: there are phrases to listen for."""
        return self._general or (expectation.mode is not Mode.FREE and bool(expectation.phrases))

    def _model(self, expectation: Expectation) -> Model:
        if self._general:
            return general(self._folder)
        words = self._pronounce
        return self._models.get(expectation) or model_of(expectation, words, self._folder)

    async def _build(self, expectations: Sequence[Expectation]) -> None:
        """In as many processes as there are cores; calls come before them."""
        shares = [expectations[at::BUILDERS] for at in range(min(BUILDERS, len(expectations)))]
        try:
            async with asyncio.TaskGroup() as group:
                for share in shares:
                    group.create_task(self._build_share(share))
        except* UsageError as failed:
            raise failed.exceptions[0] from None

    async def _build_share(self, expectations: Sequence[Expectation]) -> None:
        lines = b"".join(to_json(each, self._pronounce) + b"\n" for each in expectations)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "voicebot.engines.pocketsphinx_model", str(Path(self._folder))),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(BUILD_S):
                _, said = await process.communicate(lines)
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            raise
        if process.returncode:
            why = said.decode(errors="replace").strip().splitlines()
            raise UsageError(f"The recogniser cannot use the dialplan's phrases: {why[-1] if why else '?'}")

    def open(self, expectation: Expectation) -> Session:
        if not self.workers or not self._heard(expectation):
            return Session(0, None, self.rate, self._lost)
        worker = min(self.workers, key=lambda each: (not each.running, each.utterances))
        model = self._models.get(expectation)
        if model is None:
            _log.warning("expectation_not_prepared", expectation=expectation.name)
            model = self._models[expectation] = self._model(expectation)
        if model.key not in worker.loaded:
            worker.loaded.add(model.key)  # built there and then, while its other utterances wait
            worker.send(Kind.BUILD, 0, to_json(expectation, self._pronounce))
        session = Session(
            next(self._numbers),
            worker,
            self.rate,
            self._lost,
            PATIENT if self._general else Deadlines(HUNG_S, FINAL_S, START_S),
            partial(fitted, expectation=expectation),
        )
        worker.open(session.number, model.key.encode(), session.take)
        return session

    def _lost(self, count: int) -> None:
        self.audio_lost_bytes += count


def _load(worker: Process, model: Model) -> None:
    if model.key not in worker.loaded:
        worker.loaded.add(model.key)
        worker.send(Kind.LOAD, 0, json.dumps(dataclasses.asdict(model)).encode())


def fitted(words: Words, expectation: Expectation) -> Words:
    """A closed expectation's result as one of its phrases, where one of the hypotheses is: a grammar search that
    ends in the middle of a phrase gives that half of it."""
    if expectation.mode is not Mode.CLOSED or not words.text or matches(expectation, words.text):
        return words
    confidence = min(words.confidence, UNFIT)
    for other in words.nbest:
        if matches(expectation, other):
            return Words(other, True, confidence, (), words.nbest)
    return Words(words.text, True, confidence, words.words, words.nbest)
