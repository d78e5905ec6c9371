"""A local server with OpenAI's `/v1/audio/speech` and `/v1/audio/transcriptions`, which misbehaves on request.

Each request takes the next `Reply` of the script. A request that the real service would refuse (no model, no input, a
file that is no WAV) is refused here too, so that a test that passes means something.
"""

from __future__ import annotations

import asyncio
import io
import json
import wave
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

import numpy as np

from tests.peers.http1 import Models, chunk, read_request, unless_gone
from tests.peers.openai_chat import Drop, Stall

Step = bytes | Stall | Drop
SPEECH, TRANSCRIPTIONS = "/v1/audio/speech", "/v1/audio/transcriptions"


@dataclass(frozen=True)
class Reply:
    steps: tuple[Step, ...] = ()
    status: int = 200
    content_type: str = "audio/pcm"
    headers: tuple[tuple[str, str], ...] = ()
    before: float = 0.0
    """Seconds before the status line."""


def tone(ms: int, rate: int = 24000) -> bytes:
    """Speech, as far as a test is concerned: int16 LE."""
    t = np.arange(rate * ms // 1000) / rate
    return (8000 * np.sin(2 * np.pi * 300 * t)).astype("<i2").tobytes()


def speaks(*steps: Step, content_type: str = "audio/pcm") -> Reply:
    return Reply(steps, content_type=content_type)


def refuses(status: int, **headers: str) -> Reply:
    body = json.dumps({"error": {"message": "no", "type": "error", "param": None, "code": None}}).encode()
    told = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return Reply((body,), status, "application/json", told)


def writes(text: str, *more: Step) -> Reply:
    """A transcript, whole."""
    return Reply((*more, json.dumps({"text": text}).encode()), content_type="application/json")


def streams(*pieces: str | Step) -> Reply:
    """A transcript, piece by piece, as `stream=true` asks for it."""
    steps: list[Step] = []
    for piece in pieces:
        if isinstance(piece, str):
            steps.append(_event({"type": "transcript.text.delta", "delta": piece}))
        else:
            steps.append(piece)
    whole = "".join(piece for piece in pieces if isinstance(piece, str))
    steps.append(_event({"type": "transcript.text.done", "text": whole, "usage": None}))
    return Reply(tuple(steps), content_type="text/event-stream; charset=utf-8")


def _event(data: dict[str, Any]) -> bytes:
    return f"event: {data['type']}\ndata: {json.dumps(data)}\n\n".encode()


@dataclass
class AudioServer:
    """`async with AudioServer([...]) as server:`; `server.url` is the base URL. Where the script has ended, speech
    takes 300 ms for a word."""

    script: Iterable[Reply] = ()
    requests: list[dict[str, Any]] = field(default_factory=list)
    authorizations: list[str] = field(default_factory=list)
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)
    models: Models = field(default_factory=Models)
    connections: int = 0
    first_s: float = 0.0
    """Before the first byte, where the script has ended."""
    url: str = ""

    async def __aenter__(self) -> AudioServer:
        self._connections: set[asyncio.Task[None]] = set()
        self._replies: Iterator[Reply] = iter(tuple(self.script))
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"
        return self

    def then(self, *replies: Reply) -> None:
        """What comes next, in place of the script."""
        self._replies = iter(replies)

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._connections.add(asyncio.ensure_future(self._connection(reader, writer)))

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (request := await self._read(reader, writer)) is not None:
                self.requests.append(request)
                reply = refuses(400) if fault_of(request) else next(self._replies, None) or self._usual(request)
                if not await unless_gone(self._send(reply, writer), reader, self.hung_up):
                    return
        except ConnectionError:
            self.hung_up.set()
        finally:
            writer.close()

    def _usual(self, request: dict[str, Any]) -> Reply:
        if request["path"] == SPEECH:
            pcm = tone(300 * len(request["input"].split()))
            return Reply((Stall(self.first_s), *(pcm[at : at + 9600] for at in range(0, len(pcm), 9600))))
        return writes("")

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> dict[str, Any] | None:
        request = await read_request(reader, writer, self.models)
        if request is None:
            return None
        path, headers, body = request
        self.authorizations.append(headers.get("authorization", ""))
        if headers["content-type"].startswith("multipart/"):
            return {"path": path, **_form(headers["content-type"], body)}
        return {"path": path, **json.loads(body)}

    async def _send(self, reply: Reply, writer: asyncio.StreamWriter) -> bool:
        await asyncio.sleep(reply.before)
        head = [f"HTTP/1.1 {reply.status} X", f"content-type: {reply.content_type}", "transfer-encoding: chunked"]
        head += [f"{name}: {value}" for name, value in reply.headers]
        writer.write(("\r\n".join(head) + "\r\n\r\n").encode())
        await writer.drain()
        for step in reply.steps:
            match step:
                case Stall(seconds):
                    await asyncio.sleep(seconds)
                case Drop():
                    writer.close()
                    return False
                case bytes(data) if data:
                    await chunk(writer, data)
                    await asyncio.sleep(0)
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True


def _form(content_type: str, body: bytes) -> dict[str, Any]:
    """Fields of a multipart form; a file as its bytes."""
    message = BytesParser(policy=HTTP).parsebytes(f"content-type: {content_type}\r\n\r\n".encode() + body)
    found: dict[str, Any] = {}
    for part in message.iter_parts():  # type: ignore[attr-defined]
        name = part.get_param("name", header="content-disposition")
        data = part.get_payload(decode=True)
        value: Any = data if part.get_filename() else data.decode()
        if name.endswith("[]"):
            found.setdefault(name, []).append(value)
        else:
            found[name] = value
    return found


def samples(request: dict[str, Any]) -> tuple[int, int]:
    """(samples, rate) of a transcription's file."""
    with wave.open(io.BytesIO(request["file"])) as file:
        return file.getnframes(), file.getframerate()


def fault_of(request: dict[str, Any]) -> str:
    """Why the real service would answer 400, else an empty string."""
    if not request.get("model"):
        return "model is required"
    if request["path"] == SPEECH:
        return "" if request.get("input") and request.get("voice") else "input and voice are required"
    try:
        with wave.open(io.BytesIO(request["file"])) as file:
            too_short = file.getnframes() / file.getframerate() < 0.1
    except (KeyError, wave.Error, EOFError):
        return "file is required"
    return "Audio file is too short. Minimum audio length is 0.1 seconds." if too_short else ""
