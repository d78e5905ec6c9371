"""How long after the end of a turn the first audio is there, when the stages of a reply overlap and when they do not.

The stages are real: our agent and voice, the vendor's client, HTTP; only the server is a stand-in with its own pace.
"""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voicebot.call.cascade import Cascade, Mouth
from voicebot.call.prompts import PromptCache
from voicebot.core.dialogue import Heard, Text, ToolCall, ToolDone
from voicebot.core.dialplan import parse
from voicebot.core.words import Words
from voicebot.engines import llm_openai, tts_openai
from voicebot.engines.base import AgentContext, EngineConfig
from voicebot.engines.guard import Chain, Member, Watch
from voicebot.engines.guard_llm import GuardedLlm
from voicebot.engines.guard_tts import GuardedTts
from voicebot.replay.stand_in import stand_in

EARLY_MS = 100
"""Where a turn looks complete, the model is asked before the pause is over: 350 ms after the voice, of which voice
activity takes 200 to notice and the recogniser some 50 to finish."""
PLAN = """
name: bench
start: welcome
nodes: {welcome: {say: Hello., intents: {bye: {title: to leave, examples: [bye], do: [{hang_up: Bye.}]}}}}
"""


@dataclass(frozen=True, slots=True)
class FirstAudio:
    """Medians, milliseconds from the decision that the turn is over to the first audio of the answer."""

    turns: int
    one_after_the_other_ms: int
    overlapped_ms: int
    asked_early_ms: int
    """… and the model was asked `EARLY_MS` before the decision."""


async def first_audio(turns: int) -> FirstAudio:
    """Three times so many turns, in real time."""
    async with stand_in() as url:
        options = {"base_url": url, "api_key": "none"}
        agent, voice = (module.create(EngineConfig(options=options)) for module in (llm_openai, tts_openai))
        await agent.start()
        await voice.start()
        try:
            found = [
                [await _turn(agent, voice, overlap, early) for _ in range(turns + 1)][1:]  # the first one connects
                for overlap, early in ((False, False), (True, False), (True, True))
            ]
        finally:
            await agent.close()
            await voice.close()
    return FirstAudio(turns, *(round(statistics.median(each)) for each in found))


async def _turn(agent: Any, voice: Any, overlap: bool, early: bool) -> float:
    """Milliseconds to the first audio of one answer."""
    context = AgentContext(parse(PLAN, "bench.yaml"), "", "", "2026-01-31T09:30:00+00:00")
    session = GuardedLlm(Chain("llm", Member("openai", agent)), context, Watch())
    mouth = GuardedTts(Chain("tts", Member("openai", voice)), Watch())
    loop, turn = asyncio.get_running_loop(), Heard(Words("when do you open", final=True))
    if not overlap:
        began = loop.time()
        text = "".join([event.text async for event in session.reply(turn) if isinstance(event, Text)])
        _ = [speech async for speech in mouth.speak(_one(text))]
        return (loop.time() - began) * 1000
    heard: asyncio.Future[float] = loop.create_future()

    def play(pcm: bytes, *_: object) -> None:
        if pcm and not heard.done():
            heard.set_result(loop.time())

    async def room() -> None: ...

    cascade = Cascade(session, mouth, PromptCache(Path("unused")), _no_tool)
    async with asyncio.TaskGroup() as group:
        if early:
            group.create_task(session.prepare(turn))
            await asyncio.sleep(EARLY_MS / 1000)
        began = loop.time()
        replying = group.create_task(cascade.reply(turn, Mouth(lambda _: None, play, room)))
        took_s = await heard - began
        replying.cancel()
    return took_s * 1000


async def _no_tool(call: ToolCall) -> ToolDone:
    raise AssertionError("nothing here calls a tool")


async def _one(text: str) -> AsyncIterator[str]:
    yield text
