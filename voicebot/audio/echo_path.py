"""The echo path, learned as it goes: a partitioned frequency-domain adaptive filter with a Kalman step size.

After Enzner and Vary 2006 ("Frequency-domain adaptive Kalman filter for acoustic echo control"), in partitions of
20 ms as in Kuech et al. 2014, diagonalised. Each coefficient carries how uncertain it is; the step is that
uncertainty over all power that the echo does not explain. So the caller's voice makes the steps small by itself:
there is no double-talk detector that could be wrong.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from voicebot.audio.echo_delay import Sound
from voicebot.audio.frames import FRAME_SAMPLES

Spectra = npt.NDArray[np.complexfloating[Any, Any]]
"""[partitions, bins], newest first."""
Power = npt.NDArray[np.floating[Any]]

PARTITIONS = 8
"""Of 20 ms each: rooms are heard for longer, but 160 ms hold nearly all of it."""
BLOCK = 2 * FRAME_SAMPLES
BINS = FRAME_SAMPLES + 1
FORGETS = np.float32(0.9)
"""Each 20 ms the path keeps this share of its power: delays drift, callers move."""
SMOOTHING = np.float32(0.8)
FADES = np.float32(0.5)
"""Power expected of a partition over that of the one before."""
_ROWS = FRAME_SAMPLES * np.arange(PARTITIONS - 1, -1, -1)[:, None] + np.arange(BLOCK)
TINY = np.float32(1e-9)


def spectra(far: Sound) -> Spectra:
    """Of `PARTITIONS + 1` frames of the far end, ending with the frame that may hold the first of the echo."""
    return np.fft.rfft(far[_ROWS], axis=1)


def moved_on(before: Spectra, far: Sound) -> Spectra:
    """The same for the frame after, of its last two frames: the other partitions are known."""
    after = np.empty_like(before)
    after[1:] = before[:-1]
    after[0] = np.fft.rfft(far[-BLOCK:])
    return after


def near_spectrum(near: Sound) -> Spectra:
    """Of one frame, with silence before it."""
    padded = np.zeros(BLOCK, np.float32)
    padded[FRAME_SAMPLES:] = near
    return np.fft.rfft(padded)


class EchoPath:
    """Coefficients for one delay. `step` explains a frame from what was played, then learns from it."""

    def __init__(self, far_power: float, near_power: float, background: Power) -> None:
        """Powers that say how loud the echo may be at most; `background`: mean |near|² of each bin."""
        self._taps = np.zeros((PARTITIONS, BINS), np.complex64)
        gain = np.float32(2 * near_power / (far_power + 1e-12))
        self._doubt: Power = np.repeat(
            (gain * FADES ** np.arange(PARTITIONS))[:, None].astype(np.float32), BINS, axis=1
        )
        self._rest: Power = background.astype(np.float32)
        self.expected: Power = np.zeros(BINS, np.float32)
        """Power of the echo expected in the frame that was stepped last, whatever its phase."""

    def step(self, far: Spectra, near: Sound) -> Spectra:
        """The spectrum of what the echo known *before* this frame does not explain of it."""
        guess = np.fft.irfft((far * self._taps).sum(0))[FRAME_SAMPLES:]
        residual = near_spectrum(near - guess)
        far2 = far.real**2 + far.imag**2
        taps2 = self._taps.real**2 + self._taps.imag**2
        self.expected = np.float32(0.5) * (far2 * taps2).sum(0)
        doubted = np.float32(0.5) * (far2 * self._doubt).sum(0)
        left = residual.real**2 + residual.imag**2
        self._rest = SMOOTHING * self._rest + (1 - SMOOTHING) * left
        gain = self._doubt / (doubted + self._rest + TINY)
        change = np.fft.irfft(gain * far.conj() * residual, axis=1)
        change[:, FRAME_SAMPLES:] = 0  # a causal filter of one partition's length
        self._taps += np.fft.rfft(change, axis=1)
        self._doubt = FORGETS * (1 - np.float32(0.5) * gain * far2) * self._doubt + (1 - FORGETS) * taps2 + TINY
        return residual
