"""A line over a websocket that speaks Media Streams: Twilio's, and the browser page's, which plays the same part.

In: message ▶ `core.twilio` ▶ jitter ▶ G.711 ▶ events; one loop, no task for a frame. Out: `send` and `clear` only
put messages in a bounded buffer, a writer of the line's own takes them to the socket; so a peer that reads slowly
never holds the call up, and `clear` also drops what has not left yet.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, MutableMapping
from typing import Any, NamedTuple, Protocol, assert_never

from starlette.websockets import WebSocketDisconnect

from voicebot import log
from voicebot.audio.g711 import ulaw_decode, ulaw_encode
from voicebot.audio.jitter import Jitter
from voicebot.carriers.base import RATE, Audio, CallInfo, Digit, HungUp, LineEvent, Malformed, Played
from voicebot.core import twilio as wire
from voicebot.core.timeline import EndReason
from voicebot.errors import PeerError

BUFFER_S = 10.0
"""Audio that may wait for the socket; the session keeps 200 ms ahead, so more means a peer that does not read."""
STALL_MS = 200
"""A stream quiet for longer than this is stalled: the wall moves the media clock on."""
FLOOD = 250
"""Malformed messages within `FLOOD_S` that end the stream: nobody speaks like that by mistake."""
FLOOD_S = 5.0
RUSH = 1500
"""Messages of any kind within `FLOOD_S` that end the stream. A phone sends 250, and as many again after a stall."""
OWN_MESSAGES = 200
"""Messages of the carrier's own that may wait beside the audio."""
CLOSE_S = 2.0
"""A peer that does not read has this long to take the end of its stream."""
POLICY_VIOLATION = 1008
GONE = (RuntimeError, OSError, WebSocketDisconnect)
"""What a socket raises that is closed, by whomever, or on its way to be; a `TimeoutError` is an `OSError`."""
_log = log.get("media_stream")


class Socket(Protocol):
    """What is needed of a websocket; Starlette's fits."""

    async def receive(self) -> MutableMapping[str, Any]: ...

    async def send_text(self, data: str) -> None: ...

    async def close(self, code: int = 1000, reason: str | None = None) -> None: ...


class _Out(NamedTuple):
    """What waits for the socket."""

    message: str
    samples: int = 0
    playout: bool = True
    """Audio and its marks, which `clear` drops; else a message that must arrive."""


class MediaClock:
    """Milliseconds of caller audio, moved on by the wall only while the stream stalls; never backwards."""

    def __init__(self, wall_s: Callable[[], float] = time.monotonic) -> None:
        self._wall_s, self._heard_ms, self._heard_at_s, self._shown_ms = wall_s, 0, wall_s(), 0

    def heard(self, samples: int) -> None:
        """Audio up to `samples` has come."""
        self._heard_ms, self._heard_at_s = samples * 1000 // RATE, self._wall_s()

    def ms(self) -> int:
        stalled_ms = int((self._wall_s() - self._heard_at_s) * 1000) - STALL_MS
        self._shown_ms = max(self._shown_ms, self._heard_ms + max(0, stalled_ms))
        return self._shown_ms


async def close(socket: Socket, code: int, reason: str) -> None:
    """Close it, whatever state it is in, within `CLOSE_S`."""
    try:
        async with asyncio.timeout(CLOSE_S):
            await socket.close(code, reason)
    except GONE:
        pass


