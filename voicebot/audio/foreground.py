"""Which voice on a line is the caller's: not the television behind them, not our own coming back.

A voice detector says what is speech; this says whose. The caller's level is learnt from what they say while the bot
is silent; what is far below it is background. Over the bot the bar is higher than while it listens: to be deaf to a
murmur costs little there, to fall silent for a television costs the sentence. Frames that an echo guard knows for our
own never count.
"""

from __future__ import annotations

from collections import deque
from math import log10

from voicebot.audio.frames import FRAME_MS, FRAME_SAMPLES, RATE
from voicebot.audio.levels import rms_dbfs
from voicebot.audio.voice import Offset, Onset

NEEDED_FRAMES = 2
"""Frames of the caller's voice, of the last `RECENT_FRAMES`, that make an onset."""
RECENT_FRAMES = 6
LOST_MS = 300
"""Without a frame of it for so long the caller's voice has ended, though others go on."""
BELOW_LISTENING_DB, BELOW_OVER_BOT_DB = 24.0, 13.0
"""So far below the caller's own level is background."""
LEAST_OVER_BOT_DBFS = -40.0
"""The bar over the bot while the caller's level is not known."""
SMOOTHING = 0.4
"""Weight of a frame in the level that is judged: soft sounds between loud ones are speech, too."""
LEAK_MS = 8
"""What a frame that is none takes off the count of speech: a murmur that stands out now and then never adds up."""
KNOWN_FRAMES = 25
"""Frames of speech from which the caller's level is known."""
CLEAR_MS, CLEAR_SHARE = 200, 0.85
"""A short word stands out for so long, and in so many of its frames; of a murmur it is here a syllable, there one."""
LONG_MS = 400
"""Counted speech, from which pauses do not matter."""
NOBODY_DB, NOBODY_S = 3.0, 10
"""A voice that turned out to be nobody raises the bar over the bot: this far above it, for so long …"""
NOBODY_BELOW_DB, NOBODY_MOST_DBFS = 8.0, -34.0
"""… but never nearer to the caller's level than this; while that is not known, never above this."""
RISE, FALL = 0.1, 0.01
"""How fast the level follows: near the upper end of what speech does."""


class Foreground:
    """One call; fed every 20 ms frame in order, with what the voice detector and the echo guard say of it."""

    def __init__(self) -> None:
        self.caller_dbfs: float | None = None
        """Level of the caller's speech; None until they have spoken for half a second."""
        self.speech_ms = 0
        """Of the current voice: frames that were the caller's speech, less the leak; 0 between voices."""
        self.stands_out = False
        """Whether the current voice, or the last one, is clearly in front of all else."""
        self._power = self._peak = 0.0
        self._nobody_dbfs, self._nobody_frames = -200.0, 0
        self._began = 0
        self._frames = 0  # of the voice, that were the caller's
        self._level_dbfs = -60.0
        self._taught = 0
        self.voice = False
        """Whether the caller speaks just now."""
        self._recent: deque[tuple[int, bool]] = deque(maxlen=RECENT_FRAMES)
        self._last_end = 0

    def bar_dbfs(self, over_bot: bool) -> float:
        """Level below which a frame is background."""
        caller = self.caller_dbfs
        if not over_bot:
            return -200.0 if caller is None else caller - BELOW_LISTENING_DB
        bar = LEAST_OVER_BOT_DBFS if caller is None else caller - BELOW_OVER_BOT_DB
        most = NOBODY_MOST_DBFS if caller is None else caller - NOBODY_BELOW_DB
        return max(bar, min(self._nobody_dbfs + NOBODY_DB, most)) if self._nobody_frames else bar

    def nobody(self) -> None:
        """The current voice, or the last one, wanted nothing: what is like it need not hold the bot again soon."""
        self._nobody_dbfs = 10 * log10(self._peak) if self._peak > 0 else -200.0
        self._nobody_frames = NOBODY_S * 1000 // FRAME_MS

    def push(self, pcm: bytes, at: int, speech: bool, active: bool, over_bot: bool, own: bool) -> Onset | Offset | None:
        """One frame, int16 LE at 8 kHz, that starts at media-clock sample `at`. `speech`: the detector's judgement of
        it; `active`: whether the detector takes it for part of an utterance; `own`: it is the bot's echo."""
        level_dbfs = rms_dbfs(pcm)
        self._power += SMOOTHING * (10 ** (level_dbfs / 10) - self._power)
        if self._nobody_frames:
            self._nobody_frames -= 1
        mine = speech and not own and self._power >= 10 ** (self.bar_dbfs(over_bot) / 10)
        if mine and not over_bot:
            self._learn(level_dbfs)
        self._recent.append((at, mine))
        if mine:
            self._last_end = at + FRAME_SAMPLES
        return self._going_on(at, mine, active) if self.voice else self._beginning(active)

    def _learn(self, level_dbfs: float) -> None:
        self._level_dbfs += (RISE if level_dbfs > self._level_dbfs else FALL) * (level_dbfs - self._level_dbfs)
        self._taught += 1
        if self._taught >= KNOWN_FRAMES:
            self.caller_dbfs = self._level_dbfs

    def _beginning(self, active: bool) -> Onset | None:
        if not active:
            return None
        starts = [at for at, mine in self._recent if mine]
        if len(starts) < NEEDED_FRAMES:
            return None
        self.voice, self.stands_out = True, False
        self._began, self._frames = starts[0], len(starts)
        self.speech_ms, self._peak = self._frames * FRAME_MS, self._power
        return Onset(starts[0])

    def _going_on(self, at: int, mine: bool, active: bool) -> Offset | None:
        self.speech_ms = self.speech_ms + FRAME_MS if mine else max(0, self.speech_ms - LEAK_MS)
        if mine:
            self._frames += 1
            self._peak = max(self._peak, self._power)
            clear = self._frames * FRAME_SAMPLES >= CLEAR_SHARE * (self._last_end - self._began)
            long = self.speech_ms >= LONG_MS
            self.stands_out = self._frames * FRAME_MS >= CLEAR_MS and (clear or long)
        lost = at + FRAME_SAMPLES - self._last_end >= LOST_MS * RATE // 1000
        if active and not lost:
            return None
        self.voice, self.speech_ms = False, 0
        self._recent.clear()
        return Offset(self._last_end)
