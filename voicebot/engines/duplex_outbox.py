"""What is still to be sent to the server of a speech-to-speech engine: audio and other things, in their order.

Nothing blocks who puts something in. Audio that the server does not take is dropped, the oldest first, and counted; of
the other things, of which a call has few, none is ever dropped: where there are too many, the server is gone.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from voicebot.errors import PeerError

Send = Callable[[Any], Awaitable[None]]
"""Something that is not audio: sends itself over the connection that it is given."""
MOST_THINGS = 256
STUCK = "The server takes nothing any more."


class Outbox:
    """One session's. `most_bytes` of audio may wait."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._waiting: deque[bytes | Send] = deque()
        self._audio_bytes = self._things = 0
        self._woken = asyncio.Event()
        self._paused = False
        self.dropped_bytes = 0

    def audio(self, audio: bytes) -> None:
        """Behind everything that waits."""
        self._waiting.append(audio)
        self._audio_bytes += len(audio)
        while self._audio_bytes > self._most_bytes:
            oldest = next(item for item in self._waiting if isinstance(item, bytes))
            self._waiting.remove(oldest)
            self._audio_bytes -= len(oldest)
            self.dropped_bytes += len(oldest)
        self._woken.set()

    def put(self, thing: Send) -> None:
        """Behind everything that waits."""
        self._waiting.append(thing)
        self._things += 1
        self._woken.set()

    def put_back(self, item: bytes | Send) -> None:
        """It could not be sent: it is the next one again."""
        self._waiting.appendleft(item)
        if isinstance(item, bytes):
            self._audio_bytes += len(item)
        else:
            self._things += 1

    def pause(self) -> None:
        """`next` ends with None, once: somebody else will send the rest."""
        self._paused = True
        self._woken.set()

    async def next(self, most_bytes: int) -> bytes | Send | None:
        """What is to be sent next; audio that waits together goes together, up to `most_bytes`. `PeerError` when far
        too much waits."""
        while not self._waiting or self._paused:
            if self._paused:
                self._paused = False
                return None
            self._woken.clear()
            await self._woken.wait()
        if self._things > MOST_THINGS:
            raise PeerError(STUCK)
        first = self._waiting.popleft()
        if not isinstance(first, bytes):
            self._things -= 1
            return first
        pieces, size = [first], len(first)
        while self._waiting and isinstance(piece := self._waiting[0], bytes) and size + len(piece) <= most_bytes:
            self._waiting.popleft()
            pieces.append(piece)
            size += len(piece)
        self._audio_bytes -= size
        return b"".join(pieces)
