"""A synthesiser as a small program of its own: sentences in on standard input, speech out on standard output.

A program calls `run` with a function that loads its voice. This file imports the standard library only.

A frame, in either direction, is its length (u32, little-endian, of what follows), one kind byte, a request id
(u32) and a payload:

    → S  say      pace in thousandths of the voice's own (u16), then the text, UTF-8
    → C  cancel   nothing; what is queued or being spoken under this id stops
    ← R  ready    sample rate (u32) and espeak's version (id 0, once)
    ← A  audio    count of words (u16), that many of (character u32, sample u32), then int16 LE mono PCM
    ← E  end      nothing; every S is answered by exactly one E or F
    ← F  fault    a sentence, UTF-8

Requests are answered in order. The program ends when its standard input closes, whatever it is doing, so that
it cannot outlive a parent that was killed.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import struct
import sys
import threading
from collections.abc import Callable
from typing import Any, BinaryIO, Protocol

QUEUED = 64
"""Sentences waiting; beyond it standard input is not read, and the parent has to wait."""
_HEAD = struct.Struct("<IBI")
_WORD = struct.Struct("<II")
_COUNT = struct.Struct("<H")
_PACE = struct.Struct("<H")
MOST_BYTES = 1 << 20
"""Largest frame accepted."""

Heard = Callable[[bytes, list[tuple[int, int]]], bool]
"""Takes int16 LE mono PCM and (character of the text, sample since its start) of the words; whether to go on."""


class Voice(Protocol):
    rate: int
    version: str
    """Of the library and the voice, for the log."""

    def say(self, text: str, heard: Heard, pace: float = 1.0) -> None:
        """Speak plain text, `pace` times as fast as usual. `OSError`, `RuntimeError` or `ValueError` when it cannot."""
        ...


def _send(out: BinaryIO, kind: bytes, request: int, payload: bytes = b"") -> None:
    out.write(_HEAD.pack(5 + len(payload), kind[0], request) + payload)
    out.flush()


def _read(source: BinaryIO) -> tuple[bytes, int, bytes] | None:
    head = source.read(_HEAD.size)
    if len(head) < _HEAD.size:
        return None
    length, kind, request = _HEAD.unpack(head)
    if not 5 <= length <= MOST_BYTES:
        return None
    payload = source.read(length - 5)
    return (bytes([kind]), request, payload) if len(payload) == length - 5 else None


class Requests:
    """Standard input, read by a thread so that a cancel arrives while the library speaks."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._waiting: queue.Queue[tuple[int, str, float]] = queue.Queue(QUEUED)
        self._cancelled: set[int] = set()
        threading.Thread(target=self._listen, daemon=True).start()

    def next(self) -> tuple[int, str, float]:
        return self._waiting.get()

    def wanted(self, request: int) -> bool:
        return request not in self._cancelled

    def done(self, request: int) -> None:
        self._cancelled = {other for other in self._cancelled if other > request}

    def _listen(self) -> None:
        while frame := _read(self._source):
            kind, request, payload = frame
            if kind == b"S":
                (pace,) = _PACE.unpack_from(payload)
                self._waiting.put((request, payload[_PACE.size :].decode("utf-8", "replace"), pace / 1000))
            elif kind == b"C":
                self._cancelled |= {request}
        os._exit(0)


def serve(voice: Voice, requests: Requests, out: BinaryIO) -> None:
    """Answer requests for ever."""
    _send(out, b"R", 0, struct.pack("<I", voice.rate) + voice.version.encode())
    while True:
        request, text, pace = requests.next()

        def heard(pcm: bytes, words: list[tuple[int, int]], request: int = request) -> bool:
            if not requests.wanted(request):
                return False
            times = b"".join(_WORD.pack(*word) for word in words)
            try:
                _send(out, b"A", request, _COUNT.pack(len(words)) + times + pcm)
            except BrokenPipeError:  # a C library swallows exceptions; the E frame below meets the same end
                return False
            return True

        try:
            if requests.wanted(request):
                voice.say(text, heard, pace)
            _send(out, b"E", request)
        except (OSError, RuntimeError, ValueError) as error:
            _send(out, b"F", request, str(error).encode())
        requests.done(request)


def run(load: Callable[[dict[str, Any]], Voice]) -> int:
    """The program: settings are JSON in the first argument. Exit status: 0 when standard input closed, 2 when the
    voice cannot be had (the reason is the F frame)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent closes the pipe
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # nothing that a library prints may get between the frames
    try:
        voice = load(json.loads(sys.argv[1]))
    except Exception as error:  # whatever a library raises over a broken model
        _send(out, b"F", 0, f"{error}".encode("utf-8", "replace"))
        return 2
    try:
        serve(voice, Requests(sys.stdin.buffer), out)
    except BrokenPipeError:
        pass
    return 0
