"""A recorded call heard again: the caller's channel through today's jitter buffer, voice activity, recogniser and
turn machine, on a virtual clock.

It is the very session that carries live calls, on a line of the recording (`recorded_line`), with the bot of then
(`recorded_bot`). What comes out is a call's folder like any other: `audio.wav`, `timeline.jsonl`, `turns.jsonl`.

The same recording, dialplan and version of voicebot give the same bytes: the recogniser runs in lock-step with the
clock (`inline_ears`), and its final words are charged what they took in the recording, in the median, else
`FINAL_MS`. A recogniser other than pocketsphinx is charged what it takes today, and gives no such promise.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any
from zoneinfo import ZoneInfo

from voicebot import __version__
from voicebot.call import stack
from voicebot.call.parts import Parts
from voicebot.call.session import Session
from voicebot.call.stack import Engines
from voicebot.call.tools import Toolbox
from voicebot.carriers.base import CallInfo
from voicebot.config import Settings
from voicebot.core import manners
from voicebot.core.barge_in import over_bot
from voicebot.core.dialplan import Dialplan, expectations, parse
from voicebot.core.expect import Expectation
from voicebot.core.prompting import open_expectation
from voicebot.core.timeline import EndReason, Record
from voicebot.core.turns import TurnMachine
from voicebot.engines.base import Asr, EngineConfig, Eot, Vad
from voicebot.engines.guard import Chain, Watch
from voicebot.engines.guard_asr import GuardedAsr
from voicebot.errors import UsageError
from voicebot.replay.charged import ChargedAsr, UnchargedEot
from voicebot.replay.clock import clock
from voicebot.replay.inline_ears import InlineWorker, inline
from voicebot.replay.recorded_bot import ANYTHING, Always, Guide, RecordedBot, Silence, said_by_bot, stretches
from voicebot.replay.recorded_line import RecordedLine
from voicebot.replay.recording import CallAudio, Samples, at_phone_rate

FINAL_MS = 10
"""Of the recogniser, after the end of an utterance, where the recording does not tell: see the README's figures."""
STARTED_AT = "2026-01-05T09:00:00+00:00"
"""When a call took place of which nobody knows when it did."""
FOR_EVER = 1_000_000
"""Silences in a row, seconds of a call: nothing but the end of the recording ends it."""
UNKNOWN_PLAN = """
name: anything
start: hear
nodes: {hear: {do: hang_up}}
"""
"""For recordings of other systems: no words are expected."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What hearing a call again cost, and how it ended."""

    reason: EndReason
    media_s: float
    wall_s: float
    """Without the engines' start."""
    recogniser_s: float
    """Of it, decoding."""


async def rehear(call: CallAudio, plan: Dialplan | None, settings: Settings, folder: Path) -> Heard:
    """Into `folder`, which must be empty or not be there. Runs on a replay's clock."""
    call, whole = at_phone_rate(call), plan or parse(UNKNOWN_PLAN, "anything.yaml")
    ears = Ears(settings, final_ms(call.records))
    try:
        open_to = open_expectation(plan) if plan and led_by_model(call) else None
        vad, eot, chain = await ears.start(whole, open_to)
        line = RecordedLine(CallInfo(call.name, "replay", "", ""), callers(call), keys(call))
        guide = Always(open_to or ANYTHING) if open_to or not plan else Guide(plan, call.records, now(call, plan))
        said = [*call.reference, *said_by_bot(call.records)]
        bot = RecordedBot(call.bot, stretches(call.bot, said), guide, line.clock_ms)
        watch = Watch()
        async with GuardedAsr(chain, watch) as asr:
            toolbox = Toolbox(whole, call.name, "", folder / "notes.jsonl")  # never used: the bot of then has no tools
            parts = Parts(vad, asr, Silence(), bot, bot, toolbox, eot, asr.final_ms)
            session = Session(line, _unlimited(whole), parts, folder)
            session.machine = TurnMachine(replace(session.machine.timing, silences=FOR_EVER))
            watch.tell = partial(session.note, "engine")
            session.open_record(**opening(call, whole, {"asr": ", ".join(chain.names), "vad": settings.vad}))
            began_s = time.perf_counter()
            reason = await session.run()
            took_s = time.perf_counter() - began_s
        return Heard(reason, line.clock_ms() / 1000, took_s, ears.spent_s)
    finally:
        await ears.close()


