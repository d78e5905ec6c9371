"""A fax machine or a modem on the line: its tones (ITU-T T.30), told from speech and music. Pure.

A calling machine sends 1100 Hz for half a second every three and a half, an answering one 2100 Hz for three seconds.
Either is one steady frequency and next to nothing else, which no voice is for so long.
"""

from __future__ import annotations

from collections.abc import Sequence

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

TOGETHER = 8
"""Frames that are looked at together: one by one most of the time would go into calling numpy."""
_ANGLES = np.outer(np.arange(LOOK), LOOKED_AT_HZ) * (2 * np.pi / RATE)
_BASIS = np.hstack([np.cos(_ANGLES), np.sin(_ANGLES)]).astype(np.float32)


class FaxTones:
    """One call; fed every 20 ms frame."""

    def __init__(self) -> None:
        self._lasted_ms = [0, 0]
        self._calls = 0
        self._since_ms = 0
        self._waiting: list[bytes] = []

    def push(self, pcm: bytes) -> bool:
        """Whether it is certain that a machine calls. A frame (160 samples, int16 LE, 8 kHz) is looked at with those
        after it, up to 140 ms later."""
        self._waiting.append(pcm)
        if len(self._waiting) < TOGETHER:
            return False
        waiting, self._waiting = self._waiting, []
        return True in [self._look(shares) for shares in _shares(waiting)]

    def _look(self, shares: tuple[float, float]) -> bool:
        """Whether a machine calls for certain by the end of this frame."""
        self._since_ms += FRAME_MS
        if self._since_ms > FORGET_S * 1000:
            self._calls = 0
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


def _shares(frames: Sequence[bytes]) -> list[tuple[float, float]]:
    """How much of each frame's energy is in each tone, 0..1; nothing where it is too soft to matter."""
    loud = [len(pcm) == FRAME_BYTES and rms_dbfs(pcm) >= LEAST_DBFS for pcm in frames]
    if not any(loud):
        return [(0.0, 0.0)] * len(frames)
    chosen = [pcm for pcm, yes in zip(frames, loud, strict=True) if yes]
    samples = np.frombuffer(b"".join(chosen), "<i2").astype(np.float32).reshape(len(chosen), -1)
    energy = LOOK / 2 * np.einsum("ij,ij->i", samples, samples)
    parts = (samples.reshape(-1, LOOK) @ _BASIS).reshape(len(chosen), 2, 2, len(LOOKED_AT_HZ))
    found = (parts * parts).sum((1, 2)) / energy[:, None]
    told = iter([(max(low, high), answering) for low, high, answering in found.tolist()])
    return [next(told) if yes else (0.0, 0.0) for yes in loud]
