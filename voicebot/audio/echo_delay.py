"""What the far end played, by media-clock position, and where in it the caller's audio begins: the echo's delay.

The delay is looked for with the generalised cross-correlation (Knapp and Carter 1976), whitened to the power 0.8:
fully whitened it would listen to bands in which there is nothing but the steps of G.711.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from voicebot.audio.frames import RATE

Sound = npt.NDArray[np.floating[Any]]
"""Samples at 8 kHz, -1..1."""

EARLIEST, LATEST = -100 * RATE // 1000, 750 * RATE // 1000
"""Where an echo can lie, in samples after the place we were told: 0-600 ms of delay, told right to ±100 ms."""
SEARCHED = RATE * 160 // 1000
"""Samples of caller audio that are looked for at once."""
KEPT, WINDOW = RATE * 12 // 10, RATE * 5
"""Samples of the far end kept before what is heard now, and in all. What is told further ahead is left out."""
FULL = np.float32(32768)
EMPHASIS = np.float32(0.9)
"""First-order pre-emphasis: speech falls with frequency, and a flat spectrum is told apart better."""
WHITENING = 0.8
TRANSFORM = 8192
_ABOUT = 8
_AROUND = 40
"""Samples either side of a peak that belong to it."""


@dataclass(frozen=True, slots=True)
class Delay:
    """The best match. For an echo `peak` is 15-60 and `like` 0.3-0.9; for unrelated voices they are 5-9 and 0-0.2, and
    where one of both sides begins abruptly `peak` alone may be high."""

    samples: int
    """Of the near end after the far end; negative when the far end was placed too late."""
    peak: float
    """Correlation there, over the root mean square of all correlations."""
    rival: float
    """The next best elsewhere, likewise."""
    like: float
    """Normalised correlation of the two sounds there, as they are, 0..1."""


class FarEnd:
    """A sliding window of what was played; silence where nothing was told."""

    def __init__(self) -> None:
        self._samples = np.zeros(WINDOW, np.int16)
        self._from = 0  # position of the first sample kept

    def put(self, samples: npt.NDArray[np.int16], at: int, now: int) -> None:
        """Takes the place of what was told for these positions before; the caller is heard at `now`."""
        if at + len(samples) - self._from > WINDOW and now - KEPT > self._from:
            self._slide(now - KEPT)
        start = at - self._from
        part = samples[max(-start, 0) : max(WINDOW - start, 0)]
        self._samples[max(start, 0) : max(start, 0) + len(part)] = part

    def get(self, at: int, samples: int) -> Sound:
        """Silence before and after the window."""
        low = at - self._from
        part = self._samples[max(low, 0) : max(low + samples, 0)].astype(np.float32) / FULL
        if len(part) == samples:
            return part
        out = np.zeros(samples, np.float32)
        out[max(-low, 0) : max(-low, 0) + len(part)] = part
        return out

    def silence(self, at: int) -> None:
        """Nothing was played from `at` on."""
        self._samples[max(at - self._from, 0) :] = 0

    def _slide(self, new_from: int) -> None:
        kept = self._samples[new_from - self._from :].copy()
        self._samples[:] = 0
        self._samples[: len(kept)] = kept
        self._from = new_from


def emphasised(sound: Sound) -> Sound:
    """One sample shorter: the first is only the past of the second."""
    out: Sound = sound[1:] - EMPHASIS * sound[:-1]
    return out


def search(near: Sound, far: Sound) -> Delay:
    """Where in `far` the sound of `near` is, both emphasised. The first sample of `far` lies `LATEST` before that of
    `near`; it is longer by `LATEST - EARLIEST`."""
    cross = np.fft.rfft(far, TRANSFORM) * np.fft.rfft(near, TRANSFORM).conj()
    cross /= np.abs(cross) ** np.float32(WHITENING) + np.float32(1e-9)
    found = np.abs(np.fft.irfft(cross, TRANSFORM)[: len(far) - len(near) + 1])
    mean = float(np.sqrt(np.mean(found * found))) + 1e-12
    best = int(found.argmax())
    peak = float(found[best])
    found[max(0, best - _AROUND) : best + _AROUND + 1] = 0
    return Delay(LATEST - best, peak / mean, float(found.max()) / mean, _like(near, far[max(0, best - _ABOUT) :]))


def _like(near: Sound, far: Sound) -> float:
    """The best of a few places at the beginning of `far`: a loudspeaker smears the peak."""
    part = far[: len(near) + 2 * _ABOUT]
    power = float(np.dot(near, near)) * np.convolve(part * part, np.ones(len(near), np.float32), "valid")
    return float(np.max(np.abs(np.correlate(part, near, "valid")) / np.sqrt(power + np.float32(1e-12))))
