"""The scripted agent on the shipped dialplans: whole conversations, and what no caller can do to it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voicebot.core.dialogue import (
    CallerTurn,
    Heard,
    LlmEvent,
    Opening,
    Pressed,
    Returned,
    Silent,
    Text,
    ToolCall,
    ToolDone,
)
from voicebot.core.dialplan import Dialplan, expectations, fixed_sentences, parse
from voicebot.core.expect import Mode
from voicebot.core.flow import Flow, Step
from voicebot.core.grammar import grammar, matches, sample
from voicebot.core.slots import Reader
from voicebot.core.words import Word, Words

FOLDER = Path(__file__).parents[2] / "dialplans"
NAMES = ("clinic", "coffee", "frontdesk")
PLANS = {name: parse((FOLDER / f"{name}.yaml").read_text(), f"{name}.yaml") for name in NAMES}
SHIPPED = NAMES
EVERYTHING = Path(__file__).parent / "everything.yaml"
PLANS["everything"] = parse(EVERYTHING.read_text(), "everything.yaml")
NAMES = (*SHIPPED, "everything")
READERS = {name: Reader(plan) for name, plan in PLANS.items()}
EXPECTED = {each.name: each for plan in PLANS.values() for each in expectations(plan)}
OPEN = datetime(2026, 11, 23, 10, 0)
CLOSED = datetime(2026, 11, 23, 22, 0)


class Caller:
    """Types what a caller says; tools work unless `failing`."""

    def __init__(self, name: str, now: datetime = OPEN, failing: bool = False, plan: Dialplan | None = None) -> None:
        self.flow = Flow(plan or PLANS[name], now, "+12025550199")
        self.tools: list[tuple[str, dict[str, str]]] = []
        self._failing = failing
        self.said = ""
        self.step = self._take(Opening())

    def _take(self, turn: CallerTurn) -> Step:
        self.said = ""
        step = self.flow.feed(turn)
        while True:
            self.said += "".join(event.text for event in step.events if isinstance(event, Text))
            calls = [event for event in step.events if isinstance(event, ToolCall)]
            self.tools += [(call.name, dict(call.args)) for call in calls]
            if not calls or step.ended or calls[-1].name == "transfer":
                self.said = self.said.strip()
                return step
            step = self.flow.feed(ToolDone(calls[-1].call_id, not self._failing, {}))

    def says(self, *turns: str, sure: float = 1.0) -> str:
        """What the bot answers to the last of them. `#12` are keys, `…` is silence."""
        for turn in turns:
            if turn.startswith("#"):
                self.step = self._take(Pressed(turn[1:]))
            elif turn == "…":
                self.step = self._take(Silent(1))
            else:
                self.step = self._take(Heard(Words(turn, True, sure)))
        return self.said


# --- manners -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("said", ["hello", "hello hello", "are you there", "can you hear me"])
def test_a_caller_who_only_says_hello_is_asked_again(said: str) -> None:
    assert "What can I get you?" == Caller("coffee").says(said)


@pytest.mark.parametrize("said", ["wait a moment please", "hold on", "stop", "one second", "let me think"])
def test_a_caller_who_needs_a_moment_gets_it_and_the_order_goes_on(said: str) -> None:
    caller = Caller("coffee")
    caller.says("a latte")
    assert PLANS["coffee"].sentences.waiting == caller.says(said)
    assert caller.says("large").startswith("So that's a large latte.")


def test_a_moment_may_be_long() -> None:
    caller = Caller("coffee")
    caller.says("hold on")
    sentences = PLANS["coffee"].sentences
    assert [sentences.still_here, sentences.still_here] == [caller.says("…"), caller.says("…")]
    assert caller.says("…").startswith(sentences.still_there[0])


def test_back_from_hold_the_question_is_asked_again() -> None:
    caller = Caller("coffee")
    caller.says("a latte")
    step = caller.flow.feed(Returned())
    texts = [event.text.strip() for event in step.events if isinstance(event, Text)]
    assert ["Welcome back.", "What size would you like?"] == texts


# --- coffee ------------------------------------------------------------------------------------------------------


def test_a_whole_order_in_one_breath_is_read_back_and_written_down() -> None:
    caller = Caller("coffee")
    answer = caller.says("i'd like a large dark roast latte with soy milk and a bit of brown sugar")
    assert "So that's a large dark roast latte with soy milk and a bit of brown sugar. Is that right?" == answer
    caller.says("yes please")
    order = {
        "size": "large",
        "roast": "dark roast",
        "drink": "latte",
        "milk": "soy milk",
        "sugar": "a bit of brown sugar",
    }
    assert [("order", order), ("hang_up", {})] == caller.tools
    assert caller.step.ended


def test_only_what_is_missing_is_asked_for() -> None:
    caller = Caller("coffee")
    assert "What size would you like?" == caller.says("an iced mocha please")
    assert "So that's a twenty ounce iced mocha. Is that right?" == caller.says("twenty ounces")


def test_the_answer_to_one_question_may_hold_others() -> None:
    caller = Caller("coffee")
    answer = caller.says("a mocha", "small with almond milk and a double shot")
    assert "So that's a small double shot mocha with almond milk. Is that right?" == answer


@pytest.mark.parametrize(
    ("correction", "slots"),
    [
        ("no, a large one", {"size": "large", "drink": "latte", "milk": "soy milk"}),
        ("actually make it whole milk", {"size": "medium", "drink": "latte", "milk": "whole milk"}),
        ("no not medium, small", {"size": "small", "drink": "latte", "milk": "soy milk"}),
        ("no milk", {"size": "medium", "drink": "latte"}),
        ("no double shot", {"size": "medium", "drink": "latte", "milk": "soy milk", "shots": "double shot"}),
        ("without the soy milk please", {"size": "medium", "drink": "latte"}),
        ("yes but make it a mocha", {"size": "medium", "drink": "mocha", "milk": "soy milk"}),
        (
            "no i said an americano with some sugar",
            {"size": "medium", "drink": "americano", "milk": "soy milk", "sugar": "some sugar"},
        ),
    ],
)  # fmt: skip
def test_a_correction_is_taken_at_once_and_read_back(correction: str, slots: dict[str, str]) -> None:
    caller = Caller("coffee")
    caller.says("a medium latte with soy milk")
    answer = caller.says(correction)
    assert slots == dict(caller.flow.slots)
    assert answer.startswith("Okay. So that's")


def test_no_alone_asks_what_to_change_and_takes_it() -> None:
    caller = Caller("coffee")
    assert "What should I change?" == caller.says("a medium latte", "no")
    assert "What size would you like?" == caller.says("the size")
    assert "So that's a small latte. Is that right?" == caller.says("small")


def test_help_at_the_welcome_explains_and_does_not_welcome_again() -> None:
    caller = Caller("frontdesk")
    answer = caller.says("help")
    assert "Say the name of a person or a department" in answer
    assert "Harbour and Lane" not in answer


def test_help_repeat_and_start_over_work_in_the_middle() -> None:
    caller = Caller("coffee")
    question = caller.says("a mocha")
    answer = caller.says("help")
    assert answer.startswith("Small, medium or large. Or eight, twelve, sixteen or twenty ounces. You can also press")
    assert answer.endswith("1 for small, 2 for medium, 3 for large. What size would you like?")
    caller.says("small")
    readback = caller.said
    assert readback == caller.says("pardon")
    assert readback == caller.says("#*")
    assert "Okay, let's start over. What can I get you?" == caller.says("start over")
    assert {} == caller.flow.slots
    assert question == caller.says("a mocha")


def test_keys_choose_confirm_and_repeat() -> None:
    caller = Caller("coffee")
    assert "So that's a large mocha. Is that right?" == caller.says("a mocha", "#3")
    assert "What should I change?" == caller.says("#2")
    caller.says("a latte", "#1")
    assert ("order", {"size": "large", "drink": "latte"}) == caller.tools[0]


def test_reprompts_change_and_end_in_a_goodbye() -> None:
    caller = Caller("coffee")
    answers = [caller.says(noise) for noise in ("mumble", "…", "mumble mumble")]
    assert "Sorry, I didn't catch that. What would you like to drink?" == answers[0]
    assert answers[1].endswith("Tell me a drink and a size, please. For example, a medium cappuccino.")
    assert answers[2].endswith("Thank you for calling. Goodbye.")
    assert caller.step.ended


def test_a_failing_tool_is_owned_up_to_and_the_call_goes_on() -> None:
    caller = Caller("coffee", failing=True)
    assert "I'm sorry, that didn't work just now." in caller.says("a small mocha", "yes")
    assert caller.step.ended


def test_a_doubtful_value_is_repeated_in_passing() -> None:
    caller = Caller("coffee")
    assert "Iced mocha. What size would you like?" == caller.says("an iced mocha", sure=0.5)
    assert "What size would you like?" == caller.says("no a latte")
    assert {"drink": "latte"} == caller.flow.slots


def test_word_confidence_counts_where_there_is_one() -> None:
    flow = Flow(PLANS["coffee"], OPEN)
    flow.feed(Opening())
    words = tuple(Word(text, 0, 0, 0.2 if text == "latte" else 0.99) for text in ("a", "latte"))
    step = flow.feed(Heard(Words("a latte", True, 0.99, words)))
    assert "Latte. " == _texts(step)[0]


def test_hypotheses_that_disagree_make_a_value_doubtful() -> None:
    flow = Flow(PLANS["coffee"], OPEN)
    flow.feed(Opening())
    step = flow.feed(Heard(Words("a latte", True, 1.0, (), ("a latte", "a mocha", "a mocha please"))))
    assert "Latte. " == _texts(step)[0]


def test_a_lesser_hypothesis_is_taken_when_the_best_says_nothing() -> None:
    flow = Flow(PLANS["coffee"], OPEN)
    flow.feed(Opening())
    flow.feed(Heard(Words("uh lot day", True, 0.9, (), ("uh lot day", "a large latte"))))
    assert {"size": "large", "drink": "latte"} == flow.slots


def _texts(step: Step) -> list[str]:
    return [event.text for event in step.events if isinstance(event, Text)]


# --- clinic ------------------------------------------------------------------------------------------------------


def test_the_recording_notice_cannot_be_interrupted_and_the_question_can() -> None:
    step = Flow(PLANS["clinic"], OPEN).feed(Opening())
    texts = [(event.text.strip(), event.interruptible) for event in step.events if isinstance(event, Text)]
    assert [("Riverside Clinic. This call is recorded.", False), ("How can I help?", True)] == texts


def test_an_appointment_is_booked_in_pieces() -> None:
    caller = Caller("clinic")
    assert "Please spell your last name." in caller.says("hi i'd like to make an appointment")
    assert "What is your date of birth?" == caller.says("s m i t h")
    assert "And the year?" == caller.says("march third")
    assert "What number can we call you back on?" == caller.says("nineteen eighty five")
    assert "Go on." == caller.says("two oh two five five five")
    assert "Which day would suit you?" == caller.says("oh one four two")
    readback = caller.says("next tuesday at half past three")
    assert "Tuesday, December first at three thirty p.m." in readback
    assert "two zero two, five five five, zero one four two" in readback
    caller.says("no make it thursday")
    caller.says("yes")
    who = {"last_name": "SMITH", "birth_date": "1985-03-03", "phone": "2025550142"}
    booked = {"action": "book", **who, "day": "2026-11-26", "time": "15:30"}
    assert [("appointment", booked)] == caller.tools
    assert caller.says("no that's all").endswith("Thank you for calling Riverside Clinic. Goodbye.")


def test_an_appointment_is_moved_by_keys_alone_but_for_the_name() -> None:
    caller = Caller("clinic")
    caller.says("#2", "m u n o z", "#03031985", "#1204", "#1030", "#1")
    moved = {"action": "move", "last_name": "MUNOZ", "birth_date": "1985-03-03", "day": "2026-12-04", "time": "10:30"}
    assert [("appointment", moved)] == caller.tools


@pytest.mark.parametrize(
    ("said", "node"),
    [
        ("i'd like to book an appointment", "book"),
        ("can i get an appointment on tuesday", "book"),
        ("i need to see a doctor", "book"),
        ("could you move my appointment please", "move"),
        ("i have to reschedule", "move"),
        ("cancel my appointmnt", "cancel"),
        ("i want to cancel the appointment", "cancel"),
        ("uh yeah hi i wanted to make an appointment", "book"),
    ],
)
def test_what_callers_want_is_found_in_many_words(said: str, node: str) -> None:
    caller = Caller("clinic")
    caller.says(said)
    assert node == caller.flow.node


def test_a_doubtful_intent_is_asked_back() -> None:
    caller = Caller("clinic")
    answer = caller.says("something about opening appointment whatever")
    assert answer.startswith("You'd like to ")
    caller.says("no")
    assert "welcome" == caller.flow.node


def test_the_operator_is_reached_by_voice_key_and_by_giving_up() -> None:
    for way in (("operator",), ("can i speak to a human please",), ("#0",), ("…", "…", "…", "…")):
        caller = Caller("clinic")
        caller.says(*way)
        assert [("transfer", {"to": "desk"})] == caller.tools


def test_a_command_that_ends_something_must_be_heard_well() -> None:
    caller = Caller("clinic")
    caller.says("goodbye", sure=0.1)
    assert not caller.step.ended


def test_hours_are_told_by_the_clock_of_the_place() -> None:
    assert "We're open right now" in Caller("clinic").says("when are you open")
    assert "We open again tomorrow, Tuesday, November twenty fourth at eight a.m." in Caller("clinic", CLOSED).says(
        "#4"
    )


def test_when_the_desk_is_closed_it_takes_a_message() -> None:
    caller = Caller("clinic", CLOSED)
    assert "Please leave your message" in caller.says("can i speak to the nurse")
    assert Mode.FREE == caller.step.expectation.mode
    caller.says("please call me about my results")
    assert [("message", {"text": "please call me about my results"}), ("hang_up", {})] == caller.tools


# --- front desk --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "to"),
    [
        ("david nguyen please", "david_nguyen"),
        ("can i speak to chevron murphy", "siobhan_murphy"),
        ("put me through to the sales department", "david_nguyen"),
        ("accounts", "maria_lopez"),
        ("i'm looking for savior", "xavier_okonkwo"),
        ("hello is anna in please", "anna_szymanski"),
        ("#3", "maria_lopez"),
        ("operator", "reception"),
    ],
)
def test_a_name_or_a_department_is_put_through(said: str, to: str) -> None:
    caller = Caller("frontdesk")
    caller.says(said)
    assert [("transfer", {"to": to})] == caller.tools


def test_a_message_is_taken_for_somebody() -> None:
    caller = Caller("frontdesk")
    caller.says("i'd like to leave a message for david nguyen", "it's about the invoice")
    assert ("message", {"for": "david_nguyen", "text": "it's about the invoice"}) == caller.tools[0]


def test_after_hours_callers_hear_when_it_opens_and_may_leave_a_message() -> None:
    caller = Caller("frontdesk", CLOSED)
    answer = caller.says("maria please")
    assert "We open tomorrow, Tuesday, November twenty fourth at nine a.m." in answer
    caller.says(
        "call me",
    )
    assert ("message", {"for": "maria_lopez", "text": "call me"}) == caller.tools[0]


# --- expectations ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_every_expectation_is_a_good_grammar_with_a_name_of_its_own(name: str) -> None:
    found = [each for each in EXPECTED.values() if each.name.startswith(f"{name}/")]
    assert len(found) == len(expectations(PLANS[name]))
    for each in found:
        assert each.quick_ms <= each.pause_ms
        if each.phrases:
            grammar(each)
            assert sample(each, 5, seed=1)


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("coffee/order/readback", "yes"),
        ("coffee/order/readback", "no make it large"),
        ("coffee/order/readback", "no make it a large latte"),
        ("coffee/order/readback", "no milk"),
        ("coffee/order/readback", "start over"),
        ("coffee/order/size", "small please"),
        ("clinic/book/last_name", "s m i t h"),
        ("clinic/book/phone", "two oh two five five five oh one four two"),
        ("clinic/book/phone", "two oh two triple five oh one four two"),
        ("clinic/book/birth_date", "the third of march nineteen eighty five"),
        ("clinic/book/day", "next tuesday"),
        ("clinic/book/time", "half past three"),
        ("clinic/book/time", "operator"),
        ("clinic/welcome", "i'd like to book an appointment"),
        ("frontdesk/welcome", "can i speak to chevron please"),
    ],
)
def test_an_expectation_holds_what_callers_say_there(place: str, said: str) -> None:
    assert matches(EXPECTED[place], said)


def test_yes_or_no_is_awaited_briefly_and_a_phone_number_patiently() -> None:
    found = EXPECTED
    waits = {name: (found[name].quick_ms, found[name].pause_ms) for name in found}
    assert (250, 450) == waits["coffee/order/readback"]
    assert (450, 1200) == waits["clinic/book/phone"]
    assert (350, 700) == waits["coffee/order"]
    assert (10, 8, 1, 1) == tuple(
        found[n].keys for n in ("clinic/book/phone", "clinic/book/birth_date", "clinic/welcome", "coffee/order/size")
    )
    assert found["clinic/book/birth_date"].secret


@pytest.mark.parametrize("name", SHIPPED)
def test_what_the_flow_says_word_for_word_was_announced(name: str) -> None:
    """Sentences without slots are the ones that are synthesised before the first call."""
    announced = set(fixed_sentences(PLANS[name]))
    caller = Caller(name)
    heard: list[str] = []
    for turn in ("mumble", "help", "…"):
        caller.says(turn)
        heard += [text.strip() for text in _texts(caller.step)]
    assert heard
    assert set(heard) <= announced


# --- every slot type -----------------------------------------------------------------------------------------------


def test_a_name_heard_wrongly_is_asked_for_letter_by_letter() -> None:
    caller = Caller("everything")
    caller.says("fill in the form")
    assert "I heard Siobhan Murphy. Is that right?" == caller.says("chevron murphy")
    assert "Please spell it for me, letter by letter." == caller.says("no")
    assert "That's Kang, yes?" == caller.says("k a n g")
    assert "Do you agree?" == caller.says("yes")


def test_a_form_of_every_type_is_filled_and_saved() -> None:
    caller = Caller("everything")
    assert "Let's see. Your name?" == caller.says("fill in the form")
    assert "I heard Siobhan Murphy. Is that right?" == caller.says("chevron murphy")
    assert "That's John Murphy, yes?" == caller.says("no john murphy")
    assert "Do you agree?" == caller.says("yes")
    assert "Your code?" == caller.says("yeah sure")
    assert "How many?" == caller.says("#1234#")
    assert "Which day?" == caller.says("twenty one")
    assert "Which colour?" == caller.says("next tuesday at noon")
    assert "Anything to add?" == caller.says("#2")
    answer = caller.says("no thank you that is all")
    assert "John Murphy, twenty one, Tuesday, December first at noon, no thank you that is all. What now?" == answer
    assert [("save", {"all": "John Murphy yes 21 2026-12-01 12:00 blue", "name": "John Murphy"})] == caller.tools
    assert {} == caller.flow.slots


def test_an_intent_inside_a_form_is_answered_and_the_form_goes_on() -> None:
    caller = Caller("everything")
    caller.says("form", "john smith", "yes")
    assert "Because. Do you agree?" == caller.says("why do you ask")
    caller.says("go back to the menu")
    assert "menu" == caller.flow.node


def test_a_tool_that_fails_leads_where_the_dialplan_says() -> None:
    caller = Caller("everything", failing=True)
    caller.says("tell me about blue")
    assert [("note", {"about": "blue"})] == caller.tools
    assert "menu" == caller.flow.node


def test_what_a_tool_answers_may_be_said() -> None:
    flow = Flow(PLANS["everything"], OPEN)
    flow.feed(Opening())
    flow.feed(Heard(Words("leave a message", True)))
    (call,) = flow.feed(Heard(Words("hello", True))).events
    assert isinstance(call, ToolCall)
    step = flow.feed(ToolDone(call.call_id, True, {"id": "A 7", "list": [1]}))
    assert ["Saved as A 7."] == _texts(step)


def test_a_number_out_of_its_bounds_is_not_taken() -> None:
    caller = Caller("everything")
    caller.says("form", "john smith", "yes", "yes", "#1234", "fifty")
    assert "count" not in caller.flow.slots
    caller.says("forty")
    assert "40" == caller.flow.slots["count"]


# --- properties --------------------------------------------------------------------------------------------------


def _utterances(name: str) -> list[str]:
    """What callers may say anywhere in a dialplan, sampled from its own expectations."""
    found = [
        text
        for key, each in EXPECTED.items()
        if each.phrases and key.startswith(f"{name}/")
        for text in sample(each, 12, seed=7)
    ]
    return sorted(
        {
            *found,
            "",
            "yes",
            "no",
            "not that",
            "no milk",
            "operator",
            "start over",
            "{size}",
            "[x",
            "mumble",
            "the milk is wrong",
            "the day is wrong",
        }
    )


UTTERANCES = {name: _utterances(name) for name in NAMES}


def _turn(name: str) -> st.SearchStrategy[CallerTurn]:
    said = st.one_of(st.sampled_from(UTTERANCES[name]), st.text(max_size=30))
    heard = st.builds(
        lambda text, sure, others: Heard(Words(text, True, sure, (), (text, *others))),
        said,
        st.floats(0, 1),
        st.lists(st.sampled_from(UTTERANCES[name]), max_size=3),
    )
    pressed = st.builds(Pressed, st.text("0123456789*#", max_size=11))
    return st.one_of(
        heard, heard, heard, pressed, st.builds(Silent, st.integers(1, 4)), st.just(ToolDone("?", True, {}))
    )


@st.composite
def _calls(draw: st.DrawFn) -> tuple[str, datetime, list[CallerTurn], list[bool]]:
    name = draw(st.sampled_from((*NAMES, "everything")))
    turns = draw(st.lists(_turn(name), max_size=20))
    return name, draw(st.sampled_from([OPEN, CLOSED])), turns, draw(st.lists(st.booleans(), min_size=1, max_size=4))


@given(_calls())
@settings(max_examples=200, deadline=None)
def test_no_caller_makes_the_flow_raise_fall_silent_or_hold_an_impossible_value(
    call: tuple[str, datetime, list[CallerTurn], list[bool]],
) -> None:
    name, now, turns, fates = call
    reader = READERS[name]
    flow = Flow(PLANS[name], now, "+1")
    prepared = {*EXPECTED, "nothing"}
    steps = 0
    for turn in [Opening(), *turns]:
        step = flow.feed(turn)
        while (tool := _tool(step.events)) is not None and not step.ended:
            _check(flow, step, reader, prepared)
            step = flow.feed(ToolDone(tool.call_id, fates[steps % len(fates)], {"ok": 1}))
            steps += 1
            assert steps < 100, "tools without end"
        _check(flow, step, reader, prepared)
        if step.ended:
            assert isinstance(step.events[-1], ToolCall)
            assert "hang_up" == step.events[-1].name


def _tool(events: tuple[LlmEvent, ...]) -> ToolCall | None:
    return next((event for event in events if isinstance(event, ToolCall)), None)


def _check(flow: Flow, step: Step, reader: Reader, prepared: set[str]) -> None:
    assert step.events
    assert len(step.events) < 20
    assert all(event.text.strip() for event in step.events if isinstance(event, Text))
    assert step.expectation.name in prepared
    for slot, value in flow.slots.items():
        assert reader.valid(reader.slot(slot), value)
    for event in step.events:
        if isinstance(event, ToolCall) and event.name == "transfer":
            assert event.args["to"] in reader.plan.transfers


@given(st.sampled_from(SHIPPED), st.sampled_from(["mumble", "…", "#9", "help"]))
def test_a_caller_who_never_answers_is_not_kept_for_ever(name: str, noise: str) -> None:
    caller = Caller(name)
    for _ in range(10):
        caller.says(noise if noise != "help" else "mumble")
        if caller.tools:
            break
    assert caller.tools[-1][0] in ("hang_up", "transfer")
