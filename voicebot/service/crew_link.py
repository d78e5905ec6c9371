"""What the service and a process that carries calls for it say to each other, over a local stream socket.

A message is its length (`!I`) and JSON: the name of its class, and its fields. One that hands a call over comes with
the descriptor of the call's connection. Both ends are ours and of one version, so nothing is checked twice.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import orjson

HEADER = struct.Struct("!I")
OUTBOX_BYTES = 4 << 20
"""What may wait to be written. Beyond it the other side is hung, and the link is lost."""
READ_BYTES, READ_DESCRIPTORS = 1 << 18, 64


@dataclass(frozen=True, slots=True)
class Carry:
    """Service: carry this call; its connection comes along."""

    call: int
    info: dict[str, Any]
    """A `CallInfo`."""
    plan: str
    said: str
    """What the caller's end has sent already, as base64."""


@dataclass(frozen=True, slots=True)
class Lost:
    """Service: the carrier says that the call is over, for this reason."""

    call: int
    reason: str


@dataclass(frozen=True, slots=True)
class Reload:
    """Service: look at the dialplans now."""


@dataclass(frozen=True, slots=True)
class Drain:
    """Service: calls may go on for so long, then say goodbye."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Stop:
    """Service: end now."""


@dataclass(frozen=True, slots=True)
class Ready:
    """Worker: calls can be carried."""


@dataclass(frozen=True, slots=True)
class State:
    """Worker, twice a second: how well it keeps up."""

    most: int = 0
    """Calls that are not too many, those that are up included."""
    lag_s: float = 0.0
    reading: dict[str, float] = field(default_factory=dict)
    """A `Reading`."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Worker: a record of the call's timeline that the metrics want."""

    call: int
    ms: int
    kind: str
    fields: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Ending:
    """Worker: how the bot ends the call, before its carrier hears of it."""

    call: int
    reason: str
    destination: str


@dataclass(frozen=True, slots=True)
class Over:
    """Worker: the call is over, and was written down."""

    call: int
    reason: str
    seconds: float


Told = Carry | Lost | Reload | Drain | Stop | Ready | State | Seen | Ending | Over
_CLASSES: dict[str, type[Told]] = {
    each.__name__: each for each in (Carry, Lost, Reload, Drain, Stop, Ready, State, Seen, Ending, Over)
}


def encode(told: Told) -> bytes:
    """What has no JSON of its own in a record's fields is text."""
    payload = orjson.dumps([type(told).__name__, asdict(told)], default=str)
    return HEADER.pack(len(payload)) + payload


def decode(buffer: bytearray) -> Iterator[Told]:
    """The whole messages at the front of `buffer`, which are taken out of it."""
    while len(buffer) >= HEADER.size:
        (size,) = HEADER.unpack_from(buffer)
        if len(buffer) < HEADER.size + size:
            return
        name, fields = orjson.loads(buffer[HEADER.size : HEADER.size + size])
        del buffer[: HEADER.size + size]
        yield _CLASSES[name](**fields)


class Link:
    """One end. `take(told, descriptor)` gets every message, the descriptor of a `Carry` included, which is then the
    taker's to close; `lost` is called once, when the other end is gone."""

    def __init__(self, sock: socket.socket, take: Callable[[Told, int | None], None], lost: Callable[[], None]) -> None:
        sock.setblocking(False)
        self._sock, self._take, self._lost = sock, take, lost
        self._loop = asyncio.get_running_loop()
        self._inbox, self._descriptors = bytearray(), deque[int]()
        self._outbox: deque[tuple[bytes, int | None]] = deque()
        self._waiting_bytes = 0
        self._open = True
        self._loop.add_reader(sock, self._readable)

    def close(self) -> None:
        """Without a word; `lost` is not called any more."""
        if not self._open:
            return
        self._open = False
        self._loop.remove_reader(self._sock)
        self._loop.remove_writer(self._sock)
        self._sock.close()
        unread = [descriptor for _, descriptor in self._outbox if descriptor is not None]
        for descriptor in (*self._descriptors, *unread):
            os.close(descriptor)

    def send(self, told: Told, descriptor: int | None = None) -> None:
        """Queue it. The descriptor is ours from now on; harmless when the link is gone."""
        if not self._open:
            if descriptor is not None:
                os.close(descriptor)
            return
        data = encode(told)
        self._outbox.append((data, descriptor))
        self._waiting_bytes += len(data)
        self._writable()
        if self._waiting_bytes > OUTBOX_BYTES:
            self._loop.call_soon(self._gone)

    def _writable(self) -> None:
        while self._outbox:
            data, descriptor = self._outbox[0]
            try:
                if descriptor is None:
                    sent = self._sock.send(data)
                else:
                    sent = socket.send_fds(self._sock, [data], [descriptor])
                    os.close(descriptor)
            except BlockingIOError:
                self._loop.add_writer(self._sock, self._writable)
                return
            except OSError:
                self._loop.call_soon(self._gone)
                return
            self._waiting_bytes -= sent
            if sent == len(data):
                self._outbox.popleft()
            else:
                self._outbox[0] = (data[sent:], None)
        self._loop.remove_writer(self._sock)

    def _readable(self) -> None:
        try:
            data, descriptors, _, _ = socket.recv_fds(self._sock, READ_BYTES, READ_DESCRIPTORS)
        except BlockingIOError:
            return
        except OSError:
            data, descriptors = b"", []
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
        self._descriptors.extend(descriptors)
        self._inbox += data
        for told in decode(self._inbox):
            self._take(told, self._descriptors.popleft() if isinstance(told, Carry) else None)
            if not self._open:
                return
        if not data:
            self._gone()

    def _gone(self) -> None:
        if self._open:
            self.close()
            self._lost()
