"""espeak-ng as a program that speaks many voices and says when each phoneme begins: what pairs for training are made
of.

    python -m voicebot.engines.espeak_phonemes

A line of JSON in, `{"voice": "es+m3", "text": "…", "rate": 150, "pitch": 50}`; a line of JSON out, `{"rate": 22050,
"bytes": n, "phonemes": [["k", 0], …], "end": m}` (samples; `end`: where the last phoneme ends), and n bytes of int16 LE
mono after it. A fault is `{"fault": "…"}`. It ends when its input closes. As `espeak_program`, it loads espeak-ng
(GPL-3), and no other part of voicebot does.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from typing import Any

from voicebot.engines import espeak_program as espeak

_SYNCHRONOUS, _PHONEME_EVENTS, _PHONEME_IPA = 2, 1, 2
_EVENT_PHONEME = 7
_STRESS = "ˈˌ"


class Phonemes:
    """The library; one sentence at a time."""

    def __init__(self) -> None:
        import espeakng_loader

        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        data = espeakng_loader.get_data_path().encode()
        self.rate = int(self._library.espeak_Initialize(_SYNCHRONOUS, 0, data, _PHONEME_EVENTS | _PHONEME_IPA))
        self._callback = espeak._CALLBACK(self._spoken)
        self._library.espeak_SetSynthCallback(self._callback)
        self._pcm, self._marks = bytearray(), list[tuple[str, int]]()

    def say(self, voice: str, text: str, rate: int, pitch: int) -> tuple[bytes, list[tuple[str, int]], int]:
        """Audio, phonemes with the sample at which each begins, and the sample at which the last one ends. `OSError`
        for a voice that espeak-ng does not have."""
        self._pcm.clear()
        self._marks.clear()
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise OSError(f"espeak-ng has no voice {voice!r}.")
        self._library.espeak_SetParameter(espeak._PARAMETERS["rate"], rate, 0)
        self._library.espeak_SetParameter(espeak._PARAMETERS["pitch"], pitch, 0)
        data = text.encode() + b"\0"
        self._library.espeak_Synth(data, ctypes.c_size_t(len(data)), 0, 1, 0, espeak._CHARS_UTF8, None, None)
        said = [(name.strip(_STRESS), at) for name, at in self._marks if name.strip(_STRESS)]
        ends = [at for name, at in self._marks if not name and said and at > said[-1][1]]
        return bytes(self._pcm), said, ends[0] if ends else len(self._pcm) // 2

    def _spoken(self, samples: Any, count: int, events: Any) -> int:
        if samples and count > 0:
            self._pcm += ctypes.string_at(samples, count * 2)
        at = 0
        while events and events[at].type != espeak._EVENT_END_OF_LIST:
            if events[at].type == _EVENT_PHONEME:
                self._marks.append((events[at].id.string.decode("utf-8", "replace"), events[at].sample))
            at += 1
        return 0


def main() -> None:
    """Answer until the input closes."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # nothing that the library prints may get between the answers
    library = Phonemes()
    for line in sys.stdin:
        try:
            wanted = json.loads(line)
            pcm, phonemes, end = library.say(wanted["voice"], wanted["text"], wanted["rate"], wanted["pitch"])
            head: dict[str, Any] = {"rate": library.rate, "bytes": len(pcm), "phonemes": phonemes, "end": end}
        except (OSError, KeyError, ValueError) as error:
            pcm, head = b"", {"fault": str(error)}
        out.write(json.dumps(head).encode() + b"\n" + pcm)
        out.flush()


if __name__ == "__main__":
    main()