class MediaStream:
    """A `Line`, once `start` has come and was let in. `on_hangup` and `on_transfer` are the carrier's own ways."""

    def __init__(
        self,
        socket: Socket,
        stream: wire.Stream,
        info: CallInfo,
        on_hangup: Callable[[str], Awaitable[None]],
        on_transfer: Callable[[str], Awaitable[None]],
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        if stream.start is None:
            raise ValueError("a line begins when `start` has come")
        self._info, self._socket, self._stream, self._sid = info, socket, stream, stream.start.stream_sid
        self._hang_up, self._transfer = on_hangup, on_transfer
        self.jitter = Jitter()
        self._now_s, self._clock = now_s, MediaClock(now_s)
        self._out: deque[_Out] = deque()
        self._out_samples = 0
        self._news = asyncio.Event()
        self._bad: deque[float] = deque(maxlen=FLOOD)
        self._all: deque[float] = deque(maxlen=RUSH)
        self._reason = EndReason.MEDIA_LOST
        self._goes_as: EndReason | None = None
        self._gone = False

    @property
    def info(self) -> CallInfo:
        return self._info

    # --- in

    async def events(self) -> AsyncGenerator[LineEvent, None]:
        async with asyncio.TaskGroup() as group:
            writer = group.create_task(self._write())
            try:
                while (text := await self._receive()) is not None:
                    message = self._stream.receive(text)
                    if isinstance(message, wire.Stop):
                        self._reason = EndReason.CALLER_HANGUP
                        break
                    for event in self._events(message):
                        yield event
                    self._all.append(self._now_s())
                    if flood := self._flood():
                        _log.warning("stream_flooded", call_id=self.info.call_id, why=flood)
                        await close(self._socket, POLICY_VIOLATION, flood)
                        break
                for placed in self.jitter.flush():
                    yield self._audio(placed.pcm, placed.at, placed.concealed)
            except GeneratorExit:  # nobody listens any more; a TaskGroup would wrap it in a group of its own
                return
            finally:
                self._gone = True
                writer.cancel()
            yield HungUp((self._goes_as or self._reason).value)

    async def _receive(self) -> str | bytes | None:
        """The next message; None when the socket is closed, by whomever."""
        try:
            message = await self._socket.receive()
        except GONE:
            return None
        if message.get("type") != "websocket.receive":
            return None
        text = message.get("text")
        if isinstance(text, str):
            return text
        data = message.get("bytes")
        return data if isinstance(data, bytes) else b""

    def _events(self, message: wire.Message) -> list[LineEvent]:
        match message:
            case wire.Media(payload, timestamp_ms, _):
                placed = self.jitter.push(timestamp_ms * RATE // 1000, ulaw_decode(payload))
                return [self._audio(p.pcm, p.at, p.concealed) for p in placed]
            case wire.Mark(name, _):
                place = wire.mark_place(name)
                return [Played(*place)] if place else [self._malformed("foreign_mark")]
            case wire.Dtmf(digit, _):
                return [Digit(digit)]
            case wire.Malformed(reason):
                return [self._malformed(reason)]
            case wire.Connected() | wire.Start() | wire.Stop():
                return []
            case _:
                assert_never(message)

    def _audio(self, pcm: bytes, at: int, concealed: bool) -> Audio:
        self._clock.heard(at + len(pcm) // 2)
        return Audio(pcm, at, concealed)

    def _malformed(self, reason: str) -> Malformed:
        self._bad.append(self._now_s())
        return Malformed(reason)

    def _flood(self) -> str:
        """Why the peer must go; empty while it behaves."""
        for seen, why in ((self._bad, "too many malformed messages"), (self._all, "too many messages")):
            if len(seen) == seen.maxlen and seen[-1] - seen[0] < FLOOD_S:
                return why
        return ""

    # --- out

    def send(self, pcm: bytes, epoch: int, sample: int) -> None:
        if self._gone:
            return
        samples = len(pcm) // 2
        if self._out_samples + samples > BUFFER_S * RATE:
            raise PeerError("The far end does not read its audio.")
        self._out_samples += samples
        self._put(_Out(wire.media(self._sid, ulaw_encode(pcm)), samples))
        self._put(_Out(wire.mark(self._sid, wire.mark_name(epoch, sample))))

    def clear(self) -> None:
        if self._gone:
            return
        self._out = deque(item for item in self._out if not item.playout)
        self._out_samples = 0
        self._put(_Out(wire.clear(self._sid)))  # `playout`, too: the next `clear` says all that this one would have

    def say(self, message: str) -> None:
        """A message of the carrier's own, behind what is queued; dropped when the peer does not read."""
        if not self._gone and sum(not item.playout for item in self._out) < OWN_MESSAGES:
            self._put(_Out(message, playout=False))

    def _put(self, item: _Out) -> None:
        self._out.append(item)
        self._news.set()

    async def _write(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            while self._out:
                item = self._out.popleft()
                self._out_samples -= item.samples
                try:
                    await self._socket.send_text(item.message)
                except GONE:
                    self._gone = True
                    return

    # --- the end

    def clock_ms(self) -> int:
        return self._clock.ms()

    async def transfer(self, destination: str) -> None:
        self._goes_as = EndReason.TRANSFER  # from now on: the stream may end before the request has an answer
        try:
            await self._transfer(destination)
        except PeerError:
            self._goes_as = None
            raise

    async def hangup(self, reason: str) -> None:
        if not self._gone:
            await self._hang_up(reason)

    async def close(self, reason: str) -> None:
        """Close the socket, whatever has not been written yet written first (a second at most)."""
        for _ in range(20):
            if not self._out or self._gone:
                break
            await asyncio.sleep(0.05)
        await close(self._socket, 1000, reason)

    async def lost(self, reason: EndReason) -> None:
        """The carrier says by another way that the call is over: the stream ends for this reason."""
        if not self._gone:
            self._reason = reason
            await close(self._socket, 1000, reason.value)
