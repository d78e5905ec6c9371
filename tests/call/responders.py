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
from tests.peers.gemini_live import Answer, GeminiServer
from tests.peers.llama_omni import LlamaOmniServer
from tests.peers.llama_omni import Says as LlamaSays
from tests.peers.moshi import MoshiServer
from tests.peers.moshi import Says as MoshiSays
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
from voicebot.engines.s2s_gemini_live import create as gemini_live
from voicebot.engines.s2s_llama_omni import create as llama_omni_engine
from voicebot.engines.s2s_moshi import create as moshi_engine
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
    dtmf: {1: order, 2: person}
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

KEYS = [*CALLER[:2], Act(b"", key="1"), Act(b"", key="2")]
"""The same wishes, of a caller whose bot cannot be asked: what it does is had by keys."""

HEARD = ("when do you open", "an order please", "a person please")
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
async def openai(
    _: str, talk: Sequence[Say] = TALK, hears: Sequence[str] = HEARD, **how: Any
) -> AsyncIterator[Duplex | None]:
    async with VoiceServer(talk, hears, **how) as server:
        SERVERS["openai_realtime"] = server
        engine = openai_realtime(EngineConfig(options={"base_url": server.url, "api_key": "x"}))
        await engine.start()
        try:
            yield engine
        finally:
            await engine.close()


WORD_MS = 300


@asynccontextmanager
async def gemini(_: str, talk: Sequence[Answer] = (), **how: Any) -> AsyncIterator[Duplex | None]:
    async with GeminiServer(talk or gemini_talk(), playback=1.0, **how) as server:
        SERVERS["gemini_live"] = server
        options = {"api_key": "x", "base_url": server.url, "ca_file": server.ca_file}
        engine = gemini_live(EngineConfig(options=options))
        await engine.start()
        try:
            yield engine
        finally:
            await engine.close()


def gemini_talk() -> list[Answer]:
    """`TALK`, in turns of Gemini's; a transcript with each of the caller's."""
    heard = iter(HEARD)
    answers = []
    for at, says in enumerate(TALK):
        asked = at in (1, 2, 4)  # the greeting and what follows a tool answer nobody
        ms = WORD_MS * len(says.text.split())
        answers.append(Answer(says.text, ms, next(heard) if asked else "", tools=tuple(says.calls)))
    return answers


PRESS = "For an order press one"
"""What the models answer that cannot take an order."""


@asynccontextmanager
async def moshi(_: str, talk: Sequence[MoshiSays] = (), **how: Any) -> AsyncIterator[Duplex | None]:
    says = talk or [MoshiSays(text, WORD_MS * len(text.split())) for text in (LONG, PRESS)]
    async with MoshiServer(says, **how) as server:
        SERVERS["moshi"] = server
        engine = moshi_engine(EngineConfig(options={"url": server.url}))
        await engine.start()
        try:
            yield engine
        finally:
            await engine.close()


@asynccontextmanager
async def llama_omni(
    _: str, version: int = 1, talk: Sequence[LlamaSays] = (), **how: Any
) -> AsyncIterator[Duplex | None]:
    units = WORD_MS // (20 if version == 1 else 40)
    says = talk or [LlamaSays(text, units * len(text.split())) for text in (LONG, PRESS)]
    async with LlamaOmniServer(says, version, **how) as server:
        SERVERS["llama_omni"] = server
        options: dict[str, Any] = {"licence": "research", "version": version, "controller": server.url}
        options["vocoder_url"] = server.url
        if version == 2:
            options["utterances"] = "http://127.0.0.1:0"
        engine = llama_omni_engine(EngineConfig(options=options))
        await engine.start()
        try:
            yield engine
        finally:
            await engine.close()


RESPONDERS: dict[str, Responder] = {
    "cascade": cascade,
    "openai_realtime": openai,
    "openai_realtime, the other order": partial(openai, item_done_first=False),
    "gemini_live": gemini,
}
UNASKED: dict[str, Responder] = {
    "moshi": moshi,
    "llama_omni": llama_omni,
    "llama_omni, version 2": partial(llama_omni, version=2),
}
"""Those that take no instructions and know no tools."""


@dataclass
class Outcome:
    """What became of the call."""

    session: Session
    line: Telephone
    toolbox: Toolbox
    records: list[Record] = field(default_factory=list)

    def of(self, kind: str) -> list[Record]:
        return [r for r in self.records if r.kind == kind]


async def carry(folder: Path, responder: Responder, decided_by: str, caller: Sequence[Act] = ()) -> Outcome:
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
        line = Telephone(caller or CALLER)
        session = Session(line, plan, parts, folder, True, records.append)
        watch.tell = partial(session.note, "engine")
        async with ears:
            await session.run()
    return Outcome(session, line, toolbox, records)
