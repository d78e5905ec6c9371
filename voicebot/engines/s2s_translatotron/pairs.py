"""Pairs of utterances, one in each language: made by two espeak-ng voices, or read from a table of recordings."""

from __future__ import annotations

import contextlib
import csv
import json
import random
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import soundfile
import soxr

from voicebot.engines.s2s_translatotron import sentences
from voicebot.engines.s2s_translatotron.loudness import Samples, levelled
from voicebot.errors import PeerError, UsageError

LONGEST_S = 12.0
"""Pairs with a longer utterance are left out."""
MOST_WORDS = 2000
SPEAKERS = ("", "+m1", "+m2", "+m3", "+m4", "+m5", "+m6", "+m7", "+f1", "+f2", "+f3")
UNSEEN = "+f4"
"""The voice of what is validated with; never trained with."""
_SOURCES = {"es": ("es", "es-419"), "en": ("en-us", "en-gb-x-rp")}
_TARGETS = {"en": "en-us+klatt", "es": "es+klatt"}
_VOICES = {"en": "en-us", "es": "es", "de": "de", "fr": "fr-fr", "it": "it", "pt": "pt"}
"""For the phonemes of texts."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Levelled speech at the model's rates."""

    source: Samples
    target: Samples
    source_text: str
    target_text: str
    source_phonemes: tuple[str, ...]
    target_phonemes: tuple[str, ...]
    starts_s: tuple[float, ...] = ()
    """When each target phoneme begins, and when the last ends; empty where nobody knows."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """What espeak-ng said."""

    samples: Samples
    phonemes: tuple[str, ...]
    starts_s: tuple[float, ...]


class Speaker:
    """espeak-ng in a program of its own (`espeak_phonemes`)."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "voicebot.engines.espeak_phonemes"]
        self._program = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def say(self, voice: str, text: str, words_a_minute: int, pitch: int, rate: int) -> Spoken:
        """Speech at `rate`. `PeerError` when espeak-ng does not give it."""
        out, back = self._pipes()
        wanted = {"voice": voice, "text": text, "rate": words_a_minute, "pitch": pitch}
        out.write(json.dumps(wanted).encode() + b"\n")
        out.flush()
        line = back.readline()
        head: dict[str, Any] = json.loads(line) if line else {"fault": "espeak-ng's program ended."}
        if "fault" in head:
            raise PeerError(f"No speech for {text!r}: {head['fault']}")
        pcm = np.frombuffer(back.read(head["bytes"]), "<i2").astype(np.float32) / 32768
        marks, own = head["phonemes"], head["rate"]
        starts = tuple(at / own for at in [*[at for _, at in marks], head["end"]])
        samples = soxr.resample(pcm[: head["end"] + own // 20], own, rate).astype(np.float32)
        return Spoken(samples, tuple(name for name, _ in marks), starts)

    def close(self) -> None:
        """End the program."""
        for pipe in self._pipes():
            pipe.close()
        self._program.wait(5)

    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        out, back = self._program.stdin, self._program.stdout
        assert out is not None
        assert back is not None
        return out, back


@contextlib.contextmanager
def speaker() -> Iterator[Speaker]:
    """A `Speaker` as long as it is needed."""
    found = Speaker()
    try:
        yield found
    finally:
        found.close()


def made(
    languages: str, count: int, rates: tuple[int, int], seed: int = 1, told: Callable[[int], None] = lambda done: None
) -> list[Pair]:
    """Pairs to learn from: sentences of `sentences.corpus`, many speakers, speeds and pitches, one target voice."""
    learnt, _ = sentences.corpus(languages)
    chance = random.Random(seed)
    pairs = []
    with speaker() as mouth:
        for number in range(count):
            voice = chance.choice(_SOURCES[languages[:2]]) + chance.choice(SPEAKERS)
            pairs.append(_made(mouth, languages, sentences.lesson(learnt, chance), voice, rates, chance))
            told(number + 1)
    return pairs


def unseen(languages: str, count: int, rates: tuple[int, int], seed: int = 2) -> list[Pair]:
    """Pairs to validate with: sentences that no training has, in a voice that none has."""
    _, held = sentences.corpus(languages)
    chance = random.Random(seed)
    voice = _SOURCES[languages[:2]][0] + UNSEEN
    with speaker() as mouth:
        return [_made(mouth, languages, each, voice, rates, chance) for each in chance.sample(held, count)]


def _made(
    mouth: Speaker, languages: str, texts: sentences.Sentence, voice: str, rates: tuple[int, int], chance: random.Random
) -> Pair:
    source = mouth.say(voice, texts[0], chance.randint(125, 175), chance.randint(30, 75), rates[0])
    target = mouth.say(_TARGETS[languages[3:]], texts[1], 150, 50, rates[1])
    sounds = levelled(source.samples, rates[0]), levelled(target.samples, rates[1])
    return Pair(*sounds, *texts, source.phonemes, target.phonemes, target.starts_s)


def read(table: Path, rates: tuple[int, int]) -> list[Pair]:
    """Pairs of a tab-separated table with a heading: `source` and `target` (sound files, from the table's folder),
    `source_text` and `target_text`, and either `source_phonemes` and `target_phonemes` (apart by spaces) or
    `source_language` and `target_language`, for espeak-ng to say them. `UsageError` for a table that is none."""
    try:
        rows = list(csv.DictReader(table.read_text("utf-8").splitlines(), delimiter="\t"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{table} cannot be read: {error}.") from None
    if not rows:
        raise UsageError(f"{table} has no pairs.")
    with speaker() as mouth:
        pairs = [_read(mouth, table, number, row, rates) for number, row in enumerate(rows, 2)]
    kept = [each for each in pairs if max(_seconds(each, rates)) <= LONGEST_S]
    if not kept:
        raise UsageError(f"Every pair of {table} is longer than {LONGEST_S:g} s.")
    return kept


def _seconds(pair: Pair, rates: tuple[int, int]) -> tuple[float, float]:
    return len(pair.source) / rates[0], len(pair.target) / rates[1]


def _read(mouth: Speaker, table: Path, line: int, row: dict[str, str], rates: tuple[int, int]) -> Pair:
    try:
        sounds = [
            _sound(table.parent / row[side], rate) for side, rate in zip(("source", "target"), rates, strict=True)
        ]
        texts = row["source_text"], row["target_text"]
        phonemes = [_phonemes(mouth, row, side) for side in ("source", "target")]
    except (KeyError, soundfile.LibsndfileError, PeerError) as error:
        what = f"it has no column {error}" if isinstance(error, KeyError) else str(error)
        raise UsageError(f"{table}, line {line}: {what}.") from None
    return Pair(sounds[0], sounds[1], *texts, phonemes[0], phonemes[1])


def _sound(file: Path, rate: int) -> Samples:
    samples, own = soundfile.read(file, dtype="float32", always_2d=True)
    return levelled(soxr.resample(samples.mean(axis=1), own, rate).astype(np.float32), rate)


def _phonemes(mouth: Speaker, row: dict[str, str], side: str) -> tuple[str, ...]:
    if given := row.get(f"{side}_phonemes"):
        return tuple(given.split())
    language = row[f"{side}_language"]
    return mouth.say(_VOICES.get(language, language), row[f"{side}_text"], 150, 50, 8000).phonemes


def symbols(pairs: Sequence[Pair]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Phonemes of source and target that occur, sorted."""
    source = sorted({name for pair in pairs for name in pair.source_phonemes})
    return tuple(source), tuple(sorted({name for pair in pairs for name in pair.target_phonemes}))


def words(pairs: Sequence[Pair], language: str) -> dict[str, tuple[str, ...]]:
    """How espeak-ng says every word of the target texts alone; none where there are more than a transcript can try."""
    found = sorted({word for pair in pairs for word in pair.target_text.split()})
    if len(found) > MOST_WORDS:
        return {}
    with speaker() as mouth:
        return {word: mouth.say(_TARGETS.get(language, language), word, 150, 50, 8000).phonemes for word in found}
