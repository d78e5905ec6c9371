"""A call with guards around engines that misbehave, in virtual time, and what its caller heard."""

from __future__ import annotations

import wave
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from tests.call.world import NoPrompts, ToneVad, Toolbox
from tests.peers.engines import Ears, Model, Voice
from voicebot.call.parts import Parts
from voicebot.call.session import Session
from voicebot.carriers.base import CallInfo
from voicebot.carriers.wavline import WavLine
from voicebot.core.dialogue import Text, ToolCall
from voicebot.core.dialplan import Dialplan, parse
from voicebot.core.timeline import Record
from voicebot.engines.base import AgentContext
from voicebot.engines.guard import Chain, Member, Watch
from voicebot.engines.guard_asr import GuardedAsr
from voicebot.engines.guard_llm import GuardedLlm
from voicebot.engines.guard_tts import GuardedTts

PLAN = """
name: test
start: welcome
transfers: {desk: {to: "+15550100"}}
nodes: {welcome: {say: Hello there., do: hang_up}}
"""
GREETING = [Text("Hello there, how can I help you?")]
ANSWER = [Text("We open at nine in the morning.")]
GOODBYE = [Text("Goodbye then."), ToolCall("1", "hang_up", {})]


def agent(*replies: Any) -> Model:
    """Says these, one after the other; GOODBYE comes by itself."""
    return Model([*replies, GOODBYE])


@dataclass
class GuardedWorld:
    """Chains in order, the first the one that misbehaves. The caller says one thing and then nothing."""

    folder: Path
    asr: tuple[Ears, ...] = (Ears(),)
    llm: tuple[Any, ...] = field(default_factory=lambda: (agent(GREETING, ANSWER),))
    tts: tuple[Voice, ...] = field(default_factory=lambda: (Voice(),))
    operator: str = ""
    toolbox: Any = field(default_factory=Toolbox)
    records: list[Record] = field(default_factory=list)
    pace: str = "turns"

    async def call(self, *utterances: bytes) -> Session:
        plan = parse(PLAN + (f"operator: {self.operator}\n" if self.operator else ""), "test.yaml")
        watch, names = Watch(), ("first", "second")
        ears = GuardedAsr(Chain("asr", *map(Member, names, self.asr)), watch)
        voice = GuardedTts(Chain("tts", *map(Member, names, self.tts)), watch)
        context = AgentContext(plan, "", "", "2026-11-23T09:30:00+00:00")
        self.agent = GuardedLlm(Chain("llm", *map(Member, names, self.llm)), context, watch)
        parts = Parts(ToneVad(), ears, voice, self.agent, self._prompts(plan), self.toolbox, final_ms=ears.final_ms)
        self.line = WavLine(CallInfo("test-call", "wavline", "", ""), utterances, self.pace)
        session = Session(self.line, plan, parts, self.folder, True, self.records.append)
        watch.tell = partial(session.note, "engine")
        async with ears:
            await session.run()
        return session

    def _prompts(self, plan: Dialplan) -> Any:
        s = plan.sentences
        return NoPrompts(s.one_moment, s.sorry, s.trouble, s.putting_through, s.goodbye)

    # --- afterwards

    def of(self, kind: str) -> list[Record]:
        return [r for r in self.records if r.kind == kind]

    def said(self) -> str:
        """All that the caller heard of the bot, fixed sentences apart."""
        return " ".join(r.fields["heard"] for r in self.of("said"))

    def faults(self) -> list[tuple[str, str, str]]:
        """(stage, engine, who took over)"""
        return [(r.fields["stage"], r.fields["name"], r.fields.get("then", "")) for r in self.of("engine")]

    def sound(self) -> tuple[Any, Any]:
        return sound(self.folder)

    def longest_silence_ms(self) -> int:
        return longest_silence_ms(self.folder)

    def answered_after_ms(self) -> int:
        """From the end of the caller's first turn until the bot is heard."""
        caller, bot = self.sound()
        end = np.flatnonzero(caller)[-1]
        after = np.flatnonzero(bot[end:])
        return 10 * int(after[0]) if len(after) else 10**6


def sound(folder: Path) -> tuple[Any, Any]:
    """Whether caller and bot are audible in a call's recording, for each 10 ms."""
    with wave.open(str(folder / "audio.wav")) as file:
        both = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
    loud = np.abs(both[: len(both) // 80 * 80].reshape(-1, 80, 2).astype(np.int32)).max(axis=1) > 500
    return loud[:, 0], loud[:, 1]


def longest_silence_ms(folder: Path) -> int:
    """During which nobody was heard, from the first sound to the last."""
    caller, bot = sound(folder)
    either = caller | bot
    at = np.flatnonzero(either)
    if not len(at):
        return 10 * len(either)
    runs = [len(list(run)) for quiet, run in groupby(~either[at[0] : at[-1]]) if quiet]
    return 10 * max(runs, default=0)
