"""What a SIP worker has to say to the service, written without ever waiting.

Two threads of the worker write: the one that handles SIP, and PJSIP's clock, which must never wait for a service that
is slow to read. Over the bound audio is dropped and counted; everything else is kept.
"""

from __future__ import annotations

import socket
import threading

from voicebot.core.sip_link import Kind, Message

AUDIO_BYTES = 256 * 1024
"""About three seconds of four calls."""


class Outbox:
    """Over a connected stream socket, which it makes non-blocking."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock, self._lock, self._waiting = sock, threading.Lock(), bytearray()
        self.dropped = 0
        """Frames of audio that the service did not read in time."""

    def put(self, message: Message) -> None:
        """Send it, now if the socket takes it, else with a later `put` or `flush`."""
        with self._lock:
            if message.kind is Kind.HEARD and len(self._waiting) > AUDIO_BYTES:
                self.dropped += 1
                return
            self._waiting += message.encode()
            self._write()

    def flush(self) -> None:
        with self._lock:
            self._write()

    def _write(self) -> None:
        try:
            while self._waiting:
                del self._waiting[: self._sock.send(self._waiting)]
        except BlockingIOError:
            pass
        except OSError:
            self._waiting.clear()  # the service is gone; reading will say so
