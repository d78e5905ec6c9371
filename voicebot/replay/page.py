"""A verdict as a page: `report.html`, one file that needs no network, beside `report.json` and `timeline.jsonl`; and
the page of a suite. What a person thinks of a call is kept beside it in `labels.json`.

The sound is in the page: lossless to a quarter of an hour, MP3 beyond, so that the file stays of a size to be sent.
"""

from __future__ import annotations

import io
import os
from base64 import b64encode
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import soundfile

from voicebot.core.timeline import Record
from voicebot.errors import UsageError
from voicebot.replay import verdict as form
from voicebot.replay.measures.speech import pieces
from voicebot.replay.recording import CallAudio, Samples, at_phone_rate
from voicebot.replay.verdict import Suite, Verdict

LOSSLESS_MS = 15 * 60_000
LONGEST_MS = 3 * 3_600_000
"""Of a longer call the page has everything but the sound."""
PEAK_MS = 20
MOST_PEAKS = 60_000
DECIBELS = 50.0
"""Range of the waveform's height."""
REPORT = ("report.html", ("report.css",), ("timeline.js", "report.js", "review.js"))
SUITE = ("suite.html", ("report.css",), ("suite.js",))


def write_report(judged: Verdict, call: CallAudio, folder: Path) -> None:
    """`report.html`, `report.json` and `timeline.jsonl` into a folder. `UsageError` when it cannot be written."""
    call = at_phone_rate(call)
    bin_ms = max(PEAK_MS, -(-judged.duration_ms // MOST_PEAKS))
    sides = {"caller": call.caller, "bot": call.bot}
    data = {
        "verdict": judged,
        "bin_ms": bin_ms,
        "peaks": {side: _peaks(samples, call.rate, bin_ms) for side, samples in sides.items() if samples is not None},
        "audio": _sound(call),
        "labels": labels(folder),
        "token": "",
    }
    _write(folder, "report.html", render(REPORT, data))
    _write(folder, "report.json", form.write(judged))
    if not (folder / "audio.wav").exists():  # a call's own folder has the call's own timeline
        _write(folder, "timeline.jsonl", b"".join(record.encode() for record in timeline(judged)))


def write_suite(suite: Suite, folder: Path) -> None:
    """`suite.html` and `suite.json` into a folder. `UsageError` when it cannot be written."""
    _write(folder, "suite.html", render(SUITE, {"suite": suite, "token": ""}))
    _write(folder, "suite.json", form.write(suite))


def labels(folder: Path) -> list[dict[str, Any]]:
    """What people said of the call so far; nothing where the file is none."""
    try:
        found = orjson.loads((folder / "labels.json").read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return []
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def timeline(judged: Verdict) -> Sequence[Record]:
    """The verdict's turns and events as a call's timeline has them, a line each, in order."""
    records = []
    for turn in judged.turns:
        told = {"side": turn.side, "end_ms": turn.end_ms, "text": turn.text}
        records.append(Record(turn.start_ms, "speech", told | ({"heard": turn.heard} if turn.heard else {})))
    for event in judged.events:
        side = {"side": event.side} if event.side else {}
        records.append(Record(event.start_ms, event.kind, {"end_ms": event.end_ms, **side, "text": event.text}))
    return sorted(records, key=lambda record: record.ms)


def render(page: tuple[str, Sequence[str], Sequence[str]], data: dict[str, Any]) -> bytes:
    """One file of a page, its styles, its scripts and its data. Nothing in the data can end the element it is in."""
    html, styles, scripts = page
    told = orjson.dumps(data).replace(b"<", b"\\u003c").replace(b"\xe2\x80\xa8", b"\\u2028")
    style, script = (b"\n".join(_asset(name) for name in names) for names in (styles, scripts))
    before, after = _asset(html).split(b"/*STYLE*/")
    middle, after = after.split(b"/*DATA*/")
    between, after = after.split(b"/*SCRIPT*/")
    return before + style + middle + told + between + script + after


def _asset(name: str) -> bytes:
    return (resources.files("voicebot.replay") / "static" / name).read_bytes()


def _write(folder: Path, name: str, data: bytes) -> None:
    """Whole or not at all."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        fresh = folder / f".{name}.new"
        fresh.write_bytes(data)
        os.replace(fresh, folder / name)
    except OSError as error:
        raise UsageError(f"{folder / name} cannot be written: {(error.strerror or str(error)).lower()}.") from None


def _peaks(samples: Samples, rate: int, bin_ms: int) -> str:
    """The loudest sample of every bin, in decibels, a byte each, base64."""
    size = rate * bin_ms // 1000
    found, step = [], size * 3000
    for sound in pieces(samples, ((at, at + step) for at in range(0, len(samples), step))):
        piece = np.abs(sound.astype(np.float32))
        piece = np.pad(piece, (0, -len(piece) % size)).reshape(-1, size).max(axis=1)
        found.append(np.clip((20 * np.log10(piece / 32768 + 1e-6) + DECIBELS) / DECIBELS, 0, 1) * 255)
    return b64encode(np.concatenate(found).astype(np.uint8).tobytes() if found else b"").decode()


def _sound(call: CallAudio) -> str:
    """Both sides as a data URI; empty where the call is too long for a page."""
    if not 0 < call.duration_ms <= LONGEST_MS:
        return ""
    length = max(len(side) for side in (call.caller, call.bot) if side is not None)
    both = np.zeros((length, 2), np.int16)
    for channel, side in enumerate((call.caller, call.bot)):
        if side is not None:
            both[: len(side), channel] = side
    file = io.BytesIO()
    kind, subtype = ("FLAC", "PCM_16") if call.duration_ms <= LOSSLESS_MS else ("MP3", "MPEG_LAYER_III")
    soundfile.write(file, both, call.rate, subtype, format=kind)
    return f"data:audio/{'flac' if kind == 'FLAC' else 'mpeg'};base64,{b64encode(file.getvalue()).decode()}"
