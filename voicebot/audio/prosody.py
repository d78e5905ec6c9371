"""How it was said: pitch, loudness and voicing of a voice, a 20 ms frame at a time, and a summary at its end.

Pitch is the lag of the highest peak of the normalised cross-correlation, the shortest of those that are nearly as
high (D. Talkin, "A robust algorithm for pitch tracking (RAPT)", 1995, its first pass). It needs no fundamental in
the signal, which a telephone does not carry. A pitch is kept in semitones and told relative to the speaker's own
middle and spread, which are learned over the call, so that a summary means the same for every voice.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from math import log2

import numpy as np
import numpy.typing as npt

from voicebot.audio.frames import FRAME_BYTES, FRAME_MS, FRAME_SAMPLES, RATE
from voicebot.audio.levels import rms_dbfs

LOWEST_HZ, HIGHEST_HZ = 65, 400
_SHORTEST, _LONGEST = RATE // HIGHEST_HZ, RATE // LOWEST_HZ
_SPAN = 200
"""Samples compared with those a lag earlier: 25 ms, two periods of a deep voice."""
_KEPT = _SPAN + _LONGEST
VOICED = 0.55
"""Correlation from which a frame is voiced."""
NEARLY = 0.9
"""A shorter lag this close to the best one wins: the longer is its multiple."""
QUIET_DBFS = -55.0
"""Below it a frame has no pitch, whatever its correlation: a line's hum."""
FINAL_FRAMES, LAST_FRAMES = 15, 5
"""Voiced frames that make the end of a voice, 300 ms, and the very last of them."""
KEPT_FRAMES = 100
"""A summary looks back 2 s."""
JUMP_ST = 6.0
"""A pitch further than this from its neighbours' middle is an octave taken wrongly."""
PRIOR_SPREAD_ST, PRIOR_FRAMES = 2.5, 25
MEMORY_FRAMES = 1500
"""The speaker's middle and spread follow over this many voiced frames: 30 s."""


@dataclass(frozen=True, slots=True)
class Frame:
    level_dbfs: float
    pitch_st: float | None
    """Semitones above 65 Hz; None: unvoiced."""


@dataclass(frozen=True, slots=True)
class Prosody:
    """The end of a voice. Everything is near 0 for an ordinary end of an ordinary word; spreads are the speaker's."""

    pitch: float
    """Where the pitch came to rest, in spreads above the speaker's middle."""
    slope: float
    """Spreads that the pitch rose over the last 300 ms of voicing; falling is negative."""
    fall_db: float
    """How far the last 100 ms of voicing lie below this turn's voiced level; never below 0."""
    stretch: float
    """Length of the last unbroken voicing against this turn's: 1.0 is twice as long, -1.0 half."""
    level_dbfs: float
    """Mean level of this turn's voiced frames."""
    voiced_ms: int
    """Voiced in this turn so far."""


