"""The cascade as an interpreter: what the recogniser understood, translated as text, spoken by a voice of the other
language. A native engine to the call, so that it sits where the others do; the words come from the call's own ears."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from typing import Any

from voicebot.audio.resample import Resampler
from voicebot.call.stack import Engines
from voicebot.carriers.base import RATE
from voicebot.core import interpreting
from voicebot.core.chunker import Chunker
from voicebot.core.conversation import Message
from voicebot.core.dialogue import ToolDone
from voicebot.core.dialplan import Dialplan
from voicebot.core.duplex import (
    Abilities,
    AudioFormat,
    Coding,
    Context,
    Decides,
    DuplexEvent,
    Gone,
    How,
    ReplyAudio,
    ReplyBegan,
    ReplyEnded,
    ReplyText,
)
from voicebot.core.tool_specs import ToolSpec
from voicebot.engines.base import Mt, Tts
from voicebot.engines.duplex_base import Duplex
from voicebot.engines.guard import Chain, Member
from voicebot.errors import PeerError, UsageError

NAME = "cascade"
WAITING = 16
"""Sentences that may wait to be translated; a further one is told as failed."""
_SOUND = AudioFormat(Coding.PCM16, RATE)


class CascadeInterpreter:
    """`texts` translate, `voices` speak; the first of each that can."""

    def __init__(self, texts: Chain[Mt], voices: Chain[Tts], source: str, target: str) -> None:
        self._texts, self._voices, self.source, self.target = texts, voices, source, target

    async def start(self) -> None: ...

    async def close(self) -> None:
        """Its engines are shared, and somebody else's to close."""

    @property
    def abilities(self) -> Abilities:
        return Abilities(_SOUND, _SOUND, (Decides.OURS,), obeys=False)

    async def open(self, context: Context) -> CascadeSession:
        return CascadeSession(self)

    async def say(self, text: str, reply: str, tell: Callable[[DuplexEvent], None]) -> None:
        """Translate and speak, clause by clause. `PeerError` when nobody can."""
        chunker = Chunker()
        async with aclosing(_generator(self._translated(text))) as pieces:
            async for piece in pieces:
                tell(ReplyText(reply, piece))
                for clause in chunker.push(piece):
                    await self._speak(clause, reply, tell)
        for clause in chunker.flush():
            await self._speak(clause, reply, tell)

    async def _translated(self, text: str) -> AsyncIterator[str]:
        fault: PeerError | None = None
        for member in self._texts.admitted():
            begun = False
            try:
                async for piece in member.engine.translate(text, self.source, self.target):
                    begun = True
                    yield piece
                return
            except PeerError as error:
                if begun:
                    raise
                fault = error
        raise fault or PeerError("There is no text translator.")

    async def _speak(self, clause: str, reply: str, tell: Callable[[DuplexEvent], None]) -> None:
        fault: PeerError | None = None
        for member in self._voices.admitted() if clause.strip() else ():
            begun, resampler = False, None
            try:
                async with aclosing(_generator(member.engine.speak(_one(clause)))) as chunks:
                    async for speech in chunks:
                        if speech.rate != RATE:
                            resampler = resampler or Resampler(speech.rate, RATE)
                        begun = True
                        tell(ReplyAudio(reply, resampler.push(speech.pcm) if resampler else speech.pcm))
                if resampler:
                    tell(ReplyAudio(reply, resampler.flush()))
                return
            except PeerError as error:
                if begun:
                    raise
                fault = error
        if fault:
            raise fault


async def interpreters(engines: Engines, side: Dialplan, other: Dialplan, voices: Chain[Tts]) -> Chain[Duplex]:
    """Those that translate what `side` says for `other`, in the dialplan's order, as far as they can run here; `voices`
    speak the other's language. `UsageError` when there is none."""
    members: list[Member[Any]] = []
    missing: list[str] = []
    for name in side.engines.native:
        stage, names = ("mt", interpreting.spec(side).text) if name == NAME else ("s2s", (name,))
        found: list[Member[Any]] = []
        for each in names:
            if (why := engines.lack(stage, each)) is None:
                found.append(await engines.named(side, stage, each))
            else:
                missing.append(f"{each}: {why}")
        if found and name == NAME:
            cascade = CascadeInterpreter(Chain("mt", *found), voices, side.language, other.language)
            members.append(Member(NAME, cascade))
        else:
            members += found
    if not members:
        raise UsageError(f"Nobody can interpret from {side.language} here ({'; '.join(missing)}).")
    return Chain("s2s", *members)


class CascadeSession:
    """One call's; see `duplex_base.DuplexSession`. Sentences are translated one after the other."""

    def __init__(self, engine: CascadeInterpreter) -> None:
        self._engine = engine
        self._text = ""
        self._asked: asyncio.Queue[tuple[str, str]] = asyncio.Queue(WAITING)
        self._unwanted: set[str] = set()
        self._count = 0
        self._tell: Callable[[DuplexEvent], None] = lambda event: None
        self._doing: asyncio.Task[None] | None = None
        self._open = ""

    async def run(self, tell: Callable[[DuplexEvent], None]) -> None:
        self._tell = tell
        async with asyncio.TaskGroup() as group:
            while True:
                reply, text = await self._asked.get()
                if reply not in self._unwanted:
                    self._open, self._doing = reply, group.create_task(self._do(reply, text))
                    await asyncio.wait([self._doing])
                self._unwanted.discard(reply)

    async def _do(self, reply: str, text: str) -> None:
        self._tell(ReplyBegan(reply))
        try:
            if text.strip():
                await self._engine.say(text, reply, self._told)
            self._told(ReplyEnded(reply, How.DONE if text.strip() else How.FAILED, "" if text.strip() else "no words"))
        except PeerError as error:
            self._told(ReplyEnded(reply, How.FAILED, str(error)))

    def _told(self, event: DuplexEvent) -> None:
        if self._open not in self._unwanted:
            self._tell(event)

    def tell(self, message: Message) -> None:
        """What was understood; `respond` follows."""
        self._text = message.text

    def respond(self, instructions: str = "") -> None:
        self._count += 1
        reply = f"translation-{self._count}"
        try:
            self._asked.put_nowait((reply, self._text))
        except asyncio.QueueFull:
            self._tell(ReplyBegan(reply))
            self._tell(ReplyEnded(reply, How.FAILED, "too much waits to be translated"))

    def cut(self, reply: str, heard_ms: int) -> None:
        if reply:
            self._unwanted.add(reply)
        if self._doing and reply == self._open:
            self._doing.cancel()

    def push(self, audio: bytes) -> None:
        """The call's own ears hear."""

    def began(self) -> None: ...

    def tool_done(self, done: ToolDone) -> None:
        """It calls no tools."""

    def configure(self, instructions: str, tools: Sequence[ToolSpec]) -> None:
        """It obeys nobody."""

    async def close(self) -> None:
        self._tell(Gone("", expected=True))


def _generator(source: Any) -> Any:
    """Engines are async generators; `aclosing` wants to know."""
    return source


async def _one(text: str) -> AsyncIterator[str]:
    yield text
