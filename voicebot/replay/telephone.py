"""A telephone that measures: one call over Twilio's Media Streams, as a faithful carrier places it.

Caller audio leaves in 20 ms frames on an absolute clock; what comes back is played at 20 ms ticks (see `handset`), and
both sides are kept as they were heard, sample for sample. Frames are encoded before the call, everything happens in
callbacks of the event loop, so that one process can hold many telephones; `late_ms` tells how late it was itself.

The time of all figures: milliseconds since `start` was sent. Frame n of the caller was spoken in [20(n-1), 20n) and is
sent at 20n; what is taken out of the buffer at tick n is heard from 20n on. The network of the telephone is not in it.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import urlsplit

import orjson

from voicebot.audio.frames import FRAME_MS, FRAME_SAMPLES, RATE
from voicebot.audio.g711 import ulaw_decode, ulaw_encode
from voicebot.errors import UsageError
from voicebot.replay.client_socket import ClientSocket
from voicebot.replay.echo import Echo
from voicebot.replay.faults import Faults, Uplink
from voicebot.replay.handset import SILENCE, Handset
from voicebot.replay.ticks import Ticks


@dataclass(frozen=True, slots=True)
class Speech:
    """What the caller says: whole frames of μ-law, and the same as they stand in a message."""

    ulaw: bytes
    encoded: tuple[bytes, ...]

    @property
    def ms(self) -> int:
        return len(self.encoded) * FRAME_MS


def speech(ulaw: bytes) -> Speech:
    """μ-law of any length, filled up with silence to whole frames."""
    ulaw += SILENCE[: -len(ulaw) % FRAME_SAMPLES]
    frames = (ulaw[at : at + FRAME_SAMPLES] for at in range(0, len(ulaw), FRAME_SAMPLES))
    return Speech(ulaw, tuple(b64encode(frame) for frame in frames))


QUIET = speech(SILENCE)


@dataclass(frozen=True, slots=True)
class Address:
    """Where a call is placed, and what its `start` says."""

    url: str
    headers: dict[str, str] = field(default_factory=dict)
    parameters: dict[str, str] = field(default_factory=dict)
    call_sid: str = "CA" + "0" * 32


@asynccontextmanager
async def calling(
    address: Address, faults: Faults = Faults(), seed: int = 1, line: Speech = QUIET, echo: Echo | None = None
) -> AsyncIterator[Telephone]:
    """A call that is up, hung up at the end. `line`: what is sent while the caller says nothing, over and over.
    `PeerError` when the service does not take the call."""
    url = urlsplit(address.url)
    if url.scheme != "ws" or not _loopback(url.hostname or ""):
        raise UsageError(
            f"{address.url} is not on this machine: a telephone that loads a service calls ws://127.0.0.1."
        )
    phone = Telephone(address, Uplink(faults, seed), line, echo, 20 + seed % 100)
    await phone.connect()
    try:
        yield phone
    finally:
        await phone.hang_up()


def _loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


class Telephone:
    """Made by `calling`."""

    def __init__(self, address: Address, uplink: Uplink, line: Speech, echo: Echo | None, first_ms: int) -> None:
        self._address, self._uplink, self._line, self._echo = address, uplink, line, echo
        self._socket = ClientSocket(address.url, self._hear, lambda: self._strange("binary"))
        self._clock = Ticks(self._tick, lambda: self.over)
        self.until, self.waits = self._clock.until, self._clock.waits
        self._sequence = 0
        self._sid = "MZ" + address.call_sid[2:]
        self._speaks: deque[bytes] = deque()
        self.handset = Handset()
        self.said = bytearray()
        """μ-law of the caller, from the start of the call."""
        self.clears: list[float] = []
        """When `clear` came."""
        self.strange: list[str] = []
        """Messages that a carrier would not understand; the first 20."""
        self.late_ms = self._clock.late_ms
        """By tick: how late the telephone itself was."""
        self.first_ms = first_ms
        """`media.timestamp` of the first frame: real streams do not begin at zero."""

    async def connect(self) -> None:
        """`PeerError` when the service does not take the call."""
        await self._socket.open({"User-Agent": "Twilio.TmeWs/1.0", **self._address.headers})
        self._socket.send([b'{"event":"connected","protocol":"Call","version":"1.0.0"}'])
        start = {
            "accountSid": "AC1",
            "streamSid": self._sid,
            "callSid": self._address.call_sid,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": self._address.parameters,
        }
        self._say("start", start)
        self.handset.tick()
        self._clock.start()

    async def hang_up(self) -> None:
        """`stop`, and the end of the stream; harmless when it is over."""
        self._clock.stop()
        self._say("stop", {"accountSid": "AC1", "callSid": self._address.call_sid})
        await self._socket.close()

    @property
    def over(self) -> bool:
        """Whether the service has ended the stream."""
        return self._socket.closed_by_service or self._socket.over.is_set()

    # --- what the script says

    @property
    def now_ms(self) -> float:
        return self._clock.now_ms

    @property
    def ticks(self) -> int:
        return self._clock.count

    @property
    def began_s(self) -> float:
        """Loop time of 0 ms."""
        return self._clock.began_s

    @property
    def heard(self) -> bytearray:
        """μ-law that was played, silence included."""
        return self.handset.heard

    def at_ms(self, sample: int) -> float:
        """When this sample of `heard` was heard."""
        return sample * 1000 / RATE

    def plays(self, what: Speech) -> int:
        """Say it from the next tick on. The millisecond at which it begins."""
        self._speaks.extend(what.encoded)
        return (self.ticks + len(self._speaks) - len(what.encoded)) * FRAME_MS

    def presses(self, digit: str) -> None:
        self._say("dtmf", {"track": "inbound_track", "digit": digit})

    # --- what comes

    def _hear(self, text: bytes) -> None:
        try:
            message = orjson.loads(text)
            event = message["event"]
            if message["streamSid"] != self._sid:
                self._strange(f"{event} of another stream")
            elif event == "media":
                self.handset.media(b64decode(message["media"]["payload"], validate=True))
            elif event == "mark":
                self._give_back(self.handset.mark(str(message["mark"]["name"])))
            elif event == "clear":
                self.clears.append(self.now_ms)
                self._give_back(self.handset.clear())
            else:
                self._strange(f"event {event}")
        except (ValueError, KeyError, TypeError) as error:
            self._strange(f"{type(error).__name__}: {error}")

    def _strange(self, what: str) -> None:
        if len(self.strange) < 20:
            self.strange.append(what)

    def _give_back(self, names: Sequence[str]) -> None:
        for name in names:
            self._socket.send(self._uplink.mark(self._message("mark", {"name": name})))

    # --- what leaves

    def _tick(self) -> None:
        self._socket.send(self._uplink.tick())
        self._socket.reads(self._uplink.reads())
        self._give_back(self.handset.tick())
        encoded = self._speaks.popleft() if self._speaks else self._line.encoded[self.ticks % len(self._line.encoded)]
        if self._echo:
            encoded = self._echoed(encoded)
        self.said += b64decode(encoded)
        self._sequence += 1
        media = (
            f'"track":"inbound","chunk":"{self.ticks}","timestamp":"{self.first_ms + (self.ticks - 1) * FRAME_MS}",'
            f'"payload":"{encoded.decode()}"'
        )
        message = (
            f'{{"event":"media","sequenceNumber":"{self._sequence}","media":{{{media}}},"streamSid":"{self._sid}"}}'
        )
        self._socket.send(self._uplink.media(message.encode()))

    def _echoed(self, encoded: bytes) -> bytes:
        """The frame with what its microphone hears of the bot: what was played in the 20 ms before."""
        assert self._echo
        played = bytes(self.handset.heard[-2 * FRAME_SAMPLES : -FRAME_SAMPLES])
        return b64encode(ulaw_encode(self._echo.push(ulaw_decode(played), ulaw_decode(b64decode(encoded)))))

    def _say(self, event: str, part: Mapping[str, object]) -> None:
        self._socket.send(self._uplink.other(self._message(event, part)))

    def _message(self, event: str, part: Mapping[str, object]) -> bytes:
        self._sequence += 1
        message = {"event": event, "sequenceNumber": str(self._sequence), event: part, "streamSid": self._sid}
        return orjson.dumps(message)
