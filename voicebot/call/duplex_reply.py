"""One reply of a native engine: what has come of it, where it lies on the way to the caller, what of it was heard."""

from __future__ import annotations

import asyncio
from collections import deque

from voicebot.call.duplex_audio import Outward
from voicebot.call.playback import Playback
from voicebot.core.duplex import AudioFormat, DuplexEvent, ReplyAudio, ReplyText
from voicebot.core.playout import PER_MS, spread
from voicebot.errors import PeerError

MOST_AHEAD = 180 * 8000
"""Samples that may wait to be queued; an engine that is further ahead has lost its way, and the rest is not said."""


class EngineReply:
    """`take` is fed by the engine and never blocks; the call's reply takes from it with `next`."""

    def __init__(self, reply: str, gives: AudioFormat) -> None:
        self.id = reply
        self.text = ""
        self.begun = False
        """Whether anything has come of it."""
        self.ended = False
        self.told = 0
        """Characters of its text, as placed, that the call's record has."""
        self._outward = Outward(gives)
        self._inbox: deque[DuplexEvent | bytes] = deque()
        self._news = asyncio.Event()
        self._lost = ""
        self._samples = 0
        self._waiting = 0
        self._spans: list[tuple[int, int]] = []
        self._words: slice | None = None  # where its words are among those of the turn

    # --- in

    def take(self, event: DuplexEvent) -> None:
        """Audio is kept as the telephone has it; everything in the order in which it came."""
        if isinstance(event, ReplyAudio):
            self._take_audio(self._outward.push(event.audio))
        else:
            self._inbox.append(event)
        self._news.set()

    def _take_audio(self, pcm: bytes) -> None:
        samples = len(pcm) // 2
        self._samples += samples  # what is cut off here counts as not heard
        if pcm and self._waiting + samples <= MOST_AHEAD:
            self._waiting += samples
            self._inbox.append(pcm)

    def end(self) -> None:
        """Nothing more comes."""
        self._take_audio(self._outward.flush())
        self.ended = True

    def lose(self, fault: str) -> None:
        """Its session is gone. What has come of it is still said."""
        if not self.ended:
            self._lost = fault
            self._news.set()

    async def next(self, seconds: float) -> DuplexEvent | bytes:
        """The next event, or its audio as 8 kHz int16 LE. `PeerError` when none comes in time, or none will."""
        try:
            async with asyncio.timeout(seconds):
                while not self._inbox:
                    if self._lost:
                        raise PeerError(self._lost)
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise PeerError("The native engine fell silent in its reply.") from None
        item, self.begun = self._inbox.popleft(), True
        if isinstance(item, bytes):
            self._waiting -= len(item) // 2
        return item

    # --- out

    def queued(self, playback: Playback, samples: int) -> None:
        """So many samples were just queued."""
        end = playback.ledger.queued
        self._spans.append((end - samples, end))

    def spoke(self, event: ReplyText) -> None:
        """A piece of its text."""
        self.text += event.text

    def place(self, playback: Playback, turn: int) -> str:
        """Give the words their places, as far as their audio is queued; what has a place now."""
        ledger = playback.ledger
        if self._words is None:
            self._words = slice(ledger.words(turn), ledger.words(turn))
        queued = sum(end - start for start, end in self._spans)
        all_said = self.ended and not self._waiting
        words = [
            (self._position(start), text)
            for start, end, text in spread(self.text, self._samples, more=not self.ended)
            if end <= queued or all_said
        ]
        ledger.place(turn, self._words, words)
        self._words = slice(self._words.start, self._words.start + len(words))
        return "".join(text for _, text in words)

    def _position(self, sample: int) -> int:
        """In the ledger, of a sample of this reply."""
        for start, end in self._spans:
            if sample <= end - start:
                return start + sample
            sample -= end - start
        return self._spans[-1][1] if self._spans else 0

    @property
    def sounded(self) -> bool:
        """Whether there was a sound."""
        return self._samples > 0

    @property
    def untold(self) -> str:
        """Text that the call's record does not have yet."""
        return " ".join(self.text.split())[self.told :]

    def heard_ms(self, heard: int) -> int:
        """Of its audio, with the ledger's watermark at `heard`."""
        return sum(max(0, min(end, heard) - start) for start, end in self._spans) // PER_MS

    def unheard(self, heard: int) -> bool:
        """Whether anything of it was, or will be, not heard."""
        return not self.ended or self.heard_ms(heard) < self._samples // PER_MS
