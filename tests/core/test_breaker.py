"""The circuit breaker, in its own time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from voicebot.core.breaker import TRIAL_MS, Breaker, BreakerState


def opened(at_ms: int = 0) -> Breaker:
    breaker = Breaker(failures=2, cool_ms=1000, most_ms=3000)
    breaker.failed(at_ms)
    breaker.failed(at_ms)
    return breaker


def test_one_failure_is_forgiven_and_a_success_forgets_it() -> None:
    breaker = Breaker(failures=2)
    breaker.failed(0)
    breaker.succeeded()
    breaker.failed(1)
    assert BreakerState.CLOSED is breaker.state(1)
    assert breaker.admit(1)


def test_failures_in_a_row_open_it_for_a_while() -> None:
    breaker = opened()
    assert (BreakerState.OPEN, False) == (breaker.state(999), breaker.admit(999))
    assert BreakerState.HALF_OPEN is breaker.state(1000)


def test_half_open_it_admits_one_trial() -> None:
    breaker = opened()
    assert [True, False, False] == [breaker.admit(1000) for _ in range(3)]


def test_a_trial_that_succeeds_closes_it_and_says_so_once() -> None:
    breaker = opened()
    breaker.admit(1000)
    assert [True, False] == [breaker.succeeded(), breaker.succeeded()]
    assert BreakerState.CLOSED is breaker.state(1001)


def test_a_trial_that_fails_opens_it_for_longer_each_time_up_to_a_bound() -> None:
    breaker, now_ms, waits = opened(), 0, []
    for _ in range(4):
        start_ms = now_ms
        while not breaker.admit(now_ms):
            now_ms += 500
        waits.append(now_ms - start_ms)
        breaker.failed(now_ms)
    assert [1000, 2000, 3000, 3000] == waits


def test_a_trial_nobody_reports_on_does_not_keep_it_shut_for_ever() -> None:
    breaker = opened()
    breaker.admit(1000)
    assert not breaker.admit(1000 + TRIAL_MS - 1)
    assert breaker.admit(1000 + TRIAL_MS)


def test_a_straggler_does_not_make_the_wait_longer() -> None:
    breaker = opened()
    breaker.failed(900)
    assert breaker.admit(1000)


@given(st.lists(st.tuples(st.sampled_from(["admit", "fail", "succeed"]), st.integers(0, 5000))))
def test_whatever_happens_it_admits_somebody_in_bounded_time(steps: list[tuple[str, int]]) -> None:
    breaker, now_ms = Breaker(failures=2, cool_ms=1000, most_ms=3000), 0
    for what, later_ms in steps:
        now_ms += later_ms
        match what:
            case "admit":
                breaker.admit(now_ms)
            case "fail":
                breaker.failed(now_ms)
            case _:
                breaker.succeeded()
    assert breaker.admit(now_ms + 3000 + TRIAL_MS)
