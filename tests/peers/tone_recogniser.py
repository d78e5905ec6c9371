"""A recogniser of whole recordings that really listens: words are tones of 400 ms, a hundred hertz apart. It can take
the place of a Whisper model in the worker process, so that streaming is tested with words that mean something."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from voicebot.core.hallucinations import Segment
from voicebot.core.words import Word
from voicebot.engines.whisper_backend import RATE, Load, Sound, Wish

VOCABULARY = (
    "alpha bravo charlie delta echo foxtrot golf hotel india juliett kilo lima mike november oscar papa quebec romeo "
    "sierra tango uniform victor whiskey xray yankee zulu"
).split()
WORD_MS = 400
_STEP_MS = 20


def spoken(words: Sequence[str]) -> bytes:
    """int16 LE at 16 kHz; a gap of 60 ms ends every word."""
    tone = np.arange(RATE * (WORD_MS - 60) // 1000) / RATE
    gap = np.zeros(RATE * 60 // 1000)
    parts = [part for word in words for part in (np.sin(2 * np.pi * (400 + 100 * VOCABULARY.index(word)) * tone), gap)]
    return (np.concatenate([np.zeros(0), *parts]) * 16_000).astype("<i2").tobytes()


def load(wanted: Load) -> Tones:
    return Tones(Path(wanted.model))


class Tones:
    """Every batch is a line of `record`: how many sounds, how long the longest, what for."""

    def __init__(self, record: Path) -> None:
        self._record = record

    def hear(self, sounds: Sequence[Sound], wish: Wish) -> list[list[Segment]]:
        longest_ms = max(len(sound) for sound in sounds) * 1000 // RATE
        with self._record.open("a") as lines:
            lines.write(f"{len(sounds)} {longest_ms} {wish.beam} {wish.language} {wish.prompt}\n")
        time.sleep(0.02)
        if wish.prompt == "explode.":
            raise RuntimeError("out of memory")
        return [[_segment(sound)] for sound in sounds]


def _segment(sound: Sound) -> Segment:
    step = RATE * _STEP_MS // 1000
    words: list[Word] = []
    last = ""
    for at in range(0, len(sound) - step, step):
        piece = sound[at : at + step]
        name = "" if np.abs(piece).max() < 0.1 else VOCABULARY[_tone(piece)]
        if name and name == last:
            words[-1] = Word(name, words[-1].start_ms, (at + step) * 1000 // RATE, 0.9)
        elif name:
            words.append(Word(name, at * 1000 // RATE, (at + step) * 1000 // RATE, 0.9))
        last = name
    words = [word for word in words if word.end_ms - word.start_ms >= 100]
    text = " ".join(word.text for word in words)
    return Segment(text, 0, len(sound) * 1000 // RATE, 0.0, -0.1, tuple(words))


def _tone(piece: Sound) -> int:
    spectrum = np.abs(np.fft.rfft(piece * np.hanning(len(piece)), 16_000))
    nearest = round((float(spectrum.argmax()) - 400) / 100)
    return min(max(nearest, 0), len(VOCABULARY) - 1)
