"""uvicorn's websockets, with a short way for what nearly every message of a call is: whole, text, one frame or a few.

A message that is anything else, or comes when the connection is not simply open, goes the long way, through the
`websockets` library as before; so do fragments, pings, closing and all that is wrong. The short way is a fifth of the
long one's time, and reading is paused only when messages pile up, not after every one.

A connection can also be given to another process while it is open: `hand_over` there, `adopted` here. What has come
over it since it was opened goes along, and is read again, so that nothing is lost in the middle of a message.
"""

from __future__ import annotations

import asyncio
import os
import socket
from typing import Any, NamedTuple

import uvicorn
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.speedups import apply_mask

MAX_MESSAGE = 1024 * 1024
"""Beyond this the websocket itself closes. Far above what is understood (64 KiB), so that one message that is too
long costs that message, not the call."""
GRACE_S = 5
"""After the last call, requests under way have this long."""
MAX_KEPT = 64 * 1024
"""What is kept of a connection for the process that may get it; one that has said more than this stays where it is."""
HERE = "voicebot.sockets"
"""The extension of an ASGI scope under which its `Sockets` is."""

TEXT, MASK = 0x81, 0x80
"""A final text frame's first byte; the bit that says that a mask follows."""
PILE = 64
"""Messages that may wait for the call before its socket is left alone for a while."""


class HandedOver(NamedTuple):
    """A connection on its way."""

    descriptor: int
    """The receiver's to close."""
    said: bytes
    """All that the peer has sent since it was opened."""


class Sockets(WebSocketsSansIOProtocol):
    """What uvicorn makes for each websocket."""

    _kept: bytearray | None = None
    """What came since the connection was opened; None where it stays here."""
    _before: bytes | None = None
    """What came over it in the process that had it before."""

    def handle_connect(self, event: Any) -> None:
        super().handle_connect(event)
        if hasattr(self, "scope"):
            self.scope["extensions"][HERE] = self  # type: ignore[assignment]
            self._kept = bytearray()

    def stays(self) -> None:
        """It will not be handed over."""
        self._kept = None

    def hand_over(self) -> HandedOver | None:
        """Let go of it without a word to the peer, for another process to go on with. None where it cannot be: then
        nothing has changed."""
        is_open = self.handshake_complete and self.conn.state is State.OPEN and not self.transport.is_closing()
        if self._kept is None or not is_open or self.close_sent or self.transport.get_write_buffer_size():
            return None
        self.stop_keepalive()
        handed = HandedOver(os.dup(self.transport.get_extra_info("socket").fileno()), bytes(self._kept))
        self.stays()
        self.transport.abort()  # closes our descriptor; the connection lives by the other one
        return handed

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self._before is not None:
            self.start_keepalive()
            self.data_received(self._before)

    def data_received(self, data: bytes) -> None:
        if self._kept is not None:
            self._kept += data
            if len(self._kept) > MAX_KEPT:
                self.stays()
        at, size = 0, len(data)
        while at < size:
            if not self._simply_open() or (end := self._take(data, at)) == 0:
                super().data_received(data[at:] if at else data)
                return
            at = end

    def _simply_open(self) -> bool:
        """Whether nothing is under way but messages."""
        conn = self.conn
        return (
            self.handshake_complete
            and conn.state is State.OPEN
            and not self.close_sent
            and not conn.reader.buffer
            and conn.current_size is None
            and not conn.extensions
        )

    def _take(self, data: bytes, at: int) -> int:
        """Where the message that begins at `at` ends; 0 when it must go the long way."""
        if len(data) < at + 6 or data[at] != TEXT or not data[at + 1] & MASK:
            return 0
        length, begins = data[at + 1] & 0x7F, at + 2
        if length == 127:
            return 0
        if length == 126:
            length, begins = int.from_bytes(data[at + 2 : at + 4], "big"), at + 4
        end = begins + 4 + length
        if end > len(data):
            return 0
        try:
            text = apply_mask(data[begins + 4 : end], data[begins : begins + 4]).decode()
        except UnicodeDecodeError:
            return 0
        self.queue.put_nowait({"type": "websocket.receive", "text": text})
        if not self.read_paused and self.queue.qsize() >= PILE:
            self.read_paused = True
            self.transport.pause_reading()
        return end

    async def send(self, message: Any) -> None:
        text = message.get("text")
        if text is None or self.disconnected or not self.writable.is_set() or not self._simply_open():
            await super().send(message)
            return
        payload = text.encode()
        size = len(payload)
        if size < 126:
            head = bytes((TEXT, size))
        elif size < 65536:
            head = b"\x81\x7e" + size.to_bytes(2, "big")
        else:
            head = b"\x81\x7f" + size.to_bytes(8, "big")
        self.transport.write(head + payload)


def web_config(app: Any) -> uvicorn.Config:
    """uvicorn as every process of the service has it."""
    return uvicorn.Config(
        app,
        access_log=False,
        log_level="warning",
        lifespan="off",  # ours to enter, so that what is wrong at the start is one sentence
        ws=Sockets,
        ws_max_size=MAX_MESSAGE,
        ws_ping_interval=20,
        ws_ping_timeout=20,
        ws_per_message_deflate=False,  # audio does not get smaller by it
        timeout_keep_alive=15,
        timeout_graceful_shutdown=GRACE_S,
        server_header=False,
    )


class Adopted:
    """A connection that another process has opened, as a media stream's `Socket`."""

    def __init__(self, protocol: Sockets) -> None:
        self._protocol = protocol

    async def receive(self) -> Any:
        return await self._protocol.receive()

    async def send_text(self, data: str) -> None:
        await self._protocol.send({"type": "websocket.send", "text": data})

    async def close(self, code: int = 1000, reason: str | None = None) -> None:
        await self._protocol.send({"type": "websocket.close", "code": code, "reason": reason})

    def leave(self) -> None:
        """Nobody reads it any more; a goodbye that was said still has its time."""
        if self._protocol.close_timer is None:
            self._protocol.transport.close()


async def adopt(handed: HandedOver, config: uvicorn.Config) -> Adopted:
    """Go on with it here. `OSError` when it is gone."""
    protocol = Sockets(config, ServerState(), {})
    protocol.handshake_complete, protocol._before = True, handed.said
    protocol.conn = ServerProtocol(state=State.OPEN, max_size=config.ws_max_size)
    connection = socket.socket(fileno=handed.descriptor)
    try:
        await asyncio.get_running_loop().connect_accepted_socket(lambda: protocol, connection)
    except OSError:
        connection.close()
        raise
    return Adopted(protocol)
