"""A caller with a telephone, for calls in real time: speaks when the bot has finished, or over it, and knows what it
heard."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

from voicebot.carriers.base import (
    FRAME_BYTES,
    FRAME_MS,
    FRAME_SAMPLES,
    RATE,
    Audio,
    CallInfo,
    Digit,
    HungUp,
    LineEvent,
)
from voicebot.carriers.wavline import FarEnd

QUIET_MS = 700
PATIENCE_MS = 9000


@dataclass(frozen=True)
class Act:
    """Something the caller says."""

    pcm: bytes
    over_ms: int = 0
    """Said over the bot, when it has spoken for so long; 0: when it has finished."""
    key: str = ""
    """Pressed then, too."""


class Telephone:
    """A `Line`."""

    def __init__(self, acts: Sequence[Act]) -> None:
        self.info = CallInfo("test-call", "wavline", "", "")
        self._acts, self._speaking, self._key = deque(acts), b"", ""
        self._far = FarEnd()
        self._at = 0
        self._ended = ""
        self.transferred_to = ""
        self.heard: list[int] = []
        """Milliseconds of each thing the bot said, as far as it was heard."""
        self.voice_at_s: list[float] = []
        """When each thing that the caller said began, on the loop's clock."""
        self.bot_at_s: list[float] = []

    def send(self, pcm: bytes, epoch: int, sample: int) -> None:
        self._far.send(pcm, epoch, sample)

    def clear(self) -> None:
        self._far.clear()

    async def events(self) -> AsyncGenerator[LineEvent, None]:
        loop = asyncio.get_running_loop()
        start, ticks = loop.time(), 0
        while not self._ended:
            ticks += 1
            await asyncio.sleep(max(0.0, start + ticks * FRAME_MS / 1000 - loop.time()))
            was_quiet_ms = self._far.quiet_ms
            played = self._far.play()
            if self._far.quiet_ms == 0:
                if was_quiet_ms >= 300 or not self.heard:
                    self.heard.append(0)
                    self.bot_at_s.append(loop.time())
                self.heard[-1] += FRAME_MS
            said = Audio(self._say(loop.time()), self._at)
            self._at += FRAME_SAMPLES
            for each in played:
                yield each
            yield said
            if self._key:
                yield Digit(self._key)
                self._key = ""
        yield HungUp(self._ended)

    def _say(self, now_s: float) -> bytes:
        if not self._speaking and self._acts and self._turn_of(self._acts[0]):
            act = self._acts.popleft()
            self._speaking, self._key = act.pcm or bytes(FRAME_BYTES), act.key
            self.voice_at_s.append(now_s)
        if not self._speaking and not self._acts and self._far.quiet_ms >= PATIENCE_MS:
            self._ended = self._ended or "caller_hangup"
        if self._speaking:
            self._far.spoke = False  # what counts is what the bot says after this
        frame, self._speaking = self._speaking[:FRAME_BYTES], self._speaking[FRAME_BYTES:]
        return frame.ljust(FRAME_BYTES, b"\0")

    def _turn_of(self, act: Act) -> bool:
        if act.over_ms:
            return self._far.spoke and self._far.quiet_ms == 0 and self.heard[-1] >= act.over_ms
        return (self._far.spoke and self._far.quiet_ms >= QUIET_MS) or self._far.quiet_ms >= PATIENCE_MS

    def clock_ms(self) -> int:
        return self._at * 1000 // RATE

    async def transfer(self, destination: str) -> None:
        self.transferred_to = destination
        self._ended = "caller_hangup"

    async def hangup(self, reason: str) -> None:
        self._ended = self._ended or reason
