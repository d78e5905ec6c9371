"""A local server of OpenAI's realtime translation sessions: hears what is not silence, and says a sentence about it."""

from __future__ import annotations

import asyncio
import json
from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

RATE = 24000
LOUD_MS = 400
"""Of voice, until it begins to translate."""


@dataclass
class TranslationServer:
    """`async with TranslationServer() as server:`; `server.url` is the base URL."""

    heard: str = "Buenos días."
    says: str = "Good morning."
    refuses: str = ""
    drops: bool = False
    """The connection breaks as soon as there is audio."""
    url: str = ""
    sessions: list[dict[str, Any]] = field(default_factory=list)
    audio: bytearray = field(default_factory=bytearray)
    sizes: set[int] = field(default_factory=set)
    paths: list[str] = field(default_factory=list)
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    async def __aenter__(self) -> TranslationServer:
        self._server = await serve(self._connected, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{next(iter(self._server.sockets)).getsockname()[1]}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _connected(self, socket: ServerConnection) -> None:
        assert socket.request
        self.paths.append(socket.request.path)
        audio: dict[str, Any] = {"input": {}, "output": {}}
        session = {"id": "sess_1", "type": "translation", "model": "m", "expires_at": 2**31, "audio": audio}
        await self._say(socket, "session.created", session=session)
        loud, said = 0, False
        try:
            async for text in socket:
                event = json.loads(text)
                match event["type"]:
                    case "session.update" if self.refuses:
                        await self._say(
                            socket, "error", error={"type": "invalid", "code": self.refuses, "message": "no"}
                        )
                    case "session.update":
                        self.sessions.append(event["session"])
                        await self._say(socket, "session.updated", session=session | event["session"])
                    case "session.input_audio_buffer.append":
                        if self.drops:
                            await socket.close(1011)
                            return
                        pcm = b64decode(event["audio"])
                        self.audio += pcm
                        self.sizes.add(len(pcm))
                        loud += (np.abs(np.frombuffer(pcm, "<i2").astype(int)) > 1000).sum() * 1000 // RATE
                        if loud >= LOUD_MS and not said:
                            said = True
                            await self._translate(socket)
                    case "session.close":
                        self.closed.set()
                        await self._say(socket, "session.closed")
        except ConnectionClosed:
            pass

    async def _translate(self, socket: ServerConnection) -> None:
        await self._say(socket, "session.input_transcript.delta", delta=self.heard)
        for word in self.says.split():
            await self._say(socket, "session.output_transcript.delta", delta=f"{word} ")
            sound = (np.sin(np.arange(RATE // 4) / 9) * 8000).astype("<i2").tobytes()
            facts = {"sample_rate": RATE, "channels": 1, "format": "pcm16"}
            await self._say(socket, "session.output_audio.delta", delta=b64encode(sound).decode(), **facts)
        for _ in range(6):
            silence = b64encode(bytes(RATE // 5 * 2)).decode()
            await self._say(socket, "session.output_audio.delta", delta=silence, sample_rate=RATE)

    async def _say(self, socket: ServerConnection, kind: str, **facts: Any) -> None:
        await socket.send(json.dumps({"type": kind, "event_id": "e", **facts}))
