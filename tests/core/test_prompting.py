"""A dialplan in words: all of it, and nothing that must stay inside."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebot.core.dialogue import Text, ToolCall
from voicebot.core.dialplan import Dialplan, parse
from voicebot.core.expect import Mode
from voicebot.core.expectations import expectations
from voicebot.core.prompting import open_expectation, opening, system_prompt
from voicebot.core.tool_specs import fault_in_call, tool_specs

PLAN = """
name: clinic
description: Answers for a clinic.
language: en-GB
timezone: Europe/London
hours: "mon-fri 08:00-18:00"
persona: {name: Ada, style: Warm and calm.}
lexicon: {Siobhan: {said: shi vawn}, Ng: {heard: [ing]}}
types: {reason: {checkup: [check up], pain: [it hurts]}}
tools:
  book:
    kind: note
    description: Book an appointment.
    args:
      day: {required: true, description: ISO date}
      size: {enum: [short, long]}
      count: {type: integer}
transfers:
  nurse: {to: "+15550100"}
start: hello
nodes:
  hello:
    say: Clinic, {persona} speaking.
    interruptible: false
    do:
      - if: open
        then: [{say: We are open.}]
        else: [{say: We are closed.}, {goto: closed}]
      - goto: menu
  closed:
    say: Call again tomorrow.
    do: [{hang_up: Goodbye.}]
  menu:
    say: How can I help?
    intents:
      book_it: {title: to book, examples: ["(book | make) [an] appointment"], do: [{goto: form}]}
      nurse: {examples: [a nurse], do: [{transfer: nurse}]}
  form:
    collect:
      reason: {required: true, ask: "What is it about?"}
      phone: {ask: "Which number?", confirm: always}
      pin: {type: digits, length: 4, secret: true, ask: "Your PIN?"}
    readback: "{reason}, is that right?"
    do:
      - tool: book
        args: {day: "{reason}"}
      - hang_up: Booked.
"""
NOON = "2026-11-23T12:00:00+00:00"


@pytest.fixture(scope="module")
def plan() -> Dialplan:
    return parse(PLAN, "clinic.yaml")


def test_the_opening_is_what_the_flow_says_before_it_listens(plan: Dialplan) -> None:
    texts = opening(plan, datetime(2026, 11, 23, 12, tzinfo=UTC))
    assert ("Clinic, Ada speaking. ", "We are open. ", "How can I help? ") == tuple(t.text for t in texts)


def test_outside_opening_hours_the_opening_goes_the_other_way(plan: Dialplan) -> None:
    texts = opening(plan, datetime(2026, 11, 22, 12, tzinfo=UTC))
    assert ("We are closed. ", "Call again tomorrow. ", "Goodbye. ") == tuple(t.text for t in texts[1:-1])
    assert ToolCall("opening", "hang_up", {}) == texts[-1]


def test_a_flow_that_only_puts_through_says_so_and_does() -> None:
    other = parse(
        "name: c\nstart: a\ntransfers: {x: {to: '+15550100', say: Wait.}}\nnodes: {a: {do: [{transfer: x}]}}", "c"
    )
    assert (Text("Wait. "), ToolCall("opening", "transfer", {"to": "x"})) == opening(other, datetime.now(UTC))


def test_a_notice_that_must_be_heard_stays_uninterruptible(plan: Dialplan) -> None:
    assert Text("Clinic, Ada speaking. ", interruptible=False) == opening(plan, datetime(2026, 11, 23, tzinfo=UTC))[0]


@pytest.mark.parametrize(
    "told",
    [
        "You are Ada.", "Warm and calm.", "en-GB", "Monday, 23 November 2026, 12:00 (Europe/London)", "Open now.",
        "Monday to Friday from eight a.m. to six p.m.", "Siobhan, Ng", "## form", "one of checkup, pain",
        '"book an appointment"', "use the tool transfer with to=nurse", "(digits) of 4 digits", "never repeat it aloud",
        "phone (phone), asking \"Which number?\"; read it back", "use the tool book with day={reason}",
        "if open: say \"We are open.\"; otherwise say \"We are closed.\"", "The call comes from +15550123",
        "Ada speaking",
    ],
)  # fmt: skip
def test_the_instructions_tell(plan: Dialplan, told: str) -> None:
    assert told in system_prompt(plan, NOON, "+15550123")


def test_numbers_to_transfer_to_stay_inside(plan: Dialplan) -> None:
    assert "+15550100" not in system_prompt(plan, NOON, "+15550123")


def test_the_callers_number_is_told_only_where_a_number_is_asked_for() -> None:
    other = parse("name: c\nstart: a\nnodes: {a: {say: Hello, do: hang_up}}", "c")
    assert "+15550123" not in system_prompt(other, NOON, "+15550123")


def test_an_unreadable_clock_costs_the_date_and_nothing_else(plan: Dialplan) -> None:
    assert "## form" in system_prompt(plan, "half past nine")


def test_the_open_expectation_holds_what_every_state_expects(plan: Dialplan) -> None:
    everything = open_expectation(plan)
    assert Mode.OPEN is everything.mode
    for each in expectations(plan):
        assert set(each.phrases) <= set(everything.phrases)
        assert {name for name, _ in each.types} <= {name for name, _ in everything.types}
    assert everything.secret
    assert len({e.name for e in expectations(plan)} | {everything.name}) == len(expectations(plan)) + 1


# --- tools -------------------------------------------------------------------------------------------------------


def test_transfers_are_a_closed_list_of_names(plan: Dialplan) -> None:
    transfer = {spec.name: spec for spec in tool_specs(plan)}["transfer"].parameters
    assert (["nurse"], ["to"], False) == (
        transfer["properties"]["to"]["enum"],
        transfer["required"],
        transfer["additionalProperties"],
    )


def test_without_transfers_there_is_no_transfer_but_always_a_way_to_hang_up() -> None:
    other = parse("name: c\nstart: a\nnodes: {a: {say: Hello, do: hang_up}}", "c")
    assert ["hang_up"] == [spec.name for spec in tool_specs(other)]


@pytest.mark.parametrize(
    ("name", "args", "fault"),
    [
        ("book", {"day": "2026-11-24", "size": "short", "count": 2}, ""),
        ("book", {"day": "2026-11-24", "size": None}, ""),
        ("hang_up", {}, ""),
        ("book", {}, "missing: day"),
        ("book", {"day": ""}, "missing: day"),
        ("book", {"day": "x", "size": "huge"}, "one of: short, long"),
        ("book", {"day": "x", "count": True}, "of type integer"),
        ("book", {"day": "x", "who": "me"}, "no argument 'who'"),
        ("burn", {}, "no tool 'burn'"),
        ("book", "day", "must be a JSON object"),
    ],
)
def test_a_call_is_checked_against_what_was_offered(plan: Dialplan, name: str, args: Any, fault: str) -> None:
    found = fault_in_call(tool_specs(plan), name, args)
    assert fault in found
    assert bool(fault) == bool(found)


SPECS = tool_specs(parse(PLAN, "clinic.yaml"))
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["day", "size", "count", "x"]), inner),
    max_leaves=8,
)


@given(st.sampled_from(["book", "transfer", "hang_up", "x"]), JSON)
def test_no_arguments_break_the_check(name: str, args: Any) -> None:
    assert isinstance(fault_in_call(SPECS, name, args), str)
