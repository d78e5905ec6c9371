"""Engines that do as a test tells them, and misbehave as real ones do, in the loop's time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from voicebot.core.dialogue import CallerTurn, LlmEvent, Past, Text
from voicebot.core.expect import Expectation, Mode
from voicebot.core.tone import PLAIN, Manner
from voicebot.core.words import Words
from voicebot.engines.base import AgentContext, Speech, SpokenWord
from voicebot.errors import PeerError

WORD_MS = 300


def tone(ms: int, rate: int = 8000, hz: int = 300) -> bytes:
    t = np.arange(rate * ms // 1000) / rate
    return (8000 * np.sin(2 * np.pi * hz * t)).astype("<i2").tobytes()


@dataclass
class Voice:
    """Says every word in `WORD_MS`, but first what `script` says for each call: seconds to wait before a word,
    an exception, or words to say before that."""

    scripts: list[Sequence[Any]] = field(default_factory=list)
    rate: int = 8000
    timed: bool = True
    odd: bool = False
    pause_s: float = 0.0
    voice_id: str = "voice"
    asked: list[str] = field(default_factory=list)
    manners: list[Manner] = field(default_factory=list)

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def speak(self, clauses: AsyncIterator[str], manner: Manner = PLAIN) -> AsyncGenerator[Speech, None]:
        self.manners.append(manner)
        async for clause in clauses:
            self.asked.append(clause)
            words = clause.split()
            for step in self.scripts.pop(0) if self.scripts else ():
                match step:
                    case float():
                        await asyncio.sleep(step)
                    case int():
                        for _ in range(step):
                            yield self._word(words.pop(0))
                    case Exception():
                        raise step
                    case "end":
                        return
            for word in words:
                await asyncio.sleep(self.pause_s)
                yield self._word(word)

    def _word(self, word: str) -> Speech:
        pcm = tone(WORD_MS, self.rate)
        return Speech(pcm, self.rate, (SpokenWord(word + " ", 0),) if self.timed else ())


@dataclass
class Ears:
    """Each utterance follows the next script: ("partial", text), seconds, an exception, or the final's text after the
    end. Without a script it says `says`."""

    says: str = "hello"
    scripts: list[list[Any]] = field(default_factory=list)
    rate: int = 8000
    opened: list[Utterance] = field(default_factory=list)

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def prepare(self, _: Any) -> None: ...

    def open(self, _: Expectation) -> Utterance:
        script = self.scripts.pop(0) if self.scripts else []
        if script and isinstance(script[0], Exception) and script.pop(0):
            raise PeerError("connection refused")
        self.opened.append(Utterance(script, self.says))
        return self.opened[-1]


@dataclass
class Keeping(Ears):
    """Ears that keep what they get."""

    audio: bytearray = field(default_factory=bytearray)

    def open(self, expectation: Any) -> Any:
        session = super().open(expectation)
        push = session.push
        session.push = lambda pcm: (self.audio.extend(pcm), push(pcm))
        return session


class Utterance:
    def __init__(self, script: list[Any], says: str) -> None:
        self.script, self.says = script, says
        self.heard = 0
        self.cancelled = False
        self._over = asyncio.Event()

    def push(self, pcm: bytes) -> None:
        self.heard += len(pcm) // 2

    def finish(self) -> None:
        self._over.set()

    def cancel(self) -> None:
        self.cancelled = True
        self._over.set()

    async def words(self) -> AsyncIterator[Words]:
        for step in self.script:
            match step:
                case ("partial", text):
                    yield Words(text, final=False)
                case float():
                    await asyncio.sleep(step)
                case ("broken", why):
                    raise PeerError(why, retryable=True)
                case "end":
                    return
        await self._over.wait()
        await asyncio.sleep(0.1)
        if not self.cancelled:
            yield Words(self.says, final=True)


@dataclass
class Model:
    """Each reply follows the next script: texts, tool calls, seconds, exceptions. Without one it says `ok`."""

    scripts: list[Sequence[Any]] = field(default_factory=list)
    sessions: list[Session] = field(default_factory=list)

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    def prepare(self, _: Any) -> tuple[()]:
        return ()

    def open(self, _: AgentContext) -> Session:
        self.sessions.append(Session(self))
        return self.sessions[-1]


class Session:
    expectation = Expectation("test", Mode.OPEN, ("anything",))

    def __init__(self, model: Model) -> None:
        self._model = model
        self.turns: list[CallerTurn] = []
        self.past: list[Past] | None = None
        self.begun = ""
        self.heard: list[tuple[str, bool]] = []
        self.prepared: list[CallerTurn] = []

    async def reply(self, turn: CallerTurn) -> AsyncGenerator[LlmEvent, None]:
        self.turns.append(turn)
        for step in self._model.scripts.pop(0) if self._model.scripts else [Text("ok")]:
            match step:
                case float():
                    await asyncio.sleep(step)
                case Exception():
                    raise step
                case _:
                    yield step

    async def prepare(self, turn: CallerTurn) -> None:
        self.prepared.append(turn)

    def committed(self, text: str, complete: bool) -> None:
        self.heard.append((text, complete))

    def take_over(self, past: Sequence[Past], begun: str) -> None:
        self.past, self.begun = list(past), begun
