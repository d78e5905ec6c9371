"""The translator as a native engine of a call: speech in, the same in another language out, an utterance at a time.

It waits for the call's word that a turn is over, but begins to translate when the utterance pauses: where it was the
end, the translation is there when it is asked for.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from voicebot import log
from voicebot.core.conversation import Message as Said
from voicebot.core.dialogue import ToolDone
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
from voicebot.engines.s2s_translatotron.utterance import Utterance
from voicebot.engines.worker_messages import Kind, Message
from voicebot.engines.worker_process import Process
from voicebot.errors import PeerError, UsageError

MODULE = "voicebot.engines.s2s_translatotron.worker"
START_S = 40.0
"""For torch to be read from a cold disk, and the model."""
ANSWER_S = 6.0
"""For a translation; a worker that takes longer has too much to do, or hangs."""
RATE = 8000
_log = log.get("translatotron")


@dataclass(slots=True)
class Job:
    """One utterance in the worker's hands."""

    number: int
    answers: list[Message] = field(default_factory=list)
    """What came before anybody asked for it."""
    take: Callable[[Message], None] | None = None


class Translatotron:
    """The engine: one process, shared by all calls."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = dict(settings)
        self._process: Process | None = None
        self._numbers = 0
        self.facts: dict[str, Any] = {}
        """source, target (languages), rate."""

    async def start(self) -> None:
        """`UsageError` with the worker's sentence when the model cannot be used."""
        self._process = Process(MODULE, json.dumps(self._settings).encode())
        try:
            async with asyncio.timeout(START_S):
                await self._process.tried.wait()
        except TimeoutError:
            await self.close()
            raise PeerError("The translator's process did not start in time.") from None
        if not self._process.ready.is_set():
            fault = self._process.fault
            await self.close()
            raise UsageError(fault or "The translator's process ended at once.")

    async def close(self) -> None:
        if self._process:
            self._process.close()

    @property
    def abilities(self) -> Abilities:
        sound = AudioFormat(Coding.PCM16, int(self._settings["rate"]))
        return Abilities(sound, AudioFormat(Coding.PCM16, RATE), (Decides.OURS,), obeys=False)

    async def open(self, context: Context) -> Session:
        """The model's languages are its own; the context's instructions mean nothing to it."""
        if self._process is None or not self._process.running:
            raise PeerError("The translator's process is gone.", retryable=True)
        return Session(self, int(self._settings["rate"]))

    def begin(self, pcm: bytes) -> Job:
        """Translate this utterance. The job's last message is FINAL; one that was lost ends so, too."""
        assert self._process
        self._numbers += 1
        job = Job(self._numbers)
        self._process.open(job.number, pcm, lambda message: _answered(job, message))
        return job

    def cancel(self, job: Job) -> None:
        """Nobody wants it."""
        if self._process:
            self._process.cancel(job.number)


def _answered(job: Job, message: Message | None) -> None:
    known = message or Message(Kind.FINAL, job.number, b"lost")
    if job.take:
        job.take(known)
    else:
        job.answers.append(known)


class Session:
    """One call's; see `duplex_base.DuplexSession`."""

    def __init__(self, engine: Translatotron, rate: int) -> None:
        self._engine, self._utterance = engine, Utterance(rate)
        self._early: Job | None = None
        """Begun at a pause, and not asked for yet."""
        self._open: dict[str, Job] = {}
        self._replies = 0
        self._tell: Callable[[DuplexEvent], None] = lambda event: None
        self._closed = asyncio.Event()

    async def run(self, tell: Callable[[DuplexEvent], None]) -> None:
        self._tell = tell
        await self._closed.wait()
        tell(Gone("", expected=True))

    def push(self, audio: bytes) -> None:
        paused = self._utterance.push(audio)
        if self._early and not self._utterance.paused:  # they went on
            self._drop_early()
        if paused:
            self._drop_early()
            self._early = self._engine.begin(self._utterance.audio())

    def began(self) -> None:
        self._utterance.began()

    def respond(self, instructions: str = "") -> None:
        if instructions or self._open:  # it can say nothing of its own; and a reply that goes on is the reply
            return
        job, self._early = self._early or self._engine.begin(self._utterance.audio()), None
        self._utterance.taken()
        self._replies += 1
        reply = f"translation-{self._replies}"
        self._open[reply] = job
        self._tell(ReplyBegan(reply))
        late = asyncio.get_running_loop().call_later(ANSWER_S, self._late, reply)
        job.take = lambda message: self._answered(reply, message, late)
        for message in job.answers:
            job.take(message)

    def cut(self, reply: str, heard_ms: int) -> None:
        for each in [reply] if reply else list(self._open):
            if job := self._open.pop(each, None):
                self._engine.cancel(job)

    def tell(self, message: Said) -> None:
        """It has no history."""

    def tool_done(self, done: ToolDone) -> None:
        """It calls no tools."""

    def configure(self, instructions: str, tools: Sequence[ToolSpec]) -> None:
        """It obeys nobody."""

    async def close(self) -> None:
        self._drop_early()
        self.cut("", 0)
        self._closed.set()

    def _drop_early(self) -> None:
        if self._early:
            self._engine.cancel(self._early)
        self._early = None

    def _answered(self, reply: str, message: Message, late: asyncio.TimerHandle) -> None:
        if reply not in self._open:
            return
        match message.kind:
            case Kind.PARTIAL:
                self._tell(ReplyText(reply, json.loads(message.payload)["text"]))
            case Kind.AUDIO:
                self._tell(ReplyAudio(reply, message.payload))
            case Kind.FAULT:
                _log.warning("translation_failed", why=message.payload.decode("utf-8", "replace"))
                self._end(reply, "the model failed")
            case Kind.FINAL:
                late.cancel()
                self._end(reply, "the translator's process was lost" if message.payload else "")
            case _:
                pass

    def _late(self, reply: str) -> None:
        if job := self._open.get(reply):
            self._engine.cancel(job)
            self._end(reply, "the translation took too long")

    def _end(self, reply: str, fault: str) -> None:
        del self._open[reply]
        self._tell(ReplyEnded(reply, How.FAILED if fault else How.DONE, fault))
