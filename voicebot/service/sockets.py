"""uvicorn's websockets, with a short way for what nearly every message of a call is: whole, text, one frame or a few.

A message that is anything else, or comes when the connection is not simply open, goes the long way, through the
`websockets` library as before; so do fragments, pings, closing and all that is wrong. The short way is a fifth of the
long one's time, and reading is paused only when messages pile up, not after every one.
"""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.protocol import State
from websockets.speedups import apply_mask

TEXT, MASK = 0x81, 0x80
"""A final text frame's first byte; the bit that says that a mask follows."""
PILE = 64
"""Messages that may wait for the call before its socket is left alone for a while."""


class Sockets(WebSocketsSansIOProtocol):
    """What uvicorn makes for each websocket."""

    def data_received(self, data: bytes) -> None:
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
