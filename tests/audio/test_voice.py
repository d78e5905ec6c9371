"""From yes and no for each window to when the caller began and stopped."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from voicebot.audio.levels import SILENCE_DBFS, peak_dbfs, rms_dbfs
from voicebot.audio.voice import EnergyGate, Offset, Onset, Onsets

WINDOW = 160


def events(pattern: str) -> list[Onset | Offset]:
    """`#` is a window of speech, `.` is none; 20 ms each, 80 ms to begin, 200 ms to end."""
    onsets = Onsets(WINDOW, 8000, begin_ms=80, end_ms=200)
    found = (onsets.push(n * WINDOW, window == "#") for n, window in enumerate(pattern))
    return [event for event in found if event]


def noise(dbfs: float, seed: int = 1) -> bytes:
    scale = 32768 * 10 ** (dbfs / 20)
    return np.random.default_rng(seed).normal(0, scale, WINDOW).clip(-32768, 32767).astype("<i2").tobytes()


def test_speech_begins_at_its_first_window_and_ends_at_its_last() -> None:
    assert [Onset(3 * WINDOW), Offset(13 * WINDOW)] == events("...##########............")


def test_a_click_is_not_speech() -> None:
    assert [] == events("...#.....##......#.#.....")


def test_one_window_of_doubt_does_not_delay_the_beginning() -> None:
    assert [Onset(2 * WINDOW)] == events("..#.###")


def test_a_short_pause_does_not_end_an_utterance() -> None:
    assert [Onset(0), Offset(18 * WINDOW)] == events("########.....#####............")


@given(st.text(alphabet="#.", max_size=300))
def test_onsets_and_offsets_take_turns_and_time_goes_forward(pattern: str) -> None:
    found = events(pattern)

    assert [Onset, Offset] * (len(found) // 2) + [Onset] * (len(found) % 2) == [type(e) for e in found]
    assert sorted(e.at for e in found) == [e.at for e in found]


def test_the_gate_opens_for_what_stands_out_and_gets_used_to_a_loud_room() -> None:
    gate = EnergyGate()
    for n in range(50):
        gate.open(noise(-60, n))

    assert gate.open(noise(-30))
    for n in range(800):
        gate.open(noise(-45, n))
    assert not gate.open(noise(-45))


def test_levels_are_what_they_say() -> None:
    full = np.full(WINDOW, 32767, "<i2").tobytes()

    assert SILENCE_DBFS == rms_dbfs(bytes(320)) == peak_dbfs(bytes(320))
    assert abs(rms_dbfs(full)) < 0.01
    assert abs(rms_dbfs(noise(-40)) + 40) < 1
