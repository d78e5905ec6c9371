"""Bandwidth extension in `make bench`: its CPU for a second of audio, and what it holds back."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from voicebot.carriers.base import FRAME_SAMPLES, RATE
from voicebot.engines.bandwidth import MODES, chosen, extender

RUNS = 5


@dataclass(frozen=True, slots=True)
class Extension:
    mode: str
    cpu_ms_per_s: float
    """Of audio, in pushes of 20 ms; the best of some runs."""
    delay_ms: float
    """Held back at those pushes."""


def extension_costs(voice: bytes) -> list[Extension]:
    """Of each way, for `voice`, 8 kHz int16 LE."""
    pcm = np.frombuffer(voice, np.int16)
    frames = [pcm[at : at + FRAME_SAMPLES] for at in range(0, len(pcm) - FRAME_SAMPLES + 1, FRAME_SAMPLES)]
    found = []
    for mode in MODES[:3]:
        best, held = float("inf"), 0.0
        for _ in range(RUNS):
            stream, given = extender(chosen(mode, "").mode), 0
            began = time.process_time()
            for frame in frames:
                given += len(stream.push(frame))
            best = min(best, time.process_time() - began)
            held = (2 * FRAME_SAMPLES * len(frames) - given) / 2 / RATE * 1000
        found.append(Extension(mode, round(best * 1000 * 50 / len(frames), 2), held))
    return found
