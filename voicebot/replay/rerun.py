"""A recorded call taken again by the whole of today's stack: the caller of then, today's dialplan and engines.

The caller speaks when they did (pace `recorded`), or waits for the bot as they did (pace `turns`). Agents and voices
answer from the cassette or are asked, see `cassette`; what they take is charged to the clock. The recogniser is charged
what it took in the recording, in the median; where all are asked live, what it takes today. Tools do nothing and give
what they gave. What comes out is a call's folder like any other.

A native speech-to-speech engine is asked live only, and the whole call then takes as long as it takes.

From the first answer of the bot that differs from the recording's, caller and bot talk past each other as far as the
content goes: that moment is told (`diverged_ms`). How fast things went stays true.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from voicebot.call import stack
from voicebot.call.runtime import Runtime
from voicebot.call.session import Session
from voicebot.carriers.base import CallInfo
from voicebot.config import Settings
from voicebot.core.dialplan import Dialplan
from voicebot.core.grammar import normalise
from voicebot.core.responders import CASCADE, chosen
from voicebot.core.timeline import Record, decode
from voicebot.engines import registry
from voicebot.engines.base import AgentContext, EngineConfig
from voicebot.engines.guard import Watch
from voicebot.errors import UsageError
from voicebot.replay.cassette import Cassette
from voicebot.replay.clock import clock
from voicebot.replay.masking import same_but_masked
from voicebot.replay.patient_line import PatientLine, utterances
from voicebot.replay.recorded_bot import stretches
from voicebot.replay.recorded_line import RecordedLine
from voicebot.replay.recorded_tools import RecordedTools
from voicebot.replay.recording import CallAudio, at_phone_rate
from voicebot.replay.rehear import Ears, Heard, callers, final_ms, keys, now, opening
from voicebot.replay.taped import TapedLlm, TapedTts

PACES = ("recorded", "turns")
STAYS_MS = 4000
"""With pace `turns`: after the last answer; long enough for a goodbye."""
NO_KEY = "on the cassette"
"""Where no key is set, and none is needed."""
INSTANT = frozenset({"scripted"})
"""Agents that take no time and are the same every time."""


@dataclass(frozen=True, slots=True)
class Reran:
    heard: Heard
    diverged_ms: int | None
    """On the new call's clock; None: every answer is that of the recording."""


async def rerun(
    call: CallAudio, plan_file: Path, settings: Settings, folder: Path, pace: str, cassette: Cassette
) -> Reran:
    """Into `folder`, which must be empty or not be there. Runs on a replay's clock. `UsageError` when an answer is not
    on the cassette and may not be asked for."""
    call = at_phone_rate(call)
    charged_ms = None if cassette.mode == "live" else final_ms(call.records)
    ears = Ears(settings, charged_ms)
    prompts = cassette.folder / "prompts" if cassette.folder else None
    runtime = Runtime(
        _without_key(settings, plan_file, call, cassette), make=partial(_make, ears, cassette), prompts=prompts
    )
    try:
        await _start(runtime, call, cassette)
        (plan,) = runtime.dialplans.values()
        line = _line(call, pace)
        context = AgentContext(plan, line.info.caller, line.info.called, now(call, plan).isoformat(timespec="seconds"))
        watch = Watch()
        responder = _responder(runtime, plan, call, cassette)
        asr, parts = runtime.parts(context, RecordedTools(plan, call.records), watch, responder)
        session = Session(line, plan, parts, folder)
        watch.tell = partial(session.note, "engine")
        names = {**runtime.stack(plan).names, "vad": settings.vad}
        session.open_record(**opening(call, plan, names), pace=pace, responder=responder)
        began_s = time.perf_counter()
        async with asr:
            with nullcontext() if responder == CASCADE else clock().wall():
                reason = await session.run()
        heard = Heard(reason, line.clock_ms() / 1000, time.perf_counter() - began_s, ears.spent_s)
    finally:
        await runtime.close()
    _complain(call, cassette)
    return Reran(heard, diverged_ms(call, tuple(decode((folder / "timeline.jsonl").read_bytes().splitlines()))))


