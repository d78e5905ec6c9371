"""The cascade: agent ▶ clause chunker ▶ synthesiser, overlapping, for one reply at a time.

The agent streams text; each clause is spoken as soon as it is complete, while the agent goes on. What the
dialplan says word for word was synthesised before the call and is queued at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from voicebot.audio.resample import Resampler
from voicebot.call.prompts import Prompts
from voicebot.carriers.base import RATE
from voicebot.core.chunker import Chunker
from voicebot.core.dialogue import CallerTurn, Text, ToolCall, ToolDone
from voicebot.core.playout import align
from voicebot.engines import base
from voicebot.engines.base import Agent, SpokenWord
from voicebot.errors import PeerError

MAX_TOOLS = 5
"""Tools in one turn; more is a model going round in circles."""
ENDINGS = frozenset({"transfer", "hang_up"})
"""Built-in tools that end the call once the text before them was heard."""
MAX_BRIEFING = 600
"""Letters; nobody listens longer before they take a call."""
CLAUSES_AHEAD = 8
"""Clauses the agent may be ahead of the synthesiser; then the agent waits."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How the agent wants the call to end, when all it said was heard."""

    transfer_to: str = ""
    """Name of one of the dialplan's transfers; empty to hang up."""
    briefing: str = ""
    """What to say of this caller to whoever takes the call; empty for the dialplan's own words."""


@dataclass(frozen=True, slots=True)
class Mouth:
    """Where a reply goes."""

    say: Callable[[str], None]
    """Text generated, about to be spoken."""
    play: Callable[[bytes, tuple[SpokenWord, ...], bool], None]
    """8 kHz int16 LE, the words that start in it, and whether it may be interrupted."""
    room: Callable[[], Awaitable[None]]
    """Wait until the caller has heard enough of what is queued."""
    turn: int = 0
    """Whose reply it is."""


RunTool = Callable[[ToolCall], Awaitable[ToolDone]]
_Clause = tuple[str, bool]


class Cascade:
    """One call's responder. `voice` speaks; `prompts` holds what was spoken beforehand."""

    def __init__(self, agent: Agent, voice: base.Mouth, prompts: Prompts, run_tool: RunTool) -> None:
        self._agent, self._voice, self._prompts, self._run_tool = agent, voice, prompts, run_tool

    async def reply(self, turn: CallerTurn, mouth: Mouth) -> Ending | None:
        """Answer `turn`. Returns how the call shall end, if the agent said so. `PeerError` when an engine fails."""
        clauses: asyncio.Queue[_Clause | None] = asyncio.Queue(CLAUSES_AHEAD)
        try:
            async with asyncio.TaskGroup() as group:
                spoken = group.create_task(self._speak(clauses, mouth))
                ending: Ending | None = None
                error: PeerError | None = None
                try:
                    ending = await self._think(turn, clauses, mouth)
                except PeerError as failed:  # what was said before is spoken first
                    error = failed
                await clauses.put(None)
                await spoken
        except* PeerError as failed:
            raise failed.exceptions[0] from None
        if error is not None:
            raise error
        return ending

    async def say(self, text: str, interruptible: bool, mouth: Mouth) -> None:
        """Words that are nobody's reply, in the voice of the dialplan."""
        mouth.say(text)
        await self._clause(text, interruptible, mouth)

    async def _think(self, turn: CallerTurn, clauses: asyncio.Queue[_Clause | None], mouth: Mouth) -> Ending | None:
        for _ in range(MAX_TOOLS + 1):
            call = await self._stream(turn, clauses, mouth)
            if call is None:
                return None
            if call.name in ENDINGS:
                return _ending(call)
            turn = await self._run_tool(call)
        raise PeerError("The agent asked for too many tools in one turn.")

    async def _stream(self, turn: CallerTurn, clauses: asyncio.Queue[_Clause | None], mouth: Mouth) -> ToolCall | None:
        """Text into clauses, up to the end of the reply or its first tool call."""
        chunker, interruptible = Chunker(), True
        call: ToolCall | None = None
        error: PeerError | None = None
        try:
            async with aclosing(_generator(self._agent.reply(turn))) as events:
                async for event in events:
                    match event:
                        case ToolCall():
                            call = event
                            break
                        case Text(text, may_interrupt):
                            mouth.say(text)
                            if may_interrupt != interruptible:
                                for clause in chunker.flush():
                                    await clauses.put((clause, interruptible))
                                interruptible = may_interrupt
                            whole = self._prompts.get(self._voice.voice_id, text.strip())
                            for clause in [*chunker.flush(), text] if whole else chunker.push(text):
                                await clauses.put((clause, interruptible))
        except PeerError as failed:  # what it said before is spoken to its end
            error = failed
        for clause in chunker.flush():
            await clauses.put((clause, interruptible))
        if error is not None:
            raise error
        return call

    async def _speak(self, clauses: asyncio.Queue[_Clause | None], mouth: Mouth) -> None:
        while (item := await clauses.get()) is not None:
            await self._clause(*item, mouth)

    async def _clause(self, clause: str, interruptible: bool, mouth: Mouth) -> None:
        await mouth.room()
        prompt = self._prompts.get(self._voice.voice_id, clause.strip())
        if prompt:
            pcm = prompt.pcm
            mouth.play(pcm, (*prompt.words, SpokenWord(" ", len(pcm) // 2)), interruptible)
        elif clause.strip():
            await self._synthesise(clause, interruptible, mouth)

    async def _synthesise(self, clause: str, interruptible: bool, mouth: Mouth) -> None:
        resampler: Resampler | None = None
        async with aclosing(_generator(self._voice.speak(_one(clause)))) as chunks:
            heard_any, timed, untimed = False, False, 0
            async for speech in chunks:
                pcm, words = speech.pcm, speech.words
                if speech.rate != RATE:
                    resampler = resampler or Resampler(speech.rate, RATE)
                    pcm = resampler.push(pcm)
                    words = tuple(SpokenWord(w.text, w.at * RATE // speech.rate) for w in words)
                heard_any, timed, untimed = heard_any or bool(pcm), timed or bool(words), untimed + len(pcm) // 2
                mouth.play(pcm, words, interruptible)
        if resampler:
            mouth.play(resampler.flush(), (), interruptible)
        if not heard_any:
            raise PeerError("The synthesiser gave no audio.", retryable=True)
        if not timed:  # no word times: spread the words over what was played
            words = tuple(SpokenWord(text, at - untimed) for at, text in align(clause, untimed))
            mouth.play(b"", words, interruptible)


def _ending(call: ToolCall) -> Ending:
    if call.name != "transfer":
        return Ending()
    return Ending(str(call.args.get("to", "")), str(call.args.get("briefing", ""))[:MAX_BRIEFING])


def _generator(source: Any) -> Any:
    """Engines are async generators; `aclosing` wants to know."""
    return source


async def _one(text: str) -> AsyncIterator[str]:
    yield text
