"""A caller's loudness brought to what a recogniser was tuned for: soft voices up, loud ones down, others as they are.

A recogniser that subtracts a fixed cepstral mean hears loudness as part of the sound. The level is the mean power of
the loud frames of a voice: frames that stand out of the quietest so far. It is not guessed from the first of them:
audio is held back until there were `LEARN_MS` of voice, and all goes out then, so that only the beginning of an
utterance waits, which a recogniser catches up with. Afterwards the gain follows: up slowly, down quickly.
"""

from __future__ import annotations

from math import log10

import numpy as np
import numpy.typing as npt

from voicebot.audio.frames import FRAME_MS, FRAME_SAMPLES

LEAST_DBFS, MOST_DBFS = -30.0, -22.0
"""To these a voice is brought that is softer or louder by more than `LEFT_DB`; up to twice that, not wholly."""
LEFT_DB = 3.0
UP_DB, DOWN_DB = 30.0, 12.0
LEARN_MS, HOLD_MS, BEFORE_MS = 200, 500, 200
"""Voice that is listened to before it goes out, the longest that is waited for so much, and what is held back of the
quiet before it: soft consonants lie there."""
OVER_FLOOR_DB, LEAST_VOICE_DBFS = 18.0, -56.0
"""A frame of voice is so far above the quietest, and not softer than this; a breath before a word is none."""
LOUD_DB = 15.0
"""Frames that much below the level, or the loudest while it is learnt, are no part of it."""
FLOOR_RISE_DB = 0.05
"""A frame: the floor that is followed comes up by 2.5 dB a second."""
RISE_NEAR, RISE_FAR, FAR_DB, FALL = 0.1, 0.5, 6.0, 0.03
"""What a frame counts in the level: louder ones at once, softer ones in a second."""

Samples = npt.NDArray[np.int16]


class Leveller:
    """One utterance, 8 kHz int16: as many samples out as in, by `flush` at the latest. However it is cut, the same."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Another utterance begins."""
        self._rest = np.zeros(0, np.int16)
        self._held: list[Samples] = []
        self._floor_dbfs: float | None = None
        self._level_dbfs: float | None = None
        self._learnt: list[float] = []
        self._out = False
        """Whether the beginning has gone out."""
        self._gain_db: float | None = None

    def push(self, pcm: Samples) -> Samples:
        """int16 [n]; int16 of what can go out."""
        whole = np.concatenate([self._rest, pcm])
        count = len(whole) // FRAME_SAMPLES * FRAME_SAMPLES
        self._rest = whole[count:]
        given: list[Samples] = []
        for frame in whole[:count].reshape(-1, FRAME_SAMPLES):
            self._judge(_dbfs(frame))
            self._held.append(frame)
            if self._out or self._learnt_enough():
                self._out = True
                given += self._release()
            elif not self._learnt and len(self._held) > BEFORE_MS // FRAME_MS:
                given.append(self._held.pop(0))
        return np.concatenate(given) if given else np.zeros(0, np.int16)

    def flush(self) -> Samples:
        """What was held back; the utterance is over."""
        rest = [self._rest] if len(self._rest) else []
        self._held += rest
        tail = [np.zeros(0, np.int16), *self._release()]
        self.reset()
        return np.concatenate(tail)

    @property
    def gain_db(self) -> float:
        """What the level asks for."""
        if self._level_dbfs is None:
            return 0.0
        return _taken_up(LEAST_DBFS - self._level_dbfs, UP_DB) - _taken_up(self._level_dbfs - MOST_DBFS, DOWN_DB)

    def _learnt_enough(self) -> bool:
        voice, waited = len(self._learnt), len(self._held)
        return voice * FRAME_MS >= LEARN_MS or (voice > 0 and waited * FRAME_MS >= BEFORE_MS + HOLD_MS)

    def _judge(self, dbfs: float) -> None:
        floor = dbfs if self._floor_dbfs is None else min(dbfs, self._floor_dbfs + FLOOR_RISE_DB)
        self._floor_dbfs = floor
        if dbfs < max(floor + OVER_FLOOR_DB, LEAST_VOICE_DBFS):
            return
        level = self._level_dbfs
        if level is None or not self._out:
            self._learnt.append(dbfs)
            loud = [10 ** (each / 10) for each in self._learnt if each > max(self._learnt) - LOUD_DB]
            self._level_dbfs = 10 * log10(sum(loud) / len(loud))
        elif dbfs > level:
            self._level_dbfs = level + (dbfs - level) * (RISE_FAR if dbfs > level + FAR_DB else RISE_NEAR)
        elif dbfs > level - LOUD_DB:
            self._level_dbfs = level + (dbfs - level) * FALL

    def _release(self) -> list[Samples]:
        """All that is held, in straight lines from the gain of before to that of now."""
        held, self._held = self._held, []
        now = self.gain_db
        given = []
        for frame in held:
            before = now if self._gain_db is None else self._gain_db
            self._gain_db = now
            given.append(frame if before == now == 0 else _scaled(frame, before, now))
        return given


def _taken_up(off_db: float, most_db: float) -> float:
    """Of what a level is off, what is made good: nothing of a little, all of much."""
    return max(0.0, min(2 * (off_db - LEFT_DB), off_db, most_db))


def _dbfs(frame: Samples) -> float:
    return 10 * log10(float(np.mean(np.square(frame, dtype=np.float64))) / 32768**2 + 1e-10)


def _scaled(frame: Samples, before_db: float, now_db: float) -> Samples:
    gains = 10 ** (np.linspace(before_db, now_db, FRAME_SAMPLES)[: len(frame)] / 20)
    return np.clip(np.rint(frame * gains), -32768, 32767).astype(np.int16)
