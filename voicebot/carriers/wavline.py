"""A line made of files: recordings are the caller, and what the bot says is played to nobody, in real time.

Each recording is one thing the caller says, said when the bot has finished speaking (pace `turns`), or all of them
straight away, one after the other (pace `recorded`). The far end is a faithful small carrier: a playout buffer that
is drained 20 ms at a time, marks that come back when their audio was played, `clear` that empties it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

import numpy as np
import soundfile
import soxr

from voicebot.audio.g711 import ulaw_decode, ulaw_encode
from voicebot.carriers.base import (
    FRAME_BYTES,
    FRAME_MS,
    FRAME_SAMPLES,
    RATE,
    Audio,
    CallInfo,
    HungUp,
    LineEvent,
    Played,
)
from voicebot.errors import UsageError

MAX_SECONDS = 3600
QUIET_MS = 600
"""The bot has finished when it was quiet for this long."""
PATIENCE_MS = 12_000
"""How long the caller stays on the line with a bot that says nothing."""


def read(path: Path) -> bytes:
    """A recording as it would come over the telephone: 8 kHz mono int16 LE, through μ-law and back.
    `UsageError` in one sentence for anything that is not a recording."""
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True, frames=MAX_SECONDS * 48000)
    except (soundfile.LibsndfileError, OSError) as error:
        reason = "there is no such file" if not path.exists() else str(error)
        raise UsageError(
            f"{path} cannot be read as a recording: {reason.rstrip('.')}. Use WAV or FLAC, mono or stereo."
        ) from error
    if len(samples) == 0:
        raise UsageError(f"{path} holds no audio. Use WAV or FLAC, mono or stereo.")
    mono = samples[:, 0] if samples.shape[1] == 2 else samples.mean(1)  # stereo: the caller is on the left
    if rate != RATE:
        mono = soxr.resample(mono, rate, RATE, quality="VHQ")
    pcm = (np.clip(mono, -1, 1) * 32767).astype("<i2").tobytes()
    return ulaw_decode(ulaw_encode(pcm))


class FarEnd:
    """The playout of a faithful small carrier, 20 ms at a time."""

    def __init__(self) -> None:
        self.quiet_ms = 0
        """For how long nothing was played."""
        self.spoke = False
        """Whether anything was played since this was last set to False."""
        self._playing: deque[bytes] = deque()
        self._marks: deque[tuple[int, int, int]] = deque()  # (samples in, epoch, sample)
        self._in = self._out = 0  # samples ever queued for, and gone from, the buffer

    def send(self, pcm: bytes, epoch: int, sample: int) -> None:
        """Audio with its mark, see `Line.send`."""
        self._playing.append(pcm)
        self._in += len(pcm) // 2
        self._marks.append((self._in, epoch, sample))

    def clear(self) -> None:
        """Drop what was not played; its marks come back."""
        self._playing.clear()
        self._out = self._in

    def play(self) -> list[Played]:
        """20 ms; the marks of what was played."""
        left = FRAME_SAMPLES
        while left and self._playing:
            pcm = self._playing.popleft()
            if len(pcm) // 2 > left:
                self._playing.appendleft(pcm[left * 2 :])
                pcm = pcm[: left * 2]
            self._out += len(pcm) // 2
            left -= len(pcm) // 2
        self.quiet_ms = self.quiet_ms + FRAME_MS if left == FRAME_SAMPLES else 0
        self.spoke = self.spoke or left < FRAME_SAMPLES
        played = []
        while self._marks and self._marks[0][0] <= self._out:
            _, epoch, sample = self._marks.popleft()
            played.append(Played(epoch, sample))
        return played


class WavLine:
    """`utterances`: 8 kHz int16 LE each, as `read` gives them. `stays_ms`: how long the caller stays after the bot
    answered the last of them."""

    def __init__(
        self, info: CallInfo, utterances: Sequence[bytes], pace: str = "turns", stays_ms: int = PATIENCE_MS
    ) -> None:
        self.info = info
        self._pace = pace
        self._stays_ms = stays_ms
        self._waiting = deque(utterances)
        self._speaking = b""
        self._at = 0  # media clock, samples
        self._far = FarEnd()
        self.send, self.clear = self._far.send, self._far.clear
        self._ended = ""
        self.transferred_to = ""

    async def events(self) -> AsyncGenerator[LineEvent, None]:
        loop = asyncio.get_running_loop()
        start = loop.time()
        ticks = 0
        while not self._ended:
            ticks += 1
            await asyncio.sleep(max(0.0, start + ticks * FRAME_MS / 1000 - loop.time()))
            played, said = self._far.play(), Audio(self._say(), self._at)
            self._at += FRAME_SAMPLES  # the clock stands at the end of what was said and played
            for each in played:
                yield each
            yield said
        yield HungUp(self._ended)

    def _say(self) -> bytes:
        """20 ms of the caller."""
        far = self._far
        if not self._speaking and self._waiting and self._my_turn():
            self._speaking, far.spoke = self._waiting.popleft(), False
        patience_ms = self._stays_ms if far.spoke else PATIENCE_MS
        if not self._speaking and not self._waiting and far.quiet_ms >= patience_ms:
            self._ended = self._ended or "caller_hangup"
        frame, self._speaking = self._speaking[:FRAME_BYTES], self._speaking[FRAME_BYTES:]
        return frame.ljust(FRAME_BYTES, b"\0")

    def _my_turn(self) -> bool:
        if self._pace == "recorded":
            return True
        quiet_ms = self._far.quiet_ms
        return (self._far.spoke and quiet_ms >= QUIET_MS) or quiet_ms >= PATIENCE_MS

    def clock_ms(self) -> int:
        return self._at * 1000 // RATE

    async def transfer(self, destination: str) -> None:
        self.transferred_to = destination
        self._ended = "caller_hangup"

    async def hangup(self, reason: str) -> None:
        self._ended = self._ended or reason
