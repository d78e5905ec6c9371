"""From "this window sounds like speech" to "the caller began" and "the caller stopped".

`EnergyGate` follows the noise floor and says whether a frame stands out from it at all: the cheap first question.
`Onsets` turns a stream of yes and no into onsets and offsets, back-dated to where they truly were, and deaf to
clicks: a few windows must agree to begin, a stretch of silence to end.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from voicebot.audio.levels import rms_dbfs

FLOOR_START_DBFS = -60.0
FLOOR_LIMITS_DBFS = (-75.0, -35.0)
RISE_DB_PER_S = 3.0
"""The floor follows a louder background this fast; downwards it follows at once."""
ABOVE_FLOOR_DB = 6.0


class EnergyGate:
    """20 ms frames of int16 LE at any rate."""

    def __init__(self) -> None:
        self.floor_dbfs = FLOOR_START_DBFS

    def open(self, pcm: bytes) -> bool:
        """Whether this frame stands out from the background."""
        level = rms_dbfs(pcm)
        low, high = FLOOR_LIMITS_DBFS
        rising = self.floor_dbfs + RISE_DB_PER_S * 0.02
        self.floor_dbfs = min(high, max(low, min(level, rising)))
        return level > self.floor_dbfs + ABOVE_FLOOR_DB


@dataclass(frozen=True, slots=True)
class Onset:
    at: int
    """Sample at which speech began."""


@dataclass(frozen=True, slots=True)
class Offset:
    at: int
    """Sample at which speech ended."""


class Onsets:
    """`begin_ms` of speech within a little more than that begins an utterance, `end_ms` without any ends it."""

    def __init__(self, window_samples: int, rate: int, begin_ms: int, end_ms: int) -> None:
        self._window = window_samples
        self._needed = max(2, round(begin_ms * rate / 1000 / window_samples))
        self._recent: deque[tuple[int, bool]] = deque(maxlen=self._needed + 1)
        self._end_samples = end_ms * rate // 1000
        self._active = False
        self._last_speech_end = 0
        self.speech = False
        """Whether the last window was speech."""

    @property
    def active(self) -> bool:
        return self._active

    def push(self, at: int, speech: bool) -> Onset | Offset | None:
        """One window that starts at sample `at`."""
        self._recent.append((at, speech))
        self.speech = speech
        if speech:
            self._last_speech_end = at + self._window
        if not self._active:
            starts = [start for start, yes in self._recent if yes]
            if len(starts) >= self._needed:
                self._active = True
                return Onset(starts[0])
        elif at + self._window - self._last_speech_end >= self._end_samples:
            self._active = False
            self._recent.clear()
            return Offset(self._last_speech_end)
        return None
