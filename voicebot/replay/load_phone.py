"""A telephone that costs next to nothing, to load a service with hundreds of calls from one process.

As `replay.telephone` it sends 20 ms frames on an absolute clock and plays what comes at 20 ms ticks, marks and `clear`
included; but frames are encoded before the call, audio is counted and not kept, and the websocket is the little that a
client needs of RFC 6455. Its masks are zero, which a server cannot tell from any other.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from urllib.parse import urlsplit

import orjson

from voicebot.audio.frames import FRAME_MS, FRAME_SAMPLES
from voicebot.errors import PeerError
from voicebot.replay.load_figures import Figures
from voicebot.replay.telephone import Address

DEADLINE_S = 10.0
TEXT, CLOSE, PING, PONG = 0x1, 0x8, 0x9, 0xA
GAP_S = 0.4
"""A longer hole in what the bot says is its pause, a shorter one an underrun."""
LEAD_MS = 200
"""Audio that our service keeps ready here: what a sentence begins with comes at once, the rest is paced. A message
before which less lay ready was late by what was missing. Other senders keep less."""
EARLY_S = 0.001
"""A timer may come a little before its time."""
MASKED = b"\0\0\0\0"


def framed(payload: bytes, opcode: int = TEXT) -> bytes:
    """A client's frame around `payload`, at most 64 KiB."""
    size = len(payload)
    length = bytes((0x80 | size,)) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
    return bytes((0x80 | opcode,)) + length + MASKED + payload