def _responder(runtime: Runtime, plan: Dialplan, call: CallAudio, cassette: Cassette) -> str:
    """Who leads: whoever led the recording, where the dialplan still has them, else whom it chooses. `UsageError` where
    that is a native engine and may not be asked: it hears and speaks as it goes, and no cassette holds that."""
    first = next((r.fields for r in call.records if r.kind == "call_started"), {})
    led = str(first.get("responder", ""))
    wanted = led if led in (CASCADE, *plan.engines.native) else chosen(plan.engines, call.name)
    if wanted != CASCADE and cassette.mode != "live":
        raise UsageError(f"{call.name} is led by {wanted}, a native engine, which no cassette can hold; say --live.")
    return runtime.stack(plan).responder(wanted)


async def _start(runtime: Runtime, call: CallAudio, cassette: Cassette) -> None:
    try:
        with clock().still():
            await runtime.start()
    except UsageError:
        _complain(call, cassette)
        raise


def _complain(call: CallAudio, cassette: Cassette) -> None:
    if cassette.missing:
        raise UsageError(
            f"{call.name}: {len(cassette.missing)} requests are not on the cassette, the first: "
            f"{cassette.missing[0]}. Record them with --live."
        )


def _make(ears: Ears, cassette: Cassette, stage: str, name: str, config: EngineConfig) -> Any:
    kind = name.partition(":")[0]
    if stage == "tts":
        return TapedTts(name, stack.make(stage, name, config), cassette)
    if stage == "llm" and kind not in INSTANT:
        return TapedLlm(name, stack.make(stage, name, config), config, cassette)
    return ears.make(stage, name, config)


def _without_key(settings: Settings, plan_file: Path, call: CallAudio, cassette: Cassette) -> Settings:
    """For one dialplan. An engine that took part in the recording, or is on the cassette, takes part without a key."""
    update: dict[str, Any] = {"dialplans": plan_file}
    took_part = any("openai" in str(r.fields.get("engines", "")) for r in call.records if r.kind == "call_started")
    if (took_part or cassette.knows("openai")) and not settings.openai_api_key.get_secret_value():
        update["openai_api_key"] = SecretStr(NO_KEY)
    return settings.model_copy(update=update)


def _line(call: CallAudio, pace: str) -> RecordedLine | PatientLine:
    first = next((r.fields for r in call.records if r.kind == "call_started"), {})
    info = CallInfo(call.name, "replay", str(first.get("caller", "")), str(first.get("called", "")))
    if pace == "recorded":
        return RecordedLine(info, callers(call), keys(call))
    vad = registry.load("vad", "webrtc").create(EngineConfig())
    said = utterances(callers(call), stretches(call.bot), vad)
    return PatientLine(info, said, STAYS_MS)


def diverged_ms(then: CallAudio, today: Sequence[Record]) -> int | None:
    """When the bot first said something else than in the recording; where nobody knows what it said then, when it
    first said anything. None where it never did."""
    expected = _answers(then.records) or [(0, each.text) for each in then.reference if each.side == "bot"]
    for index, (ms, text) in enumerate(_answers(today)):
        if index >= len(expected) or not same_but_masked(normalise(expected[index][1]), normalise(text)):
            return ms
    return None


def _answers(records: Sequence[Record]) -> list[tuple[int, str]]:
    """(when it was heard, or given up; what was to be said) of every answer, fixed sentences included."""
    heard_from = {r.fields.get("turn"): r.ms for r in records if r.kind == "heard_from"}
    found = []
    for record in records:
        text = str(record.fields.get("text", ""))
        if record.kind == "said" and text.strip():
            found.append((heard_from.get(record.fields.get("turn"), record.ms), text))
        elif record.kind == "fixed":
            found.append((record.ms, text))
    return found
