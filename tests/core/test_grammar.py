"""The phrase notation: read, matched, sampled, written as JSGF."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voicebot.core.expect import NOTHING as ANYTHING
from voicebot.core.expect import Expectation, Mode
from voicebot.core.grammar import (
    NOTHING,
    Choice,
    GrammarError,
    Row,
    TypeUse,
    Word,
    complete,
    grammar,
    matches,
    parse,
    sample,
    vocabulary,
)
from voicebot.core.jsgf import jsgf


def expect(*phrases: str, mode: Mode = Mode.CLOSED, **types: tuple[str, ...]) -> Expectation:
    return Expectation("test", mode, phrases, tuple(types.items()))


ORDER = expect(
    "[i'd like] [a | an] [{size}] {drink} [with {milk}]",
    mode=Mode.OPEN,
    size=("small", "large"),
    drink=("latte", "iced coffee"),
    milk=("(soy | whole) milk", "cream"),
)
FOUR = expect("{digit} {digit} {digit} {digit}", digit=("zero", "one", "two"))


def test_words_brackets_alternatives_and_types_become_a_tree() -> None:
    assert Row((Word("a"), Choice((NOTHING, Word("b"))), Choice((Word("c"), TypeUse("t"))))) == parse("a [b] (c | {t})")


def test_alternatives_inside_brackets_need_no_parentheses() -> None:
    assert Choice((NOTHING, Choice((Word("a"), Word("an"))))) == parse("[a | an]")


def test_case_and_punctuation_do_not_matter() -> None:
    assert parse("i'd like tea") == parse("I’d like, Tea!")


@pytest.mark.parametrize(
    ("phrase", "at"),
    [
        ("a [b", 2),
        ("a (b]", 2),
        ("a b)", 3),
        ("a {b", 2),
        ("a b} c", 3),
        ("a []", 2),
        ("(a | )", 5),
        ("a {two words}", 2),
        ("", 0),
        ("[" * 13 + "a" + "]" * 13, 12),
    ],
)
def test_an_error_says_where_it_is(phrase: str, at: int) -> None:
    with pytest.raises(GrammarError) as caught:
        parse(phrase)
    assert at == caught.value.at
    assert f"character {at + 1} " in str(caught.value)


def test_an_unknown_type_is_named() -> None:
    with pytest.raises(GrammarError, match=r"no type \{sise\}"):
        grammar(expect("a {sise} tea", size=("small",)))


def test_a_type_that_reaches_itself_is_refused() -> None:
    with pytest.raises(GrammarError, match=r"\{a\} contains itself"):
        grammar(expect("{a}", a=("x {b}",), b=("y [{a}]",)))


def test_types_that_double_each_other_are_refused_and_not_written_out() -> None:
    types = {f"t{n}": (f"{{t{n + 1}}} {{t{n + 1}}}",) for n in range(60)} | {"t60": ("word",)}
    with pytest.raises(GrammarError, match="longer than"):
        grammar(expect("{t0}", **types))


def test_alternatives_that_double_each_other_do_not_become_jsgf() -> None:
    types = {f"t{n}": (f"({{t{n + 1}}} | {{t{n + 1}}})",) for n in range(60)} | {"t60": ("word",)}
    wide = expect("{t0}", **types)
    assert matches(wide, "word")
    with pytest.raises(GrammarError, match="Written out"):
        jsgf(wide)


def test_vocabulary_has_the_words_of_every_type_that_is_reached() -> None:
    order = {
        "i'd",
        "like",
        "a",
        "an",
        "small",
        "large",
        "latte",
        "iced",
        "coffee",
        "with",
        "soy",
        "whole",
        "milk",
        "cream",
    }
    assert order == vocabulary(ORDER)


@pytest.mark.parametrize("text", ["large latte", "I'd like an iced coffee with soy milk.", "latte with cream"])
def test_a_phrase_matches(text: str) -> None:
    assert matches(ORDER, text)


@pytest.mark.parametrize("text", ["", "large", "latte with", "latte large", "a latte a", "green tea"])
def test_what_is_not_a_phrase_does_not_match(text: str) -> None:
    assert not matches(ORDER, text)


def test_four_digits_are_complete_and_three_are_not() -> None:
    assert complete(FOUR, "one two zero one")
    assert complete(FOUR, "one two zero one please")
    assert not complete(FOUR, "one two zero")
    assert not complete(FOUR, "um one two zero one two")


def test_an_open_turn_is_complete_when_its_last_words_are_a_phrase() -> None:
    assert complete(ORDER, "hi can i get a large latte with soy milk thank you")
    assert not complete(ORDER, "hi can i get a large latte with")
    assert not complete(ORDER, "a large latte um")


def test_nothing_is_ever_complete_where_anything_may_be_said() -> None:
    assert not complete(ANYTHING, "call me back")


def test_samples_are_the_same_for_the_same_seed_and_differ_for_another() -> None:
    assert sample(ORDER, 50, 1) == sample(ORDER, 50, 1)
    assert sample(ORDER, 50, 1) != sample(ORDER, 50, 2)


def test_jsgf_has_one_rule_a_type_and_says_what_may_come_before() -> None:
    wanted = (
        "#JSGF V1.0;\ngrammar expected;\n"
        "public <utterance> = [uh] (a [<type_size>] tea);\n<type_size> = (small | big);\n"
    )
    assert wanted == jsgf(expect("a [{size}] tea", size=("small", "big")), before=("uh",))


# --- properties ---------------------------------------------------------------------------------------------

_words = st.sampled_from(["red", "green", "blue", "go", "stop"])
_nodes = st.recursive(
    _words | st.just("{colour}"),
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3).map(" ".join)
        | inner.map(lambda x: f"[{x}]")
        | st.lists(inner, min_size=2, max_size=3).map(lambda xs: f"({' | '.join(xs)})")
    ),
    max_leaves=8,
)


@given(st.lists(_nodes, min_size=1, max_size=3), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_every_sample_matches_and_uses_only_the_vocabulary(phrases: list[str], seed: int) -> None:
    expectation = expect(*phrases, colour=("red", "[very] green"))
    for sentence in sample(expectation, 10, seed):
        assert matches(expectation, sentence)
        assert set(sentence.split()) <= vocabulary(expectation)


def refused_at(text: str) -> int:
    try:
        parse(text)
    except GrammarError as error:
        return error.at
    return -1


@given(st.text(alphabet="ab[](){}| ", max_size=30))
@settings(max_examples=200, deadline=None)
def test_any_text_is_read_or_refused_with_a_place(text: str) -> None:
    assert -1 <= refused_at(text) <= len(text)


def test_matching_stays_fast_where_every_word_fits_in_many_ways() -> None:
    many = expect(" ".join(["[{a}]"] * 60), a=("(x | x x)", "[x] x"))
    words = random.Random(1).choices(["x"], k=100)
    assert matches(many, " ".join(words))
    assert not matches(many, " ".join([*words, "y"]))
