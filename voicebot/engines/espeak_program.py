"""espeak-ng as a small program of its own: sentences in on standard input, speech out on standard output.

espeak-ng is GPL-3 and keeps its state in globals, so no other part of voicebot loads it: this file imports the
standard library and `espeakng_loader` only, and talks to the rest through two pipes.

    python -m voicebot.engines.espeak_program '{"voice": "en-us", "rate": 165}'

A frame, in either direction, is its length (u32, little-endian, of what follows), one kind byte, a request id
(u32) and a payload:

    → S  say      the text, UTF-8
    → C  cancel   nothing; what is queued or being spoken under this id stops
    ← R  ready    sample rate (u32) and espeak's version (id 0, once)
    ← A  audio    count of words (u16), that many of (character u32, sample u32), then int16 LE mono PCM
    ← E  end      nothing; every S is answered by exactly one E or F
    ← F  fault    a sentence, UTF-8

Requests are answered in order. The program ends when its standard input closes, whatever it is doing, so that
it cannot outlive a parent that was killed.
"""

from __future__ import annotations

import array
import ctypes
import json
import math
import os
import queue
import signal
import struct
import sys
import threading
from collections.abc import Mapping
from typing import Any, BinaryIO

CHUNK_MS = 60
QUEUED = 64
"""Sentences waiting; beyond it standard input is not read, and the parent has to wait."""
LEVEL_DBFS = -20.0
"""RMS of running speech: a telephone's usual level. Peaks of espeak are 15–19 dB above it, so nothing clips."""
_HEAD = struct.Struct("<IBI")
_WORD = struct.Struct("<II")
_COUNT = struct.Struct("<H")
MOST_BYTES = 1 << 20
"""Largest frame accepted."""

# from speak_lib.h, espeak-ng 1.52
_SYNCHRONOUS, _DONT_EXIT = 2, 0x8000
_POSITION_CHARACTER, _CHARS_UTF8 = 1, 1
_PARAMETERS = {"rate": 1, "volume": 2, "pitch": 3, "range": 4, "word_gap": 7}
_VOLUME = _PARAMETERS["volume"]
_EVENT_END_OF_LIST, _EVENT_WORD = 0, 1
_GO_ON, _STOP = 0, 1


class _EventId(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    )


_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


class Espeak:
    """The library, with one voice. `heard(pcm, words)` gets the audio of `say` and returns whether to go on."""

    def __init__(self, voice: str, parameters: Mapping[str, int]) -> None:
        import espeakng_loader

        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        data = espeakng_loader.get_data_path().encode()
        self.rate = int(self._library.espeak_Initialize(_SYNCHRONOUS, CHUNK_MS, data, _DONT_EXIT))
        if self.rate <= 0:
            raise OSError("espeak-ng could not be initialised: its data are missing or of another version.")
        self._library.espeak_Info.restype = ctypes.c_char_p
        self.version = self._library.espeak_Info(None).decode()
        self._callback = _CALLBACK(self._spoken)
        self._library.espeak_SetSynthCallback(self._callback)
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise OSError(f"espeak-ng has no voice {voice!r}.")
        self._heard: Any = None
        for name, value in parameters.items():
            self._library.espeak_SetParameter(_PARAMETERS[name], value, 0)
        if "volume" not in parameters:
            self._level()

    def say(self, text: str, heard: Any) -> None:
        """Speak plain text. Neither SSML nor `[[phonemes]]` are asked for in the flags, so both are only text."""
        data = text.encode("utf-8", "replace") + b"\0"
        self._heard = heard
        size = ctypes.c_size_t(len(data))
        failed = self._library.espeak_Synth(data, size, 0, _POSITION_CHARACTER, 0, _CHARS_UTF8, None, None)
        if failed:
            raise OSError(f"espeak-ng refused the text (error {failed}).")

    def _spoken(self, samples: Any, count: int, events: Any) -> int:
        words = []
        at = 0
        while events[at].type != _EVENT_END_OF_LIST:
            if events[at].type == _EVENT_WORD:
                words.append((max(0, events[at].text_position - 1), max(0, events[at].sample)))
            at += 1
        pcm = ctypes.string_at(samples, count * 2) if samples and count > 0 else b""
        if not pcm and not words:
            return _GO_ON
        return _GO_ON if self._heard(pcm, words) else _STOP

    def _level(self) -> None:
        """Set the volume so that this voice speaks at `LEVEL_DBFS`: variants differ by 12 dB. Digits are
        speakable in every language."""
        audio = array.array("h")

        def collect(pcm: bytes, _words: object) -> bool:
            audio.frombytes(pcm)
            return True

        self.say("3 8 5 1", collect)
        loud = [s * s for s in audio if abs(s) > 100]
        if loud:
            level = 10 * math.log10(sum(loud) / len(loud) / 32768**2)
            volume = round(100 * 10 ** ((LEVEL_DBFS - level) / 20))
            self._library.espeak_SetParameter(_VOLUME, min(300, max(20, volume)), 0)


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
        self._waiting: queue.Queue[tuple[int, str]] = queue.Queue(QUEUED)
        self._cancelled: set[int] = set()
        threading.Thread(target=self._listen, daemon=True).start()

    def next(self) -> tuple[int, str]:
        return self._waiting.get()

    def wanted(self, request: int) -> bool:
        return request not in self._cancelled

    def done(self, request: int) -> None:
        self._cancelled = {other for other in self._cancelled if other > request}

    def _listen(self) -> None:
        while frame := _read(self._source):
            kind, request, payload = frame
            if kind == b"S":
                self._waiting.put((request, payload.decode("utf-8", "replace")))
            elif kind == b"C":
                self._cancelled |= {request}
        os._exit(0)


def serve(espeak: Espeak, requests: Requests, out: BinaryIO) -> None:
    """Answer requests for ever."""
    _send(out, b"R", 0, struct.pack("<I", espeak.rate) + espeak.version.encode())
    while True:
        request, text = requests.next()

        def heard(pcm: bytes, words: list[tuple[int, int]], request: int = request) -> bool:
            if not requests.wanted(request):
                return False
            times = b"".join(_WORD.pack(*word) for word in words)
            try:
                _send(out, b"A", request, _COUNT.pack(len(words)) + times + pcm)
            except BrokenPipeError:  # ctypes swallows exceptions; the E frame below meets the same end
                return False
            return True

        try:
            if requests.wanted(request):
                espeak.say(text, heard)
            _send(out, b"E", request)
        except OSError as error:
            _send(out, b"F", request, str(error).encode())
        requests.done(request)


def main() -> int:
    """Exit status: 0 when standard input closed, 2 when the voice cannot be had (the reason is the F frame)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent closes the pipe
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # nothing that a library prints may get between the frames
    settings: dict[str, Any] = json.loads(sys.argv[1])
    try:
        espeak = Espeak(settings.pop("voice"), settings)
    except (OSError, ImportError) as error:
        _send(out, b"F", 0, str(error).encode())
        return 2
    try:
        serve(espeak, Requests(sys.stdin.buffer), out)
    except BrokenPipeError:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
