"""Two lines whose people hear each other: what comes from one is played on the other, and both are recorded.

Both lines bring audio in real time, with their own jitter taken out, so a bridge holds next to nothing: a little
silence in front, so that a frame that comes late is no hole, and no more delay than that. Delay that grows all the
same (the clocks of two lines differ, a process is late) is taken back in the pauses of whoever speaks, or, where it
has grown past all bounds, at once.

Keys do not cross: not every line can press one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import assert_never

from voicebot.audio.frames import FRAME_SAMPLES, RATE
from voicebot.audio.levels import peak_dbfs
from voicebot.call.recorder import Recorder
from voicebot.carriers.base import Audio, Digit, Hold, HungUp, Line, LineEvent, Malformed, Played
from voicebot.core.timeline import EndReason
from voicebot.errors import PeerError

EPOCH = 1 << 20
"""Of the bridge's audio. A call has fewer epochs of its own: marks of its last sentence move nothing here."""
LEAD = 2 * FRAME_SAMPLES
"""Silence in front, whenever the far end has run dry."""
MUCH, MOST = RATE // 10, RATE // 2
"""Samples of delay, beyond the least there was, that are taken back in a pause, and at once."""
QUIET_DBFS = -40.0
"""No sample of a pause is louder."""
SILENT_S = 15.0
"""A line that brings nothing for this long is dead, whatever it says itself."""


class Way:
    """From one line to another: audio is 8 kHz int16 LE."""

    def __init__(self, to: Line) -> None:
        self._to, self._sent, self._played = to, 0, 0
        self._least: int | None = None
        self.dropped = 0
        """Frames left out, to take back delay."""

    def pass_on(self, pcm: bytes) -> bool:
        """Play it behind what waits; False when it was left out."""
        ahead = self._sent - self._played
        if ahead <= 0:
            pcm = bytes(LEAD * 2) + pcm
        elif self._least is not None and ahead > self._least + (MUCH if peak_dbfs(pcm) <= QUIET_DBFS else MOST):
            self.dropped += 1
            return False
        try:
            self._to.send(pcm, EPOCH, self._sent + len(pcm) // 2)
        except PeerError:  # the line's own bound: it takes no more
            self.dropped += 1
            return False
        self._sent += len(pcm) // 2
        return True

    def played(self, told: Played) -> None:
        """The far end has played so much. On a line whose marks take time, what is on the way counts as delay; so the
        least there ever was is what is usual."""
        if told.epoch == EPOCH and self._played < told.sample <= self._sent:
            self._played = told.sample
            ahead = self._sent - self._played
            self._least = ahead if self._least is None else min(self._least, ahead)


class Bridge:
    """Over two lines that are answered. The recording has `one` left and `other` right, both on the clock of `one`.

    Who reads a line's events already gives them to `from_one` or `from_other`; who does not, lets `run` read both."""

    def __init__(self, one: Line, other: Line, recorder: Recorder | None = None) -> None:
        self._one, self._other, self._recorder = one, other, recorder
        self.there, self.back = Way(other), Way(one)
        """From `one` to `other`, and from `other` to `one`."""

    def from_one(self, event: LineEvent) -> None:
        """What `one` brings."""
        match event:
            case Audio(pcm, at):
                self.there.pass_on(pcm)
                if self._recorder:
                    self._recorder.caller(pcm, at)
            case Played():
                self.back.played(event)
            case Digit() | Hold() | Malformed() | HungUp():
                pass
            case _:
                assert_never(event)

    def from_other(self, event: LineEvent) -> None:
        """What `other` brings."""
        match event:
            case Audio(pcm):
                if self.back.pass_on(pcm) and self._recorder:
                    self._recorder.bot(pcm, self._one.clock_ms() * RATE // 1000)
            case Played():
                self.there.played(event)
            case Digit() | Hold() | Malformed() | HungUp():
                pass
            case _:
                assert_never(event)

    async def run(self, limit_s: float) -> None:
        """Until either line has ended or is dead, or the time is over. Hangs up neither: that is the caller's to do."""
        async with (
            aclosing(self._one.events()) as one,
            aclosing(self._other.events()) as other,
            asyncio.TaskGroup() as group,
        ):
            both = [
                group.create_task(follow(one, self.from_one)),
                group.create_task(follow(other, self.from_other)),
            ]
            await asyncio.wait(both, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
            for each in both:
                each.cancel()


async def follow(events: AsyncIterator[LineEvent], take: Callable[[LineEvent], None]) -> str:
    """Take what a line brings until it has ended, or is dead. Why, as `HungUp` has it."""
    while True:
        try:
            async with asyncio.timeout(SILENT_S):
                event = await anext(events)
        except (StopAsyncIteration, TimeoutError):
            return EndReason.MEDIA_LOST.value
        take(event)
        if isinstance(event, HungUp):
            return event.reason
