"""What a telephone of a load says and when: it lets the bot finish, waits a little, asks, hears the answer; now and
then it interrupts. All of it is decided at ticks, without a task."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto

import numpy as np

from voicebot.audio.frames import FRAME_BYTES, FRAME_MS, FRAME_SAMPLES, RATE
from voicebot.audio.g711 import ulaw_encode
from voicebot.replay.load_figures import Figures
from voicebot.replay.load_phone import LoadPhone
from voicebot.replay.telephone import Speech, speech

QUIET_TICKS = 35
"""So long without a sound of the bot, and its turn is over."""
PAUSE_TICKS = (10, 100)
WAIT_TICKS = 500
"""For an answer, or for the first word."""
BARGE_TICKS = (50, 75)
"""Into the bot's answer."""
ROOM_DBFS = -66.0
AUDIBLE = 300


@dataclass(frozen=True, slots=True)
class Clip:
    """Something the caller says; the voice in it lies from `onset_ms` to `end_ms`."""

    speech: Speech
    onset_ms: float
    end_ms: float


def clip(pcm: bytes) -> Clip:
    """Cut to the frames with a voice in them: 8 kHz int16 LE."""
    samples = np.frombuffer(pcm, "<i2")
    loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > AUDIBLE)
    first = int(loud[0]) // FRAME_SAMPLES * FRAME_SAMPLES
    last = -(-(int(loud[-1]) + 1) // FRAME_SAMPLES) * FRAME_SAMPLES
    heard = samples[first:last].tobytes()
    return Clip(speech(ulaw_encode(heard)), (loud[0] - first) * 1000 / RATE, (loud[-1] - first) * 1000 / RATE)


def room() -> Speech:
    """A second of a quiet room."""
    noise = np.random.default_rng(1).normal(0, 32768 * 10 ** (ROOM_DBFS / 20), RATE)
    return speech(ulaw_encode(noise.astype("<i2").tobytes()[: 50 * FRAME_BYTES]))


class _At(Enum):
    LISTENING = auto()
    PAUSING = auto()
    SPEAKING = auto()
    OVER_BOT = auto()
    WAITING = auto()


class Talk:
    """One call's. `barge_share` of the bot's answers are interrupted."""

    def __init__(
        self, clips: Sequence[Clip], quiet: Speech, barge_share: float, seed: int, figures: Callable[[], Figures]
    ) -> None:
        self._clips, self._figures, self._barge_share = clips, figures, barge_share
        self._quiet = [each.decode() for each in quiet.encoded]
        self._chance = random.Random(seed)
        self._at = _At.LISTENING
        self._left: deque[str] = deque()
        self._clip = clips[0]
        self._onset_ms = self._end_ms = 0.0
        self._heard = self._silent = self._count = 0
        self._barge_at = 0

    def __call__(self, phone: LoadPhone) -> str:
        self._step(phone)
        return self._left.popleft() if self._left else self._quiet[phone.ticks % len(self._quiet)]

    def _step(self, phone: LoadPhone) -> None:
        self._count += 1
        match self._at:
            case _At.LISTENING:
                self._listen(phone)
            case _At.PAUSING if self._count >= 0:
                self._speak(phone, _At.SPEAKING)
            case _At.SPEAKING if not self._left:
                self._go(_At.WAITING)
                self._answered(phone)
            case _At.OVER_BOT if not self._left:
                self._interrupted(phone)
            case _At.WAITING:
                self._answered(phone)
            case _:
                pass

    def _go(self, at: _At, count: int = 0) -> None:
        self._at, self._count = at, count

    def _listen(self, phone: LoadPhone) -> None:
        if phone.playing:
            self._heard, self._silent = self._heard + 1, 0
            if self._barge_at and self._heard >= self._barge_at:
                self._barge_at = 0
                self._speak(phone, _At.OVER_BOT)
            return
        self._silent += 1
        if self._silent >= (QUIET_TICKS if self._heard else WAIT_TICKS):
            self._barge_at = 0
            self._go(_At.PAUSING, -self._chance.randint(*PAUSE_TICKS))

    def _speak(self, phone: LoadPhone, at: _At) -> None:
        self._clip = self._chance.choice(self._clips)
        self._left.extend(each.decode() for each in self._clip.speech.encoded)
        spoken_ms = (phone.ticks - 1) * FRAME_MS  # the frame that is sent at a tick was spoken before it
        self._onset_ms, self._end_ms = spoken_ms + self._clip.onset_ms, spoken_ms + self._clip.end_ms
        self._go(at)

    def _answered(self, phone: LoadPhone) -> None:
        if phone.playing:
            self._figures().voice_to_voice_ms.append(phone.ticks * FRAME_MS - self._end_ms)
        elif self._count < WAIT_TICKS:
            return
        else:
            self._figures().unanswered += 1
        self._heard = self._silent = 0
        interrupts = self._chance.random() < self._barge_share
        self._barge_at = self._chance.randint(*BARGE_TICKS) if interrupts else 0
        self._go(_At.LISTENING)

    def _interrupted(self, phone: LoadPhone) -> None:
        cleared_ms = (phone.clears_s - phone.began_s) * 1000 - self._onset_ms
        if cleared_ms >= 0:
            self._figures().barge_in_ms.append(cleared_ms)
        else:
            self._figures().ignored += 1
        self._go(_At.WAITING)
