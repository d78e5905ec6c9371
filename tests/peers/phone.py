"""A phone at the far end of a media stream: Twilio's part of the protocol, as much of it as the tests need.

What is sent to it is played at once, or as fast as the test says; a mark comes back when all audio before it was
played, and after `clear` all that are left come back, as Twilio does it.
"""

from __future__ import annotations

import asyncio
import json
from base64 import b64decode, b64encode
from collections import deque
from types import TracebackType
from typing import Any

import websockets
from websockets.asyncio.client import ClientConnection

FRAME = b"\xff" * 160
SID = "MZ00000000000000000000000000000001"


class Phone:
    """`async with Phone(url, token=…) as phone`: connected, and `start` said."""

    def __init__(
        self,
        url: str,
        token: str | None = None,
        call_sid: str = "CA1",
        headers: dict[str, str] | None = None,
        says_start: bool = True,
        plays: bool = True,
    ) -> None:
        self._url, self._headers = url, headers or {}
        self._token, self.call_sid, self._says_start, self._plays = token, call_sid, says_start, plays
        self.heard = b""
        """μ-law that was played."""
        self.told: list[dict[str, Any]] = []
        """Messages that are no media and no mark."""
        self.cleared = 0
        self._waiting: deque[str] = deque()
        self._frames = 0
        self._news = asyncio.Event()

    async def __aenter__(self) -> Phone:
        self.socket: ClientConnection = await websockets.connect(
            self._url, additional_headers=self._headers, compression=None, close_timeout=1
        )
        self._reader = asyncio.ensure_future(self._read())
        if self._says_start:
            await self.say("connected", protocol="Call", version="1.0.0")
            await self.start()
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        await self.socket.close()
        await self._reader

    # --- what it says

    async def start(self, **parameters: str) -> None:
        given = {"token": self._token} if self._token is not None else {}
        start = {
            "streamSid": SID,
            "callSid": self.call_sid,
            "accountSid": "AC1",
            "customParameters": given | parameters,
        }
        await self.say("start", start=start)

    async def audio(self, frames: int = 1, payload: bytes = FRAME) -> None:
        """20 ms each, their timestamps going on where they were."""
        for _ in range(frames):
            media = {"track": "inbound", "timestamp": str(self._frames * 20), "payload": b64encode(payload).decode()}
            self._frames += 1
            await self.say("media", media=media)

    async def press(self, digit: str) -> None:
        await self.say("dtmf", dtmf={"track": "inbound_track", "digit": digit})

    async def stop(self) -> None:
        await self.say("stop", stop={"accountSid": "AC1", "callSid": self.call_sid})

    async def say(self, event: str, **parts: Any) -> None:
        await self.raw(json.dumps({"event": event, "sequenceNumber": "1", "streamSid": SID} | parts))

    async def raw(self, message: str | bytes) -> None:
        await self.socket.send(message)

    async def floods(self, message: str) -> None:
        """Say it as often as it can, until the far end has had enough."""
        async with asyncio.timeout(10):
            while True:
                try:
                    await self.raw(message)
                except websockets.ConnectionClosed:
                    return
                await asyncio.sleep(0)

    # --- what it hears

    async def hears(self, seconds: float = 0.02) -> None:
        """Until that much more audio was played."""
        wanted = len(self.heard) + int(seconds * 8000)
        await self._until(lambda: len(self.heard) >= wanted)

    async def is_told(self, event: str) -> dict[str, Any]:
        """The next message of that kind, or one that came before."""
        await self._until(lambda: any(each["event"] == event for each in self.told))
        return next(each for each in self.told if each["event"] == event)

    async def is_left(self) -> tuple[int, str]:
        """Until the far end closes: its code and reason."""
        async with asyncio.timeout(5):
            await self.socket.wait_closed()
        return self.socket.close_code or 0, self.socket.close_reason or ""

    async def _until(self, true: Any) -> None:
        async with asyncio.timeout(5):
            while not true():
                self._news.clear()
                await self._news.wait()

    async def _read(self) -> None:
        try:
            async for text in self.socket:
                await self._take(json.loads(text))
                self._news.set()
        except websockets.ConnectionClosed:
            pass

    async def _take(self, message: dict[str, Any]) -> None:
        match message["event"]:
            case "media":
                self.heard += b64decode(message["media"]["payload"])
            case "mark" if self._plays:
                await self.say("mark", mark=message["mark"])
            case "mark":
                self._waiting.append(message["mark"]["name"])
            case "clear":
                self.cleared += 1
                while self._waiting:
                    await self.say("mark", mark={"name": self._waiting.popleft()})
            case _:
                self.told.append(message)
