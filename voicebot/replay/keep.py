"""A real call as a test fixture: its folder again, with personal data masked in what is written, and silence for
stretches of the sound.

What is not muted is still to be heard: a fixture with a name in its sound is as personal as the call was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from voicebot.call.recorder import HEADER, header
from voicebot.core.dialplan import Dialplan
from voicebot.core.timeline import Record, decode
from voicebot.errors import UsageError
from voicebot.replay.masking import masked_fields, personal_slots, personal_words
from voicebot.replay.recording import RATE
from voicebot.replay.verdict import Side

AROUND_MS = 300
"""Muted before and after a turn: soft consonants, and what voice activity saw late."""
SECRET_KEYS = 3
"""So many keys in a row are a number, and not a choice."""
AS_THEY_ARE = frozenset({"call_started", "state", "pause", "network", "call_ended"})
"""Kinds of records that hold nothing that anybody said."""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of the sound that is muted."""

    start_ms: int
    end_ms: int
    side: Side | None = None
    """None: both."""


@dataclass(frozen=True, slots=True)
class Kept:
    folder: Path
    masked: int
    """Records in which something was masked."""
    muted: tuple[Span, ...]


def span(text: str) -> Span:
    """`12.3-15`, `caller:12.3-15`, in seconds. `UsageError` for anything else."""
    side, _, times = text.rpartition(":")
    start, _, end = times.partition("-")
    try:
        found = Span(round(float(start) * 1000), round(float(end) * 1000), _side(side))
    except ValueError:
        raise UsageError(f"{text!r} is no stretch of the call. Say 12.3-15, or caller:12.3-15.") from None
    if not 0 <= found.start_ms < found.end_ms:
        raise UsageError(f"{text!r} ends before it begins.")
    return found


def _side(text: str) -> Side | None:
    match text:
        case "":
            return None
        case "caller" | "bot":
            return text
        case _:
            raise ValueError(text)


def keep(
    call: Path, to: Path, plan: Dialplan | None, spans: Sequence[Span] = (), more: Sequence[str] = (),
    mute_masked: bool = False,
) -> Kept:  # fmt: skip
    """The folder `call` as fixture `to`. `more`: words to mask besides. `mute_masked`: the turns in whose words
    something was masked are muted. `UsageError` when there is no call, or `to` is there."""
    if to.exists():
        raise UsageError(f"{to} is there already. Say another --name.")
    try:
        records = list(decode((call / "timeline.jsonl").read_bytes().splitlines()))
        log = (call / "turns.jsonl").read_bytes() if (call / "turns.jsonl").exists() else b""
        sound = (call / "audio.wav").read_bytes()
    except OSError as error:
        raise UsageError(f"{error.filename} cannot be read: {error.strerror}.") from None
    words = personal_words(records, plan) | {word.lower() for text in more for word in text.split()}
    slots = personal_slots(plan)
    clean = _keys_masked([_clean(record, to.name, words, slots) for record in records])
    hidden = [(was, now) for was, now in zip(records, clean, strict=True) if was != now and was.kind != "call_started"]
    muted = (*spans, *(_spans(hidden, records) if mute_masked else ()))
    to.mkdir(parents=True)
    (to / "timeline.jsonl").write_bytes(b"".join(record.encode() for record in clean))
    (to / "turns.jsonl").write_bytes(_log_masked(log, words, slots))
    (to / "audio.wav").write_bytes(_muted(sound, muted))
    return Kept(to, len(hidden), muted)


def _clean(record: Record, name: str, words: frozenset[str], slots: frozenset[str]) -> Record:
    if record.kind == "call_started":
        return replace(record, fields={**record.fields, "call_id": name})
    if record.kind in AS_THEY_ARE:
        return record
    return replace(record, fields=masked_fields(record.fields, words, slots))


def _keys_masked(records: Sequence[Record]) -> list[Record]:
    """Keys that follow each other, and no turn between them."""
    found, run = list(records), list[int]()
    for at, record in enumerate([*records, Record(0, "turn", {})]):
        if record.kind == "digits":
            run.append(at)
        elif record.kind in ("turn", "said"):
            if len(run) >= SECRET_KEYS:
                for place in run:
                    found[place] = replace(found[place], fields={**found[place].fields, "digits": "•"})
            run = []
    return found


def _log_masked(log: bytes, words: frozenset[str], slots: frozenset[str]) -> bytes:
    """The turn machine's log; its decisions do not depend on which words they were, nor on which keys."""
    lines = []
    for line in log.splitlines():
        try:
            event: dict[str, Any] = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue
        if event.get("event") == "Key":
            event["digit"] = "0"
        elif event.get("event") == "WordsHeard":
            event = masked_fields(event, words, slots)
        lines.append(orjson.dumps(event) + b"\n")
    return b"".join(lines)


def _spans(hidden: Sequence[tuple[Record, Record]], records: Sequence[Record]) -> list[Span]:
    """Where what was masked was said."""
    heard_from = {r.fields.get("turn"): r.ms for r in records if r.kind == "heard_from"}
    found = []
    for record, _ in hidden:
        if record.kind == "turn" and record.fields.get("text"):
            start, end = int(record.fields["start_ms"]), int(record.fields["end_ms"])
            found.append(Span(max(0, start - AROUND_MS), end + AROUND_MS, "caller"))
        elif record.kind == "said" and (start_ms := heard_from.get(record.fields.get("turn"))) is not None:
            found.append(Span(start_ms, record.ms + AROUND_MS, "bot"))
    return found


def _muted(sound: bytes, spans: Sequence[Span]) -> bytes:
    """A call's `audio.wav`, as our recorder writes it."""
    samples = np.frombuffer(sound[HEADER : HEADER + (len(sound) - HEADER) // 4 * 4], "<i2").reshape(-1, 2).copy()
    for each in spans:
        columns = {"caller": slice(0, 1), "bot": slice(1, 2)}.get(each.side or "", slice(0, 2))
        samples[each.start_ms * RATE // 1000 : each.end_ms * RATE // 1000, columns] = 0
    data = samples.tobytes()
    return header(len(data)) + data
