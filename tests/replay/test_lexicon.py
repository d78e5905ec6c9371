"""`voicebot measure lexicon`: what it counts."""

from __future__ import annotations

from voicebot.core.plan import Term
from voicebot.core.terms import Terms
from voicebot.core.words import Words
from voicebot.replay.lexicon import JARGON, judged

TERMS = Terms({"Nelson": Term(), "Melrose": Term()})


def heard(text: str, *nbest: str, confidence: float = 1.0) -> Words:
    return Words(text, True, confidence, (), nbest)


def test_a_name_that_only_the_lexicon_gets_right_counts_with_it_alone() -> None:
    words = heard("m e l s o n")
    counts = judged(TERMS, ("Nelson",), words, words)
    assert (1, 0, 1, 0) == (counts["total"], counts["without"], counts["found"], counts["wrong"])


def test_a_name_that_was_heard_well_counts_both_ways() -> None:
    words = heard("n e l s o n")
    counts = judged(TERMS, ("Nelson",), words, words)
    assert (1, 1, 0) == (counts["without"], counts["found"], counts["asked"])


def test_a_doubtful_hypothesis_is_asked_back() -> None:
    words = heard("n e l s o n", confidence=0.3)
    assert 1 == judged(TERMS, ("Nelson",), words, words)["asked"]


def test_another_name_is_wrong_and_where_none_was_said_a_false_alarm() -> None:
    words = heard("m e l r o s e")
    assert 1 == judged(TERMS, ("Nelson",), words, words)["wrong"]
    assert {"empty": 1, "alarms": 1} == judged(TERMS, (), words, words)
    assert {"empty": 1, "alarms": 0} == judged(TERMS, (), heard("hello"), heard("hello"))


def test_what_no_caller_of_ours_says_stands_in_the_sentences_without_a_term() -> None:
    terms = Terms(JARGON)
    assert [] == terms.find("i would like to speak to somebody please".split())
