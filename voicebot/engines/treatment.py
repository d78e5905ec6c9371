"""What is done to the line's audio in front of a recogniser, besides `bandwidth`: loudness and noise.

`level` and `noise`, each `on | off | auto`, stand in a dialplan under `engines`, or among one engine's options. `auto`
is what the table of `make bench-hearing` says of that engine; one that nobody measured hears the line as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from voicebot.audio.envelope import RATE_OUT
from voicebot.audio.frames import RATE
from voicebot.audio.leveller import Leveller
from voicebot.audio.resample import Resampler
from voicebot.engines import denoise
from voicebot.engines.bandwidth import AS_IT_IS, Choice, Widening, chosen
from voicebot.engines.denoise import Denoiser
from voicebot.errors import UsageError

SWITCH = ("on", "off", "auto")
LEVEL_HELPS: dict[str, bool] = {"pocketsphinx": True}
NOISE_HELPS: dict[str, bool] = {"pocketsphinx": False}
"""Engine → whether it won in its table; README, "Figures"."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether it is done, and on whose word."""

    on: bool
    why: str


NOT_SAID = Decision(False, "nobody said anything")


@dataclass(frozen=True, slots=True)
class Hears:
    """All that a recogniser hears the line through."""

    bandwidth: Choice = AS_IT_IS
    level: Decision = NOT_SAID
    noise: Decision = NOT_SAID


def decided(what: str, wanted: str, engine: str) -> Decision:
    """`wanted` of `what` (level or noise) as the dialplan has it. `UsageError` when it is none of `SWITCH`."""
    kind = engine.partition(":")[0]
    measured = LEVEL_HELPS if what == "level" else NOISE_HELPS
    match wanted:
        case "on" | "off":
            return Decision(wanted == "on", "the dialplan says so")
        case "auto" if kind in measured:
            return Decision(measured[kind], f"auto: {kind}'s table")
        case "auto":
            return Decision(False, f"auto: {kind} has not been measured")
        case _:
            raise UsageError(f"{what} is one of {', '.join(SWITCH)}, not {wanted!r}.")


def hears_through(engine: str, bandwidth: str = "auto", level: str = "auto", noise: str = "auto") -> Hears:
    """What an engine hears the line through, each as the dialplan has it. `UsageError` for what is no choice, and for
    noise suppression without its package."""
    found = Hears(chosen(bandwidth, engine), decided("level", level, engine), decided("noise", noise, engine))
    if found.noise.on and (missing := denoise.check()):
        raise UsageError(missing)
    return found


class Stage(Protocol):
    """One step of a stream, int16 LE."""

    def push(self, pcm: bytes) -> bytes: ...

    def flush(self) -> bytes:
        """What was held back."""
        ...


class Levelled:
    """`audio.leveller` as a stage."""

    def __init__(self) -> None:
        self._leveller = Leveller()

    def push(self, pcm: bytes) -> bytes:
        """What can go out."""
        return self._leveller.push(np.frombuffer(pcm, "<i2")).tobytes()

    def flush(self) -> bytes:
        """The rest."""
        return self._leveller.flush().tobytes()


class Stages:
    """One after the other."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        self._stages = stages

    def push(self, pcm: bytes) -> bytes:
        """Through all of them."""
        for stage in self._stages:
            pcm = stage.push(pcm)
        return pcm

    def flush(self) -> bytes:
        """What all of them held back."""
        tail = b""
        for stage in self._stages:
            tail = stage.push(tail) + stage.flush()
        return tail


def stages(hears: Hears, rate: int) -> Stages:
    """What brings an utterance from the line to an engine that takes `rate`. `UsageError` for noise suppression without
    its package."""
    found: list[Stage] = []
    if hears.noise.on:
        found.append(Denoiser())
    if hears.level.on:
        found.append(Levelled())
    if rate == RATE_OUT and hears.bandwidth.mode != "off":
        found.append(Widening(hears.bandwidth.mode))
    elif rate != RATE:
        found.append(Resampler(RATE, rate))
    return Stages(found)
