"""RTP streams (RFC 3550) of a capture: told from other traffic, measured, and decoded where the payload is G.711.

A packet is placed by its RTP time; what never came is silence. Keys are telephone-events (RFC 4733). Loss is by
sequence number, so that silence that was not sent (comfort noise, discontinuous transmission) is none.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from voicebot.audio import g711
from voicebot.replay.inputs.packets import Datagram, End
from voicebot.replay.recording import RATE, Media, Samples

STATIC = {0: "PCMU", 3: "GSM", 4: "G723", 8: "PCMA", 9: "G722", 13: "CN", 15: "G728", 18: "G729", 34: "H263"}
DECODE = {"PCMU": g711.ulaw_decode, "PCMA": g711.alaw_decode}
SILENT = ("CN", "TELEPHONE-EVENT")
"""Payload kinds that are no sound and ask for no codec."""
LEAST_PACKETS = 10
"""Without SIP: fewer are no stream but chance."""
LEAST_PART = 3
BUFFER_MS = 60
"""Of the playout buffer against which late packets and concealment are counted: three packets."""
JUMP_S = 1.0
"""A time stamp this far off the arrival is the sender's clock set anew, not a gap."""
DRIFT_S = 5.0
"""… and so far off where the part began, too: clocks drift by 100 ppm, which is four seconds in twelve hours."""
SPURT_S = 0.2
"""Nothing came for so long: what comes next is a new talk spurt."""
KEYS = "0123456789*#ABCD"
TICK = 160


class Packet(NamedTuple):
    at_s: float
    sequence: int
    """Extended: it does not wrap."""
    stamp: int
    """Extended: it does not wrap."""
    kind: int
    """Payload type."""
    payload: bytes


@dataclass(slots=True)
class Stream:
    """What one sender sent to one place under one SSRC."""

    source: End
    target: End
    ssrc: int
    packets: list[Packet] = field(default_factory=list)
    codecs: dict[int, str] = field(default_factory=lambda: dict(STATIC))
    """Payload type → name in capitals; SDP adds to it."""

    def add(self, datagram: Datagram, sequence: int, stamp: int, kind: int, payload: bytes) -> None:
        """In capture order."""
        last = self.packets[-1] if self.packets else None
        extended = _extended(sequence, last.sequence, 16) if last else sequence
        self.packets.append(
            Packet(datagram.at_s, extended, _extended(stamp, last.stamp, 32) if last else stamp, kind, payload)
        )

    @property
    def first(self) -> int:
        """Time stamp of the earliest sample; of the earliest key where there is no sound."""
        return min(packet.stamp for packet in sound(self) or self.packets)

    @property
    def start_s(self) -> float:
        return min(packet.at_s for packet in self.packets)

    @property
    def end_s(self) -> float:
        return max(packet.at_s for packet in self.packets)

    def codec(self) -> str:
        """Of most of the sound; empty when nothing but events came."""
        names = [self.codecs.get(packet.kind, f"payload type {packet.kind}") for packet in self.packets]
        sound = [name for name in names if name not in SILENT]
        return max(set(sound), key=sound.count) if sound else ""


def header(data: bytes) -> tuple[int, int, int, int, bytes] | None:
    """(payload type, sequence, time stamp, SSRC, payload) when this may be RTP. RTCP is not."""
    if len(data) < 12 or data[0] >> 6 != 2 or 200 <= data[1] <= 211:
        return None
    sequence, stamp, ssrc = struct.unpack_from(">HII", data, 2)
    at = 12 + (data[0] & 15) * 4
    if data[0] & 0x10:
        if len(data) < at + 4:
            return None
        at += 4 + struct.unpack_from(">H", data, at + 2)[0] * 4
    end = len(data) - data[-1] if data[0] & 0x20 else len(data)
    return (data[1] & 0x7F, sequence, stamp, ssrc, data[at:end]) if at <= end else None


def origin_s(stream: Stream) -> float:
    """Capture time at which the stream's first sample would have come with the least delay of all its packets."""
    first = stream.first
    return min(packet.at_s - (packet.stamp - first) / RATE for packet in sound(stream) or stream.packets)


def decode(stream: Stream) -> Samples:
    """All its sound, int16 at 8 kHz, from the earliest time stamp on."""
    packets, first = sound(stream), stream.first
    samples = np.zeros(max((each.stamp - first + len(each.payload) for each in packets), default=0), np.int16)
    for packet in packets:
        decoder = DECODE.get(stream.codecs.get(packet.kind, ""))
        at = packet.stamp - first
        if decoder:
            samples[at : at + len(packet.payload)] = np.frombuffer(decoder(packet.payload), "<i2")
    return samples


def sound(stream: Stream) -> list[Packet]:
    """Without the keys, all of whose packets have the time stamp of the key's beginning."""
    return [packet for packet in stream.packets if not _is_event(stream, packet)]


