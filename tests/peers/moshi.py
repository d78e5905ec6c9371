"""A small server of Kyutai's protocol, which answers frame by frame as theirs does, and misbehaves on request.

Like theirs it moves only when audio arrives: each 80 ms of the caller make 80 ms of the bot. It listens, and one reply
of the script follows each stretch of the caller's voice.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import sphn
import websockets
from websockets.asyncio.server import ServerConnection, serve

RATE, FRAME = 24000, 1920
QUIET_FRAMES = 5
"""The caller's pause after which it answers."""
LOUD = 0.01


@dataclass(frozen=True)
class Says:
    """One reply: a tone as long as it takes, a piece of text with each frame."""

    text: str = "Hello there."
    ms: int = 800
    hz: int = 440


@dataclass
class MoshiServer:
    """`async with MoshiServer([Says("Hi.")]) as server:`; `server.url` is where."""

    script: Iterable[Says] = ()
    handshake: bytes | None = b"\x00"
    """None: it never comes, as where another call holds the server."""
    opening: Says | None = None
    """What it says before the caller has spoken."""
    extra: Iterable[bytes] = ()
    """Messages sent after the handshake, of whatever kind."""
    fault: Literal["", "silent", "slow", "garbage", "error", "drop"] = ""
    """From frame `fault_at` on: nothing is answered; every second frame is; one piece of audio is no Ogg;
    an error message; the socket closes."""
    fault_at: int = 10
    close_code: int = 1011
    deaf: bool = False
    """The socket is accepted and never read."""
    calls: int = 0
    up: int = 0
    heard: list[np.ndarray[Any, Any]] = field(default_factory=list)
    """What came in, a frame each, of all calls."""
    url: str = ""

    async def __aenter__(self) -> MoshiServer:
        self._server = await serve(self._connected, "127.0.0.1", 0, ping_interval=None)
        port = next(iter(self._server.sockets)).getsockname()[1]
        self.url = f"ws://127.0.0.1:{port}/api/chat"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close(close_connections=True)
        await self._server.wait_closed()

    async def _connected(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        assert socket.request.path.startswith("/api/chat")
        self.calls += 1
        self.up += 1
        try:
            if self.handshake is None or self.deaf:
                await socket.wait_closed()
            else:
                await socket.send(self.handshake)
                for message in self.extra:
                    await socket.send(message)
                await _Conversation(self, socket).run()
        except websockets.ConnectionClosed:
            pass
        finally:
            self.up -= 1


class _Conversation:
    def __init__(self, server: MoshiServer, socket: ServerConnection) -> None:
        self._server, self._socket = server, socket
        self._reader, self._writer = sphn.OpusStreamReader(RATE), sphn.OpusStreamWriter(RATE)
        self._script = iter(tuple(server.script))
        self._frames: list[tuple[np.ndarray[Any, Any], str]] = []
        self._quiet, self._spoken, self._number = 0, False, 0

    async def run(self) -> None:
        if self._server.opening:
            self._frames = _frames(self._server.opening)
        pending = np.zeros(0, np.float32)
        first = True
        async for message in self._socket:
            assert isinstance(message, bytes)
            assert message[0] == 1, f"the client sent kind {message[0]}"
            pending = np.concatenate([pending, self._reader.append_bytes(message[1:])])
            while len(pending) >= FRAME:
                frame, pending = pending[:FRAME], pending[FRAME:]
                self._server.heard.append(frame)
                if not first:  # as theirs: the first frame is thrown away
                    await self._step(frame)
                first = False

    async def _step(self, heard: np.ndarray[Any, Any]) -> None:
        self._listen(heard)
        self._number += 1
        if self._number >= self._server.fault_at:
            match self._server.fault:
                case "silent":
                    return
                case "slow" if self._number % 2:
                    return
                case "garbage" if self._number == self._server.fault_at:
                    await self._socket.send(b"\x01" + b"no ogg at all" * 9)
                    return
                case "error":
                    await self._socket.send(b"\x05" + b"out of memory")
                case "drop":
                    if self._server.close_code == 1006:
                        self._socket.transport.abort()
                    await self._socket.close(self._server.close_code, "as the test asked")
        frame, text = self._frames.pop(0) if self._frames else (np.zeros(FRAME, np.float32), "")
        if ogg := self._writer.append_pcm(frame):
            await self._socket.send(b"\x01" + ogg)
        if text:
            await self._socket.send(b"\x02" + text.encode())

    def _listen(self, frame: np.ndarray[Any, Any]) -> None:
        if np.sqrt(np.mean(frame**2)) > LOUD:
            self._spoken, self._quiet = True, 0
            self._frames.clear()  # it yields
            return
        self._quiet += 1
        if self._spoken and self._quiet == QUIET_FRAMES:
            self._spoken = False
            if (says := next(self._script, None)) is not None:
                self._frames = _frames(says)


def _frames(says: Says) -> list[tuple[np.ndarray[Any, Any], str]]:
    count = max(1, says.ms * RATE // 1000 // FRAME)
    tone = (0.3 * np.sin(2 * np.pi * says.hz * np.arange(count * FRAME) / RATE)).astype(np.float32)
    words = [word + " " for word in says.text.split(" ")]
    words[-1] = words[-1][:-1]
    pieces = ["".join(words[len(words) * i // count : len(words) * (i + 1) // count]) for i in range(count)]
    return [(tone[i * FRAME : (i + 1) * FRAME], pieces[i]) for i in range(count)]


METADATA = b"\x04" + json.dumps({"model": "moshiko"}).encode()
