"""A telephone that measures, over SIP and RTP: what `replay.telephone` is over Media Streams, with the same clock.

It has no jitter buffer, no concealment and no codec but μ-law: a packet is heard when it is here. `heard` is put
together by RTP's clock, so it is whole where packets came late, and `at_ms` tells when each sample of it was here.

The time of all figures: milliseconds since the 200 OK was here. Frame n of the caller was spoken in [20(n-1), 20n) and
leaves at 20n.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import struct
from array import array
from bisect import bisect_right
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from voicebot.audio.frames import FRAME_MS, FRAME_SAMPLES, RATE
from voicebot.audio.g711 import ULAW_SILENCE
from voicebot.core import sip
from voicebot.core.sip import Address, Request, Response
from voicebot.errors import PeerError
from voicebot.replay.telephone import QUIET, Speech
from voicebot.replay.ticks import Ticks

HOST = "127.0.0.1"
PCMU, EVENT = 0, 101
DIGITS = "0123456789*#ABCD"
ANSWER_S = 10.0
GOODBYE_S = 2.0
HOLE_SAMPLES = 10 * RATE
"""A jump of RTP's clock that is larger is no hole: something else is wrong, and what follows is put behind."""
KEY_FRAMES = 5
"""Of an event, before its end is said three times (RFC 4733)."""


@asynccontextmanager
async def sip_calling(port: int, caller: str, called: str, line: Speech = QUIET) -> AsyncIterator[SipTelephone]:
    """A call to the service at `port` of this machine, hung up at the end. `line`: what is sent while the caller says
    nothing. `PeerError` when the service does not take the call."""
    loop = asyncio.get_running_loop()
    phone = SipTelephone(Address(HOST, port), caller, called, line)
    signals, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(phone.signal), local_addr=(HOST, 0))
    media, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(phone.media), local_addr=(HOST, 0))
    try:
        await phone.connect(signals, media)
        try:
            yield phone
        finally:
            await phone.hang_up()
    finally:
        signals.close()
        media.close()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, take: Callable[[bytes], None]) -> None:
        self._take = take

    def datagram_received(self, data: bytes, addr: object) -> None:
        self._take(data)


