"""What waits to be sent to a Realtime server: events and the caller's audio, in order, bounded."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections import deque
from typing import Any

SEND_S = 2.0
"""A server that takes nothing for so long is gone."""


class Outbox:
    """One connection's. Of audio, `most_bytes` may wait; then the oldest goes, and is counted. Events are few."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._waiting: deque[dict[str, Any] | bytes] = deque()
        self._bytes = 0
        self._news = asyncio.Event()
        self.dropped_bytes = 0

    def audio(self, audio: bytes) -> None:
        """For the input buffer."""
        self._waiting.append(audio)
        self._bytes += len(audio)
        if self._bytes > self._most_bytes:
            oldest = next(each for each in self._waiting if isinstance(each, bytes))
            self._waiting.remove(oldest)
            self._bytes -= len(oldest)
            self.dropped_bytes += len(oldest)
        self._news.set()

    def event(self, kind: str, **fields: Any) -> None:
        """A client event."""
        self._waiting.append({"type": kind, **fields})
        self._news.set()

    def forget_audio(self) -> None:
        """What of it is not sent yet, nobody wants."""
        self._waiting = deque(each for each in self._waiting if not isinstance(each, bytes))
        self._bytes = 0

    async def send(self, connection: Any) -> None:
        """For ever. `TimeoutError` when the server takes no more."""
        while True:
            while self._waiting:
                piece = self._waiting.popleft()
                if isinstance(piece, bytes):
                    self._bytes -= len(piece)
                    piece = {"type": "input_audio_buffer.append", "audio": b64encode(piece).decode()}
                async with asyncio.timeout(SEND_S):
                    await connection.send(piece)
            self._news.clear()
            await self._news.wait()
