"""A call of ours, out of its folder: `audio.wav`, `timeline.jsonl`, `turns.jsonl`; a crash may have cut any of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from voicebot.call.recorder import HEADER, header
from voicebot.core.timeline import Record, decode
from voicebot.errors import UsageError
from voicebot.replay.inputs.limits import MAX_SECONDS, MAX_TEXT_BYTES
from voicebot.replay.recording import RATE, CallAudio, Media
from voicebot.replay.verdict import Event, Source


def load(folder: Path) -> CallAudio:
    """The call. `UsageError` in one sentence when the folder holds none, or not its sound."""
    audio, timeline = folder / "audio.wav", folder / "timeline.jsonl"
    records = tuple(decode(_text(timeline).splitlines())) if timeline.is_file() else ()
    if not audio.is_file():
        raise UsageError(f"{folder} has no audio.wav: the call was not recorded, or this is no call's folder.")
    size = audio.stat().st_size
    with audio.open("rb") as file:
        head = file.read(HEADER)
    if head[:4] + head[8:40] != header(0)[:4] + header(0)[8:40]:  # its sizes are wrong where the process was killed
        raise UsageError(f"{audio} is not as this service records; give it as a file of its own.")
    frames = (size - HEADER) // 4
    if frames < 1:
        raise UsageError(f"{audio} has a header and no sound.")
    if frames > MAX_SECONDS * RATE:
        raise UsageError(f"{audio} is longer than {MAX_SECONDS // 3600} hours, which is the limit.")
    both = np.memmap(audio, "<i2", "r", HEADER, (frames, 2))
    turns = folder / "turns.jsonl"
    return CallAudio(
        name=folder.name,
        source=Source("call folder", ("audio.wav", "timeline.jsonl"), "as our recorder writes", RATE),
        rate=RATE,
        caller=both[:, 0],
        bot=both[:, 1],
        records=records,
        turn_log=_text(turns) if turns.is_file() else b"",
        events=tuple(_events(records)),
        media=tuple(("caller", media) for media in _network(records)),
    )


def _text(path: Path) -> bytes:
    if path.stat().st_size > MAX_TEXT_BYTES:
        raise UsageError(f"{path} has more than {MAX_TEXT_BYTES >> 20} MiB: it is no call's.")
    return path.read_bytes()


def _events(records: tuple[Record, ...]) -> list[Event]:
    """Keys, as the carrier told them."""
    return [
        Event("dtmf", record.ms, record.ms + 100, "caller", str(record.fields.get("digits", "")))
        for record in records
        if record.kind == "digits"
    ]


def _network(records: tuple[Record, ...]) -> list[Media]:
    """The call's own counters of its RTP."""
    found = [record.fields for record in records if record.kind == "network"]
    return [
        Media(
            packets=int(fields.get("packets", 0)),
            lost=int(fields.get("lost", 0)),
            late=int(fields.get("late", 0)),
            reordered=int(fields.get("reordered", 0)),
            jitter_ms=float(fields.get("jitter_ms", 0.0)),
            jitter_p95_ms=float(fields.get("jitter_ms", 0.0)),
            concealed_ms=int(fields.get("concealed_ms", 0)),
        )
        for fields in found[:1]
    ]
