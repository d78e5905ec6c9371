"""Which words over the bot's voice are an interruption."""

from __future__ import annotations

import pytest

from voicebot.core import manners
from voicebot.core.barge_in import Evidence, evidence, interruptions, over_bot, retimed
from voicebot.core.end_of_turn import settled
from voicebot.core.events import BargeIn, Timing
from voicebot.core.expect import NOTHING, Expectation, Mode
from voicebot.core.grammar import matches
from voicebot.core.plan import Turns
from voicebot.core.words import Words

MENU = Expectation("menu", Mode.OPEN, ("a large latte", "the check please"))
YES_NO = Expectation("yes_no", Mode.CLOSED, ("yes", "no"))
KEYWORDS = Expectation("menu", Mode.OPEN, (), barge_in="keywords")
PATIENT = Expectation("menu", Mode.OPEN, (), min_words=3)
REAL, GO_ON, NEITHER = Evidence(True, False), Evidence(False, True), Evidence(False, False)


def say(
    text: str, final: bool = True, sure: float = 0.9, expectation: Expectation = MENU, turns: Turns | None = None
) -> Evidence:
    what = interruptions(turns or Turns(), manners.ENGLISH, expectation)
    return evidence(Words(text, final, sure), what)


@pytest.mark.parametrize("text", ["mhm", "uh-huh yeah", "okay", "oh I see", "Right, sure."])
def test_sounds_of_listening_are_no_interruption(text: str) -> None:
    assert GO_ON == say(text)
    assert GO_ON == say(text, final=False)


def test_real_words_are() -> None:
    assert REAL == say("latte")
    assert REAL == say("okay but I want a latte")


def test_a_growing_hypothesis_may_be_noise() -> None:
    assert NEITHER == say("a large latte", final=False)


@pytest.mark.parametrize("text", ["stop", "wait", "hold on", "no"])
def test_a_word_that_stops_people_stops_the_bot_everywhere(text: str) -> None:
    assert REAL == say(text)
    assert REAL == say(text, expectation=KEYWORDS)
    assert REAL == say(text, expectation=PATIENT)


def test_where_only_keywords_count_one_that_stands_need_not_wait_for_the_end() -> None:
    assert NEITHER == say("please stop", final=False, expectation=KEYWORDS)
    assert REAL == say("please stop talking", final=False, expectation=KEYWORDS)


def test_what_was_hardly_heard_is_no_evidence() -> None:
    assert NEITHER == say("latte", sure=0.1)
    assert NEITHER == say("stop", sure=0.1)


def test_nothing_is_neither() -> None:
    assert NEITHER == say("")


def test_with_keywords_other_words_do_nothing() -> None:
    assert NEITHER == say("a large latte please", expectation=KEYWORDS)
    assert REAL == say("get me the manager", expectation=KEYWORDS, turns=Turns(keywords=("manager",)))


def test_a_node_may_want_more_words() -> None:
    assert NEITHER == say("a latte", expectation=PATIENT)
    assert REAL == say("a large latte", expectation=PATIENT)


def test_a_dialplan_says_what_its_callers_say_while_they_listen() -> None:
    assert GO_ON == say("groovy", turns=Turns(backchannels=("groovy",)))
    assert GO_ON == say("no", turns=Turns(backchannels=("no",)))


def test_over_the_bot_the_recogniser_expects_listening_and_stopping_too() -> None:
    over = over_bot(YES_NO, manners.ENGLISH)

    assert [matches(over, text) for text in ("yes", "no", "uh-huh", "hold on", "latte")] == [True] * 4 + [False]
    assert NOTHING is over_bot(NOTHING, manners.ENGLISH)


def test_where_turns_are_taken_otherwise_the_timing_says_so() -> None:
    assert Timing(barge_in=BargeIn.KEYWORDS) == retimed(Timing(), KEYWORDS)
    assert retimed(Timing(), PATIENT).words_only
    assert retimed(Timing(), NOTHING).pause_ms > retimed(Timing(), MENU).pause_ms


def test_a_turn_that_ends_in_and_goes_on() -> None:
    assert [True, False, False] == [settled(MENU, text) for text in ("a large latte", "a large latte and", "")]
