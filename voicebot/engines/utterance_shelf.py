"""What callers said, where another machine can fetch it: in a folder that both see, or at an address of ours.

LLaMA-Omni2's worker is told a path and opens it with ffmpeg, which takes an address as well. Names cannot be guessed.
"""

from __future__ import annotations

import asyncio
import io
import secrets
import wave
from collections import OrderedDict
from pathlib import Path
from urllib.parse import urlsplit

from voicebot.errors import UsageError

MOST = 512
"""Utterances that are kept, of all calls; the oldest goes."""
REQUEST_S = 5.0
MOST_HEAD_BYTES = 8192


class Shelf:
    """`where`: a folder, or `http://ADDRESS:PORT`, at which it then listens."""

    def __init__(self, where: str) -> None:
        self._where = where.rstrip("/")
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """`UsageError` when the folder cannot be written or the address cannot be had."""
        try:
            if not self._where.startswith("http://"):
                await asyncio.to_thread(Path(self._where).mkdir, parents=True, exist_ok=True)
                return
            address = urlsplit(self._where)
            self._server = await asyncio.start_server(
                self._asked, address.hostname, address.port, limit=MOST_HEAD_BYTES
            )
            if not address.port:
                port = self._server.sockets[0].getsockname()[1]
                self._where = f"http://{address.hostname}:{port}"
        except OSError as error:
            raise UsageError(f"Utterances cannot be kept at {self._where}: {error.strerror or error}.") from None

    async def close(self) -> None:
        for path in list(self._kept):
            self.drop(path)
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    def put(self, pcm: bytes, rate: int) -> str:
        """Where it can be had now: int16 LE mono, as a WAV file."""
        wav = _wav(pcm, rate)
        path = f"{self._where}/{secrets.token_urlsafe(16)}.wav"
        if self._server is None:
            Path(path).write_bytes(wav)
            wav = b""
        self._kept[path] = wav
        while len(self._kept) > MOST:
            self.drop(next(iter(self._kept)))
        return path

    def drop(self, path: str) -> None:
        """Nobody needs it any more."""
        if self._kept.pop(path, None) is not None and self._server is None:
            Path(path).unlink(missing_ok=True)

    async def _asked(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(REQUEST_S):
                start = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[0].decode("latin-1")
                method, _, rest = start.partition(" ")
                wav = self._kept.get(self._where + rest.partition(" ")[0]) if method in ("GET", "HEAD") else None
                status = "404 Not Found" if wav is None else "200 OK"
                head = f"HTTP/1.1 {status}\r\nContent-Type: audio/wav\r\nContent-Length: {len(wav or b'')}\r\n"
                writer.write(head.encode() + b"Connection: close\r\n\r\n" + (b"" if method == "HEAD" else wav or b""))
                await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()


def _wav(pcm: bytes, rate: int) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(pcm)
    return file.getvalue()
