"""What is played over the bot's voice: real interruptions, and all that is none.

Recordings are chosen by their category in a `MANIFEST.csv`; what no recording was found of is made here, and marked so.
Each kind is brought to a level that a telephone would bring: a caller at -26 dBFS while speaking, the rest below.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import assert_never

import numpy as np

from voicebot.audio.frames import RATE
from voicebot.audio.g711 import ulaw_encode
from voicebot.errors import UsageError
from voicebot.replay import mixing
from voicebot.replay.mixing import Sound
from voicebot.replay.spoken_tasks import Recording, recordings
from voicebot.replay.telephone import Speech, speech


class Kind(StrEnum):
    WORD = "one word"
    ORDER = "coffee order"
    SENTENCE = "sentence"
    BACKCHANNEL = "backchannel"
    COUGH = "cough"
    KEYBOARD = "keyboard"
    STREET = "street"
    BABBLE = "babble"
    ROOM = "kitchen, office"
    MUSIC = "hold music"
    TELEVISION = "television"
    ECHO = "own echo"


INTERRUPTIONS = frozenset({Kind.WORD, Kind.ORDER, Kind.SENTENCE})
"""To be obeyed; nothing else is."""
LEVELS_DBFS = {
    Kind.WORD: -26,
    Kind.ORDER: -26,
    Kind.SENTENCE: -26,
    Kind.BACKCHANNEL: -30,
    Kind.COUGH: -24,
    Kind.KEYBOARD: -40,
    Kind.STREET: -38,
    Kind.BABBLE: -38,
    Kind.ROOM: -38,
    Kind.MUSIC: -30,
    Kind.TELEVISION: -42,
}
"""RMS of the frames within 30 dB of the loudest."""
WORDS = ("stop", "help", "no", "repeat", "start", "six", "Firefox")
NOISES = {
    Kind.STREET: ("street", "traffic", "car", "train", "station", "airport"),
    Kind.BABBLE: ("cafe", "babble", "restaurant", "exhibition"),
    Kind.ROOM: ("kitchen", "office", "machine"),
    Kind.MUSIC: ("music",),
}
ONSET_DB = 20
NOISE_S = 4.0
LONGEST_S = 7.0
"""A longer order would outlast the bot's sentence."""


@dataclass(frozen=True, slots=True)
class Clip:
    name: str
    kind: Kind
    speech: Speech
    onset_ms: int
    """Of the voice in it: within 20 dB of the loud parts, above -50 dBFS, for 15 ms at least. A breath or the room's
    noise before a word is no onset; a hissed first consonant is."""
    end_ms: int
    made: bool = False
    """No recording."""

    @property
    def interrupts(self) -> bool:
        return self.kind in INTERRUPTIONS


