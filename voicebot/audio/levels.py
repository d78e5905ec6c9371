"""16-bit PCM as a whole: levels, in dBFS (0 dBFS: a full-scale square wave), and two channels in one."""

from __future__ import annotations

import warnings
from math import log10

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # in the standard library below 3.13, audioop-lts above
    import audioop

SILENCE_DBFS = -96.0


def rms_dbfs(pcm: bytes) -> float:
    """Root mean square of int16 LE samples; `SILENCE_DBFS` for digital silence."""
    rms = audioop.rms(pcm, 2) if pcm else 0
    return 20 * log10(rms / 32768) if rms else SILENCE_DBFS


def peak_dbfs(pcm: bytes) -> float:
    """Largest sample of int16 LE."""
    peak = audioop.max(pcm, 2) if pcm else 0
    return 20 * log10(peak / 32768) if peak else SILENCE_DBFS


def stereo(left: bytes, right: bytes) -> bytes:
    """Two channels of int16 LE, equally long, interleaved."""
    return audioop.add(audioop.tostereo(left, 2, 1, 0), audioop.tostereo(right, 2, 0, 1), 2)
