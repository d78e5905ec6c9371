"""Voice activity by Silero's neural model at 8 kHz, behind an energy gate and WebRTC's detector.

The model file comes out of the silero-vad package (installed without its dependencies, which would be torch); it is
run by onnxruntime on one thread. It runs only while there is something to judge: the gates in front are open or an
utterance is active. When they open again, the model is fed the last 96 ms first, so that its state is of now.
Without the package the WebRTC detector stands in. Options: `threshold`, `start_ms`, `stop_ms`.

The run is inline: 0.1–0.2 ms every 32 ms of a call with a voice in it, less than a hop to a thread and back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from importlib import metadata
from typing import Any

import numpy as np
import numpy.typing as npt
import webrtcvad

from voicebot import log
from voicebot.audio.frames import FRAME_BYTES, RATE
from voicebot.audio.voice import EnergyGate, Onsets
from voicebot.engines import models
from voicebot.engines.base import EngineConfig, Voice
from voicebot.engines.vad_webrtc import WebrtcVad, voices

WINDOW = 256
"""Samples the model judges at once: 32 ms at 8 kHz."""
CONTEXT = 32
"""Samples before the window that it must see too; without them its answers are wrong."""
WINDOW_BYTES = 2 * WINDOW
WARM_UP = 3
"""Windows fed to a model that starts again."""
HYSTERESIS = 0.15
"""An active utterance goes on above threshold minus this."""
OPEN_FRAMES = 8
"""The model keeps running for this many 20 ms frames after the gates closed."""
_SCALE = np.float32(1 / 32768)
_SR = np.array(RATE, np.int64)
_OUTPUTS = ("output", "stateN")
_log = log.get("vad")


def model_file() -> str | None:
    """Path of the ONNX file in the installed silero-vad package, which is never imported, or in the models folder."""
    try:
        files = metadata.files("silero-vad") or []
    except metadata.PackageNotFoundError:
        files = []
    fetched = models.folder() / "silero" / "silero_vad.onnx"
    inside = next((str(f.locate()) for f in files if f.name == "silero_vad.onnx"), None)
    return inside or (str(fetched) if fetched.is_file() else None)


def check() -> str | None:
    """What it needs, in one sentence."""
    if model_file() is None:
        return "pip install --no-deps silero-vad, or voicebot models get silero/vad (WebRTC's detector stands in)"
    return None


def create(config: EngineConfig) -> Any:
    """A `Vad`: Silero where it can run, else WebRTC."""
    if (lack := check()) is not None:
        _log.warning("silero_stands_aside", needs=lack)
        return WebrtcVad(config)
    return SileroVad(config)


class SileroVad:
    """One model session, shared by all calls."""

    def __init__(self, config: EngineConfig) -> None:
        options = config.options
        self.threshold = float(options.get("threshold", 0.5))
        self.start_ms, self.stop_ms = int(options.get("start_ms", 64)), int(options.get("stop_ms", 200))
        self._model: Any = None

    async def start(self) -> None:
        import onnxruntime  # 0.2 s: not for those who run without it

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._model = onnxruntime.InferenceSession(model_file(), options, providers=["CPUExecutionProvider"])
        self.judge(np.zeros((1, CONTEXT + WINDOW), np.float32), np.zeros((2, 1, 128), np.float32))

    async def close(self) -> None:
        self._model = None

    def judge(
        self, windows: npt.NDArray[np.float32], state: npt.NDArray[np.float32]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Probabilities [n] and new state [2, n, 128] for windows [n, 288] of n calls at 8 kHz, in -1..1."""
        found, after = self._model.run(_OUTPUTS, {"input": windows, "state": state, "sr": _SR})
        return found[:, 0], after

    def open(self) -> SileroSession:
        return SileroSession(self)


class SileroSession:
    """One call's windows, and the model's state for it."""

    def __init__(self, vad: SileroVad) -> None:
        self._vad, self._gate, self._first = vad, EnergyGate(), webrtcvad.Vad(2)
        self._onsets = Onsets(WINDOW, RATE, vad.start_ms, vad.stop_ms)
        self._pending = bytearray()
        self._pending_at = 0
        self._kept: deque[bytes] = deque(maxlen=WARM_UP)
        self._input = np.zeros((1, CONTEXT + WINDOW), np.float32)
        self._state: npt.NDArray[np.float32] | None = None  # None: the model is asleep
        self._open_frames = 0

    @property
    def speech(self) -> bool:
        return self._onsets.speech

    def push(self, pcm: bytes, at: int) -> Sequence[Voice]:
        frame = pcm if len(pcm) == FRAME_BYTES else pcm.ljust(FRAME_BYTES, b"\0")[:FRAME_BYTES]
        if self._gate.open(frame) and self._first.is_speech(frame, RATE):
            self._open_frames = OPEN_FRAMES
        else:
            self._open_frames = max(0, self._open_frames - 1)
        if not self._pending:
            self._pending_at = at
        self._pending += pcm
        if len(self._pending) < WINDOW_BYTES:
            return ()
        found: list[Voice] = []
        while len(self._pending) >= WINDOW_BYTES:
            window = bytes(self._pending[:WINDOW_BYTES])
            del self._pending[:WINDOW_BYTES]
            found.extend(voices(self._onsets.push(self._pending_at, self._judge(window))))
            self._pending_at += WINDOW
        return found

    def _judge(self, window: bytes) -> bool:
        if not self._open_frames and not self._onsets.active:
            self._state = None
            self._kept.append(window)
            return False
        if self._state is None:
            self._state = np.zeros((2, 1, 128), np.float32)
            for before in self._kept:
                self._run(before)
            self._kept.clear()
        bar = self._vad.threshold - (HYSTERESIS if self._onsets.active else 0.0)
        return self._run(window) >= bar

    def _run(self, window: bytes) -> float:
        assert self._state is not None
        given = self._input
        given[0, :CONTEXT] = given[0, WINDOW:]
        np.multiply(np.frombuffer(window, "<i2"), _SCALE, out=given[0, CONTEXT:])
        probability, self._state = self._vad.judge(given, self._state)
        return float(probability[0])
