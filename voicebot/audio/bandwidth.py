"""Bandwidth extension: 16 kHz out of the 8 kHz that a telephone brings, a stream at a time.

Three ways of one shape. `Plain` interpolates: the band above 4 kHz stays empty. `Folding` is classical: the spectral
image of the band below (Makhoul & Berouti, "High-frequency regeneration in speech coding systems", 1979), weighed by
how much the sound hisses. `Shaped` is learnt, the envelope half of source-filter extension (Jax & Vary, "On artificial
bandwidth extension of telephone speech", Signal Processing 83, 2003): `envelope` tells how much energy each band above
had, and noise of constant power gets those energies. A recogniser sees energies, not phases.

Nothing of the line is taken away: its samples stay, one comes between every two, and the band above is added.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Protocol

import numpy as np
import numpy.typing as npt

from voicebot.audio.envelope import (
    AHEAD,
    BEHIND,
    CONTEXT,
    HIGH_HZ,
    HOP,
    LOW_HZ,
    QUIET,
    RATE_IN,
    Float,
    Weights,
    carriers,
    features,
    floors,
    looks,
)

Samples = npt.NDArray[np.int16]
SIDE = 24
"""Samples before and after that one between them is made of."""


class Extender(Protocol):
    """One stream. All pushes and one `flush` give two samples for each that went in, each in its place."""

    delay_ms: float
    """The most of the newest that is held back."""

    def push(self, pcm: Samples) -> Samples:
        """int16 [n] at 8 kHz; int16 at 16 kHz, all but what is held back. However it is cut, the same stream."""
        ...

    def flush(self) -> Samples:
        """What was held back; the stream is at its end, and fresh."""
        ...

    def reset(self) -> None:
        """Forget everything: another stream begins."""
        ...


@lru_cache(maxsize=4)
def _taps(side: int) -> Float:
    at = np.arange(-side, side) + 0.5
    taps = np.sinc(at) * np.kaiser(2 * side, 6.0)
    return np.asarray(taps / taps.sum(), np.float32)


def _doubled(kept: Float, between: Float, side: int) -> Float:
    """Two of [n + 2 · side - 1] samples → [2 n]: those of `kept` from `side - 1` on, and after each the one of
    `between` half-way to the next."""
    count = len(kept) - 2 * side + 1
    if count <= 0:  # numpy would change the two over
        return np.zeros(0, np.float32)
    wide = np.empty(2 * count, np.float32)
    wide[0::2] = kept[side - 1 : side - 1 + count]
    wide[1::2] = np.convolve(between, _taps(side), "valid")
    return wide


def _int16(x: Float) -> Samples:
    return np.clip(np.rint(x), -32768, 32767).astype(np.int16)


class Plain:
    """Interpolation by two, nothing added."""

    delay_ms = SIDE / RATE_IN * 1000

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._line = np.zeros(SIDE - 1, np.float32)

    def push(self, pcm: Samples) -> Samples:
        self._line = np.concatenate([self._line, pcm.astype(np.float32)])
        wide = _doubled(self._line, self._line, SIDE)
        self._line = self._line[len(wide) // 2 :]
        return _int16(wide)

    def flush(self) -> Samples:
        missing = len(self._line) - SIDE + 1
        tail = self.push(np.zeros(SIDE, np.int16))[: 2 * missing]
        self.reset()
        return tail


class Folding:
    """In frames of 5 ms. The image is what zero-stuffing leaves: the band turned over, so that 3-4 kHz lands on
    4-5 kHz. It is taken from a signal whose lows are filtered away, and its gain goes from `image` to `image + hiss`
    with the share of high energy in a frame: a vowel gets little of it, an s much, and the line's own noise, whose
    level is tracked, little."""

    FRAME = 40
    delay_ms = (FRAME + 8) / RATE_IN * 1000
    _SIDE = 8
    _HIGHS = np.array([0.29, -0.52, 0.23], np.float32)
    """Zero at 0 Hz, one at 4 kHz, a half at 2 kHz."""
    _ABOVE_FLOOR = 100.0
    """Times the noise's power at which half the boost is given."""
    _FLOOR_RISE = 1.004
    """A frame: the floor that is followed doubles in 0.9 s."""

    def __init__(self, image: float = 0.3, hiss: float = 6.0) -> None:
        self._image, self._hiss = image, hiss
        self.reset()

    def reset(self) -> None:
        self._floor = 0.0
        self._rest = np.zeros(0, np.float32)
        self._line = np.zeros(len(self._HIGHS) - 1, np.float32)
        self._kept = self._between = np.zeros(self._SIDE - 1, np.float32)

    def push(self, pcm: Samples) -> Samples:
        whole = np.concatenate([self._rest, pcm.astype(np.float32)])
        count = len(whole) // self.FRAME * self.FRAME
        self._rest = whole[count:]
        if not count:
            return np.zeros(0, np.int16)
        line = np.concatenate([self._line, whole[:count]])
        self._line = line[count:]
        highs, plain = np.convolve(line, self._HIGHS, "valid"), line[len(self._HIGHS) - 1 :]
        image = highs * np.repeat(self._gains(plain, highs), self.FRAME)
        # The samples that were there and those between get the image with opposite signs.
        kept, between = np.concatenate([self._kept, plain + image]), np.concatenate([self._between, plain - image])
        wide = _doubled(kept, between, self._SIDE)
        self._kept, self._between = kept[len(wide) // 2 :], between[len(wide) // 2 :]
        return _int16(wide)

    def flush(self) -> Samples:
        missing = len(self._rest) + len(self._kept) - self._SIDE + 1
        tail = self.push(np.zeros(2 * self.FRAME, np.int16))[: 2 * missing]
        self.reset()
        return tail

    def _gains(self, plain: Float, highs: Float) -> Float:
        power = (plain.reshape(-1, self.FRAME) ** 2).mean(axis=1)
        high = (highs.reshape(-1, self.FRAME) ** 2).mean(axis=1)
        floors = np.empty_like(power)
        for at, now in enumerate(power.tolist()):
            self._floor = min(now, self._floor * self._FLOOR_RISE) if self._floor else now
            self._floor = max(self._floor, 1.0)
            floors[at] = self._floor
        share = np.minimum(high / (power + self._ABOVE_FLOOR * floors), 1.0)
        return np.asarray(self._image + self._hiss * share, np.float32)


class Shaped:
    """The learnt one. Gains are told every 10 ms and go in straight lines between."""

    delay_ms = (AHEAD + HOP) / RATE_IN * 1000
    """Half of it where pushes are whole tens of milliseconds."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self.reset()

    def reset(self) -> None:
        self._line = np.zeros(BEHIND, np.float32)
        """From `BEHIND` samples before the next look's instant on."""
        self._low = np.zeros((0, len(LOW_HZ) - 1), np.float32)
        self._gains = np.zeros((0, len(HIGH_HZ) - 1), np.float32)
        self._floor: float | None = None
        self._block = 0

    def push(self, pcm: Samples) -> Samples:
        self._line = np.concatenate([self._line, pcm.astype(np.float32) / 32768])
        count = (len(self._line) - BEHIND - AHEAD) // HOP + 1
        if count <= 0:
            return np.zeros(0, np.int16)
        first = BEHIND - HOP if len(self._gains) else BEHIND
        gains = np.concatenate([self._gains, self._look(count)])
        steps = len(gains) - 1
        line = self._line[first - SIDE + 1 : first + steps * HOP + SIDE]
        wide = _doubled(line, line, SIDE) + self._above(gains, steps)
        self._gains, self._line = gains[-1:], self._line[count * HOP :]
        return _int16(wide * 32768)

    def flush(self) -> Samples:
        missing = len(self._line) - BEHIND + HOP * len(self._gains)
        tail = self.push(np.zeros(2 * HOP + AHEAD, np.int16))[: 2 * missing]
        self.reset()
        return tail

    def _look(self, count: int) -> Float:
        """Amplitudes [count, 9] of the bands above at the next `count` instants, 10 ms apart."""
        low, there = looks(self._line[: BEHIND + AHEAD + HOP * (count - 1)])
        every = np.concatenate([self._low if len(self._low) else np.repeat(low[:1], CONTEXT - 1, axis=0), low])
        self._low = every[count:]
        level = low.mean(axis=1)
        floor = floors(level, self._floor)
        self._floor = float(floor[-1])
        told = self._weights.forward(features(every, count, floor)) + level[:, None]
        power = np.exp(np.minimum(told, 0.0)) * (low.max(axis=1, keepdims=True) > QUIET)
        power[:, :2] = np.maximum(power[:, :2] - there, 0.0)
        return np.asarray(np.sqrt(power), np.float32)

    def _above(self, gains: Float, steps: int) -> Float:
        """[steps · 2 · HOP] of the bands above, from each of `gains` [steps + 1, 9] to the next."""
        blocks = carriers().reshape(-1, 2 * HOP, len(HIGH_HZ) - 1)
        noise = blocks[(self._block + np.arange(steps)) % len(blocks)]
        self._block = (self._block + steps) % len(blocks)
        rising = np.arange(2 * HOP, dtype=np.float32)[:, None] / np.float32(2 * HOP)
        lines = gains[:-1, None] + rising * (gains[1:, None] - gains[:-1, None])
        return np.asarray(np.einsum("ijk,ijk->ij", noise, lines).reshape(-1), np.float32)
