"""Slots out of one breath: any order, corrections, refusals, names."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebot.core.dialplan import Dialplan, parse
from voicebot.core.grammar import normalise
from voicebot.core.plan import Slot
from voicebot.core.slots import Form, Reader, with_type

FOLDER = Path(__file__).parents[2] / "dialplans"
TODAY = date(2026, 11, 23)


def shipped(name: str) -> Dialplan:
    return parse((FOLDER / f"{name}.yaml").read_text(), f"{name}.yaml")


COFFEE = Reader(shipped("coffee"))
CLINIC = Reader(shipped("clinic"))


def form(reader: Reader, node: str) -> Form:
    return {name: with_type(name, spec) for name, spec in reader.plan.nodes[node].collect.items()}


ORDER, BOOK = form(COFFEE, "order"), form(CLINIC, "book")


@pytest.mark.parametrize(
    ("said", "values"),
    [
        ("i'd like a large latte with soy milk", {"size": "large", "drink": "latte", "milk": "soy milk"}),
        ("iced coffee, sixteen ounce", {"drink": "iced coffee", "size": "sixteen ounce"}),
        ("can i get a medium dark roast coffee", {"size": "medium", "roast": "dark roast", "drink": "coffee"}),
        ("a medium roast house coffee", {"roast": "medium roast", "drink": "house coffee"}),
        ("triple shot espresso with lots of cream and a bit of brown sugar",
         {"shots": "triple shot", "drink": "espresso", "milk": "lots of cream", "sugar": "a bit of brown sugar"}),
        ("give me a double latte with two shots", {"drink": "latte", "shots": "double shot"}),
        ("a latte with a little bit of almond milk and some sweetener large",
         {"drink": "latte", "milk": "a little bit of almond milk", "sugar": "some sweetener", "size": "large"}),
        ("with soy please", {"milk": "soy"}),
        ("a large no a small mocha", {"size": "small", "drink": "mocha"}),
        ("not medium, small", {"size": "small"}),
        ("a small instead of a large one", {"size": "small"}),
        ("an americano without milk", {"drink": "americano", "milk": ""}),
        ("no sugar please", {"sugar": ""}),
        ("hold the milk", {"milk": ""}),
        ("a large capuccino", {"size": "large", "drink": "cappuccino"}),
        ("what's the weather like", {}),
        ("", {}),
    ],
)  # fmt: skip
def test_an_order_is_understood_from_one_breath(said: str, values: dict[str, str]) -> None:
    assert values == COFFEE.read(ORDER, normalise(said), TODAY).values


@pytest.mark.parametrize(
    ("asked", "said", "values"),
    [
        ("last_name", "s m i t h", {"last_name": "SMITH"}),
        ("birth_date", "march third nineteen eighty five", {"birth_date": "1985-03-03"}),
        ("birth_date", "march third", {}),
        ("phone", "two zero two five five five zero one four two", {"phone": "2025550142"}),
        ("phone", "five five five oh one", {}),
        ("day", "next tuesday at half past three", {"day": "2026-12-01", "time": "15:30"}),
        ("day", "tomorrow", {"day": "2026-11-24"}),
        ("time", "three", {"time": "15:00"}),
        ("", "tuesday at noon under two oh two five five five zero one four two",
         {"day": "2026-11-24", "time": "12:00", "phone": "2025550142"}),
        ("", "three", {}),
    ],
)  # fmt: skip
def test_an_appointment_is_understood(asked: str, said: str, values: dict[str, str]) -> None:
    assert values == CLINIC.read(BOOK, normalise(said), TODAY, asked).values


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("yes", "yes"), ("yeah that's right", "yes"), ("no that's right", "yes"), ("sounds good", "yes"),
        ("yes please", "yes"), ("okay", "yes"), ("that's correct", "yes"),
        ("no", "no"), ("nope", "no"), ("that's not right", "no"), ("no that's wrong", "no"), ("not quite", "no"),
        ("no thank you", "no"), ("banana", None), ("", None),
    ],
)  # fmt: skip
def test_yes_and_no(said: str, answer: str | None) -> None:
    assert answer == COFFEE.agreement(said.split())


NAMES = Reader(
    parse(
        "name: n\nlexicon: {Siobhan: {said: shiv awn, heard: [chevron, shiv on]}}\nstart: a\nnodes:\n"
        "  a: {collect: {who: {type: name, required: true, ask: 'Who?'}}, do: [hang_up]}\n",
        "n.yaml",
    )
)


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ("john smith", "John Smith"),
        ("my name is john smith", "John Smith"),
        ("this is anna o'brien calling", "Anna O'brien"),
        ("chevron murphy", "Siobhan Murphy"),
        ("john smith s m y t h", "John Smyth"),
        ("s m i t h", "Smith"),
        ("jean-luc picard", "Jean-Luc Picard"),
    ],
)
def test_names_are_free_spelled_or_of_the_lexicon(said: str, value: str) -> None:
    found = NAMES.read({"who": Slot(type="name")}, said.split(), TODAY, "who")
    assert {"who": value} == found.values


def test_a_name_that_nobody_asked_for_needs_to_be_introduced() -> None:
    assert {} == NAMES.read({"who": Slot(type="name")}, ["john", "smith"], TODAY).values
    assert {"who": "John Smith"} == NAMES.read(
        {"who": Slot(type="name")}, "my name is john smith".split(), TODAY
    ).values


WORDS = sorted(
    COFFEE.known | {"no", "not", "with", "without", "and", "uh", "five", "tuesday", "march", "instead", "of"}
)


@given(st.lists(st.sampled_from(WORDS), max_size=12), st.sampled_from(["", *ORDER]))
def test_whatever_is_said_a_choice_never_takes_an_unknown_value(words: list[str], asked: str) -> None:
    found = COFFEE.read(ORDER, words, TODAY, asked)
    for reading in found.readings:
        assert not reading.value or COFFEE.valid(ORDER[reading.slot], reading.value)
    assert len(found.readings) == len(found.values)


@given(st.lists(st.sampled_from(sorted(
    "s m i double you as in mike march third nineteen eighty five oh hundred tuesday next at half past three to p "
    "noon 1985 05/12 12 3pm the of and plus thousand a in weeks no not".split()
)), max_size=14), st.sampled_from(["", *BOOK]))  # fmt: skip
def test_whatever_is_said_a_value_is_one_that_its_type_may_hold(words: list[str], asked: str) -> None:
    for reading in CLINIC.read(BOOK, words, TODAY, asked).readings:
        assert not reading.value or CLINIC.valid(BOOK[reading.slot], reading.value)
        assert 0 <= reading.start < reading.end <= len(words)