class Intonation:
    """One speaker. `push` every frame while there is voice; `summary` when it stops; `begin` for a new turn."""

    def __init__(self) -> None:
        self._middle = 0.0
        self._spread = PRIOR_SPREAD_ST
        self._heard = 0
        self._tail = np.zeros(_KEPT, np.float32)
        self.begin()

    def begin(self) -> None:
        """A new turn of the same speaker."""
        self._frames: deque[Frame] = deque(maxlen=KEPT_FRAMES)
        self._level_sum = 0.0
        self._voiced = self._run = self._runs = 0

    def push(self, pcm: bytes) -> Frame:
        """One 20 ms frame, 8 kHz int16 LE; a short one is filled up with silence."""
        whole = pcm[:FRAME_BYTES].ljust(FRAME_BYTES, b"\0")
        level = rms_dbfs(whole)
        fresh = np.frombuffer(whole, "<i2").astype(np.float32)
        self._tail = np.concatenate([self._tail[FRAME_SAMPLES:], fresh])
        frame = Frame(level, pitch(self._tail) if level > QUIET_DBFS else None)
        self._frames.append(frame)
        self._count(frame)
        return frame

    def summary(self) -> Prosody | None:
        """Of the voice up to now; None when nothing in this turn was voiced."""
        voiced = [(at, f.pitch_st, f.level_dbfs) for at, f in enumerate(self._frames) if f.pitch_st is not None]
        if not voiced:
            return None
        last = voiced[-FINAL_FRAMES:]
        last = [each for each in last if last[-1][0] - each[0] < 2 * FINAL_FRAMES]
        at = np.array([each[0] for each in last], float)
        st = steady(np.array([each[1] for each in last], float))
        spread = max(1.0, self._spread)
        mean = self._level_sum / self._voiced
        final_level = float(np.mean([each[2] for each in last[-LAST_FRAMES:]]))
        return Prosody(
            pitch=float(np.clip((np.median(st[-LAST_FRAMES:]) - self._middle) / spread, -4, 4)),
            slope=float(np.clip(_rise(at, st) / spread, -4, 4)),
            fall_db=max(0.0, mean - final_level),
            stretch=float(np.clip(log2(_last_run(voiced) * max(1, self._runs) / self._voiced), -3, 3)),
            level_dbfs=mean,
            voiced_ms=self._voiced * FRAME_MS,
        )

    def _count(self, frame: Frame) -> None:
        if frame.pitch_st is None:
            self._run = 0
            return
        self._voiced += 1
        self._level_sum += frame.level_dbfs
        self._run += 1
        self._runs += self._run == 1
        self._heard = min(self._heard + 1, MEMORY_FRAMES)
        if self._heard == 1:
            self._middle = frame.pitch_st
        away = frame.pitch_st - self._middle
        self._middle += float(np.clip(away, -JUMP_ST, JUMP_ST)) / self._heard
        # Mean distance is 0.8 of a standard deviation; it does not mind a wrong octave as a square would.
        self._spread += (min(abs(away), JUMP_ST) * 1.25 - self._spread) / (self._heard + PRIOR_FRAMES)


def pitch(samples: npt.NDArray[np.float32]) -> float | None:
    """Semitones above 65 Hz of the newest 25 ms of `samples` [323] at 8 kHz; None when they are not voiced."""
    whole = samples - samples.mean()
    recent = whole[-_SPAN:]
    energy = float(recent @ recent)
    if energy <= 0.0:
        return None
    squares = np.concatenate([[0.0], np.cumsum(whole * whole)])
    # Entry k is the lag _LONGEST - k: turn it round, so that it begins with the shortest.
    products = np.correlate(whole, recent, "valid")[::-1]
    energies = (squares[_SPAN:] - squares[: len(squares) - _SPAN])[::-1]
    found = products[_SHORTEST:] / np.sqrt(energy * energies[_SHORTEST:] + 1.0)
    best = float(found.max())
    if best < VOICED:
        return None
    inner = found[1:-1]
    peaks = np.flatnonzero((inner >= found[:-2]) & (inner > found[2:]) & (inner >= NEARLY * best)) + 1
    at = int(peaks[0]) if len(peaks) else int(found.argmax())
    return 12 * log2(RATE / (_SHORTEST + at + _between(found, at)) / LOWEST_HZ)


def _between(found: npt.NDArray[np.float32], at: int) -> float:
    """How far the peak of the parabola through three points lies from the middle one, -0.5..0.5."""
    if not 0 < at < len(found) - 1:
        return 0.0
    left, middle, right = found[at - 1 : at + 2].tolist()
    bend = left - 2 * middle + right
    return float(np.clip(0.5 * (left - right) / bend, -0.5, 0.5)) if bend else 0.0


def steady(st: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Pitches without jumps: what is far from the middle of all is moved to the nearest octave."""
    away = st - np.median(st)
    return np.where(np.abs(away) > JUMP_ST, st - 12 * np.round(away / 12), st)


def _rise(at: npt.NDArray[np.float64], st: npt.NDArray[np.float64]) -> float:
    """Semitones that a straight line through the points rises from the first to the last."""
    if len(at) < 4:
        return 0.0
    centred = at - at.mean()
    return float(centred @ st / (centred @ centred) * (at[-1] - at[0]))


def _last_run(voiced: list[tuple[int, float, float]]) -> int:
    """Frames of the last unbroken voicing."""
    count = 1
    while count < len(voiced) and voiced[-count - 1][0] == voiced[-1][0] - count:
        count += 1
    return count
