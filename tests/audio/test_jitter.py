"""Frames out of order, lost and doubled, made whole again."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from voicebot.audio.jitter import Jitter, Placed


def frame(number: int, samples: int = 160) -> bytes:
    return np.full(samples, number + 1, "<i2").tobytes()


def heard(jitter: Jitter, order: list[int]) -> list[Placed]:
    return [placed for n in order for placed in jitter.push(5000 + n * 160, frame(n))] + jitter.flush()


def numbers(placed: list[Placed]) -> list[int]:
    """Which frame each 20 ms is; -1 for a stand-in."""
    return [-1 if p.concealed else int(np.frombuffer(p.pcm, "<i2")[0]) - 1 for p in placed]


def test_frames_in_order_pass_at_once() -> None:
    jitter = Jitter()

    assert [1] * 10 == [len(jitter.push(n * 160, frame(n))) for n in range(10)]


def test_two_frames_that_changed_places_are_put_right() -> None:
    jitter = Jitter()

    assert [0, 1, 2, 3, 4, 5] == numbers(heard(jitter, [0, 1, 3, 2, 4, 5]))
    assert (0, 1) == (jitter.lost, jitter.reordered)


def test_a_lost_frame_is_stood_in_for_once_three_later_ones_have_come() -> None:
    jitter = Jitter()
    heard(jitter, [0, 1])

    assert [] == jitter.push(5000 + 3 * 160, frame(3))
    assert [] == jitter.push(5000 + 4 * 160, frame(4))
    assert [-1, 3, 4, 5] == numbers(jitter.push(5000 + 5 * 160, frame(5)))
    assert (1, 20) == (jitter.lost, jitter.concealed_ms)


def test_the_stand_in_fades_to_silence() -> None:
    jitter = Jitter()
    placed = [p for p in heard(jitter, [0, 6, 7, 8]) if p.concealed]
    loudness = [int(np.abs(np.frombuffer(p.pcm, "<i2")).max()) for p in placed]

    assert sorted(loudness, reverse=True) == loudness
    assert 0 == loudness[-1]


def test_a_frame_that_comes_twice_is_heard_once() -> None:
    jitter = Jitter()

    assert [0, 1, 2] == numbers(heard(jitter, [0, 1, 1, 2, 0]))
    assert 2 == jitter.late


def test_a_clock_that_jumps_by_an_hour_makes_no_hour_of_silence() -> None:
    jitter = Jitter()
    first = jitter.push(0, frame(0))
    second = jitter.push(3600 * 8000, frame(1))

    assert [0, 160] == [p.at for p in first + second]
    assert 1 == jitter.reanchored


@given(
    st.lists(st.tuples(st.integers(0, 2**40), st.integers(1, 8000)), max_size=40)
    | st.lists(st.tuples(st.integers(0, 60), st.just(160)).map(lambda t: (t[0] * 160, t[1])), max_size=60)
)
@settings(max_examples=200, deadline=None)
def test_the_output_has_no_holes_and_stays_in_bounds(frames: list[tuple[int, int]]) -> None:
    jitter = Jitter()
    placed = [p for at, samples in frames for p in jitter.push(at, bytes(samples * 2))] + jitter.flush()

    expected = 0
    for each in placed:
        assert expected == each.at
        expected += len(each.pcm) // 2
    assert expected <= sum(samples for _, samples in frames) + len(frames) * 10 * 8000
