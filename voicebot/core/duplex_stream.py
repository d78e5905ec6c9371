"""Audio without end, cut into replies: for engines that speak whenever they like (full duplex) and say no word about
where what they say begins and ends."""

from __future__ import annotations

import numpy as np

from voicebot.core.duplex import DuplexEvent, ReplyAudio, ReplyBegan, ReplyEnded, ReplyText

LOUD = 130
"""Root mean square above which audio is sound, of int16: -48 dB of full scale, above the noise of neural codecs."""
QUIET_MS = 1000
"""A reply is over after so much without sound or word."""
CUT_MS = 320
"""After a cut, so much is enough: what comes then is an answer to the caller who spoke."""


class Stretches:
    """Audio and words in, in the order in which they come; events out. One for each session."""

    def __init__(self, rate: int) -> None:
        self._bytes_ms = 2 * rate // 1000
        self._count = 0
        self._reply = ""
        self._cut = False
        """Of the reply that goes on, nothing is told any more."""
        self._quiet_ms = 0.0

    def sound(self, pcm: bytes) -> list[DuplexEvent]:
        """The next audio, int16 LE mono, at most about 100 ms of it."""
        if _loud(pcm):
            events = self._begin()
        else:
            events = []
            self._quiet_ms += len(pcm) / self._bytes_ms
        if not self._reply:
            return []
        if not self._cut:
            events.append(ReplyAudio(self._reply, pcm))
        if self._quiet_ms >= (CUT_MS if self._cut else QUIET_MS):
            events += self.end()
        return events

    def word(self, text: str) -> list[DuplexEvent]:
        """A piece of what it says."""
        if not text.strip() and not self._reply:
            return []
        events = self._begin()
        return events if self._cut else [*events, ReplyText(self._reply, text)]

    def cut(self, reply: str) -> None:
        """Nobody hears the rest of this reply."""
        self._cut |= reply == self._reply != ""

    def end(self) -> list[DuplexEvent]:
        """The reply that goes on, if one does, is over."""
        reply, cut = self._reply, self._cut
        self._reply, self._cut, self._quiet_ms = "", False, 0.0
        return [ReplyEnded(reply)] if reply and not cut else []

    def _begin(self) -> list[DuplexEvent]:
        """There is sound, or a word."""
        self._quiet_ms = 0.0
        if self._reply:
            return []
        self._count += 1
        self._reply = f"reply_{self._count}"
        return [ReplyBegan(self._reply)]


def _loud(pcm: bytes) -> bool:
    samples = np.frombuffer(pcm, "<i2").astype(np.float32)
    return bool(samples.size and np.sqrt(np.mean(samples * samples)) > LOUD)
