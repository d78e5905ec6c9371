"""A line on which a recorded caller waits for the bot as they did in the recording: each utterance comes so long after
the bot stopped, or so long after it began, as then."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from voicebot.carriers.base import FRAME_BYTES, FRAME_MS, FRAME_SAMPLES, RATE, Audio, CallInfo, HungUp, LineEvent
from voicebot.carriers.wavline import FarEnd
from voicebot.engines.base import Vad, VoiceStarted
from voicebot.replay.recorded_bot import Stretch
from voicebot.replay.recording import Samples

MARGIN = RATE * 200 // 1000
"""Samples kept around an utterance: soft consonants, the room."""
PAUSE_MS = 700
"""Pauses up to this are within an utterance: the caller does not wait for anybody in them."""
QUIET_MS = 600
"""The bot has finished when it was quiet for this long, however fast the caller answered then."""
PATIENCE_MS = 12_000
"""Nobody waits longer for a bot that says nothing."""
LONGEST_MS = 3_600_000
"""A bot that never lets the caller finish is left after an hour."""


@dataclass(frozen=True, slots=True)
class Cue:
    """What the caller waits for: the bot's end, its beginning, or the end of what they said themselves."""

    kind: Literal["end", "begin", "self"]
    ms: int
    """So long after it."""


@dataclass(frozen=True, slots=True)
class Utterance:
    pcm: bytes
    cue: Cue


def utterances(caller: Samples, bot: Sequence[Stretch], vad: Vad) -> tuple[Utterance, ...]:
    """What the caller says, 8 kHz, and what each thing is said in answer to."""
    found: list[Utterance] = []
    voices = _voices(caller, vad)
    for index, (start, end) in enumerate(voices):
        before = voices[index - 1][1] if index else 0
        cue = Cue("self", (start - before) * 1000 // RATE)
        for part in bot:
            if part.start <= start < part.end:
                cue = Cue("begin", (start - part.start) * 1000 // RATE)
            elif before <= part.end <= start:
                cue = Cue("end", (start - part.end) * 1000 // RATE)
        pcm = np.asarray(caller[max(0, start - MARGIN) : end + MARGIN], "<i2").tobytes()
        found.append(Utterance(pcm, cue))
    return tuple(found)


def _voices(caller: Samples, vad: Vad) -> list[tuple[int, int]]:
    """(start, end) samples of voices, those within `PAUSE_MS` of each other together."""
    session, found, start = vad.open(), list[tuple[int, int]](), -1
    for at in range(0, len(caller), FRAME_SAMPLES):
        frame = np.asarray(caller[at : at + FRAME_SAMPLES], "<i2").tobytes()
        for edge in session.push(frame.ljust(FRAME_BYTES, b"\0"), at):
            if isinstance(edge, VoiceStarted):
                start = edge.at
            elif start >= 0:
                found.append((start, edge.at))
                start = -1
    if start >= 0:
        found.append((start, len(caller)))
    joined: list[tuple[int, int]] = []
    for begin, end in found:
        if joined and begin - joined[-1][1] <= PAUSE_MS * RATE // 1000:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((begin, end))
    return joined


class PatientLine:
    """`stays_ms`: how long the caller stays on after the bot answered the last of it."""

    def __init__(self, info: CallInfo, said: Sequence[Utterance], stays_ms: int) -> None:
        self.info, self._said, self._stays_ms = info, deque(said), stays_ms
        self._far = FarEnd()
        self.send, self.clear = self._far.send, self._far.clear
        self._at = 0  # media clock, samples
        self._speaking = b""
        self._silent_ms = self._bot_ms = 0
        """Since the caller's last sound, and since the bot began to speak."""
        self._ended = ""
        self.transferred_to = ""

    async def events(self) -> AsyncGenerator[LineEvent, None]:
        loop = asyncio.get_running_loop()
        start = loop.time()
        ticks = 0
        while not self._ended:
            ticks += 1
            await asyncio.sleep(max(0.0, start + ticks * FRAME_MS / 1000 - loop.time()))
            played = self._far.play()
            quiet_ms = self._far.quiet_ms
            silent = quiet_ms >= QUIET_MS or (quiet_ms > 0 and not self._bot_ms)
            self._bot_ms = 0 if silent else self._bot_ms + FRAME_MS
            said = Audio(self._say(), self._at)
            self._at += FRAME_SAMPLES
            for each in played:
                yield each
            yield said
            if self.clock_ms() >= LONGEST_MS:
                self._ended = self._ended or "caller_hangup"
        yield HungUp(self._ended)

    def _say(self) -> bytes:
        if not self._speaking and self._said and self._my_turn(self._said[0].cue):
            self._speaking, self._far.spoke = self._said.popleft().pcm, False
        if not self._speaking:
            self._silent_ms += FRAME_MS
            if not self._said and self._silent_ms >= self._stays_ms and self._answered(self._stays_ms):
                self._ended = self._ended or "caller_hangup"
            return bytes(FRAME_BYTES)
        self._silent_ms = 0
        frame, self._speaking = self._speaking[:FRAME_BYTES], self._speaking[FRAME_BYTES:]
        return frame.ljust(FRAME_BYTES, b"\0")

    def _my_turn(self, cue: Cue) -> bool:
        if cue.kind == "self":
            return self._silent_ms >= cue.ms and self._far.quiet_ms > 0
        if cue.kind == "begin":
            return (self._far.spoke and self._bot_ms >= cue.ms) or self._out_of_patience()
        return self._answered(max(QUIET_MS, cue.ms))

    def _answered(self, quiet_ms: int) -> bool:
        return (self._far.spoke and self._far.quiet_ms >= quiet_ms) or self._out_of_patience()

    def _out_of_patience(self) -> bool:
        return min(self._far.quiet_ms, self._silent_ms) >= PATIENCE_MS

    def clock_ms(self) -> int:
        return self._at * 1000 // RATE

    async def transfer(self, destination: str) -> None:
        self.transferred_to = destination
        self._ended = "caller_hangup"

    async def hangup(self, reason: str) -> None:
        self._ended = self._ended or reason
