"""A fax machine or a modem on the line: its tones (ITU-T T.30), told from speech and music. Pure.

A calling machine sends 1100 Hz for half a second every three and a half, an answering one 2100 Hz for three seconds.
Either is one steady frequency and next to nothing else, which no voice is for so long.
"""

from __future__ import annotations

import numpy as np

from voicebot.audio.frames import FRAME_BYTES, FRAME_MS, RATE
from voicebot.audio.levels import rms_dbfs

LOOKED_AT_HZ = (1080, 1120, 2100)
"""1100 Hz may be off by 38, 2100 Hz by 15."""
LOOK = 80
"""Samples of a look, short enough not to mind a tone that is off."""
CALLING_MS, ANSWERING_MS = 380, 1000
"""The tone must last so long: less than half a second by the detector's edges, and well over any word's."""
CALLS = 2
"""Calling tones before it is believed: something else may whistle once."""
FORGET_S = 8
"""… within this time."""
SHARE = 0.8
"""Of a frame's energy that must be at the frequency."""
LEAST_DBFS = -43.0

_ANGLES = np.outer(np.arange(LOOK), LOOKED_AT_HZ) * (2 * np.pi / RATE)
_BASIS = np.hstack([np.cos(_ANGLES), np.sin(_ANGLES)]).astype(np.float32)


class FaxTones:
    """One call; fed every 20 ms frame."""

    def __init__(self) -> None:
        self._lasted_ms = [0, 0]
        self._calls = 0
        self._since_ms = 0

    def push(self, pcm: bytes) -> bool:
        """Whether, by the end of this frame (160 samples, int16 LE, 8 kHz), it is certain that a machine calls."""
        self._since_ms += FRAME_MS
        if self._since_ms > FORGET_S * 1000:
            self._calls = 0
        shares = _shares(pcm)
        if max(shares) < SHARE:
            self._lasted_ms[:] = 0, 0
            return False
        for tone, enough_ms in ((0, CALLING_MS), (1, ANSWERING_MS)):
            before = self._lasted_ms[tone]
            self._lasted_ms[tone] = before + FRAME_MS if shares[tone] >= SHARE else 0
            if before < enough_ms <= self._lasted_ms[tone]:
                self._calls, self._since_ms = self._calls + (1 if tone == 0 else CALLS), 0
                return self._calls >= CALLS
        return False


def _shares(pcm: bytes) -> tuple[float, float]:
    """How much of the frame's energy is in each tone, 0..1; nothing where it is too soft to matter."""
    if len(pcm) != FRAME_BYTES or rms_dbfs(pcm) < LEAST_DBFS:
        return 0.0, 0.0
    samples = np.frombuffer(pcm, "<i2").astype(np.float32)
    scale = 2 / LOOK / float(samples @ samples)
    parts = samples.reshape(2, LOOK) @ _BASIS
    low, high, answering, *imaginary = (parts * parts).sum(0).tolist()
    low, high, answering = low + imaginary[0], high + imaginary[1], answering + imaginary[2]
    return max(low, high) * scale, answering * scale
