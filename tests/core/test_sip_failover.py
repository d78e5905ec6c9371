"""Which of an account's registrars is used, and which are asked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebot.core.sip_failover import Failover


def started(count: int = 2) -> Failover:
    """The first is asked at 0 s."""
    failover = Failover(count, answer_s=8, back_s=30)
    failover.asked(0, 0)
    return failover


def away(failover: Failover, now_s: float = 1) -> Failover:
    """The first has failed, the second stands."""
    failover.answered(0, 503, 0, now_s)
    failover.asked(1, now_s)
    failover.answered(1, 200, 300, now_s)
    failover.look(now_s)
    return failover


def test_one_that_stands_is_used_and_nobody_else_is_asked() -> None:
    failover = started()
    failover.answered(0, 200, 300, 1)
    assert (range(1), 0, 200) == (failover.look(2), failover.in_use, failover.code(2))


@pytest.mark.parametrize("code", [408, 480, 500, 503, 603])
def test_one_that_fails_brings_the_next_in_and_is_used_until_that_stands(code: int) -> None:
    failover = started()
    failover.answered(0, code, 0, 1)
    assert (range(2), 0, code) == (failover.look(2), failover.in_use, failover.code(2))
    failover.asked(1, 2)
    failover.answered(1, 200, 300, 3)
    assert (range(2), 1, 200) == (failover.look(3), failover.in_use, failover.code(3))


@pytest.mark.parametrize("code", [401, 403, 404])
def test_one_that_refuses_us_for_good_does_not(code: int) -> None:
    failover = started()
    failover.answered(0, code, 0, 1)
    assert range(1) == failover.look(100)


def test_one_that_says_nothing_is_waited_for_a_while() -> None:
    failover = started(3)
    assert range(1) == failover.look(7.9)
    assert range(2) == failover.look(8)
    failover.asked(1, 8)
    assert range(2) == failover.look(15.9)
    assert range(3) == failover.look(16)


def test_a_registration_that_is_not_refreshed_has_lapsed() -> None:
    failover = started()
    failover.answered(0, 200, 60, 0)
    assert (range(1), 200) == (failover.look(59), failover.code(59))
    assert (range(2), 408) == (failover.look(60), failover.code(60))


def test_one_that_is_back_is_used_once_it_has_stood_for_a_while_and_then_the_other_is_left() -> None:
    failover = away(started())
    failover.answered(0, 200, 300, 100)
    assert (range(2), 1) == (failover.look(129), failover.in_use)
    failover.answered(0, 200, 300, 120)  # a refresh: it has stood since 100
    assert (range(1), 0) == (failover.look(130), failover.in_use)


def test_one_that_is_back_is_used_at_once_when_the_other_fails() -> None:
    failover = away(started())
    failover.answered(0, 200, 300, 100)
    failover.answered(1, 503, 0, 101)
    assert 0 == (failover.look(101), failover.in_use)[1]


def test_what_one_says_after_we_have_left_is_nothing() -> None:
    failover = away(started())
    failover.answered(0, 200, 300, 100)
    failover.look(130)
    failover.left(1)
    failover.answered(1, 200, 300, 131)
    failover.answered(0, 503, 0, 132)
    assert 0 == (failover.look(132), failover.in_use)[1]


@given(
    st.lists(st.tuples(st.integers(0, 2), st.sampled_from([200, 200, 403, 408, 503]), st.integers(0, 50)), max_size=40)
)
def test_while_any_that_is_asked_stands_one_that_stands_is_used(answers: list[tuple[int, int, int]]) -> None:
    failover, now_s, asked = started(3), 0.0, {0}
    for place, code, wait_s in answers:
        failover.answered(place, code, 60, now_s)
        now_s += wait_s
        wanted = set(failover.look(now_s))
        for number in wanted - asked:
            failover.asked(number, now_s)
        for number in asked - wanted:
            failover.left(number)
        asked = wanted
        standing = [number for number, site in enumerate(failover.sites) if site.stands(now_s)]
        assert not standing or failover.in_use in standing
        assert {failover.in_use, 0} <= asked