class LoadPhone:
    """An asyncio protocol. `says(phone)` is asked for the next frame of the caller, base64, at every tick."""

    def __init__(
        self,
        address: Address,
        says: Callable[[LoadPhone], str],
        figures: Callable[[], Figures],
        lead_ms: float = LEAD_MS,
    ) -> None:
        self._address, self._says, self._figures, self._lead_ms = address, says, figures, lead_ms
        self._loop = asyncio.get_running_loop()
        self._sid = "MZ" + address.call_sid[2:]
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._in = b""
        self._upgraded = False
        self.open: asyncio.Future[None] = self._loop.create_future()
        self.over = asyncio.Event()
        self.ticks = 0
        self.playing = False
        """Whether the bot was heard at the last tick."""
        self.clears_s: float = 0.0
        """When the last `clear` came."""
        self._began_s = 0.0
        self._queued = self._taken = 0  # bytes of μ-law, ever
        self._marks: deque[tuple[str, int]] = deque()
        self._runs_out_s = 0.0
        self._run_ms = 0.0  # audio so far of the sentence that is playing
        self._late = False

    @property
    def began_s(self) -> float:
        """Loop time of tick 0."""
        return self._began_s

    async def call(self) -> None:
        """`PeerError` when the service does not take the call."""
        url = urlsplit(self._address.url)
        try:
            async with asyncio.timeout(DEADLINE_S):
                address = (url.hostname or "", url.port or 80)
                await self._loop.create_connection(lambda: self, *address)  # type: ignore[type-var]
                await self.open
        except (TimeoutError, OSError) as error:
            raise PeerError(f"{self._address.url} does not take the call: {error or 'late'}") from error
        assert self._transport
        self.begin(self._transport)

    def begin(self, transport: asyncio.Transport) -> None:
        """The socket is open: `start`, and from here on a frame every 20 ms."""
        self._transport = transport
        start = {
            "accountSid": "AC1",
            "streamSid": self._sid,
            "callSid": self._address.call_sid,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": self._address.parameters,
        }
        self._send({"event": "connected", "protocol": "Call", "version": "1.0.0"})
        self._send({"event": "start", "sequenceNumber": "1", "start": start, "streamSid": self._sid})
        self._began_s = self._loop.time()
        self._timer = self._loop.call_at(self._began_s + FRAME_MS / 1000, self._tick)

    async def hang_up(self, politely: bool = True) -> None:
        """`stop` and the end of the stream; or the end alone."""
        if self._timer:
            self._timer.cancel()
        if self._transport is None or self.over.is_set():
            return
        if politely and not self._transport.is_closing():
            stop = {"accountSid": "AC1", "callSid": self._address.call_sid}
            self._send({"event": "stop", "stop": stop, "streamSid": self._sid})
            self._transport.write(framed(b"\x03\xe8", CLOSE))
        self._transport.close()
        await self.over.wait()

    # --- what asyncio calls

    def connection_made(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        url = urlsplit(self._address.url)
        headers = {
            "Host": url.netloc,
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Version": "13",
            "User-Agent": "Twilio.TmeWs/1.0",
            **self._address.headers,
        }
        lines = [f"GET {url.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        transport.write(("\r\n".join(lines) + "\r\n\r\n").encode())

    def data_received(self, data: bytes) -> None:
        data = self._in + data
        if not self._upgraded:
            head, end, data = data.partition(b"\r\n\r\n")
            if not end:
                self._in = head
                return
            if b" 101 " not in head.partition(b"\r\n")[0]:
                self._refuse(head.partition(b"\r\n")[0].decode("latin1"))
                return
            self._upgraded = True
            if not self.open.done():  # nobody waits any more for a service that took so long
                self.open.set_result(None)
        at = 0
        while (size := len(data) - at) >= 2:
            opcode, length, head_size = data[at] & 0xF, data[at + 1], 2
            if length == 126:
                length, head_size = int.from_bytes(data[at + 2 : at + 4], "big"), 4
            elif length == 127:
                length, head_size = int.from_bytes(data[at + 2 : at + 10], "big"), 10
            if size < head_size or size < head_size + length:
                break
            payload = data[at + head_size : at + head_size + length]
            at += head_size + length
            if opcode == TEXT:
                self.hear(payload)
            elif opcode == PING and self._transport:
                self._transport.write(framed(payload, PONG))
            elif opcode == CLOSE and self._transport:
                self._transport.close()
        self._in = data[at:]

    def _refuse(self, why: str) -> None:
        if not self.open.done():
            self.open.set_exception(OSError(why))

    def eof_received(self) -> None: ...

    def pause_writing(self) -> None: ...

    def resume_writing(self) -> None: ...

    def connection_lost(self, error: Exception | None) -> None:
        self._refuse(str(error or "closed"))
        if self._timer:
            self._timer.cancel()
        self.over.set()

    # --- what comes

    def hear(self, text: bytes) -> None:
        """A message of the service."""
        message = orjson.loads(text)
        match message["event"]:
            case "media":
                payload = message["media"]["payload"]
                self._media(len(payload) * 3 // 4 - payload[-2:].count("="))
            case "mark":
                name = message["mark"]["name"]
                if self._queued == self._taken and not self.playing:
                    self._give_back(name)
                else:
                    self._marks.append((name, self._queued))
            case "clear":
                self.clears_s = self._loop.time()
                self._taken = self._queued
                self._runs_out_s = self._run_ms = 0.0
                while self._marks:
                    self._give_back(self._marks.popleft()[0])
            case _:
                pass

    def _media(self, size: int) -> None:
        now_s, ms = self._loop.time(), size / 8
        self._queued += size
        spare_ms = (self._runs_out_s - now_s) * 1000
        if self._run_ms and spare_ms < 0 and -spare_ms < GAP_S * 1000:
            if not self._late:
                self._figures().underruns += 1
                self._figures().underrun_ms += -spare_ms
        elif spare_ms < 0:
            self._run_ms = 0.0
        if self._run_ms >= self._lead_ms:
            self._figures().lateness_ms.append(max(0.0, self._lead_ms - spare_ms))
        self._run_ms += ms
        self._runs_out_s = max(self._runs_out_s, now_s) + ms / 1000

    # --- what leaves

    def _tick(self) -> None:
        late_s = self._loop.time() - (self._began_s + (self.ticks + 1) * FRAME_MS / 1000)
        self._late = late_s > 0.01
        self._figures().own_ms.append(late_s * 1000)
        while late_s >= -EARLY_S:
            self.ticks += 1
            self._play()
            self._say(self._says(self))
            late_s -= FRAME_MS / 1000
        self._timer = self._loop.call_at(self._began_s + (self.ticks + 1) * FRAME_MS / 1000, self._tick)

    def _play(self) -> None:
        while self._marks and self._marks[0][1] <= self._taken:
            self._give_back(self._marks.popleft()[0])
        waiting = self._queued - self._taken
        self.playing = waiting > 0
        self._taken += min(waiting, FRAME_SAMPLES)

    def _say(self, payload: str) -> None:
        text = (
            f'{{"event":"media","sequenceNumber":"{self.ticks + 1}","media":{{"track":"inbound","chunk":"{self.ticks}",'
            f'"timestamp":"{self.ticks * FRAME_MS}","payload":"{payload}"}},"streamSid":"{self._sid}"}}'
        )
        assert self._transport
        self._transport.write(framed(text.encode()))

    def _give_back(self, name: str) -> None:
        self._send({"event": "mark", "sequenceNumber": "1", "streamSid": self._sid, "mark": {"name": name}})

    def _send(self, message: object) -> None:
        if self._transport and not self._transport.is_closing():
            self._transport.write(framed(orjson.dumps(message)))
