"""A native engine in the loop's time, that does as a test tells it: each reply follows the next of its scripts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from voicebot.core.conversation import Message
from voicebot.core.dialogue import ToolCall, ToolDone
from voicebot.core.duplex import (
    Abilities,
    AudioFormat,
    Coding,
    Context,
    DuplexEvent,
    Gone,
    How,
    ReplyAudio,
    ReplyBegan,
    ReplyCalls,
    ReplyEnded,
    ReplyText,
)
from voicebot.core.tool_specs import ToolSpec
from voicebot.errors import PeerError

WORD_MS = 300
PCMU = AudioFormat(Coding.PCMU)
ABLE = Abilities(PCMU, PCMU)


def sound(ms: int) -> bytes:
    """Noise, μ-law: unlike the caller's tone."""
    return np.random.default_rng(ms).integers(0, 256, 8 * ms).astype(np.uint8).tobytes()


@dataclass
class Engine:
    """A script is a list of: text (said at once, `WORD_MS` for a word), seconds, a tool call, an event, an exception
    (the connection breaks), `Gone`. Without a script it says `ok`."""

    scripts: list[Sequence[Any]] = field(default_factory=list)
    abilities: Abilities = ABLE
    opens: list[float | Exception] = field(default_factory=list)
    """What each opening does first."""
    later: list[tuple[float, Callable[[Session], None]]] = field(default_factory=list)
    """(seconds after the first opening, what to do then)."""
    sessions: list[Session] = field(default_factory=list)

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def open(self, context: Context) -> Session:
        match self.opens.pop(0) if self.opens else 0.05:
            case Exception() as error:
                raise error
            case seconds:
                await asyncio.sleep(seconds)
        self.sessions.append(Session(self, context))
        for seconds, act in self.later if len(self.sessions) == 1 else ():
            asyncio.get_running_loop().call_later(seconds, act, self.sessions[0])
        return self.sessions[-1]


class Session:
    def __init__(self, engine: Engine, context: Context) -> None:
        self._engine, self.context = engine, context
        self.asked: list[str] = []
        self.cuts: list[tuple[str, int]] = []
        self.told: list[Message] = []
        self.results: list[ToolDone] = []
        self.configured: list[tuple[str, tuple[ToolSpec, ...]]] = []
        self.heard = bytearray()
        self.begun = 0
        self.closed = False
        self._work: asyncio.Queue[Sequence[Any] | None] = asyncio.Queue()
        self._tell: Callable[[DuplexEvent], None] = lambda _: None
        self._replies = 0
        self._cut: set[str] = set()
        self._waiting: set[str] = set()
        self._over = asyncio.Event()

    async def run(self, tell: Callable[[DuplexEvent], None]) -> None:
        self._tell = tell
        async with asyncio.TaskGroup() as group:
            work = group.create_task(self._working())
            await self._over.wait()
            work.cancel()

    def push(self, audio: bytes) -> None:
        self.heard += audio

    def began(self) -> None:
        self.begun += 1

    def respond(self, instructions: str = "") -> None:
        self.asked.append(instructions)
        self._next()

    def speak_up(self) -> None:
        """By itself."""
        self._next()

    def say(self, event: DuplexEvent) -> None:
        """Any event, now."""
        self._tell(event)
        if isinstance(event, Gone):
            self._over.set()

    def _next(self) -> None:
        self._work.put_nowait(self._engine.scripts.pop(0) if self._engine.scripts else ["ok"])

    async def _working(self) -> None:
        while (script := await self._work.get()) is not None:
            self._replies += 1
            reply = f"{len(self._engine.sessions)}.{self._replies}"
            await self._reply(reply, script)

    async def _reply(self, reply: str, script: Sequence[Any]) -> None:
        began = False
        for step in script:
            if isinstance(step, float):
                await asyncio.sleep(step)
                continue
            if reply in self._cut:
                return
            if not began and not isinstance(step, Gone | Exception):
                began = True
                self._tell(ReplyBegan(reply))
            match step:
                case How.FAILED:
                    self._tell(ReplyEnded(reply, How.FAILED, "The test wanted it."))
                    return
                case str():
                    self._tell(ReplyText(reply, step))
                    for _ in step.split():
                        self._tell(ReplyAudio(reply, sound(WORD_MS)))
                case ToolCall():
                    self._waiting.add(step.call_id)
                    self._tell(ReplyCalls(reply, step))
                case Gone():
                    self.say(step)
                    return
                case Exception():
                    raise step
                case _:
                    self._tell(step)
        if reply not in self._cut and began:
            self._tell(ReplyEnded(reply))

    def cut(self, reply: str, heard_ms: int) -> None:
        self.cuts.append((reply, heard_ms))
        self._cut.add(reply)

    def tell(self, message: Message) -> None:
        self.told.append(message)

    def tool_done(self, done: ToolDone) -> None:
        self.results.append(done)
        self._waiting.discard(done.call_id)
        if not self._waiting:
            self._next()

    def configure(self, instructions: str, tools: Sequence[ToolSpec]) -> None:
        self.configured.append((instructions, tuple(tools)))

    async def close(self) -> None:
        self.closed = True
        self._over.set()


BROKEN = PeerError("The connection broke.")
