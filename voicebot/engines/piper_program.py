"""Piper as a program of its own, see `speech_program`: `{"model": "….onnx", "speaker": 0, "speed": 1.0}`.

Piper is GPL-3, as espeak-ng is, which it brings; no other part of voicebot loads it. Where the package `onnx` is
installed, the model is asked for the lengths of its phonemes, and words have their times.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from importlib.metadata import version
from typing import Any

from voicebot.engines.speech_level import levelled
from voicebot.engines.speech_program import Heard, run

CHUNK_MS = 60
_WORD = re.compile(r"\S*\w\S*")
"""What phonemes are made of; a dash that stands alone has none."""


class Piper:
    """One voice; see `speech_program.Voice`."""

    def __init__(self, settings: dict[str, Any]) -> None:
        from piper import PiperVoice
        from piper.config import SynthesisConfig

        self._timed = importlib.util.find_spec("onnx") is not None
        self._voice: Any = PiperVoice.load(settings["model"], include_alignments=self._timed)
        self._how = SynthesisConfig
        self._speaker, self._speed = settings["speaker"], settings["speed"]
        self.rate = int(self._voice.config.sample_rate)
        self.version = f"piper {version('piper-tts')}"
        self.say("One.", lambda pcm, words: True)  # what is loaded lazily is loaded now

    def say(self, text: str, heard: Heard, pace: float = 1.0) -> None:
        """A sentence after the other; cancelled between chunks of `CHUNK_MS`."""
        text = text.replace("[[", "  ").replace("]]", "  ")  # which would be read as raw phonemes
        starts = [match.start() for match in _WORD.finditer(text)]
        sentences = self._voice.phonemize(text)
        timed = self._timed and sum(map(_words_in, sentences)) == len(starts)
        length = float(self._voice.config.length_scale) / (self._speed * pace)
        how = self._how(speaker_id=self._speaker, length_scale=length)
        at = 0
        for chunk in self._voice.synthesize(text, how, include_alignments=self._timed):
            pcm = levelled(chunk.audio_float_array)
            words = _word_starts(chunk.phoneme_alignments) if timed and chunk.phoneme_alignments else []
            events = [(starts[number], at + sample) for number, sample in enumerate(words) if number < len(starts)]
            del starts[: len(words)]
            if not _send(pcm, at, events, self.rate, heard):
                return
            at += len(pcm) // 2


def _send(pcm: bytes, at: int, events: list[tuple[int, int]], rate: int, heard: Heard) -> bool:
    """In chunks, each with the words that start in it; whether to go on."""
    size = 2 * (rate * CHUNK_MS // 1000)
    for start in range(0, len(pcm), size):
        end = at + (start + size) // 2
        here = [event for event in events if at + start // 2 <= event[1] < end]
        if not heard(pcm[start : start + size], here):
            return False
    return True


def _words_in(phonemes: list[str]) -> int:
    return len([word for word in "".join(phonemes).split(" ") if any(c.isalpha() for c in word)])


def _word_starts(aligned: list[Any]) -> list[int]:
    """Sample of the first phoneme of every word."""
    starts: list[int] = []
    at, begins = 0, True
    for phoneme in aligned:
        if phoneme.phoneme == " ":
            begins = True
        elif begins and phoneme.phoneme.isalpha():
            starts.append(at)
            begins = False
        at += phoneme.num_samples
    return starts


if __name__ == "__main__":
    sys.exit(run(Piper))
