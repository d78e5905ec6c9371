"""Engines that cost nothing and take a set time, for `voicebot measure load`: what is measured is everything else.

They are in no list of engines and answer to no dialplan of a service: only a process that calls `lend` has them.
Options: `asr_stub: {rate, final_s}`, `llm_stub: {first_token_s, tokens_s}`, `tts_stub: {wav, first_audio_s, rate}`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import soundfile

from voicebot.audio.resample import resample_whole
from voicebot.core.dialogue import CallerTurn, LlmEvent, Past, Text
from voicebot.core.expect import Expectation, Mode
from voicebot.core.tone import PLAIN, Manner
from voicebot.core.words import Words
from voicebot.engines import registry
from voicebot.engines.base import AgentContext, Asr, EngineConfig, Llm, Speech, Tts

HEARD = "can you tell me the opening hours"
"""What every utterance is understood as, a word for each `WORD_MS` of it."""
SAID = "Of course, I can help you with that right now. What else?"
TOKENS_S = 60.0
WORD_MS = 150
PIECE_S = 0.1


def lend() -> None:
    """From now on this process has an `asr`, an `llm` and a `tts` named `stub`."""
    asr: Callable[[EngineConfig], Asr] = StubAsr  # the contracts, held
    llm: Callable[[EngineConfig], Llm] = StubLlm
    tts: Callable[[EngineConfig], Tts] = StubTts
    for stage, create in (("asr", asr), ("llm", llm), ("tts", tts)):
        module = ModuleType(f"{stage}_stub")
        module.create, module.check = create, _ready  # type: ignore[attr-defined]
        registry.lend(stage, "stub", module, __name__)


def _ready() -> None:
    return None


class StubAsr:
    """Words by the length of what is heard."""

    def __init__(self, config: EngineConfig) -> None:
        self.rate = int(config.options.get("rate", 16000))
        self.final_s = float(config.options.get("final_s", 0.0))

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def prepare(self, expectations: Sequence[Expectation]) -> None: ...

    def open(self, _: Expectation) -> StubUtterance:
        return StubUtterance(self)


class StubUtterance:
    """One utterance: a partial for each new word, then all of them."""

    def __init__(self, asr: StubAsr) -> None:
        self._asr, self._bytes, self._told = asr, 0, 0
        self._news = asyncio.Event()
        self._finished = self._cancelled = False

    def push(self, pcm: bytes) -> None:
        self._bytes += len(pcm)
        if self._count() > self._told:
            self._news.set()

    def _count(self) -> int:
        return min(len(HEARD.split()), self._bytes // (self._asr.rate * 2 * WORD_MS // 1000))

    def finish(self) -> None:
        self._finished = True
        self._news.set()

    def cancel(self) -> None:
        self._cancelled = True
        self._news.set()

    async def words(self) -> AsyncIterator[Words]:
        while not self._cancelled:
            await self._news.wait()
            self._news.clear()
            if self._finished and not self._cancelled:
                await asyncio.sleep(self._asr.final_s)
                if not self._cancelled:
                    yield Words(HEARD, final=True)
                return
            if self._count() > self._told:
                self._told = self._count()
                yield Words(" ".join(HEARD.split()[: self._told]), final=False)


class StubLlm:
    """The same answer, token by token."""

    def __init__(self, config: EngineConfig) -> None:
        self.first_token_s = float(config.options.get("first_token_s", 0.0))
        self.tokens_s = float(config.options.get("tokens_s", TOKENS_S))

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    def prepare(self, _: Any) -> tuple[()]:
        return ()

    def open(self, _: AgentContext) -> StubAgent:
        return StubAgent(self)


class StubAgent:
    """One call's."""

    expectation = Expectation("bench", Mode.OPEN, (HEARD,))

    def __init__(self, llm: StubLlm) -> None:
        self._llm = llm

    async def reply(self, turn: CallerTurn) -> AsyncIterator[LlmEvent]:
        loop = asyncio.get_running_loop()
        due_s = loop.time() + self._llm.first_token_s
        for token in SAID.split():
            await asyncio.sleep(max(0.0, due_s - loop.time()))
            due_s += 1 / self._llm.tokens_s
            yield Text(token + " ")

    async def prepare(self, turn: CallerTurn) -> None: ...

    def committed(self, text: str, complete: bool) -> None: ...

    def take_over(self, past: Sequence[Past], begun: str) -> None: ...


class StubTts:
    """A recording for every clause, faster than it is spoken."""

    voice_id = "stub"

    def __init__(self, config: EngineConfig) -> None:
        self._wav = Path(str(config.options["wav"]))
        self._first_audio_s = float(config.options.get("first_audio_s", 0.0))
        self._rate = int(config.options.get("rate", 24000))

    async def start(self) -> None:
        samples, rate = soundfile.read(self._wav, dtype="int16")
        self._pcm = resample_whole(samples.tobytes(), rate, self._rate)

    async def close(self) -> None: ...

    async def speak(self, clauses: AsyncIterator[str], manner: Manner = PLAIN) -> AsyncIterator[Speech]:
        piece = int(self._rate * PIECE_S) * 2
        async for _ in clauses:
            await asyncio.sleep(self._first_audio_s)
            for at in range(0, len(self._pcm), piece):
                yield Speech(self._pcm[at : at + piece], self._rate)
