"""espeak-ng as a small program of its own: sentences in on standard input, speech out on standard output.

espeak-ng is GPL-3 and keeps its state in globals, so no other part of voicebot loads it: this file imports the
standard library, our frames and `espeakng_loader` only, and talks to the rest through two pipes.

    python -m voicebot.engines.espeak_program '{"voice": "en-us", "rate": 165}'

The frames are those of `speech_program`.
"""

from __future__ import annotations

import array
import ctypes
import math
import sys
from collections.abc import Mapping
from typing import Any

from voicebot.engines.speech_program import run

CHUNK_MS = 60
USUAL_RATE = 175
"""espeak's own, in words a minute."""
LEVEL_DBFS = -20.0
"""RMS of running speech: a telephone's usual level. Peaks of espeak are 15–19 dB above it, so nothing clips."""

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
        self._words_a_minute = parameters.get("rate", USUAL_RATE)
        for name, value in parameters.items():
            self._library.espeak_SetParameter(_PARAMETERS[name], value, 0)
        if "volume" not in parameters:
            self._level()

    def say(self, text: str, heard: Any, pace: float = 1.0) -> None:
        """Speak plain text, `pace` times as fast as the settings say. Neither SSML nor `[[phonemes]]` are asked for in
        the flags, so both are only text."""
        data = text.encode("utf-8", "replace") + b"\0"
        self._heard = heard
        self._library.espeak_SetParameter(_PARAMETERS["rate"], round(self._words_a_minute * pace), 0)
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


if __name__ == "__main__":
    sys.exit(run(lambda settings: Espeak(settings.pop("voice"), settings)))
