"""End of turn by a model that the operator supplies, in the format of smart-turn v3: one ONNX file with an input
`input_features`, float32 [1, 80, 800] (Whisper's log-mel of the last 8 s, see `audio.logmel`), whose first output is
the probability that the speaker has finished. No model comes with voicebot.

Options: `model`, a path (else the setting `VOICEBOT_EOT_MODEL`), and `deadline_ms`.

A run takes tens of milliseconds, so that it is no work for the event loop: each has a thread's turn, and whoever asks
waits no longer than the deadline. Beyond `MOST_WAITING` no more is taken in: late is as good as never here. A model
that fails, is late or answers nonsense has no vote.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import soxr

from voicebot import log
from voicebot.audio.frames import RATE
from voicebot.audio.logmel import BANDS, COLUMNS, SECONDS, log_mel
from voicebot.audio.logmel import RATE as MODEL_RATE
from voicebot.config import Settings
from voicebot.engines.base import EngineConfig
from voicebot.errors import UsageError

INPUT = "input_features"
DEADLINE_MS = 400
MOST_WAITING = 8
_OPTIONS = frozenset(("model", "deadline_ms"))
_log = log.get("eot")


def check() -> str | None:
    """What it needs, in one sentence."""
    path = Settings().eot_model
    if not path:
        return "set VOICEBOT_EOT_MODEL to a model in smart-turn v3's format"
    return None if Path(path).is_file() else f"VOICEBOT_EOT_MODEL names no file: {path}"


def create(config: EngineConfig) -> OnnxEot:
    """`UsageError` for an unknown option, or when no model is named."""
    if unknown := sorted(set(config.options) - _OPTIONS):
        raise UsageError(f"eot onnx has no option {unknown[0]!r}. Use one of: {', '.join(sorted(_OPTIONS))}.")
    path = str(config.options.get("model") or Settings().eot_model)
    if not path:
        raise UsageError("The end-of-turn engine has no model. Set VOICEBOT_EOT_MODEL, or the option `model`.")
    return OnnxEot(Path(path), int(config.options.get("deadline_ms", DEADLINE_MS)), config.workers)


class OnnxEot:
    """One model, shared by all calls."""

    def __init__(self, path: Path, deadline_ms: int, workers: int) -> None:
        self._path, self._deadline_s, self._workers = path, deadline_ms / 1000, workers
        self._model: Any = None
        self._threads: ThreadPoolExecutor | None = None
        self._waiting = 0
        self.failed = 0
        """Asked and got no vote."""

    async def start(self) -> None:
        """Load the model and try it. `UsageError` when it cannot be read or takes something else."""
        self._model = await asyncio.to_thread(_load, self._path)
        self._threads = ThreadPoolExecutor(self._workers, thread_name_prefix="eot")
        if await asyncio.to_thread(_vote, self._model, bytes(2)) is None:
            raise UsageError(f"{self._path} does not answer with a probability.")

    async def close(self) -> None:
        if self._threads:
            self._threads.shutdown(wait=False, cancel_futures=True)
        self._threads = self._model = None

    async def judge(self, pcm: bytes) -> float | None:
        """Probability 0..1 that the turn whose audio ends here is over; None: no vote. `pcm` is the turn, or the last
        8 s of it, 8 kHz int16 LE; more is ignored."""
        if self._threads is None or self._waiting >= MOST_WAITING:
            self.failed += 1
            return None
        self._waiting += 1
        work = self._threads.submit(_vote, self._model, pcm)
        work.add_done_callback(self._left)
        try:
            found = await asyncio.wait_for(asyncio.wrap_future(work), self._deadline_s)
        except TimeoutError:
            found = None
        self.failed += found is None
        return found

    def _left(self, _: Future[float | None]) -> None:
        self._waiting -= 1


def _vote(model: Any, pcm: bytes) -> float | None:
    """In a thread."""
    try:
        samples = np.frombuffer(pcm[: len(pcm) & ~1], "<i2")[-SECONDS * RATE :]
        wide = soxr.resample(samples.astype(np.float32) / 32768, RATE, MODEL_RATE, quality="HQ")
        value = float(np.asarray(model.run(None, {INPUT: log_mel(wide)[None]})[0]).reshape(-1)[0])
    except Exception as error:  # whatever a foreign model throws: it has no vote, and the call goes on
        _log.warning("eot_model_failed", error=str(error))
        return None
    return value if 0.0 <= value <= 1.0 else None  # false for NaN, too


def _load(path: Path) -> Any:
    import onnxruntime  # 0.2 s: not for those who run without it

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        model = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own kinds are not a documented set
        raise UsageError(f"{path} cannot be read as an ONNX model ({error}).") from None
    inputs = {each.name: list(each.shape) for each in model.get_inputs()}
    if list(inputs) != [INPUT] or inputs[INPUT][1:] != [BANDS, COLUMNS]:
        raise UsageError(f"{path} takes {inputs}; it must take {INPUT} [1, {BANDS}, {COLUMNS}], as smart-turn v3 does.")
    return model
