"""Names and jargon in what a recogniser made of them; and ordinary talk, in which there are none."""

from __future__ import annotations

from datetime import date
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebot.core import dialplan, hearing
from voicebot.core.plan import Term
from voicebot.core.slots import Reader
from voicebot.core.soundalike import alike, letter_cost, phone_cost, sounds_alike, spelled_alike
from voicebot.core.terms import Terms
from voicebot.core.words import Word, Words

LEXICON = {
    "Nguyen": Term(said="win", heard=("when", "new yen")),
    "Siobhan": Term(said="shiv awn"),
    "Szymanski": Term(said="shi man ski"),
    "Metformin": Term(),
    "Amoxicillin": Term(),
    "Farrelly": Term(),
    "Farrell": Term(),
}
TERMS = Terms(LEXICON, common=("speak", "please"))


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ("i want to speak to shiv on please", "Siobhan"),
        ("doctor new yen", "Nguyen"),
        ("a moxie sill in", "Amoxicillin"),
        ("met for men please", "Metformin"),
        ("she man's key", "Szymanski"),
        ("s i o v h e n", "Siobhan"),
        ("n g u y e m", "Nguyen"),
        ("m e t s o r m i n", "Metformin"),
    ],
)
def test_a_term_is_found_in_what_a_recogniser_made_of_it(text: str, term: str) -> None:
    assert [term] == [match.term for match in TERMS.find(text.split())]


@pytest.mark.parametrize(
    "text",
    [
        "when is my appointment",
        "i would like to order a coffee with milk and sugar",
        "can you tell me where the office is and how long it is open on sunday",
        "my number is five five five one two three four",
        "yes",
        "",
    ],
)
def test_ordinary_talk_has_no_term_in_it(text: str) -> None:
    assert [] == TERMS.find(text.split())


def test_what_is_as_near_to_two_terms_is_less_sure_than_what_is_near_to_one() -> None:
    [exact] = TERMS.find(["farrelly"])
    [between] = TERMS.find("f a r r e l e".split())
    assert 1.0 == exact.confidence
    assert between.confidence < 0.75


def test_a_term_of_several_words_replaces_them_as_surely_as_it_was_found_and_heard() -> None:
    heard = "doctor new yen please"
    words = tuple(Word(text, at * 300, at * 300 + 250, 0.8) for at, text in enumerate(heard.split()))
    mended = TERMS.mend(Words(heard, True, 0.9, words, ("doctor new yen please", "doctor you win")))
    assert "doctor nguyen please" == mended.text
    assert [("doctor", 0, 0.8), ("nguyen", 300, 0.8), ("please", 900, 0.8)] == [
        (word.text, word.start_ms, word.confidence) for word in mended.words
    ]
    assert ("doctor nguyen please", "doctor you win") == mended.nbest


def test_a_term_that_was_only_nearly_heard_is_less_sure() -> None:
    mended = TERMS.mend(Words("shiv on", True, 0.9))
    assert "siobhan" == mended.text
    assert 0.5 < mended.words[0].confidence < 0.9


def test_the_words_of_the_dialplan_are_what_they_are() -> None:
    assert [] == Terms({"Latty": Term()}, common=("latte",)).find(["latte"])
    assert ["Latty"] == [match.term for match in Terms({"Latty": Term()}).find(["lattee"])]


def test_the_nearest_of_several_hypotheses_is_taken() -> None:
    nearest = TERMS.nearest(["s i o b", "s i o b h a n", "n g"])
    assert nearest is not None
    assert "Siobhan" == nearest.term
    assert None is TERMS.nearest(["hello there"])


PLAN = """
name: desk
description: Puts callers through.
persona: {name: The desk}
lexicon:
  Siobhan: {said: shiv awn}
  Okonkwo: {said: oh conk woe}
types:
  person: {siobhan_murphy: [siobhan], chi_okonkwo: [okonkwo]}
start: hello
nodes:
  hello:
    say: "Who would you like to speak to?"
    examples: ["i'd like to speak to {person}"]
    collect: {person: {required: true, ask: "Who?"}}
    do: [{hang_up: "Thank you, goodbye."}]
"""


def test_a_name_that_was_nearly_heard_fills_its_slot_and_is_doubted() -> None:
    plan = dialplan.parse(PLAN, "desk.yaml")
    form = {"person": plan.nodes["hello"].collect["person"]}
    reader = Reader(plan)
    heard = [
        hearing.understand(reader, {k: reader.slot(k) for k in form}, Words(text, True, 0.9), date(2026, 1, 1))
        for text in ("i'd like to speak to siobhan", "i'd like to speak to shiv on", "i'd like to speak to nobody")
    ]
    assert [{"person": "siobhan_murphy"}, {"person": "siobhan_murphy"}, {}] == [found.values for found, _ in heard]
    assert heard[1][1]["person"] < 0.8 < heard[0][1]["person"]


texts = st.text(st.sampled_from("abcdefghijklmnopqrstuvwxyz "), max_size=12)


@given(texts, texts)
def test_likeness_is_between_nothing_and_the_same_and_goes_both_ways(a: str, b: str) -> None:
    assert 0 <= sounds_alike(a, b) <= 1
    assert sounds_alike(a, b) == pytest.approx(sounds_alike(b, a))
    assert 1 == spelled_alike(a, a)


def test_sounds_that_are_taken_for_each_other_are_nearer_than_others() -> None:
    assert alike(("B", "AE", "T"), ("P", "AE", "T"), phone_cost) > alike(("B", "AE", "T"), ("S", "AE", "T"), phone_cost)
    assert spelled_alike("nelson", "melson") > spelled_alike("nelson", "belson")
    assert letter_cost("b", "d") < letter_cost("b", "w")


@given(st.lists(st.sampled_from("new yen when s i o b h a n chevron met for men please the a".split()), max_size=14))
def test_whatever_was_heard_matches_do_not_overlap_and_mending_keeps_all_other_words(words: list[str]) -> None:
    found = TERMS.find(words)
    assert all(0 <= each.start < each.end <= len(words) and 0 < each.confidence <= 1 for each in found)
    assert all(a.end <= b.start for a, b in pairwise(found))
    mended = TERMS.mend(Words(" ".join(words), True)).text.split()
    kept = [word for at, word in enumerate(words) if not any(m.start <= at < m.end for m in found)]
    assert len(kept) + len(found) == len(mended)
