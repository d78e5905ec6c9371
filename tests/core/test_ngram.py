"""The trigram: a proper distribution that prefers what was sampled."""

from __future__ import annotations

from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

from voicebot.core.expect import Expectation, Mode
from voicebot.core.ngram import START, STOP, arpa, language_model, manners, spoken


def read(text: str) -> dict[tuple[str, ...], tuple[float, float]]:
    """(probability, back-off weight) of every gram of an ARPA file."""
    grams: dict[tuple[str, ...], tuple[float, float]] = {}
    order = 0
    for line in text.splitlines():
        if line.endswith("-grams:"):
            order = int(line[1])
        elif order and line and not line.startswith("\\"):
            fields = line.split()
            words, rest = tuple(fields[1 : order + 1]), fields[order + 1 :]
            grams[words] = (10 ** float(fields[0]), 10 ** float(rest[0]) if rest else 1.0)
    return grams


def probability(grams: dict[tuple[str, ...], tuple[float, float]], gram: tuple[str, ...]) -> float:
    """As a decoder computes it: the gram itself, or the back-off weight of its context times the shorter one."""
    if gram in grams:
        return grams[gram][0]
    weight = grams[gram[:-1]][1] if gram[:-1] in grams else 1.0
    return weight * probability(grams, gram[1:])


SENTENCES = ["a large latte", "a small latte", "a large latte with milk", "coffee with milk", "coffee"]


@given(st.lists(st.lists(st.sampled_from("abcd"), min_size=1, max_size=5).map(" ".join), min_size=1, max_size=12))
@settings(max_examples=40, deadline=None)
def test_what_follows_any_two_words_sums_to_one(sentences: list[str]) -> None:
    grams = read(arpa(sentences, "abcd"))
    for context in [*product("abcd", repeat=2), *((START, word) for word in "abcd"), (START,)]:
        total = sum(probability(grams, (*context, word)) for word in [*"abcd", STOP])
        assert abs(1 - total) < 2e-3


def test_counts_in_the_header_are_those_of_the_sections() -> None:
    text = arpa(SENTENCES)
    grams = read(text)
    for order in (1, 2, 3):
        assert f"ngram {order}={sum(1 for g in grams if len(g) == order)}" in text.splitlines()


def test_what_was_sampled_is_likelier_than_what_was_not() -> None:
    grams = read(arpa(SENTENCES))
    assert probability(grams, ("a", "large", "latte")) > probability(grams, ("a", "large", "milk")) > 0


def test_a_word_no_sentence_has_can_still_be_recognised() -> None:
    assert probability(read(arpa(SENTENCES, ["cappuccino"])), ("cappuccino",)) > 0


ORDER = Expectation(
    "order", Mode.OPEN, ("[a] [{size}] {drink}",), (("size", ("small", "large")), ("drink", ("latte", "coffee")))
)


def test_callers_are_polite_and_hesitate_around_the_phrases() -> None:
    sentences = spoken(ORDER, 2000)
    assert any(s.startswith("i'd like") for s in sentences)
    assert any(s.endswith("please") for s in sentences)
    assert any("um" in s.split() for s in sentences)
    assert {"a", "small", "large", "latte", "coffee"} | manners() >= {w for s in sentences for w in s.split()}


def test_the_same_expectation_gives_the_same_model() -> None:
    assert language_model(ORDER, 500) == language_model(ORDER, 500)
