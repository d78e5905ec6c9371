"""Frames that carry the time they were spoken, put in order and made whole. Pure and clockless.

In order and complete, a frame passes at once. A frame that is missing is waited for until `depth` later ones have
come: then it is lost, and a fading repeat of what was heard last stands in for it (silence after 60 ms). Frames that
come twice or too late are dropped. A jump of more than `JUMP_S` is the sender's clock, not a loss: the stream goes on
where it was.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

RATE = 8000
JUMP_S = 10
FADE = (0.7, 0.4, 0.15)
"""Gain of the repeats that stand in for the first, second and third lost 20 ms."""
FRAME = 160


@dataclass(frozen=True, slots=True)
class Placed:
    pcm: bytes
    """int16 LE."""
    at: int
    """Sample, counted from the first frame; each begins where the one before ended."""
    concealed: bool = False


class Jitter:
    """One stream, 8 kHz int16 LE. Counters tell a metric what the network did."""

    def __init__(self, depth: int = 3) -> None:
        self.lost = self.late = self.reordered = self.reanchored = self.concealed_ms = 0
        self._depth = depth
        self._next: int | None = None  # sender's sample expected next
        self._out = 0  # our sample expected next
        self._waiting: dict[int, bytes] = {}
        self._last = b""

    def push(self, at: int, pcm: bytes) -> list[Placed]:
        """A frame that begins at the sender's sample `at`. Returns what can be heard now, in order, without holes."""
        if self._next is None:
            self._next = at
        if abs(at - self._next) > JUMP_S * RATE:
            placed = self.flush()
            self._next, self.reanchored = at, self.reanchored + 1
            return placed + self._release(pcm)
        if at == self._next and not self._waiting:
            return self._release(pcm)
        if at < self._next:
            overlap = (self._next - at) * 2
            if overlap >= len(pcm):
                self.late += 1
                return []
            pcm, at = pcm[overlap:], self._next
        if at in self._waiting:
            self.late += 1
            return []
        if self._waiting and at < max(self._waiting):
            self.reordered += 1
        self._waiting[at] = pcm
        placed = self._contiguous()
        while len(self._waiting) >= self._depth:
            placed += self._conceal(min(self._waiting) - self._next) + self._contiguous()
        return placed

    def flush(self) -> list[Placed]:
        """The end of the stream: nothing is waited for any more."""
        placed = []
        while self._waiting:
            assert self._next is not None
            placed += self._conceal(min(self._waiting) - self._next) + self._contiguous()
        return placed

    def _contiguous(self) -> list[Placed]:
        placed = []
        while self._waiting and (first := min(self._waiting)) <= (self._next or 0):
            pcm = self._waiting.pop(first)[((self._next or 0) - first) * 2 :]
            if pcm:
                placed += self._release(pcm)
        return placed

    def _release(self, pcm: bytes, concealed: bool = False) -> list[Placed]:
        placed = Placed(pcm, self._out, concealed)
        samples = len(pcm) // 2
        self._out += samples
        self._next = (self._next or 0) + samples
        if not concealed:
            self._last = pcm
        return [placed]

    def _conceal(self, samples: int) -> list[Placed]:
        """Stand-ins for `samples` that never came."""
        placed: list[Placed] = []
        self.lost += -(-samples // FRAME)
        self.concealed_ms += samples * 1000 // RATE
        repeat = np.frombuffer(self._last[-FRAME * 2 :], "<i2")
        for index, start in enumerate(range(0, samples, FRAME)):
            length = min(FRAME, samples - start)
            if index < len(FADE) and len(repeat):
                pcm = (np.resize(repeat, length) * FADE[index]).astype("<i2").tobytes()
            else:
                pcm = bytes(length * 2)
            placed += self._release(pcm, concealed=True)
        return placed
