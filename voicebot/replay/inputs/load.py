"""Any recording of calls, opened."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from voicebot.core.timeline import decode
from voicebot.errors import UsageError
from voicebot.replay.recording import CallAudio
from voicebot.replay.verdict import Source


def load(path: Path) -> list[CallAudio]:
    """The calls of a file or of a call's folder. `UsageError` in one sentence for what is none."""
    folder = path if path.is_dir() else None
    file = path / "audio.wav" if folder else path
    try:
        samples, rate = soundfile.read(file, dtype="int16", always_2d=True)
    except (soundfile.LibsndfileError, OSError) as error:
        raise UsageError(f"{file} cannot be read as a recording: {error}.") from None
    if samples.shape[1] != 2:
        raise UsageError(f"{file} has {samples.shape[1]} channels; give one with the caller left and the bot right.")
    kind, sides = ("call folder", "as our recorder writes") if folder else ("stereo file", "told")
    records = tuple(decode((folder / "timeline.jsonl").read_bytes().splitlines())) if folder else ()
    left, right = (np.ascontiguousarray(samples[:, side]) for side in (0, 1))
    return [CallAudio(path.stem, Source(kind, (file.name,), sides, rate), rate, left, right, records=records)]
