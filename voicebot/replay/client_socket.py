"""A websocket client without a task: messages come by callback and leave at once, as a load generator needs it.

The protocol is websockets' own, without its shells.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.uri import parse_uri

from voicebot.errors import PeerError

DEADLINE_S = 10.0
"""For the connection."""
CLOSE_S = 2.0
"""The service has this long to close its side."""
MAX_MESSAGE = 2**22


class ClientSocket:
    """An asyncio protocol. `on_text` gets every text message, `on_binary` is told of another."""

    def __init__(self, url: str, on_text: Callable[[bytes], None], on_binary: Callable[[], None]) -> None:
        self._on_text, self._on_binary = on_text, on_binary
        self._uri = parse_uri(url)
        self._web = ClientProtocol(self._uri, max_size=MAX_MESSAGE)
        self._headers: Mapping[str, str] = {}
        self._transport: asyncio.Transport | None = None
        self._text = b""
        self._open: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.over = asyncio.Event()
        """Set when the connection is gone."""
        self.closed_by_service = False

    async def open(self, headers: Mapping[str, str]) -> None:
        """`PeerError` when the service does not answer, or refuses the upgrade."""
        self._headers = headers
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(DEADLINE_S):
                await loop.create_connection(lambda: self, self._uri.host, self._uri.port)  # type: ignore[type-var]
                await self._open
        except (TimeoutError, OSError) as error:
            raise PeerError(f"{self._uri.host}:{self._uri.port} does not take the call: {error or 'late'}") from error

    def send(self, messages: Sequence[bytes]) -> None:
        """Text messages, in order; dropped when the connection is gone."""
        if messages and not self.over.is_set() and not self.closed_by_service:
            for message in messages:
                self._web.send_text(message)
            self._flush()

    def reads(self, whether: bool) -> None:
        """Read on, or leave what comes where it is."""
        if self._transport:
            (self._transport.resume_reading if whether else self._transport.pause_reading)()

    async def close(self) -> None:
        """Within `CLOSE_S`; harmless when it is closed."""
        if self._transport is None or self.over.is_set():
            return
        self.reads(True)
        if not self.closed_by_service:
            self._web.send_close(1000)
            self._flush()
        try:
            async with asyncio.timeout(CLOSE_S):
                await self.over.wait()
        except TimeoutError:
            self._transport.abort()

    # --- what asyncio calls

    def connection_made(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        request = self._web.connect()
        request.headers.update(self._headers)
        self._web.send_request(request)
        self._flush()

    def data_received(self, data: bytes) -> None:
        self._web.receive_data(data)
        for event in self._web.events_received():
            if isinstance(event, Response):
                self._answered()
            elif isinstance(event, Frame):
                self._frame(event)
        self._flush()

    def eof_received(self) -> None:
        self._web.receive_eof()

    def connection_lost(self, error: Exception | None) -> None:
        if not self._open.done():
            self._open.set_exception(OSError(str(self._web.handshake_exc or error or "closed")))
        self.over.set()

    def pause_writing(self) -> None: ...  # a carrier does not wait for a service that does not read

    def resume_writing(self) -> None: ...

    def _answered(self) -> None:
        if self._web.handshake_exc is not None:
            self._open.set_exception(OSError(str(self._web.handshake_exc)))
        else:
            self._open.set_result(None)

    def _frame(self, frame: Frame) -> None:
        match frame.opcode:
            case Opcode.TEXT | Opcode.CONT:
                self._text += frame.data
                if frame.fin:
                    text, self._text = self._text, b""
                    self._on_text(text)
            case Opcode.CLOSE:
                self.closed_by_service = True
            case Opcode.BINARY:
                self._on_binary()
            case _:
                pass

    def _flush(self) -> None:
        assert self._transport
        for data in self._web.data_to_send():
            if data:
                self._transport.write(data)
            else:
                self._transport.close()
