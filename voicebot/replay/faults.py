"""What goes wrong between a caller and the service, the same every time for the same seed. Pure.

A websocket is TCP: what the network does to it is delay, in order. What is lost, doubled or out of order was so before
it reached the carrier.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass

from voicebot.audio.frames import FRAME_MS


@dataclass(frozen=True, slots=True)
class Faults:
    """Shares are of frames or marks, 0..1."""

    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    """A frame that changes places with the next."""
    jitter_ms: int = 0
    """One tick in ten, everything is held up for as long as this at most."""
    burst_ms: int = 0
    """Every `burst_every_ms`, everything is held up for this long and then comes at once."""
    burst_every_ms: int = 3000
    late_marks_ms: int = 0
    """A mark comes back as late as this at most."""
    lost_marks: float = 0.0
    slow_ms: int = 0
    """Every `slow_every_ms`, the caller's end reads nothing for this long."""
    slow_every_ms: int = 3000

    @property
    def any(self) -> bool:
        return self != Faults()


class Uplink:
    """Messages on their way to the service. Every method returns what leaves now, in order."""

    def __init__(self, faults: Faults, seed: int) -> None:
        self._faults, self._chance = faults, random.Random(seed)
        self._tick = self._held_until = 0
        self._held: deque[bytes] = deque()
        self._late: list[tuple[int, bytes]] = []
        self._swapped: bytes | None = None
        self.lost = self.lost_marks = 0

    def tick(self) -> list[bytes]:
        """20 ms have passed."""
        self._tick += 1
        faults, now_ms = self._faults, self._tick * FRAME_MS
        if faults.jitter_ms and self._chance.random() < 0.1:
            self._hold(self._chance.randint(1, faults.jitter_ms))
        if faults.burst_ms and now_ms % faults.burst_every_ms < FRAME_MS:
            self._hold(faults.burst_ms)
        due = [message for at, message in self._late if at <= self._tick]
        self._late = [(at, message) for at, message in self._late if at > self._tick]
        self._held.extend(due)
        return self._leaves()

    def media(self, message: bytes) -> list[bytes]:
        faults, chance = self._faults, self._chance
        if faults.loss and chance.random() < faults.loss:
            self.lost += 1
            return []
        if self._swapped is not None:
            before, self._swapped = self._swapped, None
            self._held.extend((message, before))
        elif faults.reorder and chance.random() < faults.reorder:
            self._swapped = message
        else:
            twice = faults.duplicate and chance.random() < faults.duplicate
            self._held.extend((message, message) if twice else (message,))
        return self._leaves()

    def mark(self, message: bytes) -> list[bytes]:
        faults = self._faults
        if faults.lost_marks and self._chance.random() < faults.lost_marks:
            self.lost_marks += 1
            return []
        if faults.late_marks_ms:
            late = self._chance.randint(0, faults.late_marks_ms // FRAME_MS)
            self._late.append((self._tick + late, message))
            return []
        return self.other(message)

    def other(self, message: bytes) -> list[bytes]:
        """What is delayed at most: start, dtmf, stop."""
        self._held.append(message)
        return self._leaves()

    def reads(self) -> bool:
        """Whether the caller's end reads at this tick."""
        every_ms = self._faults.slow_every_ms
        return self._tick * FRAME_MS % every_ms < every_ms - self._faults.slow_ms

    def _hold(self, ms: int) -> None:
        self._held_until = max(self._held_until, self._tick + -(-ms // FRAME_MS))

    def _leaves(self) -> list[bytes]:
        if self._tick < self._held_until:
            return []
        gone = list(self._held)
        self._held.clear()
        return gone