def clip(name: str, kind: Kind, sound: Sound, made: bool = False) -> Clip:
    """`sound` (8 kHz) at the level of its kind, silence at its edges cut to what a telephone would send anyway."""
    power = mixing.speech_power(sound, RATE)
    if power > 0:
        sound = sound * np.float32(10 ** (LEVELS_DBFS[kind] / 20) / power**0.5)
    onset, end = bounds(sound)
    start, stop = max(0, onset - RATE // 5), min(len(sound), end + RATE // 5)
    ulaw = ulaw_encode(mixing.pcm16(sound[start:stop]))
    return Clip(name, kind, speech(ulaw), (onset - start) * 1000 // RATE, (end - start) * 1000 // RATE, made)


def bounds(sound: Sound) -> tuple[int, int]:
    """First and last sample of what is loud for a while: three of four windows of 5 ms, so that no click counts."""
    size = RATE // 200
    windows = sound[: len(sound) // size * size].reshape(-1, size)
    rms = np.sqrt(np.mean(windows**2, axis=1))
    loud = rms > max(10 ** (-50 / 20), np.percentile(rms, 95) * 10 ** (-ONSET_DB / 20))
    lasting = np.flatnonzero(np.convolve(loud, np.ones(4), "valid") >= 3)
    if not len(lasting):
        return 0, len(sound)
    found = np.flatnonzero(loud)
    first, last = found[found >= lasting[0]][0], found[found < lasting[-1] + 4][-1]
    return int(first) * size, int(last + 1) * size


def clips(folder: Path, limit: int, only: str = "", seed: int = 1) -> list[Clip]:
    """At most `limit` of each kind, the same for the same seed. `UsageError` when the folder has none."""
    found = recordings(folder)
    chosen: list[Clip] = []
    for kind in Kind:
        if only in kind.value:
            every = _of(kind, found, limit)
            drawn = every if len(every) <= limit else random.Random(seed).sample(every, limit)
            chosen += [make() for make in drawn]
    if not chosen:
        raise UsageError(f"{folder} has no recording that can be played over the bot.")
    return chosen


Make = Callable[[], Clip]
"""A clip is read only when it was drawn."""


def _of(kind: Kind, found: Sequence[Recording], limit: int) -> list[Make]:
    match kind:
        case Kind.WORD:
            return [_whole(r, kind) for r in found if r.category in ("read_an4", "read_misc") and r.transcript in WORDS]
        case Kind.ORDER:
            return [_whole(r, kind) for r in found if r.category == "commands_s2i" and r.seconds <= LONGEST_S]
        case Kind.SENTENCE:
            read = [r for r in found if r.category in ("wideband", "read_misc") and r.seconds < LONGEST_S]
            return [_whole(r, kind) for r in read if len(r.transcript.split()) > 3]
        case Kind.BACKCHANNEL:
            turns = [make for r in found if r.category == "vad_ami" for make in _short_turns(r)]
            return [_whole(r, kind) for r in found if r.category == "backchannel"] + turns
        case Kind.STREET | Kind.BABBLE | Kind.ROOM | Kind.MUSIC:
            here = [r for r in found if r.category == "noise" and _is(r, kind)]
            pieces: list[Make] = [partial(_piece, r, kind, n) for r in here for n in range(_pieces(r, limit))]
            return pieces or _made(kind, limit) if kind is Kind.MUSIC else pieces
        case Kind.TELEVISION:
            return [partial(_piece, r, kind, 0) for r in found if r.category == "speech_libri_many"]
        case Kind.COUGH | Kind.KEYBOARD | Kind.ECHO:
            return _made(kind, limit)
        case _:
            assert_never(kind)


def _is(recording: Recording, kind: Kind) -> bool:
    return any(word in str(recording.labels.get("noise")) for word in NOISES[kind])


def _pieces(recording: Recording, limit: int) -> int:
    return max(1, min(limit, int(recording.seconds // NOISE_S)))


def _whole(recording: Recording, kind: Kind) -> Make:
    return lambda: clip(recording.file.stem, kind, mixing.read(recording.file, RATE))


def _piece(recording: Recording, kind: Kind, number: int) -> Clip:
    sound = mixing.read(recording.file, RATE)
    start = int(number * NOISE_S * RATE)
    return clip(f"{recording.file.stem} {number}", kind, sound[start : start + int(NOISE_S * RATE)])


def _short_turns(recording: Recording) -> list[Make]:
    """Turns of 0.25 to 0.9 s in a meeting, nobody else speaking within 0.2 s: nearly all of them backchannels."""
    turns = [(float(start), float(end)) for start, end, _ in recording.labels.get("speaker_turns", ())]
    short = [(a, b) for a, b in turns if 0.25 <= b - a <= 0.9 and b < recording.seconds]
    return [
        partial(_turn, recording, start, end)
        for start, end in short
        if all(a >= end + 0.2 or b <= start - 0.2 for a, b in turns if (a, b) != (start, end))
    ]


def _turn(recording: Recording, start_s: float, end_s: float) -> Clip:
    sound = mixing.read(recording.file, RATE)[int((start_s - 0.1) * RATE) : int((end_s + 0.1) * RATE)]
    return clip(f"{recording.file.stem} {start_s:.1f} s", Kind.BACKCHANNEL, sound)


# --- what nobody recorded ---------------------------------------------------------------------------------------


def _made(kind: Kind, limit: int) -> list[Make]:
    if kind is Kind.ECHO:  # the telephone makes it, of what it hears
        return [lambda: Clip("own echo", kind, speech(b""), 0, int(NOISE_S * 1000), True)] * limit
    sounds = {Kind.COUGH: _coughs, Kind.KEYBOARD: _typing, Kind.MUSIC: _music}

    def make(number: int) -> Clip:
        return clip(f"{kind} {number}", kind, sounds[kind](np.random.default_rng(number)), made=True)

    return [partial(make, number) for number in range(limit)]


def _coughs(chance: np.random.Generator) -> Sound:
    """One to three: a burst of breath, a hiss that dies away, and in most a short voiced end."""
    parts = []
    for _ in range(int(chance.integers(1, 4))):
        burst = chance.standard_normal(RATE * 60 // 1000) * np.hanning(RATE * 60 // 1000) ** 0.3
        hiss = chance.standard_normal(RATE * 140 // 1000) * np.exp(-np.arange(RATE * 140 // 1000) / (0.04 * RATE)) * 0.5
        t = np.arange(RATE * 100 // 1000) / RATE
        hz = chance.uniform(110, 220) * (1 - 1.5 * t)
        voiced = np.sign(np.sin(2 * np.pi * np.cumsum(hz) / RATE)) * np.hanning(len(t)) * chance.uniform(0, 0.4)
        parts += [burst, hiss, voiced + 0.1 * chance.standard_normal(len(t)) * np.hanning(len(t))]
        parts.append(np.zeros(int(chance.uniform(0.08, 0.25) * RATE)))
    return np.concatenate(parts).astype(np.float32)


def _typing(chance: np.random.Generator) -> Sound:
    """Three seconds: a click when a key goes down, a softer one when it comes up, five or six keys a second."""
    sound = np.zeros(3 * RATE, np.float32)
    at = 0.05
    while at < 2.8:
        for offset, loud in ((0.0, 1.0), (chance.uniform(0.06, 0.1), 0.4)):
            click = chance.standard_normal(RATE * 12 // 1000) * np.exp(-np.arange(RATE * 12 // 1000) / (0.002 * RATE))
            place = int((at + offset) * RATE)
            sound[place : place + len(click)] += (click * loud * chance.uniform(0.5, 1)).astype(np.float32)
        at += float(chance.uniform(0.1, 0.28))
    return sound


def _music(chance: np.random.Generator) -> Sound:
    """Four seconds of a plucked tune, as between announcements."""
    sound = np.zeros(int(NOISE_S * RATE), np.float32)
    scale = 220 * 2 ** (np.array([0, 2, 4, 7, 9, 12, 14, 16]) / 12)
    t = np.arange(RATE) / RATE
    for at in np.arange(0, NOISE_S - 1, 0.25):
        hz = scale[chance.integers(len(scale))]
        tone = sum(np.sin(2 * np.pi * hz * n * t) / n**1.5 for n in range(1, 6)) * np.exp(-t / 0.35)
        sound[int(at * RATE) : int(at * RATE) + RATE] += tone.astype(np.float32)
    return sound
