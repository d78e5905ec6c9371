"""A speakerphone's echo: what the microphone hears of the loudspeaker beside it. Pure."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from voicebot.audio.frames import RATE
from voicebot.replay.mixing import pcm16

TAPS = 320
"""40 ms of a small room."""


class Echo:
    """Delayed by `delay_ms` (the telephone network, and the air), weaker by `loss_db`, coloured by a small loudspeaker
    (nothing below 400 Hz) and a room whose reflections die away within 40 ms; the same room for the same seed."""

    def __init__(self, delay_ms: int, loss_db: float, seed: int = 1) -> None:
        chance = np.random.default_rng(seed)
        room = chance.standard_normal(TAPS) * np.exp(-np.arange(TAPS) / (0.006 * RATE))
        room[0] = 3.0
        room = np.convolve(room, _highpass(400))[:TAPS]
        self._room = (room / np.sqrt(np.sum(room**2)) * 10 ** (-loss_db / 20)).astype(np.float32)
        self._delayed = np.zeros(delay_ms * RATE // 1000, np.float32)
        self._tail = np.zeros(TAPS - 1, np.float32)

    def push(self, played: bytes, spoken: bytes) -> bytes:
        """What the caller hears and says; what the microphone hears of both. int16 LE of one length."""
        self._delayed = np.concatenate([self._delayed, _float(played)])
        size = len(played) // 2
        far, self._delayed = self._delayed[:size], self._delayed[size:]
        heard = np.convolve(np.concatenate([self._tail, far]), self._room, "valid")
        self._tail = np.concatenate([self._tail, far])[-(TAPS - 1) :]
        return pcm16(np.asarray(heard + _float(spoken), np.float32))


def _float(pcm: bytes) -> npt.NDArray[np.float32]:
    return np.frombuffer(pcm, "<i2").astype(np.float32) / np.float32(32768)


def _highpass(hz: int) -> npt.NDArray[np.float64]:
    """A windowed-sinc filter of 65 taps at 8 kHz."""
    n = np.arange(65) - 32
    low = np.sinc(2 * hz / RATE * n) * (2 * hz / RATE) * np.hamming(65)
    high: npt.NDArray[np.float64] = -low / np.sum(low)
    high[32] += 1
    return high
