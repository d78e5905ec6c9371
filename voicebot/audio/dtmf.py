"""Keys heard as tones in the audio (ITU-T Q.23, receiver after Q.24), for far ends that send them no other way. Pure.

Every 10 ms the last 25.6 ms are held against the eight frequencies. A key counts once: when the same pair stood out
in two looks running (about 40 ms of tone), and not again before it was gone for 40 ms.
"""

from __future__ import annotations

import numpy as np

RATE = 8000
BLOCK = 205
"""Samples of a look: all eight frequencies fall near the middle of a bin."""
HOP = 80
LOW, HIGH = (697, 770, 852, 941), (1209, 1336, 1477, 1633)
KEYS = ("123A", "456B", "789C", "*0#D")
LEAST_RMS = 10 ** (-34 / 20) * 32768
"""Of the whole block; Q.24 has receivers accept down to about -25 dBm a tone."""
SHARE = 0.75
"""Of the block's energy that must be in the two tones: speech and music have theirs elsewhere, too."""
TWIST_DB = 10.0
"""The two tones may differ by so much; networks favour one."""
APART_DB = 8.0
"""The loudest of four stands above the next by so much."""
GONE = 4
"""Looks without the key after which it may come again."""

_ANGLES = np.outer(np.array(LOW + HIGH), np.arange(BLOCK)) * (-2j * np.pi / RATE)
_TONES = np.exp(_ANGLES)


class Dtmf:
    """One stream, 8 kHz int16 LE."""

    def __init__(self) -> None:
        self._pending = np.zeros(0, np.float64)
        self._before = ""
        self._key = ""
        self._gone = 0

    def push(self, pcm: bytes) -> list[str]:
        """The keys that are known to be pressed by the end of `pcm`, each once."""
        self._pending = np.concatenate([self._pending, np.frombuffer(pcm, "<i2")])
        found = []
        while len(self._pending) >= BLOCK:
            now = _key(self._pending[:BLOCK])
            self._pending = self._pending[HOP:]
            if now and now == self._before and now != self._key:
                self._key = now
                found.append(now)
            self._gone = 0 if now == self._key else self._gone + 1
            if self._gone >= GONE:
                self._key = ""
            self._before = now
        return found


def _key(block: np.ndarray[tuple[int], np.dtype[np.float64]]) -> str:
    """The key whose two tones stand out, or nothing."""
    energy = float(block @ block)
    if energy < LEAST_RMS**2 * BLOCK:
        return ""
    power = np.abs(_TONES @ block) ** 2
    low, high = power[:4], power[4:]
    row, column = int(low.argmax()), int(high.argmax())
    two = float(low[row] + high[column])
    if two * 2 / BLOCK < SHARE * energy:  # a sine of amplitude a: power (a·N/2)², energy a²·N/2
        return ""
    if abs(10 * np.log10(low[row] / high[column])) > TWIST_DB:
        return ""
    apart = 10 ** (APART_DB / 10)
    if np.sort(low)[-2] * apart > low[row] or np.sort(high)[-2] * apart > high[column]:
        return ""
    return KEYS[row][column]
