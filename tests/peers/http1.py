"""What the small HTTP servers among the peers share: heads, chunks, and noticing a client that is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any


@dataclass
class Models:
    """What `GET /v1/models` answers, and how often it was asked: clients warm up with it."""

    status: int = 200
    asked: int = 0

    def answer(self) -> bytes:
        self.asked += 1
        body = b'{"object": "list", "data": []}'
        head = (f"HTTP/1.1 {self.status} X", "content-type: application/json", f"content-length: {len(body)}")
        return "\r\n".join((*head, "", "")).encode() + body


async def read_request(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, models: Models
) -> tuple[str, dict[str, str], bytes] | None:
    """(path, headers with lower-case names, body) of what is posted; None when the client is done."""
    while True:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
        except asyncio.IncompleteReadError:
            return None
        start, *lines = head.split("\r\n")
        if start.startswith("GET /v1/models "):
            writer.write(models.answer())
            continue
        assert start.startswith("POST "), start
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        return start.split()[1], headers, await reader.readexactly(int(headers["content-length"]))


async def chunk(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
    await writer.drain()


async def unless_gone(answer: Coroutine[Any, Any, bool], reader: asyncio.StreamReader, hung_up: asyncio.Event) -> bool:
    """Whether the connection may be used again, as `answer` says; `hung_up` is set when the client goes first."""
    sending = asyncio.ensure_future(answer)
    watching = asyncio.ensure_future(reader.read(1))  # no pipelining: data or end means the client is gone
    try:
        await asyncio.wait({sending, watching}, return_when=asyncio.FIRST_COMPLETED)
        if sending.done():
            return sending.result()
        hung_up.set()
        return False
    finally:
        sending.cancel()
        watching.cancel()
        await asyncio.gather(sending, watching, return_exceptions=True)
