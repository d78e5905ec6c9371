"""The messages of Kyutai's Moshi server (`/api/chat`, binary WebSocket messages), one byte of kind before the payload.

Both of its servers speak it, and so do those of its relatives (Hibiki, PersonaPlex). The one in Python greets with the
kind alone, the one in Rust with two version numbers behind it. Audio is one endless Ogg stream of Opus in either
direction, 24 kHz mono, in frames of 80 ms; a message carries the next bytes of it.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

RATE = 24000
FRAME_SAMPLES = 1920
"""80 ms: one step of the model."""
_VERSIONS = struct.Struct("<II")
_PAGE_HEAD = 27


class Kind(IntEnum):
    """The first byte of a message."""

    HANDSHAKE = 0
    AUDIO = 1
    TEXT = 2
    CONTROL = 3
    METADATA = 4
    ERROR = 5
    PING = 6


class Action(IntEnum):
    """What a control message asks for."""

    START = 0
    END_TURN = 1
    PAUSE = 2
    RESTART = 3


@dataclass(frozen=True, slots=True)
class Handshake:
    """The server is ready, and the model listens."""

    protocol: int = 0
    model: int = 0


@dataclass(frozen=True, slots=True)
class Audio:
    ogg: bytes


@dataclass(frozen=True, slots=True)
class Text:
    text: str
    """A piece of what the model says; pieces concatenate."""


@dataclass(frozen=True, slots=True)
class Control:
    action: Action


@dataclass(frozen=True, slots=True)
class Metadata:
    values: Any
    """Whatever JSON it was."""


@dataclass(frozen=True, slots=True)
class Fault:
    text: str


@dataclass(frozen=True, slots=True)
class Ping:
    pass


@dataclass(frozen=True, slots=True)
class Malformed:
    """A message to be ignored: kinds that are not known are, too, the protocol says."""

    reason: str


Message = Handshake | Audio | Text | Control | Metadata | Fault | Ping | Malformed


def read(message: bytes) -> Message:
    """What a message says. Never raises."""
    if not message:
        return Malformed("an empty message")
    kind, payload = message[0], message[1:]
    match kind:
        case Kind.HANDSHAKE if not payload:
            return Handshake()
        case Kind.HANDSHAKE if len(payload) == _VERSIONS.size:
            return Handshake(*_VERSIONS.unpack(payload))
        case Kind.HANDSHAKE:
            return Malformed("a handshake of a length that there is not")
        case Kind.AUDIO:
            return Audio(payload)
        case Kind.TEXT:
            return Text(payload.decode("utf-8", "replace"))
        case Kind.CONTROL if len(payload) == 1 and payload[0] in tuple(Action):
            return Control(Action(payload[0]))
        case Kind.METADATA:
            return _metadata(payload)
        case Kind.ERROR:
            return Fault(payload.decode("utf-8", "replace"))
        case Kind.PING:
            return Ping()
        case _:
            return Malformed(f"kind {kind} with {len(payload)} bytes")


def _metadata(payload: bytes) -> Metadata | Malformed:
    try:
        return Metadata(json.loads(payload))
    except ValueError:  # no JSON, or no UTF-8
        return Malformed("metadata that is no JSON")


def audio(ogg: bytes) -> bytes:
    """The message that carries these bytes of the Ogg stream."""
    return bytes([Kind.AUDIO]) + ogg


def pages(ogg: bytes) -> Iterator[bytes]:
    """The whole pages at the start of an Ogg stream (RFC 3533, section 6); ends at the first thing that is none."""
    at = 0
    while ogg[at : at + 4] == b"OggS" and len(ogg) >= at + _PAGE_HEAD:
        segments = ogg[at + 26]
        body = at + _PAGE_HEAD + segments
        end = body + sum(ogg[at + _PAGE_HEAD : body])
        if end > len(ogg):
            return
        yield ogg[at:end]
        at = end


def preamble(ogg: bytes) -> bytes:
    """The pages OpusHead and OpusTags at the start of a stream (RFC 7845, section 3), with which a new decoder can go
    on in the middle of it."""
    return b"".join(page for page in pages(ogg) if b"OpusHead" in page or b"OpusTags" in page)
