"""How long a silence must be: stories, and what holds for all evidence."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebot.core.end_of_turn import FLOOR_MS, EndOfTurn, Evidence, Standing, standing
from voicebot.core.expect import Expectation, Mode

DIGITS = ("digit", ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"))
YES_NO = Expectation("t/yes", Mode.OPEN, ("yes", "no", "yes please"), quick_ms=250, pause_ms=450, bare=True)
PHONE = Expectation(
    "t/phone", Mode.OPEN, (" ".join(["{digit}"] * 10),), (DIGITS,), quick_ms=700, pause_ms=1200, bare=True
)
ORDER = Expectation("t/order", Mode.OPEN, ("[a] (latte | mocha) [with milk]",))
NAME = Expectation("t/name", Mode.OPEN, ("{letter} {letter} {letter} [{letter}]",), (("letter", tuple("aeimrx")),))
ANYTHING = Expectation("t/anything", Mode.FREE, ())


@dataclass(frozen=True, slots=True)
class Voice:
    pitch: float = 0.0
    slope: float = 0.0
    stretch: float = 0.0


def wait(expectation: Expectation, text: str = "", voice: Voice | None = None, model: float | None = None) -> int:
    return EndOfTurn().wait_ms(Evidence(expectation, text, voice, model))


# --- stories -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expectation", "text", "found"),
    [
        (ORDER, "a latte", Standing.COMPLETE),
        (ORDER, "i want a latte with milk please", Standing.COMPLETE),
        (ORDER, "a latte and", Standing.HANGING),
        (ORDER, "a latte uh", Standing.HANGING),
        (ORDER, "a", Standing.HANGING),
        (ORDER, "something else entirely", Standing.PARTIAL),
        (ORDER, "", Standing.PARTIAL),
        (PHONE, "five five five", Standing.PARTIAL),
        (PHONE, "five five five one two three four five six seven", Standing.COMPLETE),
        (NAME, "m r a", Standing.COMPLETE),
        (NAME, "m i", Standing.HANGING),
        (ANYTHING, "", Standing.UNKNOWN),
        (ANYTHING, "it is my knee", Standing.UNKNOWN),
        (ANYTHING, "it is my knee because", Standing.HANGING),
        (ANYTHING, "my number is five five five", Standing.PARTIAL),
        (ANYTHING, "room two", Standing.UNKNOWN),
        (ANYTHING, "on october", Standing.PARTIAL),
        (ANYTHING, "on october ninth", Standing.UNKNOWN),
    ],
)
def test_words_stand_to_what_is_expected(expectation: Expectation, text: str, found: Standing) -> None:
    assert found is standing(expectation, text)


def test_in_a_language_of_which_no_word_hangs_none_does() -> None:
    assert Standing.UNKNOWN is standing(ANYTHING, "der ist gut in", hanging=())


def test_yes_is_taken_quickly_and_half_a_phone_number_is_not() -> None:
    assert 250 == wait(YES_NO, "yes")
    assert 700 == wait(PHONE, "five five five one two three four five six seven")
    assert 1700 == wait(PHONE, "five five five")
    assert 1225 == wait(ORDER, "a latte and")
    assert 350 == wait(ORDER, "a latte")


def test_a_digit_said_like_the_next_to_last_waits_longer() -> None:
    assert wait(PHONE, "five", Voice(pitch=1.0, slope=0.8)) > wait(PHONE, "five", Voice(pitch=-1.0, slope=-0.8))
    assert wait(ORDER, "a latte", Voice(pitch=1.0)) == wait(ORDER, "a latte")  # a question is no list


def test_a_long_level_sound_waits_longer_than_a_long_falling_one() -> None:
    assert wait(ANYTHING, "", Voice(stretch=1.5)) > wait(ANYTHING, "", Voice(stretch=1.5, slope=-2.0))


def test_a_caller_who_pauses_long_is_given_longer_and_forgotten_slowly() -> None:
    call = EndOfTurn()
    before = call.wait_ms(Evidence(ANYTHING))
    for _ in range(5):
        call.went_on(1200)
    slow = call.wait_ms(Evidence(ANYTHING))
    assert before + 200 < slow
    call.taken()
    assert slow - 30 < call.wait_ms(Evidence(ANYTHING)) < slow
    for _ in range(200):
        call.taken()
    assert before == call.wait_ms(Evidence(ANYTHING))


def test_who_pauses_long_is_answered_quickly_all_the_same_once_the_answer_is_complete() -> None:
    call = EndOfTurn()
    for _ in range(5):
        call.went_on(1500)
    assert 250 == call.wait_ms(Evidence(YES_NO, "yes"))
    assert 350 < call.wait_ms(Evidence(ORDER, "a latte"))  # there may be more to an order


def test_a_model_that_is_sure_takes_much_of_the_wait_away() -> None:
    assert 420 == wait(ANYTHING, model=0.999999) == wait(ANYTHING, model=1.0)
    assert 980 == wait(ANYTHING, model=0.0)
    assert wait(ANYTHING) == wait(ANYTHING, model=0.5) == wait(ANYTHING, model=None)


def test_a_wait_says_what_it_is_made_of() -> None:
    call = EndOfTurn(patience_ms=100)
    call.went_on(1450)
    terms = call.terms(Evidence(PHONE, "five five", Voice(pitch=1.0, stretch=1.0), model=0.5))
    assert {"words": 1700, "list": 54, "drawn": 49, "habit": 100, "patience": 100} == terms
    assert sum(terms.values()) == call.wait_ms(Evidence(PHONE, "five five", Voice(pitch=1.0, stretch=1.0)))


# --- what holds for all --------------------------------------------------------------------------------------------

expectations = st.builds(
    lambda base, quick, more: replace(base, quick_ms=quick, pause_ms=quick + more),
    st.sampled_from([YES_NO, PHONE, ORDER, NAME, ANYTHING]),
    st.integers(0, 9000),
    st.integers(0, 9000),
)
texts = st.lists(st.sampled_from("a and five latte m r uh yes with".split()), max_size=12).map(" ".join)
numbers = st.floats(-1e6, 1e6)
voices = st.none() | st.builds(Voice, numbers, numbers, numbers)
chances = st.none() | st.floats(0.0, 1.0)
evidence = st.builds(Evidence, expectations, texts, voices, chances)
happenings = st.lists(st.none() | st.integers(-100, 10**6), max_size=30)


def lived(happened: list[int | None], patience_ms: int = 0) -> EndOfTurn:
    call = EndOfTurn(patience_ms)
    for pause_ms in happened:
        if pause_ms is None:
            call.taken()
        else:
            call.went_on(pause_ms)
    return call


@given(evidence, happenings, st.integers(-(10**5), 10**5))
def test_never_below_the_floor_nor_above_eight_seconds(each: Evidence, happened: list[int | None], add: int) -> None:
    assert FLOOR_MS <= lived(happened, add).wait_ms(each) <= 8000


@given(evidence, happenings)
def test_asking_changes_nothing_so_that_more_silence_never_unends_a_turn(
    each: Evidence, happened: list[int | None]
) -> None:
    call = lived(happened)
    assert call.wait_ms(each) == call.wait_ms(each) == lived(happened).wait_ms(each)


@given(evidence, st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_a_surer_model_never_waits_longer(each: Evidence, one: float, other: float) -> None:
    call, (less, more) = EndOfTurn(), sorted((one, other))
    assert call.wait_ms(replace(each, model=more)) <= call.wait_ms(replace(each, model=less))


@given(evidence, happenings, st.integers(0, 5000), st.integers(0, 5000))
def test_a_longer_pause_never_makes_the_next_wait_shorter(
    each: Evidence, happened: list[int | None], one: int, other: int
) -> None:
    shorter, longer = sorted((one, other))
    assert lived([*happened, shorter]).wait_ms(each) <= lived([*happened, longer]).wait_ms(each)


@given(evidence, numbers, numbers)
def test_a_higher_end_never_waits_shorter(each: Evidence, one: float, other: float) -> None:
    lower, higher = sorted((one, other))
    voice = Voice(slope=0.3, stretch=0.5)
    low = EndOfTurn().wait_ms(replace(each, ending=replace(voice, pitch=lower)))
    assert low <= EndOfTurn().wait_ms(replace(each, ending=replace(voice, pitch=higher)))


@given(expectations, texts)
def test_words_that_hang_never_wait_shorter_than_the_same_words_complete(expectation: Expectation, text: str) -> None:
    call = EndOfTurn()
    by_standing = sorted(
        (standing(expectation, t), call.wait_ms(Evidence(expectation, t))) for t in (text, "and", "yes", "")
    )
    assert [ms for _, ms in by_standing] == sorted(ms for _, ms in by_standing)


@given(happenings)
def test_a_habit_stays_between_the_shortest_and_the_longest_there_is(happened: list[int | None]) -> None:
    assert 0 <= lived(happened).habit_ms <= 2000


@given(st.lists(st.integers(0, 2000), min_size=1, max_size=30))
def test_a_habit_forgets_slowly(pauses: list[int]) -> None:
    call = lived(list(pauses))
    before = call.habit_ms
    call.taken()
    assert abs(call.habit_ms - before) <= 0.05 * abs(before - 450) + 1e-6
