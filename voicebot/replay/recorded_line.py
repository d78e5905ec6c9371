"""A line on which a recorded caller speaks: every sample when it was spoken, and every key when it was pressed."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Sequence

import numpy as np

from voicebot.audio.jitter import Jitter
from voicebot.carriers.base import FRAME_BYTES, FRAME_MS, FRAME_SAMPLES, RATE, Audio, CallInfo, Digit, HungUp, LineEvent
from voicebot.carriers.wavline import FarEnd
from voicebot.replay.recording import Samples


class RecordedLine:
    """`caller`: the whole channel, 8 kHz. `keys`: (ms, digit) in order. The caller hangs up at the end.
    Frames pass the jitter buffer, as those of a network do."""

    def __init__(self, info: CallInfo, caller: Samples, keys: Sequence[tuple[int, str]] = ()) -> None:
        self.info = info
        self._caller, self._keys = caller, deque(keys)
        self._at = 0  # media clock, samples
        self._jitter, self._far = Jitter(), FarEnd()
        self.send, self.clear = self._far.send, self._far.clear
        self._ended = ""
        self.transferred_to = ""

    async def events(self) -> AsyncGenerator[LineEvent, None]:
        loop = asyncio.get_running_loop()
        start = loop.time()
        ticks = 0
        while not self._ended:
            ticks += 1
            await asyncio.sleep(max(0.0, start + ticks * FRAME_MS / 1000 - loop.time()))
            played, heard = self._far.play(), self._jitter.push(self._at, self._frame())
            self._at += FRAME_SAMPLES  # the clock stands at the end of what was said and played
            for each in played:
                yield each
            for placed in heard:
                yield Audio(placed.pcm, placed.at, placed.concealed)
            while self._keys and self._keys[0][0] <= self.clock_ms():
                yield Digit(self._keys.popleft()[1])
            if self._at >= len(self._caller):
                self._ended = self._ended or "caller_hangup"
        yield HungUp(self._ended)

    def _frame(self) -> bytes:
        frame = np.asarray(self._caller[self._at : self._at + FRAME_SAMPLES], "<i2")
        return frame.tobytes().ljust(FRAME_BYTES, b"\0")

    def clock_ms(self) -> int:
        return self._at * 1000 // RATE

    async def transfer(self, destination: str) -> None:
        self.transferred_to = destination
        self._ended = "caller_hangup"

    async def hangup(self, reason: str) -> None:
        self._ended = self._ended or reason
