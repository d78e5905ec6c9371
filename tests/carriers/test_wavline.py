"""A line made of files, and what it says of files that are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.virtual_time import run
from voicebot.carriers.base import Audio, CallInfo, HungUp, LineEvent, Played
from voicebot.carriers.wavline import WavLine, read
from voicebot.errors import UsageError

INFO = CallInfo("test", "wavline", "", "")


def test_any_rate_and_any_number_of_channels_becomes_the_telephone(tmp_path: Path) -> None:
    seconds, rate = 0.5, 44100
    left = 0.5 * np.sin(2 * np.pi * 440 * np.arange(int(rate * seconds)) / rate)
    soundfile.write(tmp_path / "stereo.wav", np.stack([left, np.zeros_like(left)], 1), rate)

    pcm = np.frombuffer(read(tmp_path / "stereo.wav"), "<i2")

    assert 4000 == len(pcm)
    assert abs(np.abs(pcm).max() / 32768 - 0.5) < 0.03, "the left channel is the caller"


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("missing.wav", None, "there is no such file"),
        ("empty.wav", b"", "cannot be read as a recording"),
        ("text.wav", b"this is not audio at all", "cannot be read as a recording"),
        ("header_only.wav", b"RIFF\x24\0\0\0WAVEfmt ", "cannot be read as a recording"),
        ("picture.png", b"\x89PNG\r\n\x1a\n" + b"\0" * 100, "cannot be read as a recording"),
    ],
)
def test_what_is_no_recording_is_refused_in_one_sentence(
    tmp_path: Path, name: str, content: bytes | None, why: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)

    with pytest.raises(UsageError) as refused:
        read(tmp_path / name)

    assert why in str(refused.value)
    assert "Use WAV or FLAC" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert ".." not in str(refused.value)


def test_a_recording_without_samples_is_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "none.wav", np.zeros(0), 8000)

    with pytest.raises(UsageError, match="holds no audio"):
        read(tmp_path / "none.wav")


async def events(line: WavLine, count: int) -> list[LineEvent]:
    found: list[LineEvent] = []
    async for event in line.events():
        found.append(event)
        if len(found) == count:
            break
    return found


def test_marks_come_back_when_their_audio_was_played() -> None:
    line = WavLine(INFO, [])
    line.send(bytes(640), epoch=0, sample=320)
    line.send(bytes(320), epoch=0, sample=480)

    found = run(events(line, 6))

    assert [Audio, Played, Audio, Played, Audio, Audio] == [type(e) for e in found]
    assert [Played(0, 320), Played(0, 480)] == [e for e in found if isinstance(e, Played)]


def test_clear_empties_the_far_end_and_brings_its_marks_back() -> None:
    line = WavLine(INFO, [])
    line.send(bytes(16000), epoch=0, sample=8000)
    line.clear()

    assert Played(0, 8000) in run(events(line, 3))


def test_a_caller_with_nothing_more_to_say_hangs_up_in_the_end() -> None:
    async def whole() -> list[LineEvent]:
        return [event async for event in WavLine(INFO, []).events()]

    assert HungUp("caller_hangup") == run(whole())[-1]


def test_a_caller_stays_as_long_as_told_after_the_last_answer() -> None:
    line = WavLine(INFO, [bytes(3200)], stays_ms=6000)

    async def seconds() -> float:
        frames = 0
        async for event in line.events():
            frames += isinstance(event, Audio)
            if frames in (100, 400):  # the greeting, and the answer at eight seconds
                line.send(b"\1\1" * 160, 0, 160 * frames)
        return frames / 50

    assert abs(8 + 6 - run(seconds())) < 0.1