def segments(stream: Stream) -> list[Stream]:
    """The stream cut where its clock jumps: each part has one clock, and is about as long as it took to come. A packet
    or two that jump are a damaged time, and left out."""
    parts, first_s, last_s = [replace(stream, packets=[])], None, None
    for packet in stream.packets:
        if not _is_event(stream, packet):
            transit_s = packet.at_s - packet.stamp / RATE
            if first_s is None or last_s is None:
                first_s = transit_s
            elif abs(transit_s - last_s) > JUMP_S or abs(transit_s - first_s) > DRIFT_S:
                first_s = transit_s
                parts.append(replace(stream, packets=[]))
            last_s = transit_s
        parts[-1].packets.append(packet)
    return [part for part in parts if len(part.packets) >= LEAST_PART] or parts


def _is_event(stream: Stream, packet: Packet) -> bool:
    return stream.codecs.get(packet.kind) == "TELEPHONE-EVENT"


def keys(stream: Stream) -> list[tuple[int, int, str]]:
    """(sample, samples, key) of every telephone-event, each once; samples count as in `decode`."""
    found: dict[int, tuple[int, str]] = {}
    first = stream.first
    for packet in stream.packets:
        if _is_event(stream, packet) and len(packet.payload) >= 4:
            event, _, lasts = struct.unpack_from(">BBH", packet.payload)
            if event < len(KEYS):  # all packets of one key have its first time stamp
                at = packet.stamp - first
                found[at] = (max(lasts, found.get(at, (0, ""))[0]), KEYS[event])
    return [(at, lasts, key) for at, (lasts, key) in sorted(found.items())]


def quality(stream: Stream) -> Media:
    """Loss, order and jitter as captured, and what a fixed buffer of `BUFFER_MS` would have had to make up."""
    seen, highest, twice, reordered = set[int](), -1, 0, 0
    for packet in stream.packets:
        twice += packet.sequence in seen
        reordered += packet.sequence < highest and packet.sequence not in seen
        seen.add(packet.sequence)
        highest = max(highest, packet.sequence)
    lost = max(seen) - min(seen) + 1 - len(seen)
    packets = sound(stream) or stream.packets
    lengths_ms = np.array([len(packet.payload) for packet in packets]) * 1000 / RATE
    transit_ms = _transit_ms(packets)
    late = transit_ms > BUFFER_MS
    return Media(
        packets=len(stream.packets),
        lost=lost,
        late=int(late.sum()) + twice,
        reordered=reordered,
        jitter_ms=round(_jitter_ms(packets), 1),
        jitter_p95_ms=round(float(np.percentile(np.abs(transit_ms - np.median(transit_ms)), 95)), 1),
        concealed_ms=round(lost * float(np.median(lengths_ms)) + float(lengths_ms[late].sum())),
        codec=stream.codec(),
    )


def wander_ms(stream: Stream) -> float:
    """By how much the sender's clock and the arrivals disagree over the call: after a silence that was not sent, some
    senders take up their count anywhere."""
    anchors = [float(part.min()) for part in _spurts(sound(stream) or stream.packets)]
    return (max(anchors) - min(anchors)) * 1000


def _transit_ms(packets: list[Packet]) -> npt.NDArray[np.float64]:
    """How long each was under way, more than the quickest of its talk spurt: a buffer sets its clock in the pauses."""
    return np.concatenate([(part - part.min()) * 1000 for part in _spurts(packets)])


def _spurts(packets: list[Packet]) -> list[npt.NDArray[np.float64]]:
    """Transit times in seconds, up to a constant, of each stretch of packets without a pause."""
    at_s = np.array([packet.at_s for packet in packets])
    transit_s = at_s - np.array([packet.stamp for packet in packets]) / RATE
    breaks = (np.diff(at_s) > SPURT_S) | (np.abs(np.diff(transit_s)) > JUMP_S)
    return np.split(transit_s, np.flatnonzero(breaks) + 1)


def _jitter_ms(packets: list[Packet]) -> float:
    """The largest value of RFC 3550's running estimate (§6.4.1); a jump of the sender's clock is none."""
    steps = np.abs(np.diff([packet.at_s - packet.stamp / RATE for packet in packets]))
    jitter_s = worst_s = 0.0
    for step_s in steps[steps <= JUMP_S].tolist():
        jitter_s += (step_s - jitter_s) / 16
        worst_s = max(worst_s, jitter_s)
    return worst_s * 1000


def looks_encrypted(stream: Stream) -> bool:
    """Whether the payload is noise: deciphered G.711 never is as loud and as unlike its neighbour, for a whole call."""
    heard = [packet.payload for packet in stream.packets if stream.codecs.get(packet.kind) in DECODE][:200]
    values = np.frombuffer(b"".join(heard), np.uint8)
    if len(values) < 8 * TICK:
        return False
    shares = np.bincount(values, minlength=256) / len(values)
    used = shares[shares > 0]
    return float(-(used * np.log2(used)).sum()) > 7.8  # of 8 bits; speech in G.711 has at most about 7


def _extended(value: int, last: int, bits: int) -> int:
    """`value` of so many bits as the number nearest to `last`."""
    whole = 1 << bits
    return last + (value - last + whole // 2) % whole - whole // 2
