"""Voice activity by WebRTC's Gaussian mixture model behind an energy gate, at 8 kHz: 3 µs a frame, no model file.

Options: `mode` 0-3 (3: least false alarms), `start_ms`, `stop_ms`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import webrtcvad

from voicebot.audio.frames import FRAME_BYTES, FRAME_SAMPLES, RATE
from voicebot.audio.voice import EnergyGate, Onset, Onsets
from voicebot.engines.base import EngineConfig, Voice, VoiceStarted, VoiceStopped


def check() -> str | None:
    """It is in the base install."""
    return None


def create(config: EngineConfig) -> WebrtcVad:
    return WebrtcVad(config)


class WebrtcVad:
    """Holds nothing but settings: each call has a detector of its own."""

    def __init__(self, config: EngineConfig) -> None:
        options = config.options
        self._mode = int(options.get("mode", 3))
        self._start_ms, self._stop_ms = int(options.get("start_ms", 80)), int(options.get("stop_ms", 200))

    async def start(self) -> None:
        pass

    async def close(self) -> None:
        pass

    def open(self) -> WebrtcSession:
        return WebrtcSession(self._mode, self._start_ms, self._stop_ms)


class WebrtcSession:
    """One call's detector."""

    def __init__(self, mode: int, start_ms: int, stop_ms: int) -> None:
        self._gate, self._model = EnergyGate(), webrtcvad.Vad(mode)
        self._onsets = Onsets(FRAME_SAMPLES, RATE, start_ms, stop_ms)

    @property
    def speech(self) -> bool:
        return self._onsets.speech

    def push(self, pcm: bytes, at: int) -> Sequence[Voice]:
        frame = pcm if len(pcm) == FRAME_BYTES else pcm.ljust(FRAME_BYTES, b"\0")[:FRAME_BYTES]
        speech = self._gate.open(frame) and bool(self._model.is_speech(frame, RATE))
        return voices(self._onsets.push(at, speech))

    def ask(self, pcm: bytes, at: int, answer: Callable[[Sequence[Voice]], None]) -> None:
        answer(self.push(pcm, at))

    def close(self) -> None: ...


def voices(found: object) -> Sequence[Voice]:
    """As the events of the contract."""
    if found is None:
        return ()
    at = found.at  # type: ignore[attr-defined]
    return (VoiceStarted(at),) if isinstance(found, Onset) else (VoiceStopped(at),)
