"""A SIP call as a line: audio and events from its worker in, audio and wishes out.

PJSIP in the worker does G.711, the jitter buffer and RTP; what comes here is 20 ms of PCM, in order. What was played
is what RTP's clock took (`core.sip_playout`).

While the far end holds the call, silence comes at the same pace and nothing is played.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from typing import Any

from voicebot import log
from voicebot.audio.dtmf import Dtmf
from voicebot.carriers.base import RATE, Audio, CallInfo, Digit, Hold, HungUp, LineEvent, Played
from voicebot.carriers.media_stream import MediaClock
from voicebot.carriers.sip_process import Worker
from voicebot.core.sip_link import Heard, Kind, Message, Say, message
from voicebot.core.timeline import EndReason
from voicebot.errors import CannotTransfer, PeerError

WAITING_EVENTS = 1000
"""Ten seconds that nobody reads; over it audio is dropped, and its place is silence."""
BUFFER_S = 10.0
"""Audio that may wait to be played; the session keeps 200 ms ahead."""
GAP_SAMPLES = 10 * RATE
"""A hole in the audio larger than this is not filled: something else is wrong."""
HANGUP_S = 2.0
"""For the far end to answer our BYE."""
TRANSFER_S = 30.0
"""For the far end to say how the transfer went. One that only rings by then is taken for good, and the far end goes on
with it by itself, as RFC 5589 has it."""
REFER_S = 5.0
"""For it to say whether it takes the REFER at all."""
REQUEST_TIMEOUT = 408
DIGITS = frozenset("0123456789*#ABCD")
_log = log.get("sip")


class SipLine:
    """A `Line`. `address(destination)` makes a SIP address of what a dialplan names."""

    def __init__(self, info: CallInfo, worker: Worker, number: int, address: Callable[[str], str]) -> None:
        self._info, self._worker, self._number, self._address = info, worker, number, address
        self._clock = MediaClock(time.monotonic)
        self._in: deque[LineEvent] = deque()
        self._news, self._over = asyncio.Event(), asyncio.Event()
        self._media = asyncio.Event()
        self._next = 0
        self._played = (0, 0)
        self._held = False
        self._keys: Dtmf | None = None
        self._passed: asyncio.Queue[dict[str, Any]] = asyncio.Queue(8)
        self._goes_as = EndReason.CALLER_HANGUP
        self._gone = False
        self.dropped = 0
        self.figures: dict[str, Any] = {}
        """What the network did, once the call is over."""
        self.ended: dict[str, Any] = {}
        """The answer or the reason that ended it: {code, reason, cause}."""
        self.codec = ""

    @property
    def info(self) -> CallInfo:
        return self._info

    # --- in: from the worker

    def take(self, told: Message) -> None:
        """One message of the worker's."""
        match told.kind:
            case Kind.HEARD:
                self._heard(Heard.decode(told.payload))
            case Kind.DIGIT:
                if (digit := told.payload.decode()) in DIGITS:
                    self._put(Digit(digit))
            case Kind.MEDIA:
                self._resume(told.facts)
            case Kind.HELD:
                self._held = True
                self._put(Hold(True))
            case Kind.PASSED:
                if not self._passed.full():
                    self._passed.put_nowait(told.facts)
            case Kind.FIGURES:
                self.figures = told.facts
            case Kind.ENDED:
                self.ended = told.facts
                self._end(EndReason.MEDIA_LOST if self._lost else self._goes_as)
            case _:
                pass

    def lost(self) -> None:
        """The worker died."""
        self._end(EndReason.MEDIA_LOST)

    def _resume(self, facts: dict[str, Any]) -> None:
        self.codec = facts["codec"]
        # A far end that has no telephone events sends its keys as tones (or by INFO, which PJSIP understands).
        self._keys = None if facts["telephone_event"] else Dtmf()
        if self._held:
            self._held = False
            self._put(Hold(False))
        self._media.set()

    def _heard(self, heard: Heard) -> None:
        if len(self._in) >= WAITING_EVENTS:
            self.dropped += 1
            return
        if (heard.epoch, heard.sample) != self._played:
            self._played = (heard.epoch, heard.sample)
            self._put(Played(heard.epoch, heard.sample))
        if 0 < (gap := heard.at - self._next) <= GAP_SAMPLES:
            self._audio(bytes(gap * 2), self._next, concealed=True)
        self._audio(heard.pcm, heard.at)

    def _audio(self, pcm: bytes, at: int, concealed: bool = False) -> None:
        self._next = at + len(pcm) // 2
        self._clock.heard(self._next)
        self._put(Audio(pcm, at, concealed))
        if self._keys is not None:
            for digit in self._keys.push(pcm):
                self._put(Digit(digit))

    def _put(self, event: LineEvent) -> None:
        self._in.append(event)
        self._news.set()

    def _end(self, reason: EndReason) -> None:
        if not self._gone:
            self._gone = True
            self._put(HungUp(reason.value))
            self._over.set()
            self._media.set()
            if not self._passed.full():
                self._passed.put_nowait({"code": 200, "reason": "", "final": True})

    @property
    def _lost(self) -> bool:
        """Whether nobody hung up: media stopped, or a call that was up ended by a request that nobody answered or by
        a session timer that nobody refreshed (RFC 4028), which PJSIP tells as a code."""
        if cause := self.ended["cause"]:
            return bool(cause == EndReason.MEDIA_LOST)
        return self._media.is_set() and self.ended["code"] >= 300 and self._goes_as is not EndReason.TRANSFER

    async def answered(self, seconds: float) -> bool:
        """Wait until audio flows; False when the call ended before, or it took too long."""
        try:
            async with asyncio.timeout(seconds):
                await self._media.wait()
        except TimeoutError:
            return False
        return not self._gone

    @property
    def way_closed(self) -> bool:
        """Whether a call out that was not answered might be by another way: nobody said no."""
        code = int(self.ended.get("code", 0))
        return code >= 500 or code == REQUEST_TIMEOUT

    @property
    def why_not(self) -> str:
        """What ended a call that was not answered; empty while nobody said."""
        return f"{self.ended['code']} {self.ended['reason']}" if self.ended.get("code") else ""

    async def events(self) -> AsyncGenerator[LineEvent, None]:
        while True:
            while self._in:
                event = self._in.popleft()
                yield event
                if isinstance(event, HungUp):
                    return
            self._news.clear()
            await self._news.wait()

    # --- out

    def send(self, pcm: bytes, epoch: int, sample: int) -> None:
        ahead = sample - (self._played[1] if self._played[0] == epoch else 0)
        if ahead > BUFFER_S * RATE:
            raise PeerError("The far end does not play its audio.")
        self._tell(Message(Kind.SAY, self._number, Say(epoch, sample, pcm).encode()))

    def clear(self) -> None:
        self._tell(Message(Kind.CLEAR, self._number))

    def press(self, digits: str) -> None:
        """Send keys to the far end, by RFC 4733 where it takes them. `ValueError` for what is no key."""
        if not set(digits) <= DIGITS:
            raise ValueError(f"{digits} are not all keys")
        self._tell(Message(Kind.KEYS, self._number, digits.encode()))

    def _tell(self, told: Message) -> None:
        if not self._gone:
            self._worker.send(told)

    def clock_ms(self) -> int:
        return self._clock.ms()

    # --- the end

    async def transfer(self, destination: str) -> None:
        """REFER (RFC 3515), and wait for what the far end reports; then it is its call, and ours ends."""
        while not self._passed.empty():
            self._passed.get_nowait()
        self._tell(message(Kind.PASS_ON, self._number, to=self._address(destination)))
        told = await self._told_of_transfer(REFER_S)
        if told is None or told["code"] >= 300:
            raise CannotTransfer(f"the far end takes no REFER: {_said(told)}")
        # It has accepted: many end our call themselves as soon as the other stands.
        self._goes_as = EndReason.TRANSFER
        until_s = time.monotonic() + TRANSFER_S
        while told is not None and told["code"] < 300 and not told["final"]:
            told = await self._told_of_transfer(until_s - time.monotonic())
        if told is not None and told["code"] >= 300:
            self._goes_as = EndReason.CALLER_HANGUP
            raise PeerError(f"the far end did not reach them: {_said(told)}")
        await self.hangup(EndReason.TRANSFER.value)

    async def _told_of_transfer(self, seconds: float) -> dict[str, Any] | None:
        try:
            async with asyncio.timeout(seconds):
                return await self._passed.get()
        except TimeoutError:
            return None

    async def hangup(self, reason: str) -> None:
        if self._gone:
            return
        self._tell(message(Kind.HANGUP, self._number, code=503, cause=reason, text=reason))
        try:
            async with asyncio.timeout(HANGUP_S):
                await self._over.wait()
        except TimeoutError:
            self._end(EndReason.MEDIA_LOST)


def _said(told: dict[str, Any] | None) -> str:
    return "no answer" if told is None else f"{told['code']} {told['reason']}"
