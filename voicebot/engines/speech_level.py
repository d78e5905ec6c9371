"""The loudness of synthesised speech, for programs of their own; numpy only."""

from __future__ import annotations

from typing import Any

import numpy as np

LEVEL_DBFS = -20.0
"""RMS of running speech: a telephone's usual level, and espeak's here."""
QUIET_DBFS = -50.0
"""What is below is a pause."""
PEAK = 0.95


def levelled(audio: Any) -> bytes:
    """A sentence, float -1..1 of any level, as int16 LE mono at `LEVEL_DBFS`, never clipped."""
    samples = np.nan_to_num(np.asarray(audio, dtype=np.float32)).ravel()
    peak = float(np.abs(samples).max(initial=0.0))
    if peak < 1e-5:
        return bytes(2 * len(samples))
    loud = samples[np.abs(samples) > peak * 10 ** (QUIET_DBFS / 20)]
    gain = 10 ** (LEVEL_DBFS / 20) / float(np.sqrt(np.mean(np.square(loud))))
    return (samples * min(gain, PEAK / peak) * 32767).astype("<i2").tobytes()
