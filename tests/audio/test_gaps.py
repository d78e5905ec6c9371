"""What a recogniser hears where packets were lost."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from voicebot.audio.gaps import FADE, FULL, OVER, Gaps

FRAME = 160


def voice(pitch_hz: float, frames: int = 30) -> np.ndarray:
    """A buzz with a formant's worth of harmonics."""
    t = np.arange(frames * FRAME) / 8000
    return (sum(np.sin(2 * np.pi * pitch_hz * n * t) / n for n in range(1, 8)) * 4000).astype("<i2")


def heard(pcm: np.ndarray, lost: set[int]) -> np.ndarray:
    gaps, found = Gaps(), b""
    for number, at in enumerate(range(0, len(pcm), FRAME)):
        frame = pcm[at : at + FRAME]
        found += gaps.push(bytes(len(frame) * 2) if number in lost else frame.tobytes(), number in lost)
    return np.frombuffer(found, "<i2")


@given(lost=st.sets(st.integers(0, 29)), pitch_hz=st.floats(60, 380))
@settings(max_examples=40, deadline=None)
def test_as_much_comes_out_as_goes_in_and_what_came_stays_but_for_the_first_milliseconds_after_a_gap(
    lost: set[int], pitch_hz: float
) -> None:
    pcm = voice(pitch_hz)
    there = heard(pcm, lost)
    assert len(pcm) == len(there)
    for number in set(range(30)) - lost:
        begin = number * FRAME + (OVER if number - 1 in lost else 0)
        np.testing.assert_array_equal(pcm[begin : (number + 1) * FRAME], there[begin : (number + 1) * FRAME])


def test_a_voice_goes_on_at_its_pitch_where_a_packet_was_lost() -> None:
    for pitch_hz in (80, 113, 190, 300):
        pcm = voice(pitch_hz)
        gone = slice(20 * FRAME, 20 * FRAME + FULL)
        off = heard(pcm, {20})[gone].astype(float) - pcm[gone]
        assert np.sqrt(np.mean(off**2)) < 0.2 * pcm.std()


def test_a_long_gap_fades_to_nothing_and_stays_so() -> None:
    there = heard(voice(120), set(range(10, 20)))[10 * FRAME : 20 * FRAME]
    assert np.abs(there[:FULL]).max() > 1000
    assert not there[FULL + FADE :].any()


def test_a_stream_that_begins_with_a_loss_begins_with_silence() -> None:
    assert not heard(voice(120), {0, 1})[: 2 * FRAME].any()


def test_after_a_reset_nothing_of_the_last_voice_is_heard() -> None:
    gaps = Gaps()
    gaps.push(voice(120).tobytes(), False)
    gaps.reset()
    assert bytes(320) == gaps.push(bytes(320), True)
