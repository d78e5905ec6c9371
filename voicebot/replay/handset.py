"""The caller's end of a media stream, as the carrier plays it. Pure: `tick` is called every 20 ms.

What is sent waits in a buffer; every tick takes 20 ms out of it, and what comes too late is silence. A mark comes back
at the tick by which all audio before it was played, at once when there is none; `clear` empties the buffer and gives
back every mark that waits (Twilio, "Media Streams: WebSocket messages").
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from voicebot.audio.frames import FRAME_SAMPLES
from voicebot.audio.g711 import ULAW_SILENCE

SILENCE = bytes([ULAW_SILENCE]) * FRAME_SAMPLES
"""20 ms of μ-law."""


@dataclass(slots=True)
class Run:
    """A stretch that was played without a hole: samples of what was heard, from the start of the call."""

    at: int
    samples: int = 0

    @property
    def end(self) -> int:
        return self.at + self.samples


class Handset:
    """μ-law, 8 kHz. `heard` is everything from the first tick on, silence included."""

    def __init__(self) -> None:
        self.heard = bytearray()
        self.runs: list[Run] = []
        self._buffer = bytearray()
        self._queued = self._taken = 0  # bytes, ever
        self._marks: deque[tuple[str, int]] = deque()
        self._playing = self._whole = False

    @property
    def waiting_ms(self) -> int:
        """Audio in the buffer."""
        return len(self._buffer) // 8

    def media(self, ulaw: bytes) -> None:
        self._buffer += ulaw
        self._queued += len(ulaw)

    def mark(self, name: str) -> list[str]:
        """The marks that go back now: this one, or none."""
        if self._queued == self._taken and not self._playing:
            return [name]
        self._marks.append((name, self._queued))
        return []

    def clear(self) -> list[str]:
        """The marks that go back now: all that wait."""
        self._buffer.clear()
        self._taken = self._queued
        self._whole = False
        names = [name for name, _ in self._marks]
        self._marks.clear()
        return names

    def tick(self) -> list[str]:
        """Play the next 20 ms. The marks that go back now, for what was played before."""
        done = []
        while self._marks and self._marks[0][1] <= self._taken:
            done.append(self._marks.popleft()[0])
        frame = bytes(self._buffer[:FRAME_SAMPLES])
        del self._buffer[:FRAME_SAMPLES]
        self._playing = bool(frame)
        if frame:
            self._taken += len(frame)
            if not self._whole:
                self.runs.append(Run(len(self.heard)))
            self.runs[-1].samples += len(frame)
        self._whole = len(frame) == FRAME_SAMPLES
        self.heard += frame.ljust(FRAME_SAMPLES, SILENCE[:1])
        return done
