"""What happened when something was played over the bot, found in what the telephone heard. Pure.

The bot's sentence is known sample for sample, so each stretch of its voice has a place in it. From the places follow
where it stopped, whether it went on, and what of it was missing or said twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from voicebot.audio.frames import FRAME_MS, RATE
from voicebot.audio.g711 import ulaw_decode
from voicebot.replay.handset import Run

PER_MS = RATE // 1000
WINDOW = 5 * PER_MS
LOUD = 32768 * 10 ** (-50 / 20)
"""RMS of a 5 ms window that can be heard."""
PROBE = 40 * PER_MS
SKIP = 20 * PER_MS
"""Of a stretch; it may begin with a fade."""
LONG = 400 * PER_MS
ALIKE = 0.9
"""Correlation from which two stretches are the same, where they are not equal bit by bit."""
BREATH_MS = 100
"""A shorter hole in the bot's voice is not noticed."""
BACK_MS = 1500
"""A bot that begins further back than this, or at the very beginning, does not go on: it says the sentence again."""
AHEAD_MS = 2000
"""… and one that begins further on says something else that sounds alike."""

Pcm = npt.NDArray[np.int16]


class Outcome(StrEnum):
    WENT_ON = "went on"
    """It never stopped."""
    RESUMED = "resumed"
    """It stopped, and went on with the sentence."""
    YIELDED = "yielded"
    """It stopped, and did not go on."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A stretch of what was heard, and where in the sentence it begins. Samples."""

    at: int
    samples: int
    begins: int

    @property
    def end(self) -> int:
        return self.at + self.samples

    @property
    def ends(self) -> int:
        """Where in the sentence it ends."""
        return self.begins + self.samples


@dataclass(frozen=True, slots=True)
class Verdict:
    """Times in milliseconds from the onset of what was played."""

    outcome: Outcome
    hold_ms: float | None
    """To the first `clear`."""
    silence_ms: float | None
    """To the last sound of the bot before it stopped, the last time that it did."""
    holes_ms: tuple[float, ...]
    """How long it was silent, each time that it stopped and went on."""
    jumps_ms: tuple[float, ...]
    """Each time it went on: what is missing of the sentence; below zero, what was said twice."""
    stutters: int
    """Holes of `BREATH_MS` and more that no `clear` began: its audio came too late."""
    heard: int
    """Samples of the sentence that were heard, up to the furthest."""


def pcm(ulaw: bytes | bytearray) -> Pcm:
    return np.frombuffer(ulaw_decode(bytes(ulaw)), "<i2")


