"""A server of the Realtime protocol that answers at once whatever it hears, and knows when it heard and when it spoke:
to measure what our leg adds. On loopback, in this process, so that there is one clock."""

from __future__ import annotations

import asyncio
import json
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from voicebot.audio.g711 import ulaw_decode, ulaw_encode

LOUD = 1000
"""Amplitude of what is no silence."""
PAUSE_MS = 300
ANSWER_MS = 600
DELTA_MS = 100


@dataclass(slots=True)
class Heard:
    """When things happened, on the loop's clock."""

    url: str = ""
    voice_s: list[float] = field(default_factory=list)
    """The first loud audio after a pause was here."""
    spoke_s: list[float] = field(default_factory=list)
    """The first audio of an answer was sent."""


def loud(pcm: bytes) -> bool:
    """Whether 8 kHz int16 LE is no silence."""
    return bool(pcm) and int(np.abs(np.frombuffer(pcm, "<i2").astype(np.int32)).max()) > LOUD


@asynccontextmanager
async def realtime_stand_in() -> AsyncIterator[Heard]:
    """Its address, and what it notes."""
    heard = Heard()

    async def connected(socket: ServerConnection) -> None:
        try:
            await _Answering(socket, heard).run()
        except ConnectionClosed:
            pass

    server = await serve(connected, "127.0.0.1", 0)
    heard.url = f"http://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/v1"
    try:
        yield heard
    finally:
        server.close(close_connections=True)
        await server.wait_closed()


class _Answering:
    def __init__(self, socket: ServerConnection, heard: Heard) -> None:
        self._socket, self._heard = socket, heard
        self._quiet_ms, self._voice, self._replies = PAUSE_MS, False, 0
        tone = np.sin(2 * np.pi * 300 * np.arange(8 * ANSWER_MS) / 8000)
        self._answer = ulaw_encode((9000 * tone).astype("<i2").tobytes())

    async def run(self) -> None:
        await self._say("session.created", session={"type": "realtime"})
        async for text in self._socket:
            event = json.loads(text)
            match event["type"]:
                case "session.update":
                    await self._say("session.updated", session=event["session"])
                case "input_audio_buffer.append":
                    await self._hear(ulaw_decode(b64decode(event["audio"])))
                case "response.create":
                    await self._speak()
                case _:
                    pass

    async def _hear(self, pcm: bytes) -> None:
        ms = len(pcm) // 16
        if loud(pcm):
            if not self._voice and self._quiet_ms >= PAUSE_MS:
                self._heard.voice_s.append(asyncio.get_running_loop().time())
            self._voice, self._quiet_ms = True, 0
            return
        self._quiet_ms += ms
        if self._voice and self._quiet_ms >= PAUSE_MS:
            self._voice = False
            await self._say("input_audio_buffer.committed", item_id="in", previous_item_id=None)
            await self._speak()

    async def _speak(self) -> None:
        self._replies += 1
        reply = f"resp_{self._replies}"
        ids = {"response_id": reply, "item_id": f"item_{self._replies}", "output_index": 0, "content_index": 0}
        response: dict[str, Any] = {"id": reply, "object": "realtime.response", "status_details": None, "output": []}
        await self._say("response.created", response={**response, "status": "in_progress"})
        self._heard.spoke_s.append(asyncio.get_running_loop().time())
        for at in range(0, len(self._answer), 8 * DELTA_MS):
            piece = b64encode(self._answer[at : at + 8 * DELTA_MS]).decode()
            await self._say("response.output_audio.delta", **ids, delta=piece)
        await self._say("response.output_audio_transcript.delta", **ids, delta="Yes, of course.")
        await self._say("response.done", response={**response, "status": "completed"})

    async def _say(self, kind: str, **fields: Any) -> None:
        await self._socket.send(json.dumps({"type": kind, "event_id": "e", **fields}))
