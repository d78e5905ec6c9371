"""What a call's own timeline says of it: what was heard and said, when turns were taken, tools, faults, the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from voicebot.core.timeline import Record
from voicebot.replay.recording import Said
from voicebot.replay.verdict import Event, Step

NEAR_MS = 600
"""A turn of the timeline is the one whose end, as heard in the sound, is within this."""
AS_EVENTS = {
    "hold": "hold", "held": "hold", "tool": "tool", "transfer": "transfer", "engine": "fault", "malformed": "fault",
    "note": "note",
}  # fmt: skip
STEPS = {
    "turn": "endpoint", "reply_started": "reply asked", "first_token": "first token", "first_clause": "first clause",
    "reply_audio": "voice", "heard_from": "heard",
}  # fmt: skip
"""Records of an answer, in order, and what their step is called."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A turn as the call took it."""

    at_ms: int
    start_ms: int
    end_ms: int
    text: str
    confidence: float | None


def taken(records: Sequence[Record]) -> list[Taken]:
    """Turns with a voice in them, in order."""
    found = []
    for record in records:
        fields = record.fields
        if record.kind == "turn" and "end_ms" in fields and not fields.get("digits"):
            confidence = fields.get("confidence")
            start_ms, end_ms = _whole(fields.get("start_ms")), _whole(fields["end_ms"])
            known = float(confidence) if isinstance(confidence, int | float) else None
            found.append(Taken(record.ms, start_ms, end_ms, str(fields.get("text", "")), known))
    return found


def heard(records: Sequence[Record]) -> list[Said]:
    """The caller's words, as understood."""
    return [Said(turn.text, "caller", turn.start_ms, turn.end_ms) for turn in taken(records) if turn.text]


def said(records: Sequence[Record]) -> list[tuple[int, str, str, bool]]:
    """The bot's: (when it was over, text, as much as was heard, whether it was all heard)."""
    found = []
    for record in records:
        fields = record.fields
        if record.kind == "said":
            text, part = str(fields.get("text", "")), str(fields.get("heard", ""))
            found.append((record.ms, text, part, bool(fields.get("complete", True))))
        elif record.kind == "fixed" and fields.get("text"):
            found.append((record.ms, str(fields["text"]), str(fields["text"]), True))
    return found


def steps(records: Sequence[Record], from_ms: int, until_ms: int) -> tuple[Step, ...]:
    """The stages of an answer between the caller's last sound and the bot's first."""
    found: dict[str, Step] = {}
    for record in records:
        if not from_ms <= record.ms <= until_ms + NEAR_MS:
            continue
        if record.kind == "words" and record.fields.get("final"):
            found.setdefault("words", Step("final words", record.ms))
        elif name := STEPS.get(record.kind):
            found.setdefault(record.kind, Step(name, record.ms))
            if record.kind == "heard_from":
                break
    return tuple(sorted(found.values(), key=lambda step: step.at_ms))


def events(records: Sequence[Record]) -> list[Event]:
    """What a reader of the page should see beside the sound."""
    found = []
    for record in records:
        kind = AS_EVENTS.get(record.kind)
        if kind is None or record.fields.get("started"):
            continue
        found.append(Event(kind, record.ms, record.ms, None, _told(record)))
    return found


def _told(record: Record) -> str:
    fields = record.fields
    match record.kind:
        case "tool":
            failed = " failed" if fields.get("ok") is False else ""
            return f"{fields.get('name', '')}{failed}"
        case "transfer":
            return f"to {fields.get('to', '')}"
        case "engine":
            then = f", then {fields['then']}" if fields.get("then") else ""
            return f"{fields.get('stage', '')} {fields.get('name', '')}: {fields.get('fault', 'recovered')}{then}"
        case "malformed":
            return str(fields.get("reason", ""))
        case "note":
            return str(fields.get("text", ""))
        case _:
            return record.kind


def on_hold(records: Sequence[Record], end_ms: int) -> list[tuple[int, int]]:
    """Spans in which the caller had put the line on hold."""
    found, since = [], None
    for record in records:
        if record.kind == "held":
            since = record.ms if since is None else since
        elif record.kind == "taken_back" and since is not None:
            found.append((since, record.ms))
            since = None
    return found if since is None else [*found, (since, end_ms)]


def versions(records: Sequence[Record]) -> dict[str, str]:
    """Dialplan, its hash, engines and the service's version, as the call began."""
    found: dict[str, str] = {}
    for record in records:
        if record.kind == "call_started":
            for name in ("dialplan", "dialplan_hash", "version", "carrier", "started_at"):
                if record.fields.get(name):
                    found[name] = str(record.fields[name])
            engines = record.fields.get("engines")
            if isinstance(engines, dict):
                found |= {stage: str(engine) for stage, engine in engines.items()}
            break
    return found


def ending(records: Sequence[Record]) -> str | None:
    """Why it ended; None when its timeline does not say."""
    reasons = [str(record.fields.get("reason", "")) for record in records if record.kind == "call_ended"]
    return reasons[-1] if reasons else None


def tools(records: Sequence[Record]) -> list[tuple[int, str, bool, float]]:
    """(when, name, whether it worked, seconds) of every tool that was called."""
    return [
        (
            record.ms,
            str(record.fields.get("name", "")),
            bool(record.fields["ok"]),
            _number(record.fields.get("seconds")),
        )
        for record in records
        if record.kind == "tool" and "ok" in record.fields
    ]


def tools_asked(records: Sequence[Record]) -> str:
    """`order(drink=latte, size=large), book failed`: what was asked of tools, in order, and what did not work."""
    asked: list[tuple[str, str]] = []
    failed: list[int] = []
    for record in records:
        fields = record.fields
        if record.kind != "tool":
            continue
        name = str(fields.get("name", ""))
        if "ok" not in fields:
            args = fields.get("args")
            told = ", ".join(f"{key}={value}" for key, value in sorted(args.items())) if isinstance(args, dict) else ""
            asked.append((name, f"{name}({told})" if told else name))
        elif not fields["ok"]:
            if not any(each == name for each, _ in asked):
                asked.append((name, name))
            failed.append(max(number for number, (each, _) in enumerate(asked) if each == name))
    return ", ".join(f"{text} failed" if number in failed else text for number, (_, text) in enumerate(asked))


def asr_s(records: Sequence[Record]) -> float:
    """The recogniser's own time after the ends of turns."""
    return sum(_number(record.fields.get("took_ms")) for record in records if record.kind == "words") / 1000


def tokens(records: Sequence[Record]) -> float:
    """Every field that counts tokens, wherever the timeline has one."""
    return sum(
        _number(value)
        for record in records
        for name, value in record.fields.items()
        if name.endswith("_tokens") or name == "tokens"
    )


def _whole(value: Any) -> int:
    return int(value) if isinstance(value, int | float) else 0


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
