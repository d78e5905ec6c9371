"""A SIP phone for tests: real datagrams over loopback, SIP and RTP, small, exact, and as rude as a test asks."""

from __future__ import annotations

import asyncio
import itertools
import re
import secrets
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from voicebot.audio.g711 import alaw_decode, alaw_encode, ulaw_decode, ulaw_encode
from voicebot.core import sip
from voicebot.core.sip import Address, Request, Response

HOST = "127.0.0.1"
PAYLOADS = {"PCMU": 0, "PCMA": 8, "telephone-event": 101}
BOTH = ("PCMU", "telephone-event")
NUMBER = "+15550002222"
"""Of the dialplan that a test service has."""
DIGITS = "0123456789*#ABCD"


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.came: asyncio.Queue[bytes] = asyncio.Queue(5000)

    def datagram_received(self, data: bytes, addr: object) -> None:
        if not self.came.full():
            self.came.put_nowait(data)


@dataclass
class Caller:
    """One call at a time. `to` is the service."""

    to: Address
    sip_port: int
    rtp_port: int
    _sip: asyncio.DatagramTransport
    _rtp: asyncio.DatagramTransport
    _sip_in: _Datagrams
    _rtp_in: _Datagrams
    call_id: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    """More of the INVITE, or of a NOTIFY."""
    heard: bytearray = field(default_factory=bytearray)
    """What came by RTP, decoded: 8 kHz int16 LE."""
    rings_s: float = 0.0
    """With early media, before we answer a call of the service's."""
    pressed: str = ""
    """Keys that the service sent."""
    requests: list[Request] = field(default_factory=list)
    """What the service asked of us."""
    responses: list[Response] = field(default_factory=list)
    strange: list[bytes] = field(default_factory=list)
    """What came and could not be read: an answer to a request that was wrong holds what was wrong."""
    answers: dict[str, int] = field(default_factory=dict)
    """Method → the code we answer; 200 unless said."""
    answers_with: tuple[tuple[str, str], ...] = ()
    """More of our answers."""
    _cseq: int = 0
    _tag: str = "a1"
    _remote: Response | None = None
    _media: Address | None = None
    _sequence: itertools.count[int] = field(default_factory=itertools.count)
    _time: int = 0
    codec: str = "PCMU"
    events: int = PAYLOADS["telephone-event"]
    """Payload type of keys that we send: whoever calls chooses it."""
    transport: str = "UDP"
    """What its Via says, and with TCP its Contact: then `sip_registrar` carries what it says."""
    registers: Callable[[Request], Response | None] | None = None
    """What answers a REGISTER, or does not, where this phone is an exchange."""
    news: asyncio.Event = field(default_factory=asyncio.Event)

    # --- SIP

    @property
    def contact(self) -> str:
        return f"<sip:caller@{HOST}:{self.sip_port}{';transport=tcp' if self.transport == 'TCP' else ''}>"

    def sdp(
        self, codecs: tuple[str, ...] = ("PCMU", "telephone-event"), direction: str = "", host: str = HOST
    ) -> bytes:
        lines = ["v=0", f"o=- 1 {next(self._sequence) + 1} IN IP4 {HOST}", "s=-", f"c=IN IP4 {host}", "t=0 0"]
        lines.append(f"m=audio {self.rtp_port} RTP/AVP " + " ".join(str(PAYLOADS.get(c, 9)) for c in codecs))
        lines += [f"a=rtpmap:{PAYLOADS.get(c, 9)} {c}/8000" for c in codecs]
        lines += [f"a={direction}"] if direction else []
        return ("\r\n".join(lines) + "\r\n").encode()

    def request(self, method: str, called: str = NUMBER, body: bytes = b"", kind: str = "application/sdp") -> Request:
        if method not in ("ACK", "CANCEL"):
            self._cseq += 1
        remote = self._remote
        to = sip.value(remote.headers, "To") if remote else f"<sip:{called}@{self.to.host}>"
        target = f"sip:{called}@{self.to.host}:{self.to.port}"
        routes: list[str] = []
        if remote and (contact := sip.value(remote.headers, "Contact")):
            target = re.sub(r"^<|>.*$", "", contact)
            routes = list(reversed(sip.values(remote.headers, "Record-Route")))
        branch = f"{sip.COOKIE}{self.call_id}{self._cseq}"
        branch += "ack" if method == "ACK" and remote and remote.code < 300 else ""
        headers = [
            ("Via", f"SIP/2.0/{self.transport} {HOST}:{self.sip_port};rport;branch={branch}"),
            ("Max-Forwards", "70"),
            *(("Route", each) for each in routes),
            ("From", f'"Test" <sip:+15550001111@{HOST}>;tag={self._tag}'),
            ("To", to),
            ("Call-ID", self.call_id),
            ("CSeq", f"{self._cseq} {method}"),
            ("Contact", self.contact),
            *(self.headers if method in ("INVITE", "NOTIFY") else ()),
            *((("Content-Type", kind),) if body else ()),
        ]  # fmt: skip
        return Request(method, target, tuple(headers), body)

    def send(self, message: Request | Response | bytes) -> None:
        self._sip.sendto(message if isinstance(message, bytes) else message.encode(), self.to)

    async def invite(self, called: str = NUMBER, body: bytes | None = None, ack: bool = True) -> int:
        """The final answer's code."""
        self.call_id, self._remote, self._cseq = secrets.token_hex(8), None, self._cseq
        return await self.offer(called, body, ack)

    async def offer(self, called: str = NUMBER, body: bytes | None = None, ack: bool = True) -> int:
        """An INVITE in the call, or its first."""
        request = self.request("INVITE", called, self.sdp() if body is None else body)
        self.send(request)
        answer = await self.final("INVITE")
        if answer.code < 300:
            self._remote = answer
            media = re.search(rb"m=audio (\d+) \S+ (\d+)", answer.body)
            host = re.search(rb"c=IN IP4 (\S+)", answer.body)
            if media and host:
                self._media = Address(host[1].decode(), int(media[1]))
                self.codec = {0: "PCMU", 8: "PCMA"}[int(media[2])]
        if ack:
            self.send(self.request("ACK", called))
        return answer.code

    async def ask(self, method: str, body: bytes = b"", kind: str = "") -> int:
        """Another request in the call, and its answer's code."""
        self.send(self.request(method, body=body, kind=kind))
        return (await self.final(method)).code

    async def hang_up(self) -> None:
        """BYE in a call that the service placed to us."""
        invite = next(each for each in self.requests if each.method == "INVITE")
        headers = dict(self.request("BYE").headers)
        headers["From"] = sip.value(sip.answer(invite, 200, self._tag).headers, "To")
        headers["To"], headers["Call-ID"] = sip.value(invite.headers, "From"), self.call_id
        contact = re.sub(r"^<|>.*$", "", sip.value(invite.headers, "Contact"))
        self.send(Request("BYE", contact, tuple(headers.items()), b""))
        await self.final("BYE")

    async def final(self, method: str) -> Response:
        number = f"{self._cseq} {method}"
        async with asyncio.timeout(8):
            while True:
                for response in self.responses:
                    if response.code >= 200 and sip.value(response.headers, "CSeq") == number:
                        return response
                await self.more()

    async def more(self) -> None:
        self.news.clear()
        await self.news.wait()

    async def is_asked(self, method: str) -> Request:
        """The next request of the service's with that method."""
        async with asyncio.timeout(8):
            while True:
                for request in self.requests:
                    if request.method == method:
                        self.requests.remove(request)
                        return request
                await self.more()

    def _take(self, data: bytes) -> None:
        message = sip.parse(data)
        match message:
            case Response():
                self.responses.append(message)
            case Request():
                self.requests.append(message)
                if message.method == "REGISTER" and self.registers:
                    if told := self.registers(message):
                        self._sip.sendto(told.encode(), sip.vias(message.headers)[0].reply_to)
                elif message.method != "ACK":
                    body = self.sdp() if message.method == "INVITE" else b""
                    answer = sip.answer(message, 200, self._tag, [("Contact", self.contact)])
                    if message.method == "INVITE" and not self._remote:
                        self._called(message)
                    code = self.answers.get(message.method, 200)
                    if message.method == "INVITE" and self.rings_s:
                        asyncio.ensure_future(self._ring(message, answer, body))  # noqa: RUF006
                        return
                    kind = (*self.answers_with, *((("Content-Type", "application/sdp"),) if body else ()))
                    back = sip.vias(message.headers)[0].reply_to
                    self._sip.sendto(Response(code, "Said", (*answer.headers, *kind), body).encode(), back)
            case _:
                self.strange.append(data)
        self.news.set()

    async def _ring(self, invite: Request, answer: Response, body: bytes) -> None:
        """Early media, and the answer later."""
        headers = (*answer.headers, ("Content-Type", "application/sdp"))
        back = sip.vias(invite.headers)[0].reply_to
        self._sip.sendto(Response(183, "Session Progress", headers, body).encode(), back)
        await asyncio.sleep(self.rings_s)
        self._sip.sendto(Response(200, "OK", headers, body).encode(), back)

    def _called(self, invite: Request) -> None:
        """The service calls us: what is needed to talk in that call."""
        self.call_id, self.to = sip.value(invite.headers, "Call-ID"), sip.vias(invite.headers)[0].reply_to
        media, host = re.search(rb"m=audio (\d+)", invite.body), re.search(rb"c=IN IP4 (\S+)", invite.body)
        assert media
        assert host
        self._media = Address(host[1].decode(), int(media[1]))
        if keys := re.search(rb"a=rtpmap:(\d+) telephone-event", invite.body):
            self.events = int(keys[1])

    async def _read(self) -> None:
        while True:
            self._take(await self._sip_in.came.get())

    # --- RTP

    async def _listen(self) -> None:
        decode = {0: ulaw_decode, 8: alaw_decode}
        while True:
            packet = await self._rtp_in.came.get()
            if (packet[1] & 0x7F) == PAYLOADS["telephone-event"] and packet[1] & 0x80:  # the marker begins an event
                self.pressed += DIGITS[packet[12]]
            if (packet[1] & 0x7F) in decode:
                self.heard += decode[packet[1] & 0x7F](packet[12:])
                self.news.set()

    def rtp(self, payload: bytes, kind: int | None = None, marker: bool = False, samples: int = 160) -> bytes:
        kind = PAYLOADS[self.codec] if kind is None else kind
        head = struct.pack("!BBHII", 0x80, kind | (0x80 if marker else 0), next(self._sequence) & 0xFFFF, self._time, 7)
        self._time = (self._time + samples) & 0xFFFFFFFF
        return head + payload

    def send_rtp(self, packet: bytes) -> None:
        assert self._media
        self._rtp.sendto(packet, self._media)

    async def speak(self, pcm: bytes, frame: int = 160) -> None:
        """In real time, `frame` samples a packet."""
        encode = {"PCMU": ulaw_encode, "PCMA": alaw_encode}[self.codec]
        loop, at = asyncio.get_running_loop(), asyncio.get_running_loop().time()
        for start in range(0, len(pcm) - frame * 2 + 1, frame * 2):
            self.send_rtp(self.rtp(encode(pcm[start : start + frame * 2]), samples=frame))
            at += frame / 8000
            await asyncio.sleep(max(0.0, at - loop.time()))

    async def key(self, digit: str) -> None:
        """One RFC 4733 event: four packets, and the end three times."""
        stamp = self._time
        for number in range(7):
            end = 0x80 if number >= 4 else 0
            duration = 160 * min(number + 1, 5)
            self._time = stamp
            event = struct.pack("!BBH", DIGITS.index(digit), end | 10, duration)
            self.send_rtp(self.rtp(event, self.events, marker=number == 0, samples=0))
            await asyncio.sleep(0.02)
        self._time = stamp + 800

    async def hears(self, seconds: float) -> None:
        """Until so much has come."""
        async with asyncio.timeout(8):
            while len(self.heard) < seconds * 16000:
                await self.more()


@asynccontextmanager
async def caller(port: int) -> AsyncIterator[Caller]:
    """A phone that calls the service at `port` of this machine."""
    loop = asyncio.get_running_loop()
    sip_side, sip_in = await loop.create_datagram_endpoint(_Datagrams, local_addr=(HOST, 0))
    rtp_side, rtp_in = await loop.create_datagram_endpoint(_Datagrams, local_addr=(HOST, 0))
    ports = [side.get_extra_info("sockname")[1] for side in (sip_side, rtp_side)]
    phone = Caller(Address(HOST, port), ports[0], ports[1], sip_side, rtp_side, sip_in, rtp_in)
    tasks = [asyncio.ensure_future(phone._read()), asyncio.ensure_future(phone._listen())]
    try:
        yield phone
    finally:
        for task in tasks:
            task.cancel()
        sip_side.close()
        rtp_side.close()
