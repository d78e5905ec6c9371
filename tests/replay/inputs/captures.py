"""Packet captures made for tests: SIP and RTP written down as Ethernet, IP and UDP have them."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from voicebot.audio import g711

CALLER, BOT = "10.0.0.1", "10.0.0.2"


def udp(source: str, source_port: int, target: str, target_port: int, data: bytes) -> bytes:
    """An Ethernet frame."""
    body = struct.pack(">HHHH", source_port, target_port, 8 + len(data), 0) + data
    hosts = b"".join(bytes(map(int, host.split("."))) for host in (source, target))
    ip = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(body), 1, 0, 64, 17, 0) + hosts
    return bytes(12) + b"\x08\x00" + ip + body


def pcap(path: Path, packets: Iterable[tuple[float, bytes]], link: int = 1) -> Path:
    data = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, link)
    for at_s, frame in packets:
        data += struct.pack("<IIII", int(at_s), round(at_s % 1 * 1e6), len(frame), len(frame)) + frame
    path.write_bytes(data)
    return path


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    length = struct.pack(order + "I", 12 + len(body))
    return struct.pack(order + "I", kind) + length + body + length


def pcapng(path: Path, packets: Iterable[tuple[float, bytes]], order: str = "<") -> Path:
    """With nanoseconds, on the second of two interfaces."""
    data = block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order)
    data += block(1, struct.pack(order + "HHI", 1, 0, 65535), order)
    data += block(1, struct.pack(order + "HHIHHBxxxHH", 1, 0, 65535, 9, 1, 9, 0, 0), order)
    for at_s, frame in packets:
        ticks = round(at_s * 1e9)
        head = struct.pack(order + "5I", 1, ticks >> 32, ticks & 0xFFFFFFFF, len(frame), len(frame))
        data += block(6, head + frame + bytes(-len(frame) % 4), order)
    path.write_bytes(data)
    return path


def sdp(host: str, *media: str) -> str:
    return f"v=0\r\no=- 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\n" + "".join(
        f"{each}\r\n" for each in media
    )


def sip(first: str, call: str = "one", body: str = "", sequence: str = "1 INVITE") -> bytes:
    """A message of the caller's dialogue, or an answer to one."""
    return (
        f"{first}\r\nVia: SIP/2.0/UDP {CALLER}:5060;branch=z9hG4bK1\r\nFrom: <sip:a@x>;tag=caller\r\n"
        f"To: <sip:b@x>;tag=callee\r\nCall-ID: {call}\r\nCSeq: {sequence}\r\n"
        f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


@dataclass(slots=True)
class Conversation:
    """A capture under construction; times in seconds."""

    packets: list[tuple[float, bytes]] = field(default_factory=list)

    def invite(
        self, at_s: float = 0.0, call: str = "one", port: int = 4000, media: str = "m=audio {} RTP/AVP 0 101"
    ) -> None:
        """Asked and answered, with the caller's sound at `port` and the bot's at `port` + 1000."""
        events = "a=rtpmap:101 telephone-event/8000"
        for host, first, where, after_s in (
            (CALLER, "INVITE sip:b@x SIP/2.0", port, 0.0),
            (BOT, "SIP/2.0 200 OK", port + 1000, 0.1),
        ):
            message = sip(first, call, sdp(host, media.format(where), events))
            other = BOT if host == CALLER else CALLER
            self.packets.append((at_s + after_s, udp(host, 5060, other, 5060, message)))

    def bye(self, at_s: float, call: str = "one") -> None:
        message = sip("BYE sip:b@x SIP/2.0", call, sequence="2 BYE")
        self.packets.append((at_s, udp(CALLER, 5060, BOT, 5060, message)))

    def speak(
        self,
        samples: np.ndarray,
        at_s: float = 0.2,
        *,
        bot: bool = False,
        port: int = 4000,
        lost: Iterable[int] = (),
        delay_s: dict[int, float] | None = None,
        kind: int = 0,
        ssrc: int = 0,
    ) -> None:
        """Samples as RTP of 20 ms. `lost`: numbers of packets that never come; `delay_s`: what others are late by."""
        ends = (BOT, port + 1000, CALLER, port) if bot else (CALLER, port, BOT, port + 1000)
        encode = g711.alaw_encode if kind == 8 else g711.ulaw_encode
        for number in range(len(samples) // 160):
            if number in set(lost):
                continue
            payload = encode(samples[number * 160 : number * 160 + 160].astype("<i2").tobytes())
            head = struct.pack(">BBHII", 0x80, kind, number, number * 160, ssrc or 7 + bot)
            late_s = (delay_s or {}).get(number, 0.0)
            self.packets.append((at_s + number * 0.02 + late_s, udp(*ends, head + payload)))

    def press(self, key: int, at_s: float, stamp: int, *, port: int = 4000, start: int = 1000) -> None:
        """A telephone-event of 100 ms, its end sent three times (RFC 4733)."""
        for number in range(7):
            lasts, end = min(800, 160 * (number + 1)), 0x8A if number >= 4 else 0x0A
            head = struct.pack(">BBHII", 0x80, 101, start + number, stamp, 7)
            event = struct.pack(">BBH", key, end, lasts)
            self.packets.append((at_s + number * 0.02, udp(CALLER, port, BOT, port + 1000, head + event)))

    def write(self, path: Path) -> Path:
        return pcap(path, sorted(self.packets, key=lambda packet: packet[0]))
