"""Numbers, digits, letters, dates and times: as callers say them, and as they are said back."""

from __future__ import annotations

from datetime import date, time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebot.core import say
from voicebot.core.spoken_numbers import cardinal, digits, letters, ordinal
from voicebot.core.spoken_times import dates, times

MONDAY = date(2026, 11, 23)


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("five five five one two three four", "5551234"),
        ("five five five double two one", "555221"),
        ("triple seven oh nine", "77709"),
        ("oh two oh seven nine four six", "0207946"),
        ("five uh five um five", "555"),
        ("twelve thirty four", "1234"),
        ("eight hundred five five five", "800555"),
        ("555-1234", "5551234"),
        ("plus one two oh two", "1202"),
        ("nought nought seven", "007"),
    ],
)
def test_digits_are_read_as_people_group_them(said: str, read: str) -> None:
    assert (read, len(said.split())) == digits(said.split(), 0)


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("s m i t h", "SMITH"),
        ("m as in mike u n o zed", None),
        ("b as in bravo o b", "BOB"),
        ("b for bravo o b", "BOB"),
        ("double l o y d", "LLOYD"),
        ("november golf uniform", "NGU"),
        ("double you e s t", "WEST"),
        ("s um m i", "SMI"),
    ],
)
def test_letters_are_read_as_people_spell(said: str, read: str | None) -> None:
    found = letters(said.split(), 0)
    assert (read or "MUNO") == (found[0] if found else "")


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("two thousand and five", 2005),
        ("a hundred and twelve", 112),
        ("forty two", 42),
        ("forty-two", 42),
        ("1200", 1200),
    ],
)
def test_cardinals(said: str, read: int) -> None:
    assert (read, len(said.split())) == cardinal(said.split(), 0)


@pytest.mark.parametrize(("said", "read"), [("twenty first", 21), ("third", 3), ("3rd", 3), ("thirty-first", 31)])
def test_ordinals(said: str, read: int) -> None:
    assert (read, len(said.split())) == ordinal(said.split(), 0)


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("today", "2026-11-23"),
        ("tomorrow", "2026-11-24"),
        ("the day after tomorrow", "2026-11-25"),
        ("tuesday", "2026-11-24"),
        ("monday", "2026-11-30"),
        ("next tuesday", "2026-12-01"),
        ("tuesday next week", "2026-12-01"),
        ("in two weeks", "2026-12-07"),
        ("in three days", "2026-11-26"),
        ("the third of march", "2027-03-03"),
        ("march third", "2027-03-03"),
        ("march the third", "2027-03-03"),
        ("the twenty first of december", "2026-12-21"),
        ("friday the fourth of december", "2026-12-04"),
        ("05/12", "2027-05-12"),
        ("2026-12-24", "2026-12-24"),
        ("the twenty ninth of february", "2028-02-29"),
    ],
)
def test_days_to_come(said: str, read: str) -> None:
    assert (date.fromisoformat(read), len(said.split())) == dates(said.split(), 0, MONDAY, False, True)


def test_next_tuesday_said_on_a_friday_is_in_four_days() -> None:
    assert (date(2026, 12, 1), 2) == dates("next tuesday".split(), 0, date(2026, 11, 27), False, True)


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("march third nineteen eighty five", "1985-03-03"),
        ("the third of march nineteen eighty five", "1985-03-03"),
        ("twelve may two thousand and five", "2005-05-12"),
        ("may twelve nineteen oh two", "1902-05-12"),
        ("the first of january twenty ten", "2010-01-01"),
        ("december 24 1990", "1990-12-24"),
        ("03/04/85", "1985-03-04"),
    ],
)
def test_birthdays(said: str, read: str) -> None:
    assert (date.fromisoformat(read), len(said.split())) == dates(said.split(), 0, MONDAY, True, True)


@pytest.mark.parametrize("said", ["march third", "tomorrow", "the thirty first of june nineteen ninety", "may i"])
def test_what_is_no_birthday(said: str) -> None:
    assert None is dates(said.split(), 0, MONDAY, True, True)


