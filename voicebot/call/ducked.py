"""A line on which somebody else's voice is heard softly, under what is said on it and between: an interpreted call's
original. The session knows nothing of it: what it sends and what is played of that are as on the line itself."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import numpy as np

from voicebot.audio.levels import peak_dbfs
from voicebot.carriers.base import RATE, CallInfo, Line, LineEvent, Played
from voicebot.errors import PeerError

SOFTER = 0.12
"""Of the original's amplitude: 18 dB down."""
QUIET_DBFS = -45.0
"""Softer sound of theirs is not passed on: a line at rest stays so."""
EPOCH = 1 << 21
"""Of the original's audio. Neither a call nor a bridge counts so far."""
MOST_BYTES = RATE * 2
"""A second of the original that waits to be mixed; older sound is dropped."""


class Ducked:
    """See `carriers.base.Line`; and `overhear`."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._waiting = bytearray()
        self._sent: tuple[int, int] = (0, 0)
        self._played: tuple[int, int] = (0, 0)
        self._count = 0

    @property
    def info(self) -> CallInfo:
        return self._line.info

    async def events(self) -> AsyncGenerator[LineEvent, None]:
        """The line's own; what was played of the original is nobody's business."""
        async for event in self._line.events():
            if isinstance(event, Played):
                if event.epoch == EPOCH:
                    continue
                self._played = max(self._played, (event.epoch, event.sample))
            yield event

    def send(self, pcm: bytes, epoch: int, sample: int) -> None:
        """With as much of the original under it as there is."""
        self._sent = (epoch, sample)
        under = bytes(self._waiting[: len(pcm)])
        del self._waiting[: len(pcm)]
        self._line.send(_mixed(pcm, under), epoch, sample)

    def overhear(self, pcm: bytes) -> None:
        """The original, 8 kHz int16 LE: at once where nothing is said here, else under what is said next."""
        if peak_dbfs(pcm) <= QUIET_DBFS:
            return
        soft = (np.frombuffer(pcm, "<i2") * SOFTER).astype("<i2").tobytes()
        if self._played < self._sent:
            self._waiting += soft
            del self._waiting[:-MOST_BYTES]
            return
        self._waiting.clear()
        self._count += len(soft) // 2
        try:
            self._line.send(soft, EPOCH, self._count)
        except PeerError:  # the line takes no more: what is nobody's words may be lost
            return

    def clear(self) -> None:
        self._played = self._sent
        self._line.clear()

    def clock_ms(self) -> int:
        return self._line.clock_ms()

    async def transfer(self, destination: str) -> None:
        await self._line.transfer(destination)

    async def hangup(self, reason: str) -> None:
        await self._line.hangup(reason)


def _mixed(pcm: bytes, under: bytes) -> bytes:
    if not under:
        return pcm
    both = np.frombuffer(pcm, "<i2").astype(np.int32)
    both[: len(under) // 2] += np.frombuffer(under, "<i2")
    return both.clip(-32768, 32767).astype("<i2").tobytes()
