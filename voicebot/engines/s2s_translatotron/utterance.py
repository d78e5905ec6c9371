"""What of a call's audio is the utterance to translate, and when it seems to be over. No torch, no clock."""

from __future__ import annotations

from collections import deque

import numpy as np

LONGEST_S = 15
"""What is kept; of a longer utterance the beginning is lost."""
BEFORE_MS = 500
"""Kept before the call's word that somebody speaks: it comes some 200 ms late, and soft consonants come first."""
FRAME_MS = 20
QUIET_MS = 120
"""A silence this long in an utterance may be its end: worth beginning to translate."""
QUIET_PART = 0.15
"""Of the loudness of the utterance's louder frames: what lies below is silence."""
LOUDEST_LEAST = 0.004
"""Root mean square, full scale 1: below it nobody speaks."""


class Utterance:
    """int16 LE mono audio as it comes, at `rate`."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._kept = bytearray()
        self._before = rate * BEFORE_MS // 1000 * 2
        self._frame = rate * FRAME_MS // 1000 * 2
        self._odd = b""
        self._loudness: deque[float] = deque(maxlen=LONGEST_S * 1000 // FRAME_MS)
        self.speaking = False
        """Since `began`, until `taken`."""
        self._quiet_ms = 0

    def push(self, pcm: bytes) -> bool:
        """Whether a pause begins just now that may be the end."""
        self._kept += pcm
        most = self._rate * LONGEST_S * 2 if self.speaking else self._before
        if len(self._kept) > most:
            del self._kept[: len(self._kept) - most]
        data = self._odd + pcm
        whole = len(data) // self._frame * self._frame
        self._odd = data[whole:]
        paused = False
        for start in range(0, whole, self._frame):
            paused |= self._heard(np.frombuffer(data[start : start + self._frame], "<i2"))
        return paused and self.speaking

    def began(self) -> None:
        """Somebody begins to speak; what was kept of a turn that came to nothing is forgotten."""
        self.speaking, self._quiet_ms = True, 0
        del self._kept[: max(0, len(self._kept) - self._before)]

    @property
    def paused(self) -> bool:
        """Whether the utterance may be over."""
        return self._quiet_ms >= QUIET_MS

    def audio(self) -> bytes:
        """The utterance so far."""
        return bytes(self._kept)

    def taken(self) -> None:
        """It was translated: what comes is another one."""
        self.speaking, self._quiet_ms = False, 0
        self._loudness.clear()
        del self._kept[: max(0, len(self._kept) - self._before)]

    def _heard(self, frame: np.ndarray[tuple[int], np.dtype[np.int16]]) -> bool:
        loudness = float(np.sqrt(np.square(frame.astype(np.float32) / 32768).mean()))
        self._loudness.append(loudness)
        loud = float(np.quantile(self._loudness, 0.9))
        if loud < LOUDEST_LEAST or loudness > QUIET_PART * loud:
            self._quiet_ms = 0
            return False
        before, self._quiet_ms = self._quiet_ms, self._quiet_ms + FRAME_MS
        return before < QUIET_MS <= self._quiet_ms
