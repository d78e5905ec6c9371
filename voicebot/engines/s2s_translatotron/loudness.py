"""Speech as a telephone brings it, levelled: what the models hear, in training and on a call. No torch."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from voicebot.audio import g711

Samples = npt.NDArray[np.float32]
"""Mono, -1..1."""
LOUD = 0.1
"""Root mean square of running speech after levelling."""
FRAMES_A_SECOND = 50


def levelled(samples: Samples, rate: int) -> Samples:
    """As loud as all other speech: the louder tenth of its 20 ms frames decides, so pauses around it do not matter."""
    size = rate // FRAMES_A_SECOND
    whole = samples[: len(samples) // size * size].reshape(-1, size)
    if not whole.size:
        return samples
    loud = float(np.quantile(np.sqrt((whole**2).mean(axis=1)), 0.9))
    return samples * np.float32(LOUD / max(loud, 1e-4))


def over_the_telephone(samples: Samples, noise: float, chance: np.random.Generator) -> Samples:
    """With white noise of this root mean square (full scale 1), through G.711 μ-law. 8 kHz."""
    heard = samples + chance.standard_normal(len(samples)).astype(np.float32) * np.float32(noise)
    pcm = (np.clip(heard, -1, 1) * 32767).astype("<i2").tobytes()
    return np.frombuffer(g711.ulaw_decode(g711.ulaw_encode(pcm)), "<i2").astype(np.float32) / np.float32(32768)


def placed(samples: Samples, before: int, after: int) -> Samples:
    """With so many samples of silence around it: nobody cuts speech out of a call exactly."""
    return np.pad(samples, (before, after))
