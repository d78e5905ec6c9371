"""Between the telephone's 8 kHz and what a native engine takes and gives: one conversion each way."""

from __future__ import annotations

from voicebot.audio.g711 import alaw_decode, alaw_encode, ulaw_decode, ulaw_encode
from voicebot.audio.resample import Resampler
from voicebot.carriers.base import RATE
from voicebot.core.duplex import AudioFormat, Coding


class Inward:
    """Caller audio, 8 kHz int16 LE, for the engine. G.711 is not resampled: what the carrier decoded comes back bit
    for bit."""

    def __init__(self, format: AudioFormat) -> None:
        self._coding = format.coding
        self._resampler = Resampler(RATE, format.rate) if format.rate != RATE else None

    def push(self, pcm: bytes) -> bytes:
        match self._coding:
            case Coding.PCMU:
                return ulaw_encode(pcm)
            case Coding.PCMA:
                return alaw_encode(pcm)
            case _:
                return self._resampler.push(pcm) if self._resampler else pcm


class Outward:
    """One reply's audio as the engine gives it: 8 kHz int16 LE for the telephone."""

    def __init__(self, format: AudioFormat) -> None:
        self._coding = format.coding
        self._resampler = Resampler(format.rate, RATE) if format.rate != RATE else None

    def push(self, audio: bytes) -> bytes:
        match self._coding:
            case Coding.PCMU:
                return ulaw_decode(audio)
            case Coding.PCMA:
                return alaw_decode(audio)
            case _:
                return self._resampler.push(audio) if self._resampler else audio

    def flush(self) -> bytes:
        """The end of the reply."""
        return self._resampler.flush() if self._resampler else b""
