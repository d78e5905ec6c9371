"""The timeline: one JSON object a line, everything that happened on a call, in order.

    {"ms": 1840, "kind": "turn", "text": "a large latte please", "confidence": 0.91, "start_ms": 900, "end_ms": 1840}

`ms` is the media clock. Kinds and their fields are listed in `KINDS`; unknown fields are kept, unknown
kinds are kept, a broken line is skipped and counted: a timeline must be readable after a crash.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import orjson


class EndReason(StrEnum):
    """Why a call ended: every ended call has exactly one."""

    CALLER_HANGUP = "caller_hangup"
    BOT_HANGUP = "bot_hangup"
    TRANSFER = "transfer"
    MEDIA_LOST = "media_lost"
    ENGINE_FAILED = "engine_failed"
    OVERLOAD = "overload"
    DRAINED = "drained"
    CRASHED = "crashed"
    REJECTED = "rejected"


KINDS: dict[str, str] = {
    "call_started": "call_id, carrier, dialplan, dialplan_hash, responder, engines, version, started_at (ISO, UTC)",
    "state": "state (of the turn machine)",
    "voice_started": "at_ms (onset, media clock)",
    "voice_stopped": "at_ms (end of speech, media clock)",
    "pause": "wait_ms: how long this pause may be before the turn is taken; and the terms that it is the sum of",
    "words": "text, final, confidence; by (a native engine); of a final, took_ms: its time after the end of the turn",
    "turn": "turn, text, confidence, start_ms, end_ms, tone (see `audio.tone`): the caller's turn, committed",
    "digits": "digits: keyed by the caller, masked where secret",
    "silence": "count",
    "reply_started": "turn",
    "reply_audio": "turn: first audio of the reply was queued",
    "heard_from": "turn: first audio of the reply was played",
    "said": "turn, text (generated), heard (what was played), complete",
    "hold": "playout stopped for a voice",
    "resume": "it was no interruption",
    "held": "the caller put us on hold",
    "taken_back": "the caller is back from hold",
    "fixed": "sentence (its name), text",
    "tool": "name, ok, seconds, args, result",
    "transfer": "to, ok",
    "malformed": "reason: the first of its kind on this call; `call_ended` has the counts",
    "bandwidth": "engines: what each recogniser hears above the line's 4 kHz, and why",
    "treatment": "engines: what else is done to what each recogniser hears (level, noise), and why; gaps (true, false)",
    "engine": "stage, name, fault, then (who takes over, if anybody), breaker (its state); or recovered",
    "network": "packets, lost, late, jitter_ms, …: what RTP went through; ended: SIP's own reason; after `call_ended`",
    "responder": "name: who leads the call from here on; why",
    "interpreted": "by (caller or callee, who said it), source (what was said), text (its translation)",
    "note": "text: anything a reviewer should know (recording paused, disk full)",
    "call_ended": "reason (an EndReason), seconds, ignored and malformed (counts by kind), lost_marks",
}


@dataclass(frozen=True, slots=True)
class Record:
    ms: int
    kind: str
    fields: dict[str, Any]

    def encode(self) -> bytes:
        """One line, newline included."""
        return orjson.dumps({"ms": self.ms, "kind": self.kind, **self.fields}, default=str) + b"\n"


def decode(lines: Iterable[bytes]) -> Iterator[Record]:
    """Records of a timeline file; lines that are not whole JSON objects (a crash mid-line) are skipped."""
    for line in lines:
        try:
            data = orjson.loads(line)
            yield Record(int(data.pop("ms")), str(data.pop("kind")), data)
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError):
            continue


@dataclass(frozen=True, slots=True)
class TurnLatency:
    turn: int
    voice_to_voice_ms: int
    """Caller's speech end (hang-over removed) to the first audio of the reply played."""
    endpoint_ms: int
    """Caller's speech end to the commitment of the turn."""


def latencies(records: Iterable[Record]) -> list[TurnLatency]:
    """Voice-to-voice and endpointing delay of every spoken turn that was answered."""
    found: list[TurnLatency] = []
    turn, end_ms, committed_ms = -1, 0, 0
    for record in records:
        if record.kind == "turn":
            turn, end_ms, committed_ms = int(record.fields["turn"]), int(record.fields["end_ms"]), record.ms
        elif record.kind == "heard_from" and int(record.fields.get("turn", -2)) == turn:
            found.append(TurnLatency(turn, record.ms - end_ms, committed_ms - end_ms))
            turn = -1
    return found
