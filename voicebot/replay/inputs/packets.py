"""Datagrams out of a packet capture: pcap (microseconds and nanoseconds, both byte orders) and pcapng (several
interfaces and sections), over Ethernet (VLAN, PPPoE), Linux "any" captures, raw IP and loopback; IPv4 and IPv6.

Written for captures of calls: UDP whole, IP fragments put together, TCP a segment at a time (which is enough for
SIP over TCP). A packet that cannot be read is counted; a capture that breaks off is read as far as it goes.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from voicebot.errors import UsageError

MAGICS = {0xA1B2C3D4: 1_000_000, 0xA1B23C4D: 1_000_000_000}
"""First word of a pcap file → ticks a second."""
SECTION, INTERFACE, SIMPLE, ENHANCED = 0x0A0D0D0A, 1, 3, 6
MAX_PACKET_BYTES = 262_144
MAX_FRAGMENTED = 64
"""Packets that wait for the rest of their fragments; the oldest gives way."""
ETHERNET, LOOPBACK, SLL, SLL2 = 1, (0, 108), 113, 276
RAW = (12, 14, 101, 228, 229)
LINKS = {105: "Wi-Fi", 127: "Wi-Fi", 189: "USB", 220: "USB", 195: "IEEE 802.15.4", 187: "Bluetooth"}
"""Link types that people do capture, and that carry no calls we can read."""


class End(NamedTuple):
    """One end of a flow."""

    host: str
    port: int


class Datagram(NamedTuple):
    at_s: float
    """Capture time."""
    source: End
    target: End
    data: bytes
    tcp: bool = False


@dataclass(slots=True)
class Trouble:
    """What a capture had that could not be used."""

    unreadable: int = 0
    cut_off: bool = False
    """The file ends in the middle of a packet."""
    clipped: int = 0
    """Packets of which the capture kept the beginning only."""


def datagrams(path: Path, trouble: Trouble) -> Iterator[Datagram]:
    """Every UDP datagram and TCP segment in the file's order. `UsageError` in one sentence when it is no capture."""
    fragments: dict[tuple[bytes, bytes, bytes], list[tuple[int, bytes, bool]]] = {}
    with path.open("rb") as file:
        for at_s, link, frame in _frames(file, path, trouble):
            try:
                found = _datagram(at_s, link, frame, fragments)
            except (struct.error, IndexError, ValueError):
                trouble.unreadable += 1
                continue
            if found:
                yield found


# --- the container ---------------------------------------------------------------------------------------------


def _frames(file: BinaryIO, path: Path, trouble: Trouble) -> Iterator[tuple[float, int, bytes]]:
    """(time, link type, frame)."""
    start = file.read(4)
    if start == struct.pack("<I", SECTION):
        file.seek(0)
        return _pcapng(file, path, trouble)
    for order in "<>":
        if len(start) == 4 and (ticks := MAGICS.get(struct.unpack(order + "I", start)[0])):
            return _pcap(file, path, trouble, order, ticks)
    raise UsageError(f"{path.name} is no packet capture: it begins with none of the marks of pcap and pcapng.")


def _pcap(file: BinaryIO, path: Path, trouble: Trouble, order: str, ticks: int) -> Iterator[tuple[float, int, bytes]]:
    head = file.read(20)
    if len(head) < 20:
        raise UsageError(f"{path.name} breaks off within the header of a packet capture.")
    link = _known(struct.unpack(order + "I", head[16:])[0] & 0xFFFF, path)
    while len(record := file.read(16)) == 16:
        seconds, part, kept, length = struct.unpack(order + "4I", record)
        if kept > MAX_PACKET_BYTES:
            raise UsageError(f"{path.name} claims a packet of {kept} bytes: it is damaged.")
        frame = file.read(kept)
        trouble.clipped += kept < length
        if len(frame) < kept:
            break
        yield seconds + part / ticks, link, frame
    else:
        trouble.cut_off = bool(record)
        return
    trouble.cut_off = True


def _pcapng(file: BinaryIO, path: Path, trouble: Trouble) -> Iterator[tuple[float, int, bytes]]:
    order, interfaces = "<", list[tuple[int, float, int]]()
    while len(head := file.read(8)) == 8:
        kind, length = struct.unpack(order + "II", head)
        if kind == SECTION:  # the same in both orders; its length is not
            mark = file.read(4)
            order = "<" if mark == b"\x4d\x3c\x2b\x1a" else ">"
            length = struct.unpack(order + "I", head[4:])[0]
            file.seek(-4, 1)
            interfaces = []
        if not 12 <= length <= MAX_PACKET_BYTES + 4096 or length % 4:
            raise UsageError(f"{path.name} claims a block of {length} bytes: it is damaged.")
        body = file.read(length - 8)
        if len(body) < length - 8:
            break
        try:
            if kind == INTERFACE:
                interfaces.append(_interface(body[:-4], order, path))
            elif kind == ENHANCED:
                number, high, low, kept, whole = struct.unpack_from(order + "5I", body)
                link, tick_s, offset_s = interfaces[number]
                trouble.clipped += kept < whole
                yield offset_s + (high << 32 | low) * tick_s, link, body[20 : 20 + kept]
            elif kind == SIMPLE:
                trouble.unreadable += 1  # it has no time: of no use for calls
        except (struct.error, IndexError):
            trouble.unreadable += 1
    else:
        trouble.cut_off = bool(head)
        return
    trouble.cut_off = True