class SipTelephone:
    """Made by `sip_calling`. Its sockets are on loopback, where nothing is lost: it repeats nothing."""

    def __init__(self, to: Address, caller: str, called: str, line: Speech) -> None:
        self._to, self._caller, self._called, self._line = to, caller, called, line
        self._loop = asyncio.get_running_loop()
        self._clock = Ticks(self._tick, lambda: self.over)
        self.until, self.waits, self.late_ms = self._clock.until, self._clock.waits, self._clock.late_ms
        self._call_id, self._number = secrets.token_hex(8), 0
        self._answers: dict[str, asyncio.Future[Response]] = {}
        self._answer: Response | None = None
        self._far = Address("", 0)
        self._speaks: deque[bytes] = deque()
        self._key: deque[bytes] = deque()
        self._sequence = self._time = 0
        self._first: int | None = None  # RTP's clock at the first sample heard
        self._starts, self._here_ms = array("q"), array("d")  # of each packet: its first sample, and when it was here
        self.heard = bytearray()
        """μ-law, from the first packet on."""
        self.over = False

    # --- the call

    async def connect(self, signals: asyncio.DatagramTransport, media: asyncio.DatagramTransport) -> None:
        """INVITE to ACK. `PeerError` when the service does not take the call."""
        self._signals, self._media = signals, media
        self._sip_port, self._rtp_port = (each.get_extra_info("sockname")[1] for each in (signals, media))
        answer = await self._ask("INVITE", self._offer())
        if answer.code != 200:
            raise PeerError(f"The service does not take the call: {answer.code} {answer.reason}")
        self._answer = answer
        port = re.search(rb"m=audio (\d+) \S+ 0\b", answer.body)
        if port is None:
            raise PeerError("The service does not speak PCMU.")
        self._far = Address(HOST, int(port[1]))
        self._send("ACK")

    async def hang_up(self) -> None:
        """BYE; harmless when it is over."""
        self._clock.stop()
        if not self.over:
            self.over = True
            try:
                await self._ask("BYE", seconds=GOODBYE_S)
            except PeerError:
                pass  # it is gone already

    async def _ask(self, method: str, body: bytes = b"", seconds: float = ANSWER_S) -> Response:
        self._number += 1
        answer: asyncio.Future[Response] = self._loop.create_future()
        self._answers[method] = answer
        self._send(method, body)
        try:
            async with asyncio.timeout(seconds):
                return await answer
        except TimeoutError:
            raise PeerError(f"The service does not answer a {method} at {self._to.host}:{self._to.port}.") from None

    def _send(self, method: str, body: bytes = b"") -> None:
        target, to = f"sip:{self._called}@{self._to.host}:{self._to.port}", f"<sip:{self._called}@{self._to.host}>"
        routes: list[str] = []
        if self._answer:
            to = sip.value(self._answer.headers, "To")
            target = re.sub(r"^<|>.*$", "", sip.value(self._answer.headers, "Contact"))
            routes = list(reversed(sip.values(self._answer.headers, "Record-Route")))
        here = f"{HOST}:{self._sip_port}"
        headers = (
            ("Via", f"SIP/2.0/UDP {here};rport;branch={sip.COOKIE}{self._call_id}{self._number}{method[0]}"),
            ("Max-Forwards", "70"),
            *(("Route", each) for each in routes),
            ("From", f"<sip:{self._caller}@{HOST}>;tag={self._call_id}"),
            ("To", to),
            ("Call-ID", self._call_id),
            ("CSeq", f"{self._number} {method}"),
            ("Contact", f"<sip:caller@{here}>"),
            *((("Content-Type", "application/sdp"),) if body else ()),
        )
        self._signals.sendto(Request(method, target, headers, body).encode(), self._to)

    def _offer(self) -> bytes:
        lines = ("v=0", f"o=- 1 1 IN IP4 {HOST}", "s=-", f"c=IN IP4 {HOST}", "t=0 0")
        audio = (f"m=audio {self._rtp_port} RTP/AVP {PCMU} {EVENT}", "a=rtpmap:0 PCMU/8000")
        return "\r\n".join((*lines, *audio, f"a=rtpmap:{EVENT} telephone-event/8000", "")).encode()

    def signal(self, data: bytes) -> None:
        """A SIP message has come."""
        match sip.parse(data):
            case Response() as response if response.code >= 200:
                number, _, method = sip.value(response.headers, "CSeq").partition(" ")
                answer = self._answers.get(method)
                if answer and not answer.done() and number == str(self._number):
                    if method == "INVITE" and response.code == 200:
                        self._clock.start()
                    answer.set_result(response)
            case Request() as request if request.method != "ACK":
                self._signals.sendto(sip.answer(request, 200, self._call_id).encode(), self._to)
                self.over |= request.method == "BYE"
            case _:
                pass

    # --- what the script says

    @property
    def ticks(self) -> int:
        return self._clock.count

    @property
    def began_s(self) -> float:
        """Loop time of 0 ms."""
        return self._clock.began_s

    def plays(self, what: Speech) -> int:
        """Say it from the next tick on. The millisecond at which it begins."""
        begins = self.ticks + len(self._speaks)
        self._speaks.extend(what.ulaw[at : at + FRAME_SAMPLES] for at in range(0, len(what.ulaw), FRAME_SAMPLES))
        return begins * FRAME_MS

    def presses(self, digit: str) -> None:
        """An event of RFC 4733, instead of the next frames of voice."""
        which = DIGITS.index(digit)
        lengths = [(0, number + 1) for number in range(KEY_FRAMES)] + [(0x80, KEY_FRAMES)] * 3
        self._key.extend(struct.pack("!BBH", which, end | 10, frames * FRAME_SAMPLES) for end, frames in lengths)

    def _tick(self) -> None:
        """One frame, or a step of a key, whose packets all have the time at which it began."""
        if self._key:
            event = self._key.popleft()
            self._rtp(event, EVENT, marker=event[2:4] == b"\0\xa0")
            if not self._key:
                self._time += (KEY_FRAMES + 2) * FRAME_SAMPLES
            return
        line = self._line.ulaw
        at = (self.ticks * FRAME_SAMPLES) % len(line)
        self._rtp(self._speaks.popleft() if self._speaks else line[at : at + FRAME_SAMPLES], PCMU)
        self._time += FRAME_SAMPLES

    def _rtp(self, payload: bytes, kind: int, marker: bool = False) -> None:
        self._sequence += 1
        head = (0x80, kind | (0x80 if marker else 0), self._sequence & 0xFFFF, self._time & 0xFFFFFFFF, 7)
        self._media.sendto(struct.pack("!BBHII", *head) + payload, self._far)

    # --- what comes

    def media(self, packet: bytes) -> None:
        """An RTP packet has come."""
        if len(packet) <= 12 or packet[1] & 0x7F != PCMU or not self.began_s:
            return
        stamp = int.from_bytes(packet[4:8], "big")
        if self._first is None:
            self._first = stamp
        start = (stamp - self._first) & 0xFFFFFFFF
        hole = start - len(self.heard)
        if hole > HOLE_SAMPLES or hole < 0:
            self._first, start, hole = stamp - len(self.heard), len(self.heard), 0
        self._starts.append(start)
        self._here_ms.append(self._clock.now_ms)
        self.heard += bytes((ULAW_SILENCE,)) * hole + packet[12:]

    def at_ms(self, sample: int) -> float:
        """When this sample of `heard` was heard: its packet's arrival, and its place in it."""
        which = max(0, bisect_right(self._starts, sample) - 1)
        return float(self._here_ms[which] + (sample - self._starts[which]) * 1000 / RATE)
