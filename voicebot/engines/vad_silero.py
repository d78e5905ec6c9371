"""Voice activity by Silero's neural model at 8 kHz, behind an energy gate and WebRTC's detector.

The model file comes out of the silero-vad package (installed without its dependencies, which would be torch); it is
run by onnxruntime on one thread. It runs only while there is something to judge: the gates in front are open or an
utterance is active. When they open again, the model is fed the last 96 ms first, so that its state is of now.
Without the package the WebRTC detector stands in. Options: `threshold`, `start_ms`, `stop_ms`.

A run is inline, less than a hop to a thread and back: 0.09 ms for one call, 0.035 for each of sixteen. So where many
calls are up, their windows wait for each other for a moment; where few are, nobody waits.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
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
FEW = 8
"""Of fewer calls than this there is hardly ever another to wait for."""
TOGETHER = 16
"""Windows that are judged at once: more would hold the event loop up, and win nothing."""
GATHER_S = 0.01
"""A window waits so long at most: a beat of one of four calls."""
_SCALE = np.float32(1 / 32768)
_SR = np.array(RATE, np.int64)
_OUTPUTS = ("output", "stateN")
_FRESH = np.zeros((2, 1, 128), np.float32)
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
    """One model session, shared by all calls, and the windows that wait for it."""

    def __init__(self, config: EngineConfig) -> None:
        options = config.options
        self.threshold = float(options.get("threshold", 0.5))
        self.start_ms, self.stop_ms = int(options.get("start_ms", 64)), int(options.get("stop_ms", 200))
        self.calls = 0
        self._model: Any = None
        self._waiting: list[SileroSession] = []
        self._timer: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        import onnxruntime  # 0.2 s: not for those who run without it

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._model = onnxruntime.InferenceSession(model_file(), options, providers=["CPUExecutionProvider"])
        for calls in (1, TOGETHER):
            self.judge(np.zeros((calls, CONTEXT + WINDOW), np.float32), np.zeros((2, calls, 128), np.float32))

    async def close(self) -> None:
        self._model = None

    def judge(
        self, windows: npt.NDArray[np.float32], state: npt.NDArray[np.float32]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Probabilities [n] and new state [2, n, 128] for windows [n, 288] of n calls at 8 kHz, in -1..1."""
        found, after = self._model.run(_OUTPUTS, {"input": windows, "state": state, "sr": _SR})
        return found[:, 0], after

    def open(self) -> SileroSession:
        self.calls += 1
        return SileroSession(self)

    # --- many calls at once

    def wait(self, session: SileroSession) -> None:
        """It is run with others, or at once where there are few calls."""
        self._waiting.append(session)
        if self.calls < FEW or len(self._waiting) >= TOGETHER:
            self._settle()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(GATHER_S, self._settle)

    def leave(self, session: SileroSession) -> None:
        """Its call is over."""
        self.calls -= 1
        if session in self._waiting:
            self._waiting.remove(session)

    def _settle(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        try:
            self.run(waiting)
        except Exception as error:  # they keep what was found last
            _log.error("silero_failed", exc_info=error)
        for session in waiting:
            try:
                session.answer()
            except Exception as error:  # a call that stumbles must not hold the others up
                _log.error("call_stumbled", exc_info=error)

    def run(self, sessions: Sequence[SileroSession]) -> None:
        """Run what each of them has to be run, the first windows of all, then the second ones, and so on."""
        while sessions:
            windows = np.frombuffer(b"".join([each.context + each.due[0] for each in sessions]), "<i2")
            states = np.concatenate([each.state for each in sessions], axis=1)
            found, after = self.judge(windows.reshape(-1, CONTEXT + WINDOW) * _SCALE, states)
            for at, (session, probability) in enumerate(zip(sessions, found.tolist(), strict=True)):
                session.ran(probability, after[:, at : at + 1])
            sessions = [each for each in sessions if each.due]


class SileroSession:
    """One call's windows, and the model's state for it."""

    def __init__(self, vad: SileroVad) -> None:
        self._vad, self._gate, self._first = vad, EnergyGate(), webrtcvad.Vad(2)
        self._onsets = Onsets(WINDOW, RATE, vad.start_ms, vad.stop_ms)
        self._pending = bytearray()
        self._pending_at = 0
        self._kept: deque[bytes] = deque(maxlen=WARM_UP)
        self._open_frames = 0
        self._asleep, self._probability = True, 0.0
        self._answer: Callable[[Sequence[Voice]], None] | None = None
        self.due: deque[bytes] = deque()
        """Windows that the model must be given next."""
        self.context, self.state = bytes(2 * CONTEXT), _FRESH

    @property
    def speech(self) -> bool:
        return self._onsets.speech

    def push(self, pcm: bytes, at: int) -> Sequence[Voice]:
        found: list[Voice] = []
        self._hear(pcm, at)
        while len(self._pending) >= WINDOW_BYTES:
            if self._wake():
                self._vad.run([self])
            found.extend(self._judged())
        return found

    def ask(self, pcm: bytes, at: int, answer: Callable[[Sequence[Voice]], None]) -> None:
        self._hear(pcm, at)
        if len(self._pending) < WINDOW_BYTES:
            answer(())
        elif self._wake():
            self._answer = answer
            self._vad.wait(self)
        else:
            answer(self._judged())

    def close(self) -> None:
        self._answer = None
        self._vad.leave(self)

    def answer(self) -> None:
        """Say what was found to who has asked, if they still want to know."""
        self.due.clear()
        if self._answer:
            self._answer(self._judged())

    def ran(self, probability: float, state: npt.NDArray[np.float32]) -> None:
        """The model has been given the first window that was due."""
        self.context = self.due.popleft()[-2 * CONTEXT :]
        self._probability, self.state = probability, state

    def _hear(self, pcm: bytes, at: int) -> None:
        frame = pcm if len(pcm) == FRAME_BYTES else pcm.ljust(FRAME_BYTES, b"\0")[:FRAME_BYTES]
        if self._gate.open(frame) and self._first.is_speech(frame, RATE):
            self._open_frames = OPEN_FRAMES
        else:
            self._open_frames = max(0, self._open_frames - 1)
        if not self._pending:
            self._pending_at = at
        self._pending += pcm

    def _wake(self) -> bool:
        """Whether the model must be asked about the first window that is pending."""
        window = bytes(self._pending[:WINDOW_BYTES])
        if not self._open_frames and not self._onsets.active:
            self._asleep, self._probability = True, -1.0
            self._kept.append(window)
            return False
        if self._asleep:
            self._asleep, self.state = False, _FRESH
            self.due.extend(self._kept)
            self._kept.clear()
        self.due.append(window)
        return True

    def _judged(self) -> Sequence[Voice]:
        """What follows for the call from the first window that is pending."""
        bar = self._vad.threshold - (HYSTERESIS if self._onsets.active else 0.0)
        at, self._pending_at = self._pending_at, self._pending_at + WINDOW
        del self._pending[:WINDOW_BYTES]
        return voices(self._onsets.push(at, self._probability >= bar))
