"""What is played over the bot's voice: real interruptions, and all that is none.

Recordings are chosen by their category in a `MANIFEST.csv`; what no recording was found of is made here, and marked so.
Each kind is brought to a level that a telephone would bring: a caller at -26 dBFS while speaking, the rest below.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np

from voicebot.audio.frames import RATE
from voicebot.audio.g711 import ulaw_encode
from voicebot.errors import UsageError
from voicebot.replay import mixing
from voicebot.replay.mixing import Sound
from voicebot.replay.spoken_tasks import Recording, recordings
from voicebot.replay.telephone import Speech, speech


class Kind(StrEnum):
    WORD = "short order"
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
WORDS = ("stop", "help", "no", "repeat", "start")
NOISES = {
    Kind.STREET: ("street", "traffic", "car", "train", "station", "airport"),
    Kind.BABBLE: ("cafe", "babble", "restaurant", "exhibition"),
    Kind.ROOM: ("kitchen", "office", "machine"),
    Kind.MUSIC: ("music",),
}
NOISE_S = 4.0
LONGEST_S = 7.0
"""A longer order would outlast the bot's sentence."""


@dataclass(frozen=True, slots=True)
class Clip:
    name: str
    kind: Kind
    speech: Speech
    onset_ms: int
    """Of the sound in it: 5 ms windows within 30 dB of the loud ones, above -50 dBFS."""
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
    """First sample of the first loud window, last of the last."""
    size = RATE // 200
    windows = sound[: len(sound) // size * size].reshape(-1, size)
    rms = np.sqrt(np.mean(windows**2, axis=1))
    loud = np.flatnonzero(rms > max(10 ** (-50 / 20), np.percentile(rms, 95) * 10 ** (-30 / 20)))
    return (int(loud[0]) * size, int(loud[-1] + 1) * size) if len(loud) else (0, len(sound))


def clips(folder: Path, limit: int, only: str = "", seed: int = 1) -> list[Clip]:
    """At most `limit` of each kind, the same for the same seed. `UsageError` when the folder has none."""
    found = recordings(folder)
    chosen: list[Clip] = []
    for kind in Kind:
        if only in kind:
            every = list(_of(kind, found, limit))
            chance = random.Random(seed)
            chosen += [make() for make in (every if len(every) <= limit else chance.sample(every, limit))]
    if not chosen:
        raise UsageError(f"{folder} has no recording that can be played over the bot.")
    return chosen


Make = Callable[[], Clip]


def _of(kind: Kind, found: Sequence[Recording], limit: int) -> Iterator[Make]:
    match kind:
        case Kind.WORD:
            yield from (_whole(r, kind) for r in found if r.category == "read_an4" and r.transcript in WORDS)
        case Kind.ORDER:
            yield from (_whole(r, kind) for r in found if r.category == "commands_s2i" and r.seconds <= LONGEST_S)
        case Kind.SENTENCE:
            read = (r for r in found if r.category in ("wideband", "read_misc") and 1.5 < r.seconds < 4.5)
            yield from (_whole(r, kind) for r in read if len(r.transcript.split()) > 3)
        case Kind.BACKCHANNEL:
            yield from (_whole(r, kind) for r in found if r.category == "backchannel")
            yield from (make for r in found if r.category == "vad_ami" for make in _short_turns(r))
        case Kind.COUGH | Kind.KEYBOARD:
            yield from (lambda n=n: _made(kind, n) for n in range(limit))
        case Kind.STREET | Kind.BABBLE | Kind.ROOM | Kind.MUSIC:
            for r in found:
                if r.category == "noise" and any(word in str(r.labels.get("noise")) for word in NOISES[kind]):
                    pieces = max(1, min(limit, int(r.seconds // NOISE_S)))
                    yield from (lambda r=r, n=n: _piece(r, kind, n) for n in range(pieces))
        case Kind.TELEVISION:
            yield from (lambda r=r: _piece(r, kind, 0) for r in found if r.category == "speech_libri_many")
        case Kind.ECHO:
            quiet = Clip("own echo", kind, speech(b""), 0, int(NOISE_S * 1000), True)
            yield from (lambda: quiet for _ in range(limit))


def _whole(recording: Recording, kind: Kind) -> Make:
    return lambda: clip(recording.file.stem, kind, mixing.read(recording.file, RATE))


def _piece(recording: Recording, kind: Kind, number: int) -> Clip:
    sound = mixing.read(recording.file, RATE)
    start = int(number * NOISE_S * RATE)
    return clip(f"{recording.file.stem} {number}", kind, sound[start : start + int(NOISE_S * RATE)])


def _short_turns(recording: Recording) -> Iterator[Make]:
    """Turns of 0.25 to 0.9 s in a meeting, nobody else speaking within 0.2 s: nearly all of them backchannels."""
    turns = [(float(start), float(end)) for start, end, _ in recording.labels.get("speaker_turns", ())]
    for start, end in turns:
        others = [each for each in turns if each != (start, end)]
        alone = all(after >= end + 0.2 or before <= start - 0.2 for after, before in others)
        if 0.25 <= end - start <= 0.9 and alone and end < recording.seconds:
            yield lambda start=start, end=end: clip(
                f"{recording.file.stem} {start:.1f} s",
                Kind.BACKCHANNEL,
                mixing.read(recording.file, RATE)[int((start - 0.1) * RATE) : int((end + 0.1) * RATE)],
            )


# --- what nobody recorded ---------------------------------------------------------------------------------------


def _made(kind: Kind, number: int) -> Clip:
    chance = np.random.default_rng(number)
    sound = _coughs(chance) if kind is Kind.COUGH else _typing(chance)
    return clip(f"{kind} {number}", kind, sound, made=True)


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
