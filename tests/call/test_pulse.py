"""When one more call is one too many, on clocks that the test moves."""

from __future__ import annotations

from voicebot.call.pulse import Pulse


class World:
    """A loop whose lateness and business the test sets; a round of beats every 10 ms."""

    def __init__(self, most_late_ms: float = 20.0) -> None:
        self.now_s = self.cpu_s = 0.0
        self.pulse = Pulse(most_late_ms, lambda: self.now_s, lambda: self.cpu_s)

    def goes_on(self, seconds: float, late_ms: float, busy: float = 0.5) -> bool:
        for _ in range(round(seconds * 100)):
            self.now_s += 0.01
            self.cpu_s += 0.01 * busy
            self.pulse.late(late_ms / 1000)
        return self.pulse.overloaded


def test_calls_that_are_on_time_leave_room_for_more() -> None:
    world = World()
    assert not world.goes_on(10, late_ms=5)
    assert (5, 5) == (round(world.pulse.reading.late_p50), round(world.pulse.reading.late_p99))
    assert 0.5 == round(world.pulse.reading.busy, 2)


def test_late_messages_close_the_door_and_it_opens_when_they_are_well_on_time_again() -> None:
    world = World()
    world.goes_on(5, late_ms=5)
    assert world.goes_on(2.5, late_ms=30)
    assert world.goes_on(5, late_ms=15)
    assert not world.goes_on(2.5, late_ms=5)


def test_a_core_nearly_used_up_closes_the_door_before_anything_is_late() -> None:
    world = World()
    assert world.goes_on(3, late_ms=2, busy=0.9)
    assert world.goes_on(3, late_ms=2, busy=0.68)
    assert not world.goes_on(3, late_ms=2, busy=0.6)


def test_one_hiccup_refuses_nobody() -> None:
    world = World()
    world.goes_on(5, late_ms=1)
    assert not world.goes_on(0.1, late_ms=400)
    assert not world.goes_on(3, late_ms=1)
    assert not World().goes_on(1, late_ms=500)  # the first second of all


def test_what_was_long_ago_is_forgotten() -> None:
    world = World()
    world.goes_on(5, late_ms=50)
    world.now_s += 3600  # no calls
    assert not world.goes_on(3, late_ms=1, busy=0.1)


def test_without_a_bound_nobody_is_refused() -> None:
    assert not World(0).goes_on(10, late_ms=900, busy=1.0)
