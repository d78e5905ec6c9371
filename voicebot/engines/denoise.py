"""Noise suppression in front of a recogniser: WebRTC's, by the package `webrtc-noise-gain` (`pip install
'voicebot[noise]'`), which takes 16 kHz in pieces of 10 ms."""

from __future__ import annotations

import importlib.util
from functools import partial
from typing import Any

from voicebot.audio.frames import RATE
from voicebot.audio.resample import Resampler
from voicebot.errors import UsageError

STRENGTH = 2
"""Of 4; README, "Figures"."""
RATE_INSIDE = 16_000
PIECE_BYTES = 320
LATE_SAMPLES = 72
"""At the line's rate: 6 ms of WebRTC's, and one and a half for each resampler."""


def check() -> str | None:
    """None when it can run here, else what it needs."""
    if importlib.util.find_spec("webrtc_noise_gain") is None:
        return "Install webrtc-noise-gain: pip install 'voicebot[noise]'."
    return None


class Denoiser:
    """One stream, int16 LE at the line's rate: as many samples out as in, each in its place. `UsageError` without the
    package."""

    delay_ms = LATE_SAMPLES / RATE * 1000

    def __init__(self, strength: int = STRENGTH) -> None:
        if missing := check():
            raise UsageError(missing)
        from webrtc_noise_gain import AudioProcessor

        self._fresh = partial(AudioProcessor, 0, strength)  # no gain: `audio.leveller` has ours
        self._up, self._down = Resampler(RATE, RATE_INSIDE), Resampler(RATE_INSIDE, RATE)
        self._begin()

    def _begin(self) -> None:
        self._processor: Any = self._fresh()
        self._up.reset()
        self._down.reset()
        self._waiting = b""
        self._early = LATE_SAMPLES * 2
        """Bytes still to come out that nobody put in."""
        self._owed = 0

    def push(self, pcm: bytes) -> bytes:
        """What is done with; the rest within 19 ms."""
        self._owed += len(pcm)
        self._waiting += self._up.push(pcm)
        whole = len(self._waiting) // PIECE_BYTES * PIECE_BYTES
        starts = range(0, whole, PIECE_BYTES)
        clean = [bytes(self._processor.Process10ms(self._waiting[at : at + PIECE_BYTES]).audio) for at in starts]
        self._waiting = self._waiting[whole:]
        out = self._down.push(b"".join(clean))
        dropped = min(self._early, len(out))
        self._early -= dropped
        self._owed -= len(out) - dropped
        return out[dropped:]

    def flush(self) -> bytes:
        """What was held back; the stream is at its end, and fresh."""
        owed = self._owed
        tail = self.push(bytes(LATE_SAMPLES * 2 + PIECE_BYTES))[:owed]
        self._begin()
        return tail
