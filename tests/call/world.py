"""A small world for a session: a caller that speaks in tones, and engines that do as they are told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from voicebot.call.parts import Parts
from voicebot.call.session import Session
from voicebot.carriers.base import FRAME_BYTES, RATE, CallInfo
from voicebot.carriers.wavline import WavLine
from voicebot.core.dialogue import CallerTurn, LlmEvent, Text, ToolCall, ToolDone
from voicebot.core.expect import Expectation, Mode
from voicebot.core.timeline import Record
from voicebot.core.tone import PLAIN, Manner
from voicebot.core.words import Words
from voicebot.engines.base import Speech, SpokenWord, Voice, VoiceStarted, VoiceStopped

WORD_MS = 250
"""How long the test voice takes for a word."""


def tone(ms: int) -> bytes:
    """The caller's voice: a 400 Hz tone, 8 kHz int16 LE."""
    t = np.arange(RATE * ms // 1000) / RATE
    return (8000 * np.sin(2 * np.pi * 400 * t)).astype("<i2").tobytes()


def noise(ms: int) -> bytes:
    """The bot's voice: unlike the caller's, so that nobody takes one for the other's echo."""
    return np.random.default_rng(ms).normal(0, 6000, RATE * ms // 1000).clip(-30000, 30000).astype("<i2").tobytes()


def silence(ms: int) -> bytes:
    return bytes(RATE * ms // 1000 * 2)


class ToneVad:
    """Voice is what is not silence: starts after 60 ms, stops after 200 ms."""

    def open(self) -> ToneVad:
        return ToneVad()

    def __init__(self) -> None:
        self._loud = self._quiet = 0
        self._active = False

    speech = False

    def push(self, pcm: bytes, at: int) -> Sequence[Voice]:
        loud = self.speech = pcm[:FRAME_BYTES] != bytes(len(pcm))
        self._loud, self._quiet = (self._loud + 1, 0) if loud else (0, self._quiet + 1)
        if not self._active and self._loud == 3:
            self._active = True
            return [VoiceStarted(at - 320)]
        if self._active and self._quiet == 10:
            self._active = False
            return [VoiceStopped(at - 9 * 160)]
        return []

    def ask(self, pcm: bytes, at: int, answer: Callable[[Sequence[Voice]], None]) -> None:
        answer(self.push(pcm, at))

    def close(self) -> None: ...


@dataclass
class ScriptedAsr:
    """Each utterance is recognised as the next of `texts`, 30 ms after it is finished."""

    texts: list[str]
    partials: bool = True
    rate: int = RATE
    heard_samples: list[int] = field(default_factory=list)

    def open(self, _: Expectation) -> ScriptedUtterance:
        return ScriptedUtterance(self)


class ScriptedUtterance:
    def __init__(self, asr: ScriptedAsr) -> None:
        self._asr, self._samples = asr, 0
        self._news: asyncio.Queue[Words | None] = asyncio.Queue(10)
        self._text = asr.texts.pop(0) if asr.texts else ""
        self._told = False

    def push(self, pcm: bytes) -> None:
        self._samples += len(pcm) // 2
        if self._asr.partials and not self._told and self._samples > 0.8 * RATE and self._text:
            self._told = True
            self._news.put_nowait(Words(self._text, final=False))

    def finish(self) -> None:
        self._asr.heard_samples.append(self._samples)
        asyncio.get_running_loop().call_later(0.03, self._news.put_nowait, Words(self._text, final=True))

    def cancel(self) -> None:
        self._news.put_nowait(None)

    async def words(self) -> AsyncIterator[Words]:
        while (words := await self._news.get()) is not None:
            yield words
            if words.final:
                return


@dataclass
class ToneTts:
    """An engine, or a call's voice with a manner of its own. A word lasts `WORD_MS`; `delay_s` before the first audio;
    `fails` synthesises nothing."""

    delay_s: float = 0.02
    fails: bool = False
    voice_id: str = "tone"
    manner: Manner = PLAIN
    manners: list[Manner] = field(default_factory=list)
    """In which each clause was said."""

    async def speak(self, clauses: AsyncIterator[str], manner: Manner | None = None) -> AsyncIterator[Speech]:
        async for clause in clauses:
            self.manners.append(manner or self.manner)
            await asyncio.sleep(self.delay_s)
            if self.fails:
                return
            for word in clause.split():
                yield Speech(noise(WORD_MS), RATE, (SpokenWord(word + " ", 0),))


class NoPrompts:
    """Nothing was synthesised beforehand, but for the fixed sentences of a test."""

    def __init__(self, *texts: str) -> None:
        self._texts = texts

    def get(self, _: str, text: str) -> Any:
        if text not in self._texts:
            return None
        return Prompt(noise(WORD_MS * len(text.split())), (SpokenWord(text, 0),))


@dataclass(frozen=True)
class Prompt:
    pcm: bytes
    words: tuple[SpokenWord, ...]


ANYTHING = Expectation("test", Mode.OPEN, ("anything",))
Brain = Callable[[CallerTurn], Sequence[LlmEvent | float | Exception]]
"""What the agent answers to a turn; a number is a pause in seconds."""


@dataclass
class ScriptedAgent:
    brain: Brain
    expectation: Expectation = ANYTHING
    turns: list[CallerTurn] = field(default_factory=list)
    heard: list[tuple[str, bool]] = field(default_factory=list)
    prepared: list[CallerTurn] = field(default_factory=list)

    async def reply(self, turn: CallerTurn) -> AsyncIterator[LlmEvent]:
        self.turns.append(turn)
        for event in self.brain(turn):
            if isinstance(event, float):
                await asyncio.sleep(event)
            elif isinstance(event, Exception):
                raise event
            else:
                yield event

    async def prepare(self, turn: CallerTurn) -> None:
        self.prepared.append(turn)

    def committed(self, text: str, complete: bool) -> None:
        self.heard.append((text, complete))


@dataclass
class Toolbox:
    """`seconds` of work for any tool; `acting` names have side effects."""

    seconds: float = 0.0
    acting: frozenset[str] = frozenset()
    ran: list[str] = field(default_factory=list)

    def acts(self, name: str) -> bool:
        return name in self.acting

    async def run(self, call: ToolCall) -> ToolDone:
        await asyncio.sleep(self.seconds)
        self.ran.append(call.name)
        return ToolDone(call.call_id, True, {"done": call.name})


@dataclass
class World:
    """Everything a call needs; change what a test is about, then `await call(…)`."""

    folder: Path
    dialplan: Any
    brain: Brain = lambda turn: [Text("Hello there.")]
    texts: tuple[str, ...] = ()
    tts: ToneTts = field(default_factory=ToneTts)
    toolbox: Toolbox = field(default_factory=Toolbox)
    pace: str = "turns"
    dial: Any = None
    refuses: Exception | None = None
    """What the line says to a transfer."""
    records: list[Record] = field(default_factory=list)

    async def call(self, *utterances: bytes) -> Session:
        self.agent = ScriptedAgent(self.brain)
        self.asr = ScriptedAsr(list(self.texts))
        self.line = WavLine(CallInfo("test-call", "wavline", "", ""), utterances, self.pace)
        if self.refuses:
            self.line.transfer = self._refuse  # type: ignore[method-assign]
        sentences = self.dialplan.sentences
        prompts: Any = NoPrompts(
            sentences.one_moment,
            sentences.sorry,
            sentences.trouble,
            sentences.putting_through,
            sentences.goodbye,
            sentences.still_trying,
        )
        parts = Parts(ToneVad(), self.asr, self.tts, self.agent, prompts, self.toolbox)  # type: ignore[arg-type]
        parts = replace(parts, dial=self.dial)
        session = Session(self.line, self.dialplan, parts, self.folder, True, self.records.append)
        await session.run()
        return session

    async def _refuse(self, _: str) -> None:
        assert self.refuses
        raise self.refuses

    def of(self, kind: str) -> list[Record]:
        return [r for r in self.records if r.kind == kind]
