"""A speaker whose pace, loudness and pitch are known."""

from __future__ import annotations

import numpy as np


def syllables(count: int, ms: int, hz: float = 120.0, loud: float = 6000.0, gap_ms: int = 0) -> bytes:
    """A buzz that swells and dies `count` times, each in `ms`, with a gap in the middle of all."""
    n = ms * 8
    swell = np.sin(np.pi * np.arange(n) / n) ** 2
    phase = 2 * np.pi * hz * np.arange(n * count) / 8000
    sound = sum(np.sin(k * phase) / k for k in range(3, 28)) * np.tile(swell, count)
    pcm = bytes((loud * np.asarray(sound)).astype("<i2"))
    half = count // 2 * n * 2
    return pcm[:half] + bytes(gap_ms * 16) + pcm[half:]
