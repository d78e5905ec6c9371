"""How much energy a voice had above 4 kHz, told from what a telephone brings: the learnt half of `bandwidth.Shaped`.

Every 10 ms a look at 25 ms of the line gives the powers of 24 bands; six looks and how far the sound stands above the
line's noise go through three small layers, which tell the powers of nine bands from 3.4 to 8 kHz. Each layer is a
product of numpy: with so few weights that is quicker than a runtime can be called (figures in the weights' card).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float32]

RATE_IN, RATE_OUT = 8_000, 16_000
HOP = 80
"""Samples of the line from one look to the next: 10 ms."""
BEHIND, AHEAD = 120, 80
"""A look takes in this many samples before its instant, and after it."""
BINS = 256
LOW_HZ = tuple(3700 / 24 * band for band in range(25))
"""Edges of the bands that the network sees."""
HIGH_HZ = (3400, 3700, 4000, 4400, 4850, 5350, 5900, 6500, 7200, 8000)
"""Edges of those it tells; the first two are there in part."""
CONTEXT = 6
"""Looks that the network sees at once: the last ones, this one included."""
FEATURES = CONTEXT * (len(LOW_HZ) - 1) + 1
SILENCE = 1e-9
"""Added to every power, of full scale 1: -90 dB."""
QUIET = float(np.log(SILENCE)) + 0.01
"""Log power of a band below which nothing is there, not even rounding."""
FLOOR_LEAST, FLOOR_RISE, FLOOR_SPAN = -16.0, 0.01, 8.0
"""The line's noise as it is followed: natural logarithms of power, for each look."""
CARRIER = 16_000
"""Samples after which the carriers begin again."""


@lru_cache(maxsize=1)
def _window() -> Float:
    return np.asarray(np.hanning(BEHIND + AHEAD + 2)[1:-1], np.float32)


@lru_cache(maxsize=4)
def bands(edges_hz: tuple[float, ...], rate: int) -> Float:
    """[bins, bands]: means over the bins of each band, of spectra of 32 ms at `rate`."""
    hz = np.fft.rfftfreq(BINS * rate // RATE_IN, 1 / rate)
    inside = (hz[:, None] >= np.array(edges_hz[:-1])) & (hz[:, None] < np.array(edges_hz[1:]))
    return np.asarray(inside / np.maximum(1, inside.sum(axis=0)), np.float32)


@lru_cache(maxsize=1)
def _seen() -> Float:
    """The bands that the network sees, and those of the ones it tells that the line may have."""
    return np.concatenate([bands(LOW_HZ, RATE_IN), bands(HIGH_HZ[:3], RATE_IN)], axis=1)


def looks(x: Float) -> tuple[Float, Float]:
    """Samples of ±1 [BEHIND + AHEAD + HOP · (k - 1)] → (log power [k, 24], power [k, 2] of what the line has of the
    first two bands above)."""
    window = _window()
    framed = np.lib.stride_tricks.sliding_window_view(x, BEHIND + AHEAD)[::HOP]
    spectrum = np.fft.rfft(framed * window, BINS, axis=1)
    power = ((spectrum.real**2 + spectrum.imag**2) / (window**2).sum()).astype(np.float32) @ _seen()
    return np.log(power[:, :-2] + SILENCE), power[:, -2:]


def floors(levels: Float, before: float | None) -> Float:
    """The line's noise under each look's mean level [k]: falls at once, rises slowly."""
    found = np.empty_like(levels)
    floor = before
    for at, level in enumerate(levels.tolist()):
        level = max(level, FLOOR_LEAST)
        floor = level if floor is None else min(level, floor + FLOOR_RISE)
        found[at] = floor
    return found


def features(low: Float, count: int, floor: Float) -> Float:
    """[count, FEATURES] of the last `count` looks of `low` [CONTEXT - 1 + count, 24]: their energies and those before,
    against the level now, and how far that is above the floor. How loud the line is does not matter."""
    level = low[CONTEXT - 1 :].mean(axis=1, keepdims=True)
    windows = np.concatenate([low[at : at + count] for at in range(CONTEXT)], axis=1)
    above = np.clip(level - floor[:, None], 0.0, FLOOR_SPAN)
    return np.concatenate([windows - level, above], axis=1)


@dataclass(frozen=True, slots=True)
class Weights:
    """Three layers, as they were fitted: float32 [in, out] and [out]; what brings the features to mean 0 and variance 1
    is part of the first, what brings the answers back is part of the last."""

    w1: Float
    b1: Float
    w2: Float
    b2: Float
    w3: Float
    b3: Float

    @classmethod
    def of(cls, arrays: Mapping[str, npt.NDArray[np.generic]]) -> Weights:
        """`ValueError` for arrays that are no such network."""
        missing = [name for name in cls.__slots__ if name not in arrays]
        if missing:
            raise ValueError(f"Weights {missing} are missing.")
        found = cls(*(np.ascontiguousarray(arrays[name], np.float32) for name in cls.__slots__))
        first, second = len(found.b1), len(found.b2)
        shapes = ((FEATURES, first), (first,), (first, second), (second,), (second, len(HIGH_HZ) - 1))
        if shapes != tuple(getattr(found, name).shape for name in cls.__slots__[:5]):
            raise ValueError(f"These weights are of another network: {shapes} are expected.")
        return found

    def forward(self, seen: Float) -> Float:
        """[k, FEATURES] → [k, 9], log power of the bands above, against the level."""
        hidden = np.maximum(seen @ self.w1 + self.b1, 0.0)
        told: Float = np.maximum(hidden @ self.w2 + self.b2, 0.0) @ self.w3 + self.b3
        return told


@lru_cache(maxsize=1)
def carriers() -> Float:
    """[CARRIER, 9] noise at 16 kHz, each column in one band above, of a power density of 1 in all."""
    white = np.random.RandomState(0).standard_normal(CARRIER)  # the one generator whose stream never changes
    spectrum, hz = np.fft.rfft(white), np.fft.rfftfreq(CARRIER, 1 / RATE_OUT)
    found = []
    for low, high in pairwise(HIGH_HZ):
        falling = 1.0 if high == HIGH_HZ[-1] else np.clip((high - hz) / 100 + 0.5, 0, 1)
        band = np.fft.irfft(spectrum * np.clip((hz - low) / 100 + 0.5, 0, 1) * falling)
        found.append(band / np.sqrt(np.mean(band**2) * RATE_IN / (high - low)))
    return np.asarray(np.stack(found, axis=1), np.float32)
