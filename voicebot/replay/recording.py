"""A recorded call as it comes into replay: both sides as samples on one clock, and what is known of it besides."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import soxr

from voicebot.core.timeline import Record
from voicebot.replay.verdict import Event, Side, Source

Samples = npt.NDArray[np.int16]
"""Mono, at `CallAudio.rate`; may be mapped from disk: read it in pieces, never write into it."""
RATE = 8000


@dataclass(frozen=True, slots=True)
class Said:
    """One utterance of a reference transcript."""

    text: str
    side: Side | None = None
    """None: the transcript does not say who."""
    start_ms: int | None = None
    end_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Media:
    """What the network did to one side, from the packets or from the call's own counters."""

    packets: int
    lost: int
    late: int
    """Came after a later one had been waited for long enough, or twice: of no use."""
    reordered: int
    jitter_ms: float
    """RFC 3550's estimate, the largest of the call."""
    jitter_p95_ms: float
    """95th percentile of |transit - its median|."""
    concealed_ms: int
    """Sound that had to be made up by a buffer of three packets."""
    codec: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class CallAudio:
    """One call. Both sides begin at the same instant; the shorter one is silent after its end.

    A side that is None is not on the recording. `mixed`: all voices are in `caller`, and nobody can tell them apart.
    """

    name: str
    source: Source
    rate: int
    caller: Samples | None
    bot: Samples | None
    mixed: bool = False
    reference: tuple[Said, ...] = ()
    records: tuple[Record, ...] = ()
    """The call's own timeline, where it was one of ours."""
    turn_log: bytes = b""
    """The turn machine's log of such a call (`turns.jsonl`)."""
    events: tuple[Event, ...] = ()
    """What the source itself tells: keys as RTP events, holes."""
    media: tuple[tuple[Side, Media], ...] = ()

    @property
    def duration_ms(self) -> int:
        return max((len(side) for side in (self.caller, self.bot) if side is not None), default=0) * 1000 // self.rate


def at_phone_rate(call: CallAudio) -> CallAudio:
    """The same call at 8 kHz, which is what voice activity and the turn machine hear."""
    if call.rate == RATE:
        return call
    caller, bot = (None if side is None else _resampled(side, call.rate) for side in (call.caller, call.bot))
    return replace(call, rate=RATE, caller=caller, bot=bot)


def _resampled(samples: Samples, rate: int) -> Samples:
    return np.asarray(soxr.resample(samples, rate, RATE, quality="VHQ"), np.int16)
