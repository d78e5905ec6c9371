"""A bridge of two lines, in virtual time: what is said on one is played on the other."""

from __future__ import annotations

import asyncio
import wave
from collections.abc import AsyncGenerator
from pathlib import Path

import numpy as np

from tests.call.world import noise, silence, tone
from tests.virtual_time import run
from voicebot.call.bridge import EPOCH, LEAD, MOST, MUCH, Bridge
from voicebot.call.recorder import Recorder
from voicebot.carriers.base import FRAME_BYTES, FRAME_SAMPLES, Audio, CallInfo, LineEvent, Played
from voicebot.carriers.wavline import WavLine
from voicebot.errors import PeerError


class Heard:
    """A line of recordings that keeps what is played on it."""

    def __init__(self, *said: bytes, full: bool = False) -> None:
        self._line = WavLine(CallInfo("test", "wavline", "", ""), said, "recorded", stays_ms=1000)
        self.info, self.full, self.pcm, self.sent = self._line.info, full, b"", 0

    def events(self) -> AsyncGenerator[LineEvent, None]:
        return self._line.events()

    def send(self, pcm: bytes, epoch: int, sample: int) -> None:
        if self.full:
            raise PeerError("The far end does not read its audio.")
        assert EPOCH == epoch
        self.sent += len(pcm) // 2
        assert self.sent == sample
        self.pcm += pcm
        self._line.send(pcm, epoch, sample)

    def clear(self) -> None: ...

    def clock_ms(self) -> int:
        return self._line.clock_ms()

    async def transfer(self, destination: str) -> None: ...

    async def hangup(self, reason: str) -> None:
        await self._line.hangup(reason)


def test_each_hears_what_the_other_says_to_the_sample() -> None:
    one, other = Heard(tone(1000)), Heard(silence(500) + noise(800))

    run(Bridge(one, other).run(60))

    assert tone(1000) in other.pcm
    assert noise(800) in one.pcm


def test_the_recording_holds_both(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    one, other = Heard(tone(1000)), Heard(silence(1500) + noise(800))

    run(Bridge(one, other, recorder).run(60))

    recorder.close()
    with wave.open(str(tmp_path / "audio.wav")) as file:
        sound = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
    left, right = (np.flatnonzero(np.abs(sound[:, side]) > 1000) // 8 for side in (0, 1))
    assert (0, 1000) == (left[0], round(left[-1], -1))
    assert abs(1500 - right[0]) <= 40
    assert abs(2300 - right[-1]) <= 40


def test_it_ends_when_one_of_them_hangs_up_or_the_time_is_over() -> None:
    async def hung_up_after(seconds: float, line: Heard) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(Bridge(patient, line).run(60))
            await asyncio.sleep(seconds)
            await line.hangup("caller_hangup")

    patient = Heard(silence(30_000))
    run(hung_up_after(2, Heard(tone(500))))
    assert abs(2000 - patient.clock_ms()) <= 40

    patient = Heard(silence(30_000))
    run(Bridge(patient, Heard(silence(30_000))).run(3))
    assert abs(3000 - patient.clock_ms()) <= 20


def frames(pcm: bytes) -> list[Audio]:
    return [Audio(pcm[at : at + FRAME_BYTES], at // 2) for at in range(0, len(pcm), FRAME_BYTES)]


def test_what_a_stall_brings_at_once_is_heard_and_its_delay_taken_back_in_the_next_pause() -> None:
    one, other = Heard(), Heard()
    bridge = Bridge(one, other)
    for audio in frames(silence(200)):  # as it should be: a frame comes, a frame is played
        bridge.from_one(audio)
        bridge.from_other(Played(EPOCH, other.sent - LEAD))
    for audio in frames(tone(300)):  # fifteen frames at once
        bridge.from_one(audio)
    assert tone(300) in other.pcm

    for audio in frames(silence(400)):
        bridge.from_one(audio)
        bridge.from_other(Played(EPOCH, bridge.there._played + FRAME_SAMPLES))

    assert other.sent - bridge.there._played <= LEAD + MUCH + FRAME_SAMPLES
    assert 0 < bridge.there.dropped < 15


def test_delay_has_a_bound_whoever_speaks() -> None:
    one, other = Heard(), Heard()
    bridge = Bridge(one, other)
    for audio in frames(tone(100)):
        bridge.from_one(audio)
        bridge.from_other(Played(EPOCH, other.sent - LEAD))
    for audio in frames(tone(5000)):  # a far end that plays no more
        bridge.from_one(audio)

    assert other.sent - bridge.there._played <= LEAD + MOST + FRAME_SAMPLES


def test_marks_of_the_bots_own_audio_move_nothing() -> None:
    one, other = Heard(), Heard()
    bridge = Bridge(one, other)
    bridge.from_one(frames(tone(20))[0])
    bridge.from_other(Played(3, 160))

    assert 0 == bridge.there._played


def test_a_line_that_takes_no_more_ends_nothing() -> None:
    one, other = Heard(), Heard(full=True)
    bridge = Bridge(one, other)

    bridge.from_one(frames(tone(20))[0])

    assert 1 == bridge.there.dropped
