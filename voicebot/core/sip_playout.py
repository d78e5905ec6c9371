"""What waits to be played to a caller, taken out 20 ms at a time by the send clock. Pure.

The send clock is RTP's: each frame taken leaves as one packet. So what was taken is what was played, to the frame.
"""

from __future__ import annotations

from collections import deque

from voicebot.core.sip_link import Say

BUFFER_SAMPLES = 12 * 8000
"""More than a line sends ahead (`carriers.sip`); over it the oldest goes."""


class Playout:
    """One call's audio, 8 kHz int16 LE. `epoch` and `sample` say how far it was played."""

    def __init__(self) -> None:
        self.epoch = self.sample = 0
        self._waiting: deque[Say] = deque()
        self._samples = 0

    def put(self, say: Say) -> None:
        """Queue audio behind what waits."""
        self._waiting.append(say)
        self._samples += len(say.pcm) // 2
        while self._samples > BUFFER_SAMPLES:
            self._samples -= len(self._waiting.popleft().pcm) // 2

    def clear(self) -> None:
        """Drop what was not taken; its marks never come."""
        self._waiting.clear()
        self._samples = 0

    def take(self, size: int) -> bytes:
        """The next `size` bytes, or what there is: shorter at the end of what waits, empty with nothing to play."""
        parts = []
        while size and self._waiting:
            first = self._waiting.popleft()
            part, rest = first.pcm[:size], first.pcm[size:]
            if rest:
                self._waiting.appendleft(Say(first.epoch, first.sample, rest))
            size -= len(part)
            self._samples -= len(part) // 2
            self.epoch, self.sample = first.epoch, first.sample - len(rest) // 2
            parts.append(part)
        return b"".join(parts)
