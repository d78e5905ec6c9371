"""Measuring the echo guard: the scenes are what they say, and one small measurement for real."""

from __future__ import annotations

import asyncio
import csv
from pathlib import Path

import numpy as np
import pytest

from voicebot.audio.voice import Offset, Onset
from voicebot.errors import UsageError
from voicebot.replay import mixing
from voicebot.replay.echo_cases import NO_ECHO, trimmed
from voicebot.replay.echo_scenes import BOT_DBFS, RATE, Return, Said, levelled, scene
from voicebot.replay.echoes import measure, voices_of

DATA = Path(__file__).parent.parent / "data"
DIGITS = [trimmed(mixing.read(DATA / f"digits/{name}.flac", RATE)) for name in ("two", "five", "nine")]
QUIET = np.zeros(RATE, np.float32)


def samples(pcm: bytes) -> mixing.Sound:
    return np.frombuffer(pcm, "<i2").astype(np.float32) / np.float32(32768)


def level(sound: mixing.Sound) -> float:
    return 10 * float(np.log10(mixing.speech_power(sound, RATE)))


def test_an_echo_comes_back_as_late_and_as_loud_as_its_path_says() -> None:
    made = scene(DIGITS, [], Return("test", 100, -12), None, QUIET, seed=1)
    first, sent = made.bot[0], made.far[0]
    echo = samples(made.near)[first.start : first.end]

    assert 100 * RATE // 1000 == first.start - sent[0]
    assert abs(level(samples(sent[1])) - BOT_DBFS) < 0.5
    assert abs(level(echo) - (BOT_DBFS - 12)) < 1.5


def test_what_the_guard_is_told_is_wrong_by_no_more_than_the_jitter() -> None:
    made = scene(DIGITS, [], Return("test", 100, -12, jitter_ms=100), None, QUIET, seed=2)
    wrong = [said.start - 100 * RATE // 1000 - told for said, (told, _) in zip(made.bot, made.far, strict=True)]

    assert 3 == len(set(wrong))
    assert max(map(abs, wrong)) <= RATE // 10


def test_a_callers_track_holds_the_callers_and_nothing_of_the_bot() -> None:
    made = scene(DIGITS, DIGITS, Return("test", 100, -12), 0.0, QUIET, seed=3)
    alone, voice = samples(made.alone), made.callers[0]

    assert level(alone[: voice.start]) < -60 < BOT_DBFS - 12 - 3 < level(alone[voice.start : voice.end])
    assert made.bot[0].start < voice.start


def test_a_quiet_room_returns_nothing_where_there_is_no_path() -> None:
    made = scene(DIGITS, [], None, None, QUIET, seed=4)
    assert np.abs(samples(made.near)).max() < 0.003


def test_levelling_silence_leaves_silence() -> None:
    assert not levelled(QUIET, -20).any()


def test_a_voice_lasts_from_its_onset_to_its_offset_or_to_the_end() -> None:
    found = [None, Onset(0), None, Offset(100), Onset(500), None]
    assert [Said(320, 640), Said(800, 1120)] == voices_of(found)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with (tmp_path / "MANIFEST.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "category", "speaker", "transcript", "labels"])
        writer.writerow([DATA / "coffee/iced_mocha.flac", "read_lj", "one", "", ""])
        for name in ("two", "five", "nine"):
            writer.writerow([DATA / f"digits/{name}.flac", "read_an4", "two", "", ""])
    return tmp_path


def test_a_measurement_keeps_echo_back_and_finds_callers(folder: Path) -> None:
    rows = asyncio.run(measure(folder, engine="webrtc", scenes=1, only="in a room"))
    echo, *callers = rows

    assert ["echo only", "caller +6 dB", "caller +0 dB", "caller -6 dB"] == [row.voices for row in rows]
    assert 0 < echo.kept_back == echo.echoes
    assert 0 < len(callers[0].late_ms) == callers[0].callers
    assert all(0 < row.cpu_ms for row in rows)


def test_callers_without_echo_are_never_called_our_own(folder: Path) -> None:
    (row,) = asyncio.run(measure(folder, engine="webrtc", scenes=1, only=NO_ECHO))

    assert row.frames > 0 == row.own
    assert row.callers == len(row.late_ms)


def test_a_condition_that_there_is_not_is_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match="moon"):
        asyncio.run(measure(folder, engine="webrtc", only="moon"))
