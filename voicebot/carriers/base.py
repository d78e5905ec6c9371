"""The line: what every carrier gives a call, and the only thing a call knows of it.

Audio on a line is 8 kHz mono signed 16-bit little-endian PCM; G.711 stays inside the carrier.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from voicebot.audio.frames import FRAME_BYTES, FRAME_MS, FRAME_SAMPLES, RATE

__all__ = [
    "FRAME_BYTES",
    "FRAME_MS",
    "FRAME_SAMPLES",
    "RATE",
    "Audio",
    "CallInfo",
    "Dial",
    "Digit",
    "Hold",
    "HungUp",
    "Line",
    "LineEvent",
    "Malformed",
    "Played",
]


@dataclass(frozen=True, slots=True)
class Audio:
    """Caller audio, in order, without holes: the carrier's jitter buffer has filled them."""

    pcm: bytes
    at: int
    """Media-clock sample index of the first sample (0 = the start of the stream)."""
    concealed: bool = False


@dataclass(frozen=True, slots=True)
class Digit:
    digit: str
    """One of 0-9, *, #, A-D."""


@dataclass(frozen=True, slots=True)
class Played:
    """The far end acknowledged playout up to `sample` of `epoch` (a mark came back, or the send counter passed).

    After `clear()` the marks of older epochs come back too; they mean *dropped*. The ledger tells them apart.
    """

    epoch: int
    sample: int


@dataclass(frozen=True, slots=True)
class Hold:
    """The far end put us on hold, or took us back; what comes in meanwhile is music at best."""

    on: bool


@dataclass(frozen=True, slots=True)
class Malformed:
    """One bad message: counted, ignored, never an exception."""

    reason: str


@dataclass(frozen=True, slots=True)
class HungUp:
    """The far end is gone. `reason` is an `EndReason` value: caller_hangup, media_lost, or transfer once `transfer` was
    accepted."""

    reason: str


LineEvent = Audio | Digit | Played | Hold | Malformed | HungUp


@dataclass(frozen=True, slots=True)
class CallInfo:
    call_id: str
    """Ours: url-safe, unique, sortable by time."""
    carrier: str
    """twilio, browser, wavline, sip."""
    caller: str
    """Number or user, as the carrier said it; a hint, never an identity. Personal data."""
    called: str
    carrier_call_id: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    """`X-` headers that came with it, as `call_headers.kept` gives them. Personal data."""
    continues: str = ""
    """The call, by our id, that the carrier gives back: it had been put through, and nobody took it."""
    unreached: str = ""
    """… the name of that transfer."""


class Line(Protocol):
    """One leg. `send` and `clear` never block: each line has a bounded outgoing buffer of its own and a
    writer; over the bound it raises `PeerError`."""

    @property
    def info(self) -> CallInfo: ...

    def events(self) -> AsyncGenerator[LineEvent, None]:
        """Until `HungUp`, which is always the last event and always comes."""
        ...

    def send(self, pcm: bytes, epoch: int, sample: int) -> None:
        """Queue PCM (any whole number of samples); `Played(epoch, sample)` comes back when its last sample
        was played. `sample` counts the samples sent in this epoch, these included."""
        ...

    def clear(self) -> None:
        """Drop what was sent and not yet played."""
        ...

    def clock_ms(self) -> int:
        """The media clock: milliseconds of caller audio, moved on by the wall only while the stream stalls.
        Never runs backwards."""
        ...

    async def transfer(self, destination: str) -> None:
        """Hand the caller to `destination` (a number or URI the dialplan named); then the line ends by itself.
        `PeerError` when nobody takes the caller, who is here still; `CannotTransfer` when this line or its far end does
        no such thing."""
        ...

    async def hangup(self, reason: str) -> None:
        """End the call; harmless when it has ended already."""
        ...


Dial = Callable[[str], Awaitable[Line]]
"""Calls a number or URI of the dialplan over a line of its own. Answered, or `PeerError`, in time; cancelled, it hangs
up."""