def test_a_slashed_date_is_read_the_way_it_is_written_there() -> None:
    assert (date(2027, 5, 12), 1) == dates(["05/12"], 0, MONDAY, False, True)
    assert (date(2026, 12, 5), 1) == dates(["05/12"], 0, MONDAY, False, False)


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("half past three", "15:30"),
        ("three thirty p m", "15:30"),
        ("three thirty", "15:30"),
        ("quarter to nine", "08:45"),
        ("a quarter past ten", "10:15"),
        ("ten past five", "17:10"),
        ("nine in the morning", "09:00"),
        ("seven in the morning", "07:00"),
        ("eight oh five a m", "08:05"),
        ("ten o'clock", "10:00"),
        ("noon", "12:00"),
        ("at three", "15:00"),
        ("fifteen thirty", "15:30"),
        ("10:30", "10:30"),
        ("3pm", "15:00"),
        ("12am", "00:00"),
    ],
)
def test_times_of_day(said: str, read: str) -> None:
    assert (time.fromisoformat(read), len(said.split())) == times(said.split(), 0, bare=False)


def test_a_lone_hour_is_a_time_only_when_a_time_was_asked_for() -> None:
    assert None is times(["three"], 0, bare=False)
    assert (time(15), 1) == times(["three"], 0, bare=True)


@given(st.integers(0, 999_999_999))
def test_a_number_said_is_the_number_heard(value: int) -> None:
    said = say.number(value).split()
    assert (value, len(said)) == cardinal(said, 0)


@given(st.text("0123456789", min_size=1, max_size=16))
def test_digits_said_are_the_digits_heard(text: str) -> None:
    said = say.digits(text).replace(",", "").split()
    assert (text, len(said)) == digits(said, 0)


@given(st.dates(date(1900, 1, 1), date(2026, 11, 22)))
def test_a_birthday_said_is_the_birthday_heard(value: date) -> None:
    said = say.day(value, MONDAY, with_year=True).lower().replace(",", "").split()
    found = dates(said, 0, MONDAY, past=True, month_first=True)
    assert (value, len(said)) == found


@given(st.dates(date(2026, 11, 24), date(2027, 10, 1)))
def test_a_day_said_is_the_day_heard(value: date) -> None:
    said = say.day(value, MONDAY).lower().replace(",", "").split()
    start = 1 if said[0] in ("today", "tomorrow") else 0
    found = dates(said, start, MONDAY, past=False, month_first=True)
    assert found is not None
    assert value == found[0]


@given(st.times())
def test_a_time_said_is_the_time_heard(value: time) -> None:
    value = value.replace(second=0, microsecond=0, tzinfo=None)
    said = say.clock(value).replace(".", "").replace("am", "a m").replace("pm", "p m").split()
    assert (value, len(said)) == times(said, 0, bare=True)


def test_numbers_are_said_in_the_groups_people_use() -> None:
    assert "five five five, one two three four" == say.digits("5551234")
    assert "two zero two, five five five, zero one four two" == say.digits("2025550142")
    assert "S, M, I, T, H" == say.spelled("smith")
    assert "twelve dollars fifty" == say.money(1250)
    assert "one dollar" == say.money(100)
    assert "twenty third" == say.ordinal(23)
    assert "twelfth" == say.ordinal(12)
    assert "nineteen eighty five" == say.year(1985)
    assert "three thirty p.m." == say.clock(time(15, 30))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"size": "large", "drink": "latte"}, "A large latte. Right?"),
        ({"size": "eight ounce", "drink": "mocha"}, "An eight ounce mocha. Right?"),
        ({"size": "small", "drink": "latte", "milk": "soy milk"}, "A small latte with soy milk. Right?"),
        ({"size": "small", "drink": "latte", "sugar": "sugar"}, "A small latte with sugar. Right?"),
        (
            {"size": "small", "drink": "latte", "sugar": "sugar", "milk": "milk"},
            "A small latte with milk and sugar. Right?",
        ),
        ({"size": "one", "drink": "coffee"}, "A one coffee. Right?"),
        ({}, "A. Right?"),
    ],
)
def test_a_bracket_is_said_when_its_slots_are_filled(values: dict[str, str], said: str) -> None:
    template = "A {size} {drink}[ with {milk} and {sugar} | with {milk} | with {sugar}]. Right?"
    assert said == say.render(template, values)


def test_opening_hours_are_said_in_words() -> None:
    hours = ("mon-fri 08:00-18:00", "sat 09:00-12:00")
    wanted = "Monday to Friday from eight a.m. to six p.m., and Saturday from nine a.m. to noon"
    assert wanted == say.opening_hours(hours)
