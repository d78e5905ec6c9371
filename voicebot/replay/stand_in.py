"""A server with OpenAI's API that answers at a fixed pace, to measure what we add: a language model's first token after
`FIRST_TOKEN_S`, then `TOKENS_S` tokens a second; a voice's first audio after `FIRST_AUDIO_S`, then faster than it is
spoken. On loopback."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import cycle
from typing import Any

FIRST_TOKEN_S = 0.25
TOKENS_S = 60
FIRST_AUDIO_S = 0.12
FASTER = 4
"""Than it is spoken, the voice comes."""
WORD_S = 0.3
PIECE_S = 0.1
RATE = 24000
REPLIES = (
    "Sure, I can do that for you. Which day would suit you best, and in the morning or in the afternoon?",
    "We open at nine in the morning, and we close at six. On Saturdays we are here until noon.",
    "That is a large latte with soy milk. It will be ready in five minutes, and it comes to four dollars fifty.",
    "I'm sorry, I have nothing free on Monday. On Tuesday there is half past ten, or a quarter to three.",
    "Yes, we do. You can park behind the building, and the first hour is free for our patients.",
)


@asynccontextmanager
async def stand_in() -> AsyncIterator[str]:
    """Its base URL."""
    replies = cycle(REPLIES)
    connections: dict[asyncio.StreamWriter, asyncio.Task[Any] | None] = {}

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections[writer] = asyncio.current_task()
        try:
            while (asked := await _asked(reader)) is not None:
                path, body = asked
                answer = _speech(body["input"]) if path.endswith("/speech") else _chat(next(replies))
                kind = "audio/pcm" if path.endswith("/speech") else "text/event-stream"
                await _send(writer, kind, answer)
        except ConnectionError:
            pass
        finally:
            connections.pop(writer)
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    finally:
        server.close()
        for writer in connections:
            writer.close()
        if tasks := [task for task in connections.values() if task]:
            await asyncio.wait(tasks, timeout=1.0)


async def _asked(reader: asyncio.StreamReader) -> tuple[str, dict[str, Any]] | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
    except asyncio.IncompleteReadError:
        return None
    start, *lines = head.split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return start.split()[1], json.loads(await reader.readexactly(int(headers["content-length"])))


async def _send(writer: asyncio.StreamWriter, kind: str, pieces: AsyncIterator[bytes]) -> None:
    writer.write(f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n".encode())
    async for piece in pieces:
        writer.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        await writer.drain()
    writer.write(b"0\r\n\r\n")
    await writer.drain()


async def _chat(text: str) -> AsyncIterator[bytes]:
    loop = asyncio.get_running_loop()
    due = loop.time() + FIRST_TOKEN_S
    for token in text.split(" "):  # near enough to a token: common words are one each
        await asyncio.sleep(max(0.0, due - loop.time()))
        due += 1 / TOKENS_S
        yield _event({"content": token + " "})
    yield _event({}, "stop")
    yield b"data: [DONE]\n\n"


def _event(delta: dict[str, str], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    chunk = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "stand-in", "choices": [choice]}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


async def _speech(text: str) -> AsyncIterator[bytes]:
    await asyncio.sleep(FIRST_AUDIO_S)
    loud = b"\x00\x20\x00\xe0" * int(RATE * PIECE_S / 2)
    for _ in range(round(len(text.split()) * WORD_S / PIECE_S)):
        yield loud
        await asyncio.sleep(PIECE_S / FASTER)
