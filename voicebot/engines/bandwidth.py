"""Which way an engine's audio is brought from the line's 8 kHz to its own 16 kHz.

`bandwidth: off | classical | neural | auto` stands in a dialplan under `engines`, or among one engine's options.
`auto` is what the table of `make bench-hearing` says is best for that engine; an engine that nobody measured hears
plain upsampling.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal, assert_never, get_args

import numpy as np

from voicebot.audio.bandwidth import Extender, Folding, Plain, Shaped
from voicebot.audio.envelope import Weights
from voicebot.errors import UsageError

Mode = Literal["off", "classical", "neural"]
MODES: tuple[str, ...] = (*get_args(Mode), "auto")
MEASURED: dict[str, Mode] = {"pocketsphinx": "neural"}
"""Engine → what won in its table; README, "Figures"."""
FILE = Path(__file__).with_name("bandwidth.npz")
"""The weights that ship; `bandwidth.md` is their card."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What an engine hears through, and on whose word."""

    mode: Mode
    why: str


AS_IT_IS = Choice("off", "nobody said anything")


def chosen(wanted: str, engine: str) -> Choice:
    """`wanted` as the dialplan has it. `UsageError` when it is none of the modes."""
    kind = engine.partition(":")[0]
    match wanted:
        case "off" | "classical" | "neural":
            return Choice(wanted, "the dialplan says so")
        case "auto" if kind in MEASURED:
            return Choice(MEASURED[kind], f"auto: best in {kind}'s table")
        case "auto":
            return Choice("off", f"auto: {kind} has not been measured")
        case _:
            raise UsageError(f"bandwidth is one of {', '.join(MODES)}, not {wanted!r}.")


def extender(mode: Mode) -> Extender:
    """A fresh stream."""
    match mode:
        case "off":
            return Plain()
        case "classical":
            return Folding()
        case "neural":
            return Shaped(weights())
        case _:
            assert_never(mode)


class Widening:
    """A `Resampler` from 8 to 16 kHz, int16 LE in and out, that extends."""

    def __init__(self, mode: Mode) -> None:
        self._extender = extender(mode)

    def push(self, pcm: bytes) -> bytes:
        return self._extender.push(np.frombuffer(pcm, "<i2")).tobytes()

    def flush(self) -> bytes:
        return self._extender.flush().tobytes()


@lru_cache(maxsize=1)
def weights() -> Weights:
    """Those that ship, read once a process."""
    with np.load(FILE) as arrays:
        return Weights.of(arrays)
