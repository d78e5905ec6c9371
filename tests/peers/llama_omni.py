"""LLaMA-Omni's controller, its worker and a vocoder's server, on one port, and misbehaving on request.

The worker answers as theirs does: objects with a zero byte behind each, every one with all the text and all the units
so far. The second version's opens the paths that it is told, and keeps what it hears. The vocoder turns units into
tones.
"""

from __future__ import annotations

import asyncio
import io
import json
import urllib.request
import wave
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

import numpy as np

from tests.peers.http1 import Models, chunk, read_request, unless_gone

SAMPLES_UNIT = {1: 320, 2: 960}


@dataclass(frozen=True)
class Says:
    """One answer."""

    text: str = "Of course."
    units: int = 60
    fault: Literal["", "error", "500", "stalls", "breaks", "silent", "garbage", "mute"] = ""
    """An object with an error code; a status; nothing more after half of it; the connection closed after half; no
    object at all; one that is no JSON in the middle; text and no units."""


@dataclass
class LlamaOmniServer:
    """`async with LlamaOmniServer([Says("Hi.")]) as server:`; `server.url` is the controller's and the vocoder's."""

    script: Iterable[Says] = ()
    version: int = 1
    models: tuple[str, ...] = ("llama-omni",)
    worker: str | None = None
    """The address that the controller gives; None: the worker is here."""
    vocoder_fails: bool = False
    piece_s: float = 0.01
    requests: list[dict[str, Any]] = field(default_factory=list)
    heard: list[np.ndarray[Any, Any]] = field(default_factory=list)
    """The caller's turns, int16 at 16 kHz."""
    vocoded: list[dict[str, Any]] = field(default_factory=list)
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)
    """A client went in the middle of an answer."""
    url: str = ""

    async def __aenter__(self) -> LlamaOmniServer:
        self._script = iter(tuple(self.script))
        self._tasks: set[asyncio.Task[Any]] = set()
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while (request := await read_request(reader, writer, Models())) is not None:
                path, _, body = request
                if not await unless_gone(self._answer(path, body, writer), reader, self.hung_up):
                    break
        except ConnectionError:
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _answer(self, path: str, body: bytes, writer: asyncio.StreamWriter) -> bool:
        asked = json.loads(body) if body else {}
        match path:
            case "/list_models":
                return await _whole(writer, {"models": list(self.models)})
            case "/get_worker_address":
                here = self.url if self.worker is None else self.worker
                return await _whole(writer, {"address": here if asked["model"] in self.models else ""})
            case "/worker_generate_stream":
                return await self._generate(asked, writer)
            case "/vocode":
                return await self._vocode(asked, writer)
            case _:
                return await _whole(writer, {"detail": "Not Found"}, "404 Not Found")

    async def _generate(self, asked: dict[str, Any], writer: asyncio.StreamWriter) -> bool:
        self.requests.append(asked)
        await self._listen(asked)
        says = next(self._script, Says())
        if says.fault == "500":
            return await _whole(writer, {"detail": "oh"}, "500 Internal Server Error")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        words = says.text.split(" ")
        for i, _ in enumerate(words):
            await asyncio.sleep(self.piece_s)
            if says.fault == "silent" or (i == len(words) // 2 and says.fault == "stalls"):
                await asyncio.sleep(3600)
            if i == len(words) // 2 and says.fault == "breaks":
                writer.transport.abort()
                return False
            if i == len(words) // 2 and says.fault == "error":
                text = "**NETWORK ERROR DUE TO HIGH TRAFFIC. PLEASE REGENERATE OR REFRESH THIS PAGE.**"
                await chunk(writer, json.dumps({"text": text, "error_code": 1}).encode() + b"\0")
                break
            if i == len(words) // 2 and says.fault == "garbage":
                await chunk(writer, b"{what\0")
            object_ = self._object(asked, " ".join(words[: i + 1]), says, i + 1, len(words))
            at = len(object_) // 3  # they come in any pieces
            await chunk(writer, object_[:at])
            await chunk(writer, object_[at:])
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True

    def _object(self, asked: dict[str, Any], text: str, says: Says, number: int, count: int) -> bytes:
        units = 0 if says.fault == "mute" else says.units * number // count
        said: dict[str, Any] = {"unit": " ".join(str(unit % 100) for unit in range(units)), "error_code": 0}
        if self.version == 1:
            said["text"] = asked["prompt"] + text
        else:
            said |= {"text": text, "finalize": number == count}
        return json.dumps(said).encode() + b"\0"

    async def _listen(self, asked: dict[str, Any]) -> None:
        if self.version == 1:
            assert asked["prompt"].count("<speech>") == 1
            self.heard.append((np.array(asked["audio"]) * 32768).astype(np.int16))
            return
        path = asked["history"][-1]["content"]["path"]
        self.heard.append(await asyncio.to_thread(_opened, path))

    async def _vocode(self, asked: dict[str, Any], writer: asyncio.StreamWriter) -> bool:
        self.vocoded.append(asked)
        if self.vocoder_fails:
            return await _whole(writer, {"detail": "oh"}, "500 Internal Server Error")
        samples = len(asked["units"]) * SAMPLES_UNIT[self.version]
        tone = (8000 * np.sin(2 * np.pi * 0.03 * np.arange(samples))).astype("<i2").tobytes()
        writer.write(
            f"HTTP/1.1 200 OK\r\nContent-Type: audio/pcm\r\nContent-Length: {len(tone)}\r\n\r\n".encode() + tone
        )
        await writer.drain()
        return True


def _opened(path: str) -> np.ndarray[Any, Any]:
    """As ffmpeg does."""
    if urlsplit(path).scheme == "http":
        with urllib.request.urlopen(path, timeout=2) as answer:
            data = answer.read()
    else:
        with open(path, "rb") as file:
            data = file.read()
    with wave.open(io.BytesIO(data)) as wav:
        assert (16000, 1, 2) == (wav.getframerate(), wav.getnchannels(), wav.getsampwidth())
        return np.frombuffer(wav.readframes(wav.getnframes()), "<i2")


async def _whole(writer: asyncio.StreamWriter, value: Any, status: str = "200 OK") -> bool:
    body = json.dumps(value).encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    await writer.drain()
    return True
