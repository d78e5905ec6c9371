"""The wire between the service and a SIP worker: whole messages over a local stream socket. Pure.

A message is a header (`!IBI`: bytes of payload, kind, call) and a payload: JSON, or for audio a few numbers and
8 kHz int16 LE mono PCM. A call's number is the worker's, from 1, never used twice by one worker; 0 is the worker
itself.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, NamedTuple

import orjson

HEADER = struct.Struct("!IBI")
MAX_PAYLOAD_BYTES = 1 << 20
OWN_CALLS = 1 << 31
_HEARD = struct.Struct("!QII")
_SAY = struct.Struct("!II")


class Kind(IntEnum):
    """Who sends it, and what the payload is."""

    SETUP = 0
    """Service, first message: JSON of `carriers.sip_phone.Setup`."""
    READY = 1
    """Worker: JSON {port, capacity, version}."""
    ALIVE = 2
    """Worker, once a second: JSON {dropped}: frames of audio that we did not read in time."""
    FAULT = 3
    """Worker: why it cannot work, as text; it ends."""

    REGISTERED = 4
    """Worker: JSON {account, registrar, place, in_use, code}, and {reason, expires_s} where that is new: what one of an
    account's registrars said, which it is, and whether it is the one that is used."""

    INCOMING = 10
    """Worker: JSON {sip_call_id, source, message}: an INVITE came, and 180 was sent."""
    MEDIA = 11
    """Worker: JSON {codec, remote, telephone_event}: audio flows, for the first time or again."""
    HELD = 12
    """Worker: the far end holds the call."""
    HEARD = 13
    """Worker, every 20 ms: what the caller said, and how far the bot's audio was played (`Heard`)."""
    DIGIT = 14
    """Worker: one key, as text."""
    PASSED = 15
    """Worker: JSON {code, reason, final}: how a transfer goes."""
    FIGURES = 16
    """Worker: JSON of what the network did to the call."""
    ENDED = 17
    """Worker: JSON {code, reason, cause}; nothing follows for this call, and its place is free."""

    ANSWER = 20
    """Service: JSON {code, reason, headers}."""
    SAY = 21
    """Service: audio for the caller (`Say`)."""
    CLEAR = 22
    """Service: drop what was not played."""
    HANGUP = 23
    """Service: JSON {code, cause, text}."""
    PASS_ON = 24
    """Service: JSON {to}: REFER the far end there."""
    KEYS = 25
    """Service: digits to send, as text."""
    FAREWELL = 27
    """Service: JSON {host, port, data}: a BYE to send as it is should the service be gone."""
    DIAL = 26
    """Service: JSON {to, account, headers}: call out with an account, by number, or without (-1). The call's number is
    the service's own, from `OWN_CALLS`."""


@dataclass(frozen=True, slots=True)
class Message:
    kind: Kind
    call: int
    payload: bytes = b""

    def encode(self) -> bytes:
        return HEADER.pack(len(self.payload), self.kind, self.call) + self.payload

    @property
    def facts(self) -> dict[str, Any]:
        """A JSON payload. `ValueError` when it is none."""
        found = orjson.loads(self.payload)
        if not isinstance(found, dict):
            raise ValueError("a payload that is no object")
        return found


def message(kind: Kind, call: int = 0, /, **facts: object) -> Message:
    """One with a JSON payload."""
    return Message(kind, call, orjson.dumps(facts))


class Messages:
    """Bytes in, whole messages out. `ValueError` when the other side does not speak this protocol."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Message]:
        """The messages that are complete now. Nothing is lost when the iteration stops early: the rest comes with
        the next bytes."""
        self._buffer += data
        while len(self._buffer) >= HEADER.size:
            size, kind, call = HEADER.unpack_from(self._buffer)
            if size > MAX_PAYLOAD_BYTES:
                raise ValueError(f"a message of {size} bytes")
            if len(self._buffer) < HEADER.size + size:
                return
            payload = bytes(self._buffer[HEADER.size : HEADER.size + size])
            del self._buffer[: HEADER.size + size]
            yield Message(Kind(kind), call, payload)


class Heard(NamedTuple):
    """20 ms of the caller; silence while the call is held."""

    at: int
    """Sample since the call's media began."""
    epoch: int
    sample: int
    """The bot's audio was played up to here (see `Played`)."""
    pcm: bytes

    def encode(self) -> bytes:
        return _HEARD.pack(self.at, self.epoch, self.sample) + self.pcm

    @classmethod
    def decode(cls, payload: bytes) -> Heard:
        """`struct.error` for less than a header."""
        at, epoch, sample = _HEARD.unpack_from(payload)
        return cls(at, epoch, sample, payload[_HEARD.size :])


class Say(NamedTuple):
    """Audio for the caller; `sample` counts the samples of the epoch, these included."""

    epoch: int
    sample: int
    pcm: bytes

    def encode(self) -> bytes:
        return _SAY.pack(self.epoch, self.sample) + self.pcm

    @classmethod
    def decode(cls, payload: bytes) -> Say:
        epoch, sample = _SAY.unpack_from(payload)
        return cls(epoch, sample, payload[_SAY.size :])