def _interface(body: bytes, order: str, path: Path) -> tuple[int, float, int]:
    """Link type, seconds a tick, seconds to add."""
    link = _known(struct.unpack_from(order + "H", body)[0], path)
    tick_s, offset_s, at = 1e-6, 0, 8
    while at + 4 <= len(body):
        code, length = struct.unpack_from(order + "HH", body, at)
        value = body[at + 4 : at + 4 + length]
        if code == 0:
            break
        if code == 9 and length == 1:
            tick_s = 2.0 ** -(value[0] & 0x7F) if value[0] & 0x80 else 10.0 ** -value[0]
        elif code == 14 and length == 8:
            offset_s = struct.unpack(order + "q", value)[0]
        at += 4 + (length + 3 & ~3)
    return link, tick_s, offset_s


def _known(link: int, path: Path) -> int:
    if link in (ETHERNET, SLL, SLL2, *LOOPBACK, *RAW):
        return link
    what = LINKS.get(link, f"link type {link}")
    raise UsageError(f"{path.name} was captured on {what}, which is not read here; capture on Ethernet, or on “any”.")


# --- link, network and transport --------------------------------------------------------------------------------


def _datagram(
    at_s: float, link: int, frame: bytes, fragments: dict[tuple[bytes, bytes, bytes], list[tuple[int, bytes, bool]]]
) -> Datagram | None:
    packet = _ip_packet(link, frame)
    if not packet:
        return None
    if packet[0] >> 4 == 4:
        size, total = (packet[0] & 15) * 4, struct.unpack_from(">H", packet, 2)[0]
        protocol, source, target = packet[9], packet[12:16], packet[16:20]
        data = packet[size : total or None]
        place = struct.unpack_from(">H", packet, 6)[0]
        if place & 0x3FFF:  # more to come, or not the first
            key = (source, target, packet[4:6])
            data = _whole(fragments, key, ((place & 0x1FFF) * 8, data, bool(place & 0x2000)))
    elif packet[0] >> 4 == 6:
        total, protocol = struct.unpack_from(">HB", packet, 4)
        source, target, data = packet[8:24], packet[24:40], packet[40 : 40 + total]
    else:
        return None
    if not data or protocol not in (6, 17):
        return None
    ports = struct.unpack_from(">HH", data)
    ends = [End(str(ipaddress.ip_address(host)), port) for host, port in zip((source, target), ports, strict=True)]
    if protocol == 6:
        return Datagram(at_s, ends[0], ends[1], data[(data[12] >> 4) * 4 :], tcp=True)
    return Datagram(at_s, ends[0], ends[1], data[8 : struct.unpack_from(">H", data, 4)[0]])


def _ip_packet(link: int, frame: bytes) -> bytes:
    """What is behind the link's header; empty where it is no IP."""
    if link in RAW:
        return frame
    if link in LOOPBACK:
        return frame[4:]
    at = {ETHERNET: 12, SLL: 14, SLL2: 0}[link]
    kind = struct.unpack_from(">H", frame, at)[0]
    at = 20 if link == SLL2 else at + 2
    while kind in (0x8100, 0x88A8):  # VLAN
        kind = struct.unpack_from(">H", frame, at + 2)[0]
        at += 4
    if kind == 0x8864 and struct.unpack_from(">H", frame, at + 6)[0] in (0x0021, 0x0057):  # PPPoE, then PPP
        return frame[at + 8 :]
    return frame[at:] if kind in (0x0800, 0x86DD) else b""


def _whole(
    fragments: dict[tuple[bytes, bytes, bytes], list[tuple[int, bytes, bool]]],
    key: tuple[bytes, bytes, bytes],
    piece: tuple[int, bytes, bool],
) -> bytes:
    """The datagram, when this was its last missing fragment."""
    pieces = fragments.setdefault(key, [])
    pieces.append(piece)
    if len(fragments) > MAX_FRAGMENTED:
        del fragments[next(iter(fragments))]
    found = bytearray()
    for offset, data, more in sorted(pieces):
        if offset != len(found):
            return b""
        found += data
        if not more:
            fragments.pop(key, None)
            return bytes(found)
    return b""
