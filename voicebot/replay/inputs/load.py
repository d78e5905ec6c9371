"""Any recording of calls, opened: sound files, pairs of them, captures, folders of our own calls and of all these.

    for path in recordings(folder): calls = load(path)

One file is open at a time, and long sound is mapped, not held: a week of calls needs the memory of one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import soxr

from voicebot.errors import UsageError
from voicebot.replay.inputs import capture, folder, sound, transcript
from voicebot.replay.inputs.limits import MAX_CAPTURE_BYTES
from voicebot.replay.inputs.packets import MAGICS, SECTION
from voicebot.replay.inputs.sides import caller_is_left
from voicebot.replay.recording import CallAudio, Said, Samples
from voicebot.replay.verdict import OTHER, Source

SOUNDS = frozenset(".wav .wave .flac .mp3 .ogg .oga .opus .aif .aiff .au .snd .w64 .rf64 .caf".split())
CAPTURES = frozenset(".pcap .cap .pcapng .dmp".split())
_MAGICS = {number.to_bytes(4, order) for number in (*MAGICS, SECTION) for order in ("little", "big")}


@dataclass(frozen=True, slots=True)
class Told:
    """What the operator says of recordings."""

    caller: Literal["find", "left", "right"] = "find"
    """Which channel of a stereo file is the caller."""
    bot: Path | None = None
    """The bot's side, where the caller's is a file of its own."""
    reference: Path | None = None
    """What was truly said; default: a transcript beside the recording."""


def recordings(path: Path) -> Iterator[Path]:
    """The recordings under a path, in order: itself, or what its folders hold."""
    if not path.is_dir() or (path / "audio.wav").is_file():
        yield path
        return
    for each in sorted(path.iterdir()):
        if each.is_dir():
            yield from recordings(each)
        elif each.suffix.lower() in SOUNDS | CAPTURES or _is_capture(each):
            yield each


def load(path: Path, told: Told | None = None) -> list[CallAudio]:
    """The calls of a file or of a call's folder. `UsageError` in one sentence for what is none."""
    told = told or Told()
    if path.is_dir():
        calls = [folder.load(path)]
    elif _is_capture(path):
        calls = _capture(path)
    else:
        calls = [_pair(path, told.bot) if told.bot else _file(path, told)]
    where = told.reference or transcript.beside(path)
    reference: tuple[Said, ...] = transcript.read(where) if where and len(calls) == 1 else ()
    return [replace(call, reference=reference) for call in calls]


def _is_capture(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(4) in _MAGICS or path.suffix.lower() in CAPTURES
    except OSError:
        return False


def _capture(path: Path) -> list[CallAudio]:
    size = path.stat().st_size
    if not size:
        raise UsageError(f"{path.name} is empty.")
    if size > MAX_CAPTURE_BYTES:
        raise UsageError(f"{path.name} has {size >> 20} MiB, and {MAX_CAPTURE_BYTES >> 20} are the limit; cut it up.")
    return [_told_apart(call) if call.source.sides == "unknown" else call for call in capture.load(path)]


def _told_apart(call: CallAudio) -> CallAudio:
    """A capture without SIP: who is who as in a stereo file."""
    if call.caller is None or call.bot is None:
        return replace(call, source=replace(call.source, sides="assumed: the one side that there is is the caller"))
    left, why = caller_is_left(call.caller, call.bot, call.rate)
    source = replace(call.source, sides=why)
    if left:
        return replace(call, source=source)
    media = tuple((OTHER[side], each) for side, each in call.media)
    events = tuple(replace(each, side=OTHER[each.side or "bot"]) for each in call.events)
    return replace(call, source=source, caller=call.bot, bot=call.caller, media=media, events=events)


def _file(path: Path, told: Told) -> CallAudio:
    found = sound.read(path)
    notes = found.notes
    if found.samples.shape[1] == 1:
        source = _source("mono file", (path,), "none: all voices are in one channel", found, notes)
        return CallAudio(path.stem, source, found.rate, found.samples[:, 0], None, mixed=True)
    left, right = found.samples[:, 0], found.samples[:, 1]
    if _same(left, right):
        text = "Both channels are the same: nobody can be told apart in it."
        source = _source("stereo file", (path,), "none: both channels are the same", found, (*notes, text))
        return CallAudio(path.stem, source, found.rate, left, None, mixed=True)
    if told.caller == "find":
        is_left, why = caller_is_left(left, right, found.rate)
        if path.stem.startswith("RE") and len(path.stem) == 34:
            is_left, why = True, "as Twilio records: the caller's leg is the first channel"
    else:
        is_left, why = told.caller == "left", "told"
    caller, bot = (left, right) if is_left else (right, left)
    return CallAudio(path.stem, _source("stereo file", (path,), why, found, notes), found.rate, caller, bot)


def _pair(path: Path, other: Path) -> CallAudio:
    caller, bot = sound.read(path), sound.read(other)
    for each, file in ((caller, path), (bot, other)):
        if each.samples.shape[1] != 1:
            raise UsageError(f"{file.name} has two channels; of two files, each is one side.")
    samples: Samples = bot.samples[:, 0]
    if bot.rate != caller.rate:
        samples = np.asarray(soxr.resample(samples, bot.rate, caller.rate, quality="VHQ"), np.int16)
    source = _source("two files", (path, other), "told", caller, (*caller.notes, *bot.notes))
    uncertainty_ms = max(caller.uncertainty_ms, bot.uncertainty_ms)
    source = replace(source, uncertainty_ms=uncertainty_ms)
    return CallAudio(path.stem, source, caller.rate, caller.samples[:, 0], samples)


def _source(kind: str, files: tuple[Path, ...], sides: str, found: sound.Sound, notes: tuple[str, ...]) -> Source:
    names = tuple(file.name for file in files)
    return Source(f"{kind} ({found.form})", names, sides, found.rate, found.uncertainty_ms, notes)


def _same(left: Samples, right: Samples) -> bool:
    """Mono in two channels; a lossy codec may have changed the last bits."""
    some = slice(0, 1 << 22)
    return bool(np.abs(left[some].astype(np.int32) - right[some]).max(initial=0) <= 2)
