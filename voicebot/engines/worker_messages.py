"""What a recogniser's process and ours say to each other over a socket pair.

A message is a header (`!IBI`: bytes of payload, kind, utterance) and a payload, both ways.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import IntEnum
from typing import Any

from voicebot.core.words import Word, Words

HEADER = struct.Struct("!IBI")
MAX_PAYLOAD = 4 << 20


class Kind(IntEnum):
    HELLO = 0
    """Worker: ready. Parent, first message: JSON of the engine's settings."""
    LOAD = 1
    """Parent: JSON {key, stem}, a built model."""
    BUILD = 2
    """Parent: JSON of an expectation to build here and now, because nobody prepared it."""
    OPEN = 3
    """Parent: a new utterance; the payload says what to listen for, as the engine has it."""
    AUDIO = 4
    """Parent: int16 LE. Worker: bytes of it decoded so far, as text."""
    FINISH = 5
    CANCEL = 6
    PARTIAL = 7
    """Worker: JSON of Words."""
    FINAL = 8
    """Worker: JSON of Words; nothing follows for this utterance."""
    FAULT = 9
    """Worker: why this utterance is given up, nothing follows; of utterance 0, what else went wrong."""


@dataclass(frozen=True, slots=True)
class Message:
    kind: Kind
    utterance: int
    payload: bytes

    def encode(self) -> bytes:
        return HEADER.pack(len(self.payload), self.kind, self.utterance) + self.payload


class Messages:
    """Bytes in, whole messages out. `ValueError` when the other side does not speak this protocol."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Message]:
        self._buffer += data
        while len(self._buffer) >= HEADER.size:
            size, kind, utterance = HEADER.unpack_from(self._buffer)
            if size > MAX_PAYLOAD:
                raise ValueError(f"a message of {size} bytes")
            if len(self._buffer) < HEADER.size + size:
                return
            payload = bytes(self._buffer[HEADER.size : HEADER.size + size])
            del self._buffer[: HEADER.size + size]
            yield Message(Kind(kind), utterance, payload)


def words_to_json(words: Words) -> bytes:
    return json.dumps(asdict(words)).encode()


def words_from_json(data: bytes) -> Words:
    """Words as the worker sends them."""
    read: dict[str, Any] = json.loads(data)
    words = tuple(Word(**word) for word in read["words"])
    return Words(read["text"], read["final"], read["confidence"], words, tuple(read["nbest"]))