def loud(samples: Pcm) -> npt.NDArray[np.bool_]:
    """By window of 5 ms."""
    windows = samples[: len(samples) // WINDOW * WINDOW].reshape(-1, WINDOW).astype(np.float32)
    found: npt.NDArray[np.bool_] = np.sqrt(np.mean(windows**2, axis=1)) > LOUD
    return found


def placed(heard: bytes | bytearray, runs: Sequence[Run], sentence: bytes) -> list[Placed]:
    """The stretches that are of the sentence (both μ-law), in order."""
    known, found, expected = pcm(sentence), list[Placed](), 0
    for run in runs:
        begins = _place(bytes(heard[run.at : run.end]), sentence, known, expected)
        if begins is not None:
            found.append(Placed(run.at, min(run.samples, len(sentence) - begins), begins))
            expected = found[-1].ends
    return found


def _place(stretch: bytes, sentence: bytes, known: Pcm, expected: int) -> int | None:
    """Where in the sentence it begins, judged by its loudest 40 ms; None when it is of something else."""
    samples = pcm(stretch)
    if len(samples) < PROBE:
        return None
    skip = SKIP if len(samples) >= SKIP + PROBE else 0
    starts = range(skip, min(len(samples), skip + RATE) - PROBE + 1, PROBE // 2)
    at = max(starts, key=lambda start: float(np.sum(samples[start : start + PROBE].astype(np.float32) ** 2)))
    probe = stretch[at : at + PROBE]
    if not loud(pcm(probe)).any():
        return None
    exact = [place - at for place in _all(sentence, probe)]
    for begins in sorted(exact, key=lambda begins: abs(begins - expected)):
        if _same(samples[skip:], known[max(0, begins + skip) :]):
            return begins
    place = _alike(samples[skip : skip + LONG], known)
    return None if place is None or not _same(samples[skip:], known[place:]) else place - skip


def _same(one: Pcm, other: Pcm) -> bool:
    """Whether the first second of both, or as much as there is, is the same but for its level."""
    size = min(len(one), len(other), RATE)
    x, y = one[:size].astype(np.float64), other[:size].astype(np.float64)
    return bool(np.dot(x, y) >= ALIKE * np.sqrt(np.dot(x, x) * np.dot(y, y)))


def _all(sentence: bytes, probe: bytes) -> list[int]:
    found, place = [], sentence.find(probe)
    while place >= 0:
        found.append(place)
        place = sentence.find(probe, place + 1)
    return found


def _alike(probe: Pcm, known: Pcm) -> int | None:
    """The place of the highest normalised correlation, if that is high enough."""
    if len(known) < len(probe):
        return None
    x, k = probe.astype(np.float64), known.astype(np.float64)
    size = 1 << (len(k) + len(x) - 1).bit_length()
    products = np.fft.irfft(np.fft.rfft(k, size) * np.conj(np.fft.rfft(x, size)), size)[: len(k) - len(x) + 1]
    sums = np.concatenate([[0.0], np.cumsum(k**2)])
    powers = sums[len(x) :] - sums[: -len(x)]
    alike = products / np.sqrt(np.maximum(powers * np.sum(x**2), 1.0))
    best = int(np.argmax(alike))
    return best if alike[best] >= ALIKE else None


def judge(
    heard: bytes | bytearray, spoken: Sequence[Placed], sentence: bytes, onset_ms: float, clears: Sequence[float]
) -> Verdict:
    """`spoken`: as `placed` finds it; `clears`: when they came, in milliseconds of the call, as `onset_ms` is."""
    onset = int(onset_ms * PER_MS)
    hold = next((at - onset_ms for at in clears if at >= onset_ms), None)
    mine = _first_telling(spoken)
    seams = [(before, after) for before, after in pairwise(mine) if before.end >= onset]
    stops = [seam for seam in seams if _cleared(*seam, clears)]
    stutters = sum(seam not in stops and seam[1].at - seam[0].end >= BREATH_MS * PER_MS for seam in seams)
    jumps = tuple((after.begins - before.ends) / PER_MS for before, after in stops)
    furthest = max((each.ends for each in mine), default=0)
    holes = tuple((after.at - before.end) / PER_MS for before, after in stops)
    whole = furthest >= len(sentence) - BREATH_MS * PER_MS
    speaking = bool(mine) and len(mine) == len(spoken) and mine[-1].end >= len(heard) - BREATH_MS * PER_MS
    if mine and not whole and not speaking:
        outcome, last = Outcome.YIELDED, mine[-1]
    elif stops:
        outcome, last = Outcome.RESUMED, stops[-1][0]
    else:
        return Verdict(Outcome.WENT_ON, hold, None, (), jumps, stutters, furthest)
    silence_ms = max(0.0, (_last_sound(heard, last) - onset) / PER_MS)
    return Verdict(outcome, hold, silence_ms, holes, jumps, stutters, furthest)


def _cleared(before: Placed, after: Placed, clears: Sequence[float]) -> bool:
    """Whether the hole between them began with a `clear`, which may come just before what was left was played."""
    return any(before.end / PER_MS - 2 * FRAME_MS <= at <= after.at / PER_MS for at in clears)


def _first_telling(spoken: Sequence[Placed]) -> list[Placed]:
    """Up to where it no longer goes on with it."""
    mine: list[Placed] = []
    for each in spoken:
        if mine:
            jump = each.begins - mine[-1].ends
            if each.begins < SKIP or not -BACK_MS * PER_MS <= jump <= AHEAD_MS * PER_MS:
                break
        mine.append(each)
    return mine


def _last_sound(heard: bytes | bytearray, stretch: Placed) -> int:
    """Sample at which its last loud window ends."""
    windows = np.flatnonzero(loud(pcm(heard[stretch.at : stretch.end])))
    return stretch.at + (int(windows[-1] + 1) * WINDOW if len(windows) else 0)


def longest_silence_ms(said: bytes | bytearray, heard: bytes | bytearray) -> int:
    """The longest stretch in which neither side could be heard."""
    size = min(len(said), len(heard))
    sound = loud(pcm(said[:size])) | loud(pcm(heard[:size]))
    edges = np.flatnonzero(np.concatenate([[True], sound, [True]]))
    return int((np.diff(edges).max() - 1) * 5) if len(edges) > 1 else 0


@dataclass(frozen=True, slots=True)
class HeardText:
    """What the call took for heard beside what was played."""

    words: int
    """Words committed, less words played to their end."""
    off_ms: float
    """How far the end of the audio lies outside what the committed words allow: after the last of them has ended and
    before the next one ends. Zero for a commitment that is right to the word."""


def heard_text(committed: str, words: Sequence[tuple[int, str]], samples: int, total: int) -> HeardText:
    """`words`: (sample at which it starts, text) of the sentence, which is `total` samples long; a word ends where the
    next one starts. `samples` of it were played."""
    ends = [start for start, text in words[1:] if text.strip()] + [total]
    played = sum(end <= samples for end in ends)
    count = len(committed.split())
    least = ends[min(count, len(ends)) - 1] if count else 0
    most = ends[count] if count < len(ends) else total
    return HeardText(count - played, max(0.0, least - samples, samples - most) / PER_MS)
