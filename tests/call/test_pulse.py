"""When one more call is one too many, on clocks that the test moves."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from voicebot.call.pulse import BUSY_AGAIN, MOST_BUSY, USUAL_COST, Pulse


class World:
    """A loop whose lateness and calls the test sets; a round of beats every 10 ms. Costs are shares of a core, and
    seconds of CPU for each call that begins."""

    def __init__(self, most_late_ms: float = 20.0, cost: float = 0.008, beginning_s: float = 0.008) -> None:
        self.now_s = self.cpu_s = 0.0
        self.calls, self.cost, self.beginning_s = 0, cost, beginning_s
        self.coming: list[float] = []
        """When those that were let in are going to be up."""
        self.pulse = Pulse(most_late_ms, lambda: self.now_s, lambda: self.cpu_s, lambda: self.calls)

    def goes_on(self, seconds: float, late_ms: float = 1.0) -> bool:
        for _ in range(round(seconds * 100)):
            self.now_s += 0.01
            up = [at for at in self.coming if at <= self.now_s]
            self.coming = [at for at in self.coming if at > self.now_s]
            self.calls += len(up)
            self.cpu_s += 0.01 * self.busy + len(up) * self.beginning_s
            self.pulse.late(late_ms / 1000)
        return self.pulse.full()

    @property
    def busy(self) -> float:
        return 0.01 + self.calls * self.cost

    def ring(self, calls: int, answered_s: float) -> int:
        """So many at once. How many were let in; they are up some time later."""
        let_in = 0
        for _ in range(calls):
            if not self.pulse.full(len(self.coming)):
                self.coming.append(self.now_s + answered_s)
                let_in += 1
        return let_in


def test_calls_that_are_on_time_leave_room_for_more() -> None:
    world = World()
    world.calls = 60
    assert not world.goes_on(10, late_ms=5)
    assert (5, 5) == (round(world.pulse.reading.late_p50), round(world.pulse.reading.late_p99))
    assert 0.49 == round(world.pulse.reading.busy, 2)


def test_late_messages_close_the_door_and_it_opens_when_they_are_well_on_time_again() -> None:
    world = World()
    world.goes_on(5, late_ms=5)
    assert world.goes_on(2.5, late_ms=30)
    assert world.goes_on(5, late_ms=15)
    assert not world.goes_on(2.5, late_ms=5)


def test_a_core_nearly_used_up_closes_the_door_before_anything_is_late() -> None:
    world = World()
    world.calls = 110
    assert world.goes_on(60)
    world.calls = 91  # under the bound, and not well under it
    assert world.goes_on(60)
    world.calls = 60
    assert not world.goes_on(1)


def test_one_hiccup_refuses_nobody() -> None:
    world = World()
    world.goes_on(5, late_ms=1)
    assert not world.goes_on(0.1, late_ms=400)
    assert not world.goes_on(3, late_ms=1)
    assert not World().goes_on(1, late_ms=500)  # the first second of all


def test_what_was_long_ago_is_forgotten() -> None:
    world = World()
    world.calls = 40
    world.goes_on(5, late_ms=50)
    world.now_s += 3600  # no calls
    assert not world.goes_on(3, late_ms=1)


def test_without_a_bound_nobody_is_refused() -> None:
    world = World(0)
    world.calls = 500
    assert not world.goes_on(10, late_ms=900)


def test_who_is_alone_pays_for_all_and_a_burst_is_let_in_all_the_same() -> None:
    world = World()
    world.calls = 1
    world.goes_on(60)
    assert 50 <= world.ring(100, answered_s=0.2)


costs = st.floats(0.004, 0.02)
beginnings = st.floats(0.9, 1.6)
"""What the beginning of a call costs, in seconds of it."""
answers = st.floats(0.0, 3.0)


@settings(max_examples=30, deadline=None)
@given(costs, beginnings, st.lists(st.tuples(st.integers(0, 300), st.floats(0.1, 3.0)), max_size=6), answers)
def test_bursts_are_held_at_the_limit(
    cost: float, beginning_s: float, bursts: list[tuple[int, float]], answered_s: float
) -> None:
    world = World(cost=cost, beginning_s=beginning_s * cost)
    for _ in range(round(0.4 / cost)):
        world.ring(1, answered_s)
        world.goes_on(0.1)
    world.goes_on(10)
    for calls, pause_s in [*bursts, (300, 5.0)]:
        world.ring(calls, answered_s)
        world.goes_on(pause_s)
    assert 0.9 * MOST_BUSY <= world.busy <= MOST_BUSY + 0.08


@settings(max_examples=30, deadline=None)
@given(costs, beginnings, st.floats(2, 12))
def test_half_as_many_again_knock_and_hardly_one_of_them_comes_in(cost: float, beginning_s: float, rate: float) -> None:
    world = World(cost=cost, beginning_s=beginning_s * cost)
    while world.ring(1, answered_s=0.1):
        world.goes_on(1 / rate)
    world.goes_on(10)
    up = world.calls
    for _ in range(round(up / 2)):
        world.ring(1, answered_s=0.1)
        world.goes_on(0.12)
    world.goes_on(0.2)
    assert 0.08 >= (world.calls - up) / up


@settings(deadline=None)
@given(st.integers(0, 400), st.integers(0, 400), costs)
def test_where_one_more_is_too_many_two_are_as_well(calls: int, coming: int, cost: float) -> None:
    world = World(cost=cost)
    world.calls = calls
    world.goes_on(1)
    assert not world.pulse.full(coming) or world.pulse.full(coming + 1)


def test_a_service_that_has_just_started_lets_in_what_is_usual() -> None:
    assert round(MOST_BUSY / USUAL_COST) == World().ring(1000, answered_s=1.0)
    assert BUSY_AGAIN < MOST_BUSY
