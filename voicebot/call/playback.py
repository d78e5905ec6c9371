"""What the bot says, on its way from the queue to the caller's ear: ledger, pacing, the line, the recording.

Everything that is told onward (`on_heard`, `on_drained`) is told once, when it is true of the caller's ear.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from voicebot.audio.echo import EchoGuard
from voicebot.call.beat import BEAT_S
from voicebot.call.recorder import Recorder
from voicebot.carriers.base import RATE, Line
from voicebot.core.playout import HeardAudio, Ledger
from voicebot.engines.base import SpokenWord
from voicebot.errors import PeerError

BEAT_MS = round(BEAT_S * 1000)
QUEUED_MS = 10_000
"""Unheard audio a reply may be ahead of the caller's ear; then it waits."""


class Playback:
    """One call's. `on_heard(audio, end)` is called with every stretch of audio that was heard and the media-clock
    sample at which it ended, `on_drained` when all that was queued has been, `on_lost` when the line takes no more.
    `guard` is told what the far end is about to play: its echo follows at once."""

    def __init__(
        self,
        line: Line,
        recorder: Recorder,
        now_s: Callable[[], float],
        on_heard: Callable[[HeardAudio, int], None],
        on_drained: Callable[[], None],
        on_lost: Callable[[PeerError], None],
        guard: EchoGuard,
    ) -> None:
        self.ledger = Ledger()
        self._line, self._recorder, self._now_s = line, recorder, now_s
        self._on_heard, self._on_drained, self._on_lost = on_heard, on_drained, on_lost
        self._guard = guard
        self._far_end = 0  # media-clock sample up to which the far end has audio of ours
        self._drained = True
        self._heard_some = asyncio.Event()

    @property
    def speaking(self) -> bool:
        """Whether the bot has something to say that was not heard yet, held or not."""
        return not self.ledger.empty

    @property
    def audible(self) -> bool:
        """Whether the far end has audio of ours to play just now."""
        return self.ledger.sent > self.ledger.heard

    # --- the way out

    def queue(self, turn: int, pcm: bytes, words: Iterable[SpokenWord], interruptible: bool) -> None:
        """Audio of `turn`, 8 kHz int16 LE, and the words that start in it."""
        self.ledger.queue(turn, pcm, ((w.at, w.text) for w in words), interruptible)
        if pcm:
            self._drained = False

    def pump(self) -> None:
        """Keep the far end about 200 ms ahead: what would be due before the next beat goes now, so that no message is
        late by the beat."""
        if not self.ledger.waits:
            return
        try:
            for chunk in self.ledger.due(self._now_s() * 1000, BEAT_MS):
                self._line.send(chunk.pcm, chunk.epoch, chunk.sample)
                at = max(self._clock(), self._far_end)
                self._guard.played(chunk.pcm, at)
                self._far_end = at + len(chunk.pcm) // 2
        except PeerError as error:
            self._on_lost(error)

    async def room(self) -> None:
        """Wait until the caller has heard enough of what is queued."""
        while self.ledger.unheard_ms() > QUEUED_MS:
            self._heard_some.clear()
            await self._heard_some.wait()

    async def heard_out(self) -> None:
        """Wait until the caller has heard all that is queued."""
        while not self.ledger.empty:
            self._heard_some.clear()
            await self._heard_some.wait()

    # --- the way back

    def acknowledge(self, epoch: int, sample: int) -> None:
        """The carrier says that audio was played."""
        self._heard(self.ledger.acknowledge(epoch, sample, self._now_s() * 1000))
        self.check_drained()

    def beat(self) -> None:
        """Now and then: marks that are lost, audio that is due."""
        if self._drained and self.ledger.empty:
            return
        self._heard(self.ledger.overdue(self._now_s() * 1000))
        self.check_drained()
        self.pump()

    def _heard(self, heard: HeardAudio) -> None:
        if heard.pcm:
            self._heard_some.set()
            end = self._clock()
            self._recorder.bot(heard.pcm, end)
            self._on_heard(heard, end)

    def check_drained(self, again: bool = False) -> None:
        """Say so when all that was queued has been heard; `again`, even if it was said before."""
        if self.ledger.empty and not self.ledger.held and (again or not self._drained):
            self._drained = True
            self._on_drained()

    # --- interruption

    def hold(self) -> None:
        """Silence now; the rest is kept."""
        self._heard(self.ledger.settle(self._now_s() * 1000))
        if self.ledger.hold():
            self._clear()

    def _clear(self) -> None:
        self._line.clear()
        self._far_end = self._clock()
        self._guard.silenced(self._far_end)

    def _clock(self) -> int:
        return self._line.clock_ms() * RATE // 1000

    def resume(self) -> None:
        """Go on from the exact sample heard last."""
        self.ledger.resume()
        self.pump()
        self.check_drained()

    def drop(self) -> None:
        """Silence now; the rest is never said."""
        if not self.ledger.held:
            self._heard(self.ledger.settle(self._now_s() * 1000))
            if self.audible:
                self._clear()
        self.ledger.drop()
        self._drained = True
