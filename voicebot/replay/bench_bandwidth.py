"""What is done to a line's audio in front of a recogniser, in `make bench`: its CPU for a second of audio, and what it
holds back."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from voicebot.audio.gaps import Gaps
from voicebot.carriers.base import FRAME_BYTES, RATE
from voicebot.engines import denoise
from voicebot.engines.bandwidth import MODES, Widening, chosen
from voicebot.engines.treatment import Levelled, Stage

RUNS = 5
LOST_EACH = 20
"""Of so many packets one is lost where lost ones are made good."""


@dataclass(frozen=True, slots=True)
class Cost:
    name: str
    cpu_ms_per_s: float
    """Of audio, in pushes of 20 ms; the best of some runs."""
    delay_ms: float
    """Held back at those pushes in the end …"""
    first_ms: float
    """… and at most: of loudness, the beginning of an utterance."""


class _Lossy:
    """`Gaps` on a line that loses packets."""

    def __init__(self) -> None:
        self._gaps, self._count = Gaps(), 0

    def push(self, pcm: bytes) -> bytes:
        self._count += 1
        return self._gaps.push(pcm, self._count % LOST_EACH == 0)

    def flush(self) -> bytes:
        return b""


def extension_costs(voice: bytes) -> list[Cost]:
    """Of each way of bandwidth extension, for `voice`, 8 kHz int16 LE."""
    return [_cost(mode, partial(Widening, chosen(mode, "").mode), voice, 2) for mode in MODES[:3]]


def treatment_costs(voice: bytes) -> list[Cost]:
    """Of what else can be done to it."""
    ways: dict[str, Callable[[], Stage]] = {"loudness": Levelled, "lost packets, one of twenty": _Lossy}
    if denoise.check() is None:
        ways["noise"] = denoise.Denoiser
    return [_cost(name, make, voice, 1) for name, make in ways.items()]


def _cost(name: str, make: Callable[[], Stage], voice: bytes, times: int) -> Cost:
    """`times` as much comes out as goes in."""
    frames = [voice[at : at + FRAME_BYTES] for at in range(0, len(voice) - FRAME_BYTES + 1, FRAME_BYTES)]
    best, held = float("inf"), list[float]()
    for _ in range(RUNS):
        stage, given = make(), []
        began = time.process_time()
        for frame in frames:
            given.append(len(stage.push(frame)))
        best = min(best, time.process_time() - began)
        held = _held_ms(given, times)
    return Cost(name, round(best * 1000 * 50 / len(frames), 2), held[-1], max(held))


def _held_ms(given: Sequence[int], times: int) -> list[float]:
    """After each push."""
    out, held = 0, []
    for number, size in enumerate(given, 1):
        out += size
        held.append((number * FRAME_BYTES * times - out) / 2 / times / RATE * 1000)
    return held
