"""A call led by a native engine, in virtual time: the caller speaks in tones, the cascade stands by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from tests.call.guarded_world import GuardedWorld
from tests.call.world import NoPrompts, ToneVad
from tests.peers.duplex_engine import Engine
from voicebot.call.duplex import Native
from voicebot.call.parts import Parts
from voicebot.call.session import Session
from voicebot.carriers.base import CallInfo, LineEvent
from voicebot.carriers.wavline import WavLine
from voicebot.core.dialplan import parse
from voicebot.core.prompting import open_expectation
from voicebot.engines.base import AgentContext
from voicebot.engines.guard import Chain, Member, Watch
from voicebot.engines.guard_asr import GuardedAsr
from voicebot.engines.guard_llm import GuardedLlm
from voicebot.engines.guard_tts import GuardedTts

PLAN = """
name: test
engines: {responder: native}
turns: {decided_by: DECIDED, duplex: DUPLEX}
transfers: {desk: {to: "+15550100", say: "I'm putting you through."}}
types: {size: [small, large]}
tools: {order: {kind: note, description: An order., args: {size: {required: true}}}}
start: welcome
nodes:
  welcome:
    say: Hello there.
    intents:
      order: {title: to order, examples: ["i'd like to order"], do: {goto: order}}
      person: {title: a person, examples: ["a person please"], do: {transfer: desk}}
  order:
    say: Which size?
    collect: {size: {required: true, ask: "Small or large?", dtmf: {1: small, 2: large}}}
    do: [{tool: order, args: {size: "{size}"}}, {hang_up: "Your {size} coffee comes. Goodbye."}]
"""


@dataclass
class NativeWorld(GuardedWorld):
    """`natives` in order."""

    natives: tuple[Engine, ...] = (Engine(),)
    decided_by: str = "ours"
    duplex: str = "full"
    plan_text: str = PLAN
    stays_ms: int = 4000
    headers: Mapping[str, str] = field(default_factory=dict)
    before: Callable[[Any], Any] = lambda member: None
    """What has happened to the first engine."""

    def at(self, seconds: float, event: LineEvent) -> None:
        """Something that comes on the line, so long after the first engine was opened."""
        self.natives[0].later.append((seconds, lambda _: self.session._on_line(event)))

    async def call(self, *utterances: bytes) -> Session:
        text = self.plan_text.replace("DECIDED", self.decided_by).replace("DUPLEX", self.duplex)
        plan = parse(text, "test.yaml")
        watch, names = Watch(), ("first", "second")
        ears = GuardedAsr(Chain("asr", *map(Member, names, self.asr)), watch)
        voice = GuardedTts(Chain("tts", *map(Member, names, self.tts)), watch)
        context = AgentContext(plan, "", "", "2026-11-23T09:30:00+00:00", self.headers)
        self.agent = GuardedLlm(Chain("llm", *map(Member, names, self.llm)), context, watch)
        self.members = tuple(map(Member, names, self.natives))
        self.before(self.members[0])
        self.native = Native(Chain("s2s", *self.members), self.agent, context, watch, open_expectation(plan))
        prompts: Any = NoPrompts(plan.sentences.one_moment, plan.sentences.sorry, plan.sentences.goodbye)
        parts = Parts(
            ToneVad(), ears, voice, self.native, prompts, self.toolbox, native=self.native, final_ms=ears.final_ms
        )
        self.line = WavLine(CallInfo("test-call", "wavline", "", ""), utterances, self.pace, self.stays_ms)
        session = self.session = Session(self.line, plan, parts, self.folder, True, self.records.append)
        watch.tell = partial(session.note, "engine")
        async with ears:
            await session.run()
        return session