class Ears:
    """The engines that hear, started: pocketsphinx in lock-step with the clock, others charged as they are.
    `final_ms`: charged for final words; None: what they take."""

    def __init__(self, settings: Settings, final_ms: int | None) -> None:
        self._settings, self._final_s = settings, None if final_ms is None else final_ms / 1000
        self._workers: list[InlineWorker] = []
        self.engines = Engines(settings, self.make)

    @property
    def spent_s(self) -> float:
        """What decoding took in lock-step."""
        return sum(worker.spent_s for worker in self._workers)

    def make(self, stage: str, name: str, config: EngineConfig) -> Any:
        """As `call.stack.make`, on the replay's clock."""
        match stage:
            case "asr" if name.partition(":")[0] == "pocketsphinx":
                return inline(config, self._final_s, self._workers.append)
            case "asr":
                return ChargedAsr(stack.make(stage, name, config))
            case "eot":
                return UnchargedEot(stack.make(stage, name, config))
            case _:
                return stack.make(stage, name, config)

    async def start(self, plan: Dialplan, open_to: Expectation | None) -> tuple[Vad, Eot | None, Chain[Asr]]:
        """Voice activity, the model of turn ends where there is one, and the recognisers that `plan` wants. `open_to`:
        what a language model expects, where one led the call."""
        engines, settings = self.engines, self._settings
        vad = (await engines.one("vad", settings.vad, EngineConfig())).engine
        eot = None
        if settings.eot_model:
            eot = (await engines.one("eot", "onnx", EngineConfig(options={"model": settings.eot_model}))).engine
        chain: Chain[Asr] = await engines.chain(plan, "asr")
        own, expected = manners.of(plan.language), [open_to] if open_to else expectations(plan)
        with clock().still():
            for member in chain.members:
                await member.engine.prepare([*expected, *(over_bot(each, own) for each in expected)])
        return vad, eot, chain

    async def close(self) -> None:
        """Stop them."""
        await self.engines.close()


def opening(call: CallAudio, plan: Dialplan, engines: dict[str, str]) -> dict[str, Any]:
    """What the timeline begins with."""
    return {
        "call_id": call.name,
        "carrier": "replay",
        "dialplan": plan.name,
        "dialplan_hash": plan.hash,
        "engines": engines,
        "version": __version__,
        "started_at": started_at(call.records),
    }


def led_by_model(call: CallAudio) -> bool:
    """Whether a language model, or a native engine, led the call, which expects anything in any order."""
    first = next((r.fields for r in call.records if r.kind == "call_started"), {})
    engines = first.get("engines")
    agent = str(engines.get("llm", "")).partition(",")[0] if isinstance(engines, dict) else ""
    return agent not in ("", "scripted") or str(first.get("responder", "cascade")) != "cascade"


def started_at(records: Sequence[Record]) -> str:
    """When the call took place, as far as its timeline says."""
    first = next((r.fields for r in records if r.kind == "call_started"), {})
    return str(first.get("started_at") or STARTED_AT)


def now(call: CallAudio, plan: Dialplan) -> datetime:
    """The time of the call at the dialplan's place: "tomorrow" is the day after that."""
    return datetime.fromisoformat(started_at(call.records)).astimezone(ZoneInfo(plan.timezone))


def final_ms(records: Sequence[Record]) -> int:
    """How long the recogniser's final words took in the recording, in the median."""
    took = [int(r.fields["took_ms"]) for r in records if r.kind == "words" and "took_ms" in r.fields]
    return round(median(took)) if took else FINAL_MS


def keys(call: CallAudio) -> list[tuple[int, str]]:
    """(ms, key) as pressed; those that the timeline masks cannot be pressed again."""
    pressed = [(r.ms, str(r.fields.get("digits", ""))) for r in call.records if r.kind == "digits"]
    pressed += [(e.start_ms, e.text) for e in call.events if e.kind == "dtmf" and e.side != "bot"]
    return sorted((at, key) for at, key in pressed if key and key in "0123456789*#ABCD")


def callers(call: CallAudio) -> Samples:
    """The caller's channel. `UsageError` where there is none of its own."""
    if call.mixed or call.caller is None:
        raise UsageError(f"{call.name} has no channel that is the caller's alone; say --caller left if all of it is.")
    return call.caller


def _unlimited(plan: Dialplan) -> Dialplan:
    return plan.model_copy(update={"limits": plan.limits.model_copy(update={"max_call_s": FOR_EVER})})
