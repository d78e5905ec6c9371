"""How a turn was said: pace, loudness, pitch, pauses and drawn-out sounds, told against the same speaker's other turns.

Words lose all of this. It is measured on the frames that `prosody` makes anyway. Syllables are the voiced peaks of
loudness that stand out from the dip before them (N. de Jong and T. Wempe, "Praat script to detect syllable nuclei and
measure speech rate automatically", 2009), at a resolution of 20 ms.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from math import nan

import numpy as np
import numpy.typing as npt

from voicebot.audio.frames import FRAME_MS, FRAME_SAMPLES
from voicebot.audio.prosody import Frame

KEPT_FRAMES = 3000
"""A turn is judged by its last minute of voice."""
LEAST_FRAMES = 20
"""Less voice than 400 ms tells nothing."""
DIP_DB = 2.0
"""A syllable is so much louder than the quietest moment since the last one."""
FLOOR_DB = 25.0
"""… and no more than this below the turn's loudest."""
PAUSE_MS = 250
"""A silence within a turn that listeners notice."""
DRAWN_FRAMES = 18
"""A sound held for 360 ms with nothing changing is "uhhh", not a vowel of a word."""
DRAWN_ST, DRAWN_DB = 1.5, 6.0
"""What counts as nothing changing, from the sound's middle."""
USUAL_TURNS = 8
"""What is usual for a speaker follows over so many turns."""


@dataclass(frozen=True, slots=True)
class Tone:
    """One turn. What is relative is 0 (or 1 for ratios) until there was a turn before to compare with."""

    rate: float
    """Syllables a second, pauses left out; 0: too few to tell."""
    pace: float
    """`rate` over the speaker's usual one."""
    level_db: float
    """Louder than this speaker's usual."""
    pitch_st: float
    """Higher than this speaker's usual, semitones."""
    range_st: float
    """From the 10th to the 90th percentile of the pitch."""
    pauses: int
    pause_ms: int
    """In all."""
    drawn: int
    """Sounds drawn out: "uhhh"."""
    speech_ms: int
    turns: int
    """How many turns of this speaker are behind what is relative."""


@dataclass(slots=True)
class _Usual:
    """A running mean over turns."""

    value: float = 0.0
    turns: int = 0

    def learn(self, value: float) -> None:
        self.turns = min(self.turns + 1, USUAL_TURNS)
        self.value += (value - self.value) / self.turns


class Tones:
    """One speaker. `push` every frame while there is voice, `tone` when it stops, `taken` when the turn is over."""

    def __init__(self) -> None:
        self._rate, self._level, self._pitch = _Usual(), _Usual(), _Usual()
        self._frames: deque[tuple[int, Frame]] = deque(maxlen=KEPT_FRAMES)

    def push(self, frame: Frame, at: int) -> None:
        """`at`: media-clock sample of the frame's first."""
        self._frames.append((at // FRAME_SAMPLES, frame))

    def tone(self) -> Tone | None:
        """Of the turn so far; None when there was hardly a voice."""
        found = self._measured()
        if found is None:
            return None
        rate, level, pitch, range_st, drawn = found
        at = np.array([where for where, _ in self._frames])
        gaps = (np.diff(at) - 1) * FRAME_MS
        pauses = gaps[gaps >= PAUSE_MS]
        usual_rate = self._rate.value
        return Tone(
            rate=rate,
            pace=rate / usual_rate if rate and usual_rate else 1.0,
            level_db=level - self._level.value if self._level.turns else 0.0,
            pitch_st=pitch - self._pitch.value if self._pitch.turns else 0.0,
            range_st=range_st,
            pauses=len(pauses),
            pause_ms=int(pauses.sum()),
            drawn=drawn,
            speech_ms=len(self._frames) * FRAME_MS,
            turns=self._level.turns,
        )

    def taken(self) -> None:
        """The turn is over; what was usual for this speaker is now known better."""
        if (found := self._measured()) is not None:
            rate, level, pitch, _, _ = found
            if rate:
                self._rate.learn(rate)
            self._level.learn(level)
            self._pitch.learn(pitch)
        self._frames.clear()

    def _measured(self) -> tuple[float, float, float, float, int] | None:
        """(rate, level, pitch, range, sounds drawn out), nothing relative."""
        if len(self._frames) < LEAST_FRAMES:
            return None
        levels = np.array([frame.level_dbfs for _, frame in self._frames])
        pitches = np.array([np.nan if frame.pitch_st is None else frame.pitch_st for _, frame in self._frames])
        voiced = ~np.isnan(pitches)
        if voiced.sum() < LEAST_FRAMES // 2:
            return None
        low, middle, high = np.percentile(pitches[voiced], (10, 50, 90)).tolist()
        rate = nuclei(levels, voiced) * 1000 / (len(levels) * FRAME_MS)
        return rate, float(levels[voiced].mean()), middle, high - low, _drawn(levels, pitches)


def nuclei(levels: npt.NDArray[np.float64], voiced: npt.NDArray[np.bool_]) -> int:
    """Syllables in frames of 20 ms: `levels` [n] dBFS, `voiced` [n]."""
    smooth = np.convolve(np.pad(levels, 1, mode="edge"), (0.25, 0.5, 0.25), "valid")
    floor = float(np.percentile(smooth, 95)) - FLOOR_DB
    count, lowest, peak, peak_voiced, rising = 0, float("inf"), -float("inf"), False, True
    for level, has_voice in zip(smooth.tolist(), voiced.tolist(), strict=True):
        if rising and level > peak:
            peak, peak_voiced = level, has_voice
        elif rising and level < peak - DIP_DB:
            count += peak_voiced and peak > floor
            rising, lowest = False, level
        elif not rising and level < lowest:
            lowest = level
        elif not rising and level > lowest + DIP_DB:
            rising, peak, peak_voiced = True, level, has_voice
    return count + (rising and peak_voiced and peak > floor)


def _drawn(levels: npt.NDArray[np.float64], pitches: npt.NDArray[np.float64]) -> int:
    """Voiced stretches in which neither pitch nor level changes, longer than a word's sounds are."""
    count = start = 0
    level, pitch = [*levels.tolist(), 0.0], [*pitches.tolist(), nan]  # no comparison holds for what has no pitch
    for at in range(len(level)):
        if not (abs(pitch[at] - pitch[start]) < DRAWN_ST and abs(level[at] - level[start]) < DRAWN_DB):
            count += at - start >= DRAWN_FRAMES
            start = at
    return count
