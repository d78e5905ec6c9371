"""Whisper's picture of speech: 80 log-mel bands, 100 columns a second, as end-of-turn models take it.

The recipe is that of OpenAI's Whisper (github.com/openai/whisper, audio.py) in the form in which smart-turn v3 was
trained: the last 8 s, filled up with zeros in front, brought to mean 0 and variance 1, and only then transformed.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

RATE = 16_000
SECONDS = 8
BANDS = 80
COLUMNS = SECONDS * 100
WINDOW, HOP = 400, 160
_LINEAR_HZ, _LINEAR_MEL = 1000.0, 15.0
"""Slaney's mel scale: linear below, logarithmic above."""
_STEP = np.log(6.4) / 27.0

Float = npt.NDArray[np.float32]


def log_mel(samples: Float) -> Float:
    """float32 [80, 800] of the last 8 s of `samples` [n] at 16 kHz; their scale does not matter."""
    recent = samples[-SECONDS * RATE :].astype(np.float64)
    padded = np.zeros(SECONDS * RATE)
    padded[len(padded) - len(recent) :] = recent
    padded = (padded - padded.mean()) / np.sqrt(padded.var() + 1e-7)
    framed = np.lib.stride_tricks.sliding_window_view(np.pad(padded, WINDOW // 2, "reflect"), WINDOW)[::HOP]
    spectrum = np.fft.rfft(framed[:COLUMNS] * _hann(), axis=1)
    power = spectrum.real**2 + spectrum.imag**2
    log = np.log10(np.maximum(_bank() @ power.T, 1e-10))
    return np.asarray((np.maximum(log, log.max() - 8.0) + 4.0) / 4.0, np.float32)


@lru_cache(maxsize=1)
def _hann() -> npt.NDArray[np.float64]:
    """Periodic, as of 401 points without the last."""
    return np.hanning(WINDOW + 1)[:-1]


@lru_cache(maxsize=1)
def _bank() -> npt.NDArray[np.float64]:
    """Triangles [80, 201] of equal area from 0 to 8 kHz, evenly spaced on Slaney's scale."""
    edges = _hz(np.linspace(0.0, _mel(RATE / 2), BANDS + 2))
    bins = np.linspace(0.0, RATE / 2, WINDOW // 2 + 1)
    rising = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    return np.maximum(0.0, np.minimum(rising, falling)) * (2.0 / (edges[2:] - edges[:-2]))[:, None]


def _mel(hz: float) -> float:
    return _LINEAR_MEL + float(np.log(hz / _LINEAR_HZ)) / float(_STEP)  # above 1 kHz only


def _hz(mel: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.where(mel < _LINEAR_MEL, mel * _LINEAR_HZ / _LINEAR_MEL, _LINEAR_HZ * np.exp(_STEP * (mel - _LINEAR_MEL)))
