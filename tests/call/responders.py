"""Every responder on the same call, in real time: the cascade, and native engines against servers of their protocols.

A responder is an async context manager that is given the conversation and the dialplan's word on who decides. It gives
a native engine, started, or None for the cascade. To add one: a function here, a line in `RESPONDERS`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tests.call.telephone import Act, Telephone
from tests.call.world import NoPrompts, ToneVad, Toolbox, tone
from tests.peers.engines import Ears, Model, Voice
from tests.peers.openai_voice import Say, VoiceServer
from voicebot.call.duplex import Native
from voicebot.call.parts import Parts
from voicebot.call.session import Session
from voicebot.core.dialogue import Text, ToolCall
from voicebot.core.dialplan import parse
from voicebot.core.prompting import open_expectation
from voicebot.core.timeline import Record
from voicebot.engines.base import AgentContext, EngineConfig
from voicebot.engines.duplex_base import Duplex
from voicebot.engines.guard import Chain, Member, Watch
from voicebot.engines.guard_asr import GuardedAsr
from voicebot.engines.guard_llm import GuardedLlm
from voicebot.engines.guard_tts import GuardedTts
from voicebot.engines.s2s_openai_realtime import create as openai_realtime

PLAN = """
name: test
engines: {responder: native}
turns: {decided_by: DECIDED}
transfers: {desk: {to: "+15550100", say: "I am putting you through now."}}
tools: {order: {kind: note, description: An order.}}
start: welcome
nodes:
  welcome:
    say: Hello there.
    intents:
      order: {title: to order, examples: ["i'd like to order"], do: [{tool: order}, {say: It is on its way.}]}
      person: {title: a person, examples: ["a person please"], do: {transfer: desk}}
"""
GREETING = "Hello there."
LONG = "We open at nine in the morning and close at six in the evening on every day but Sunday"
ORDERED = "It is on its way."
GOODBYE = "I am putting you through now."
CALLER = [Act(tone(900)), Act(tone(1300), over_ms=1000), Act(tone(900))]
"""Three turns, the second over the bot's answer to the first."""

TALK = [
    Say(GREETING),
    Say(LONG),
    Say("", (("choose", {"intent": "order"}),)),
    Say(ORDERED),
    Say("", (("choose", {"intent": "person"}),)),
    Say(GOODBYE),
]
"""What a model says on this call."""
Responder = Callable[[str], AbstractAsyncContextManager[Duplex | None]]
SERVERS: dict[str, Any] = {}
"""The server of the last call, by responder: what it was told."""


@asynccontextmanager
async def cascade(_: str) -> AsyncIterator[Duplex | None]:
    yield None


@asynccontextmanager
async def openai(_: str, talk: Sequence[Say] = TALK, **how: Any) -> AsyncIterator[Duplex | None]:
    async with VoiceServer(talk, hears=["when do you open", "an order please", "a person please"], **how) as server:
        SERVERS["openai_realtime"] = server
        engine = openai_realtime(EngineConfig(options={"base_url": server.url, "api_key": "x"}))
        await engine.start()
        try:
            yield engine
        finally:
            await engine.close()


RESPONDERS: dict[str, Responder] = {
    "cascade": cascade,
    "openai_realtime": openai,
    "openai_realtime, the other order": partial(openai, item_done_first=False),
}


@dataclass
class Outcome:
    """What became of the call."""

    session: Session
    line: Telephone
    toolbox: Toolbox
    records: list[Record] = field(default_factory=list)

    def of(self, kind: str) -> list[Record]:
        return [r for r in self.records if r.kind == kind]


async def carry(folder: Path, responder: Responder, decided_by: str) -> Outcome:
    """One whole call."""
    plan = parse(PLAN.replace("DECIDED", decided_by), "test.yaml")
    model = Model(
        [
            [Text(GREETING)],
            [Text(LONG)],
            [ToolCall("1", "order", {})],
            [Text(ORDERED)],
            [Text(GOODBYE), ToolCall("2", "transfer", {"to": "desk"})],
        ]
    )
    watch, toolbox, records = Watch(), Toolbox(), list[Record]()
    context = AgentContext(plan, "", "", "2026-11-23T09:30:00+00:00")
    ears = GuardedAsr(Chain("asr", Member("ears", Ears())), watch)
    voice = GuardedTts(Chain("tts", Member("voice", Voice())), watch)
    agent = GuardedLlm(Chain("llm", Member("model", model)), context, watch)
    async with responder(decided_by) as engine:
        native: Native | None = None
        if engine is not None:
            native = Native(Chain("s2s", Member("engine", engine)), agent, context, watch, open_expectation(plan))
        prompts: Any = NoPrompts(plan.sentences.one_moment, plan.sentences.sorry, plan.sentences.goodbye)
        parts = Parts(ToneVad(), ears, voice, native or agent, prompts, toolbox, final_ms=ears.final_ms, native=native)
        line = Telephone(CALLER)
        session = Session(line, plan, parts, folder, True, records.append)
        watch.tell = partial(session.note, "engine")
        async with ears:
            await session.run()
    return Outcome(session, line, toolbox, records)
