"""The record of a call: `audio.wav` (stereo 8 kHz 16-bit: left caller, right bot as heard), `timeline.jsonl`, and
`turns.jsonl`, the turn machine's own log.

Crash-safe: the timeline is written a whole line at a time; audio goes out at least twice a second, at most
`BEHIND_MS` behind the line, and the sizes in the header are mended by `repair` when a killed process could not
write them. Disk trouble ends the recording with a note, never the call.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path

from voicebot import log
from voicebot.audio.levels import stereo
from voicebot.carriers.base import RATE
from voicebot.core.timeline import Record

BEHIND_MS = 500
"""Acknowledgements come back after the audio was played: the right channel is written this late."""
SNAP = RATE * 60 // 1000
"""An acknowledgement this near the end of the audio before it continues it: marks jitter, audio does not."""
HEADER = 44
_log = log.get("recorder")


def header(data_bytes: int) -> bytes:
    """RIFF header of a stereo 16-bit 8 kHz file with `data_bytes` of samples."""
    fmt = struct.pack("<HHIIHH", 1, 2, RATE, RATE * 4, 4, 16)
    return (
        b"RIFF" + struct.pack("<I", 36 + data_bytes) + b"WAVEfmt " + struct.pack("<I", 16) + fmt
        + b"data" + struct.pack("<I", data_bytes)
    )  # fmt: skip


class Recorder:
    """Writes one call's folder. All positions are media-clock samples at 8 kHz."""

    def __init__(self, folder: Path, record: bool = True, watch: Callable[[Record], None] | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._watch = watch
        self._timeline = open(folder / "timeline.jsonl", "ab", buffering=0)  # noqa: SIM115
        self._turns = open(folder / "turns.jsonl", "ab", buffering=8192)  # noqa: SIM115
        self._audio = open(folder / "audio.wav", "wb", buffering=0) if record else None  # noqa: SIM115
        self._written = 0  # samples in the file
        self._left, self._right = bytearray(), bytearray()  # from `_written` on
        self._bot_end = 0
        if self._audio:
            self._audio.write(header(0))

    def note(self, record: Record) -> None:
        """Append to the timeline and tell whoever watches."""
        try:
            self._timeline.write(record.encode())
        except OSError as error:
            _log.warning("timeline_write_failed", error=str(error))
        if self._watch:
            self._watch(record)

    def turn(self, line: bytes) -> None:
        """Append to the turn machine's log; it is written at leisure."""
        try:
            self._turns.write(line)
        except OSError as error:
            _log.warning("turn_log_write_failed", error=str(error))

    def caller(self, pcm: bytes, at: int) -> None:
        """Caller audio whose first sample is at `at`; a hole before it is silence, an overlap is dropped."""
        if self._audio:
            _place(self._left, pcm, at - self._written)

    def bot(self, pcm: bytes, end: int) -> None:
        """Bot audio that was heard, its last sample at `end`."""
        samples = len(pcm) // 2
        start = end - samples
        if abs(start - self._bot_end) <= SNAP or start < self._bot_end:
            start = self._bot_end
        self._bot_end = start + samples
        if self._audio:
            _place(self._right, pcm, start - self._written)

    def flush(self, now: int) -> None:
        """Write what lies more than `BEHIND_MS` before media-clock sample `now`."""
        self._write(min(now - BEHIND_MS * RATE // 1000 - self._written, len(self._left) // 2))

    def _write(self, samples: int) -> None:
        if not self._audio or samples <= 0:
            return
        size = samples * 2
        left, right = (bytes(buffer[:size]).ljust(size, b"\0") for buffer in (self._left, self._right))
        del self._left[:size], self._right[:size]
        try:
            self._audio.write(stereo(left, right))
            self._written += samples
        except OSError as error:
            _log.warning("recording_stopped", error=str(error))
            self._audio.close()
            self._audio = None
            self.note(Record(self._written * 1000 // RATE, "note", {"text": f"recording stopped: {error.strerror}"}))

    def close(self) -> None:
        """Write the rest and the header's sizes."""
        self._write(max(len(self._left), len(self._right)) // 2)
        if self._audio:
            self._audio.seek(0)
            self._audio.write(header(self._written * 4))
            self._audio.close()
            self._audio = None
        self._timeline.close()
        try:
            self._turns.close()
        except OSError as error:
            _log.warning("turn_log_write_failed", error=str(error))


def append(folder: Path, record: Record) -> None:
    """Add to the timeline of a call that is over what became known with its end only. `OSError` when it cannot be."""
    with open(folder / "timeline.jsonl", "ab", buffering=0) as timeline:
        timeline.write(record.encode())


def _place(buffer: bytearray, pcm: bytes, offset: int) -> None:
    """Put `pcm` at sample `offset` of `buffer`, after what is there already."""
    if offset < 0:  # before what was written: too late for the file
        pcm, offset = pcm[-offset * 2 :], 0
    gap = offset * 2 - len(buffer)
    if gap > 0:
        buffer.extend(bytes(gap))
    elif gap < 0:
        pcm = pcm[-gap:]
    buffer.extend(pcm)


def repair(folder: Path) -> float:
    """Mend the sizes in the header of a recording whose process was killed, and cut a broken last line off the
    timeline. Returns the recording's seconds (0.0 when there is none)."""
    timeline = folder / "timeline.jsonl"
    if timeline.exists():
        text = timeline.read_bytes()
        whole = text[: text.rfind(b"\n") + 1]
        if whole != text:
            _replace(timeline, whole)
    audio = folder / "audio.wav"
    if not audio.exists() or (size := audio.stat().st_size) < HEADER:
        return 0.0
    data = (size - HEADER) // 4 * 4
    with open(audio, "r+b") as file:
        file.write(header(data))
        file.truncate(HEADER + data)
    return data / 4 / RATE


def _replace(path: Path, data: bytes) -> None:
    """Atomically."""
    fresh = path.with_suffix(".new")
    fresh.write_bytes(data)
    os.replace(fresh, path)
