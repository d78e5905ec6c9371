"""Where a side of a recording speaks, found with the whole of it at hand: edges to 5 ms, no hang-over.

Levels of 5 ms stand out from a noise floor that follows the recording; what lasts is a voice when WebRTC's detector,
asked as a second opinion, calls enough of it speech, and enough of it has a pitch (so a whisper is none). Nothing here
is what a live call decides by: it judges that.
"""

from __future__ import annotations

import mmap
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt
import webrtcvad

from voicebot.replay.recording import RATE, Samples

GIVE_BACK = 8
"""Parts of a mapped file that are looked at between two times that its pages are given back."""
STEP = 40
"""Samples of a level: 5 ms."""
STEP_MS = 5
SLOW = 16
"""Samples of the moving average that is taken off: 2 ms, the knee at about 200 Hz."""
BLOCK = RATE * 60
FLOOR_STEPS = 2000
"""The noise floor is taken of each 10 s and its neighbours."""
FLOOR_PERCENTILE = 10
FLOOR_DBFS = (-72.0, -42.0)
OPEN_DB, KEEP_DB = 12.0, 7.0
"""Above the floor: a voice begins; its edges go out as far as this."""
LEAST_MS = 60
JOIN_MS = 200
"""Two sounds so near are one: stops within words are as long."""
ASKED = 240
"""Samples that WebRTC's detector is asked about at once: 30 ms."""
LEAST_SHARE = 0.2
"""Of them that it must call speech, and of a voice that must have a pitch."""
FRAME, LAGS = 320, (RATE // 400, RATE // 70)
"""Samples that a pitch is looked for in, and the lags at which it can be."""
PITCH = 0.6
"""On ten minutes of noise (streets, offices, music, babble) 21 s are taken for speech, 516 without this; of read speech
and of telephone calls 2 % at most is lost by it."""
MOST_FRAMES = 2000
"""Of one voice: of a longer one as many, evenly spread."""
MOSTLY, LEAK_DB = 0.8, 15.0
"""So much of a voice within the other side's, and so far below its own side's level, is the other side come through."""
Levels = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Voice:
    """One stretch of sound taken for speech, samples at 8 kHz."""

    start: int
    end: int
    level_dbfs: float

    @property
    def start_ms(self) -> int:
        return self.start * 1000 // RATE

    @property
    def end_ms(self) -> int:
        return self.end * 1000 // RATE


def blocks(samples: Samples) -> Iterator[Samples]:
    """A minute at a time, copied."""
    return pieces(samples, ((at, at + BLOCK) for at in range(0, len(samples), BLOCK)))


def pieces(samples: Samples, spans: Iterable[tuple[int, int]]) -> Iterator[Samples]:
    """Parts of a side, copied; of a mapped file, pages are given back on the way."""
    for number, (start, end) in enumerate(spans):
        yield np.array(samples[start:end])
        if number % GIVE_BACK == 0:
            give_back(samples)
    give_back(samples)


def give_back(samples: Samples) -> None:
    """Pages of a mapped file need not stay in memory."""
    if isinstance(samples, np.memmap) and hasattr(mmap, "MADV_DONTNEED"):
        samples._mmap.madvise(mmap.MADV_DONTNEED)  # type: ignore[attr-defined]


def levels(samples: Samples) -> Levels:
    """dBFS of every 5 ms, less what is slower than 2 ms: direct current, hum, a room's rumble."""
    found = [np.zeros(0, np.float32)]
    for block in blocks(samples):
        wave = block.astype(np.float32)
        sums = np.cumsum(np.pad(wave, (SLOW // 2, SLOW - SLOW // 2), "edge"), dtype=np.float64)
        wave -= ((sums[SLOW:] - sums[:-SLOW]) / SLOW).astype(np.float32)
        steps = wave[: len(wave) // STEP * STEP].reshape(-1, STEP)
        found.append(10 * np.log10(np.einsum("ij,ij->i", steps, steps) / (STEP * 32768.0**2) + 1e-10))
    return np.concatenate(found).astype(np.float32)


def floor(level: Levels) -> Levels:
    """The noise floor at every level: a low percentile of the half minute around."""
    if not len(level):
        return level
    count = -(-len(level) // FLOOR_STEPS)
    around = [level[max(0, (n - 1) * FLOOR_STEPS) : (n + 2) * FLOOR_STEPS] for n in range(count)]
    marks = [float(np.percentile(each, FLOOR_PERCENTILE)) for each in around]
    middles = (np.arange(count) + 0.5) * FLOOR_STEPS
    return np.clip(np.interp(np.arange(len(level)), middles, marks), *FLOOR_DBFS).astype(np.float32)


def voices(samples: Samples, level: Levels | None = None) -> list[Voice]:
    """The voices of one side, in order. `samples`: int16 mono, 8 kHz."""
    level = levels(samples) if level is None else level
    below = floor(level)
    loud, edge = level > below + OPEN_DB, level > below + KEEP_DB
    found: list[tuple[int, int]] = []
    for start, end in _runs(edge, JOIN_MS // STEP_MS):
        if int(loud[start:end].sum()) * STEP_MS >= LEAST_MS:
            found.append((start, end))
    heard = pieces(samples, ((start * STEP, end * STEP) for start, end in found))
    return [
        Voice(start * STEP, end * STEP, _level(level[start:end]))
        for (start, end), sound in zip(found, heard, strict=True)
        if _speech(sound)
    ]


def without_leaks(mine: list[Voice], theirs: list[Voice]) -> list[Voice]:
    """Voices that are not the other side's come through: within its speech, far below this side's own level."""
    alone = [voice.level_dbfs for voice in mine if _covered(voice, theirs) < MOSTLY]
    if not alone:
        return mine
    usual = float(np.median(alone))
    return [v for v in mine if _covered(v, theirs) < MOSTLY or v.level_dbfs > usual - LEAK_DB]


def _covered(voice: Voice, others: list[Voice]) -> float:
    """Share of a voice during which the others speak."""
    first = max(0, bisect_left(others, voice.start, key=_start) - 1)
    shared = 0
    for other in islice(others, first, None):
        if other.start >= voice.end:
            break
        shared += max(0, min(voice.end, other.end) - max(voice.start, other.start))
    return shared / max(1, voice.end - voice.start)


def _start(voice: Voice) -> int:
    return voice.start


def _runs(yes: npt.NDArray[np.bool_], join: int) -> list[tuple[int, int]]:
    """(from, to) of the stretches of True, those joined that are less than `join` apart."""
    change = np.flatnonzero(np.diff(np.concatenate([[False], yes, [False]]).astype(np.int8)))
    found: list[tuple[int, int]] = []
    for start, end in zip(change[::2].tolist(), change[1::2].tolist(), strict=True):
        if found and start - found[-1][1] < join:
            found[-1] = (found[-1][0], end)
        else:
            found.append((start, end))
    return found


def _level(level: Levels) -> float:
    """Of the louder half: pauses within a voice do not count."""
    return float(np.percentile(level, 75))


def _speech(samples: Samples) -> bool:
    judge = webrtcvad.Vad(1)
    pcm = samples.astype("<i2").tobytes()
    size = ASKED * 2
    asked = [judge.is_speech(pcm[at : at + size], RATE) for at in range(0, len(pcm) - size + 1, size)]
    return (not asked or sum(asked) >= LEAST_SHARE * len(asked)) and _voiced(samples)


def _voiced(samples: Samples) -> bool:
    """Whether enough of it has a pitch: the peak of its normalised autocorrelation from 70 to 400 Hz."""
    if len(samples) < FRAME:
        return True
    step = max(FRAME // 2, len(samples) // MOST_FRAMES)
    frames = np.lib.stride_tricks.sliding_window_view(samples, FRAME)[::step].astype(np.float32)
    power = np.abs(np.fft.rfft(frames - frames.mean(axis=1, keepdims=True), 1024)) ** 2
    power[:, : 80 * 1024 // RATE] = 0.0  # hum has a pitch, too
    alike = np.fft.irfft(power, 1024)[:, : LAGS[1]]
    fading = 1 - np.arange(LAGS[1]) / FRAME  # fewer samples overlap at a longer lag
    pitch = (alike[:, LAGS[0] :] / (alike[:, :1] + 1e-9) / fading[LAGS[0] :]).max(axis=1)
    return bool((pitch > PITCH).mean() >= LEAST_SHARE)
