"""How it was said: pitch, loudness and voicing of a voice, a 20 ms frame at a time, and a summary at its end.

Pitch is the lag of the highest peak of the normalised cross-correlation, the shortest of those that are nearly as
high (D. Talkin, "A robust algorithm for pitch tracking (RAPT)", 1995, its first pass). It needs no fundamental in
the signal, which a telephone does not carry. A pitch is kept in semitones and told relative to the speaker's own
middle and spread, which are learned over the call, so that a summary means the same for every voice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log2

import numpy as np
import numpy.typing as npt

from voicebot.audio.frames import FRAME_BYTES, FRAME_MS, RATE
from voicebot.audio.levels import rms_dbfs

LOWEST_HZ, HIGHEST_HZ = 65, 400
_SHORTEST, _LONGEST = RATE // HIGHEST_HZ, RATE // LOWEST_HZ
_SPAN = 200
"""Samples compared with those a lag earlier: 25 ms, two periods of a deep voice."""
_KEPT = _SPAN + _LONGEST
_TRANSFORM = 512
TOGETHER = 8
"""Frames whose pitch is looked for at once: one by one most of the time would go into calling numpy."""
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
    """One speaker. `push` every frame while there is voice; `summary` when it stops; `begin` for a new turn.
    `on_frame` is told of each frame, and the sample it begins at, a little later: `settle` tells all there are."""

    def __init__(self, on_frame: Callable[[Frame, int], None] = lambda _, __: None) -> None:
        self._on_frame = on_frame
        self._middle = 0.0
        self._spread = PRIOR_SPREAD_ST
        self._heard = 0
        self._tail = bytes(2 * _KEPT)
        self._waiting: list[tuple[float, bytes, int]] = []
        self.begin()

    def begin(self) -> None:
        """A new turn of the same speaker."""
        self.settle()
        self._frames: deque[Frame] = deque(maxlen=KEPT_FRAMES)
        self._level_sum = 0.0
        self._voiced = self._run = self._runs = 0

    def push(self, pcm: bytes, at: int = 0) -> None:
        """One 20 ms frame, 8 kHz int16 LE, that begins at sample `at`; a short one is filled up with silence."""
        whole = pcm[:FRAME_BYTES].ljust(FRAME_BYTES, b"\0")
        self._tail = self._tail[FRAME_BYTES:] + whole
        self._waiting.append((rms_dbfs(whole), self._tail, at))
        if len(self._waiting) >= TOGETHER:
            self.settle()

    @property
    def frames(self) -> Sequence[Frame]:
        """Of this turn, the latest `KEPT_FRAMES`."""
        self.settle()
        return self._frames

    def settle(self) -> None:
        """Look at the frames that wait for others."""
        waiting, self._waiting = self._waiting, []
        loud = [tail for level, tail, _ in waiting if level > QUIET_DBFS]
        found = iter(pitches(np.frombuffer(b"".join(loud), "<i2").reshape(-1, _KEPT)) if loud else ())
        for level, _, at in waiting:
            frame = Frame(level, next(found) if level > QUIET_DBFS else None)
            self._frames.append(frame)
            self._count(frame)
            self._on_frame(frame, at)

    def summary(self) -> Prosody | None:
        """Of the voice up to now; None when nothing in this turn was voiced."""
        voiced = [(at, f.pitch_st, f.level_dbfs) for at, f in enumerate(self.frames) if f.pitch_st is not None]
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
        self._middle += min(JUMP_ST, max(-JUMP_ST, away)) / self._heard
        # Mean distance is 0.8 of a standard deviation; it does not mind a wrong octave as a square would.
        self._spread += (min(abs(away), JUMP_ST) * 1.25 - self._spread) / (self._heard + PRIOR_FRAMES)


def pitches(samples: npt.NDArray[np.int16]) -> list[float | None]:
    """Semitones above 65 Hz of the newest 25 ms of each row of `samples` [n, 323] at 8 kHz; None where it is not
    voiced."""
    whole = samples.astype(np.float32)
    whole -= whole.mean(axis=1, keepdims=True)
    squares = np.zeros((len(whole), _KEPT + 1), np.float32)
    np.cumsum(whole * whole, axis=1, out=squares[:, 1:])
    energies = squares[:, _SPAN:] - squares[:, :-_SPAN]  # of the 25 ms that begin at each sample
    spectrum = np.fft.rfft(whole, _TRANSFORM) * np.fft.rfft(whole[:, -_SPAN:], _TRANSFORM).conj()
    products = np.fft.irfft(spectrum, _TRANSFORM)[:, : _LONGEST + 1]
    # Column k is the lag _LONGEST - k: turn it round, so that it begins with the shortest.
    energy = energies[:, -1:]
    found = (products / np.sqrt(energy * energies + 1.0))[:, _LONGEST - _SHORTEST :: -1]
    best = found.max(axis=1, keepdims=True)
    inner = found[:, 1:-1]
    peaks = (inner >= found[:, :-2]) & (inner > found[:, 2:]) & (inner >= NEARLY * best)
    places = np.where(peaks.any(axis=1), peaks.argmax(axis=1) + 1, found.argmax(axis=1))
    voiced = (best[:, 0] >= VOICED) & (energy[:, 0] > 0)
    return [
        12 * log2(RATE / (_SHORTEST + at + _between(row, at)) / LOWEST_HZ) if yes else None
        for row, at, yes in zip(found, places.tolist(), voiced.tolist(), strict=True)
    ]


def _between(found: npt.NDArray[np.float32], at: int) -> float:
    """How far the peak of the parabola through three points lies from the middle one, -0.5..0.5."""
    if not 0 < at < len(found) - 1:
        return 0.0
    left, middle, right = found[at - 1 : at + 2].tolist()
    bend = left - 2 * middle + right
    return min(0.5, max(-0.5, 0.5 * (left - right) / bend)) if bend else 0.0


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
