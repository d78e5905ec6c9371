"""The flow after a transfer that failed: where it goes on, and that it does not go in circles."""

from __future__ import annotations

import pytest

from tests.core.test_flow import Caller
from voicebot.core.dialogue import Text, ToolCall, Unreached
from voicebot.core.dialplan import Dialplan, DialplanFaults, fixed_sentences, parse

PLAN = """
name: bakery
types: {bread: [rye, white], person: {rosa: [rosa]}}
operator: rosa
transfers:
  rosa: {to: "+15550100"}
  oven: {to: "sip:oven@pbx", kind: warm, briefing: "Somebody wants {bread}.", unreached: The oven is hot.,
         on_failure: bread}
start: welcome
nodes:
  welcome:
    say: What would you like?
    intents:
      buy: {examples: "buy [bread]", do: [{goto: bread}]}
      talk: {examples: rosa please, do: [{transfer: rosa}]}
  bread:
    collect:
      bread: {required: true, ask: "Rye or white?", confirm: never}
    do: [{transfer: oven}]
"""


@pytest.fixture
def plan() -> Dialplan:
    return parse(PLAN, "bakery.yaml")


def back(caller: Caller, name: str) -> str:
    """What the bot says when nobody took that transfer."""
    step = caller.flow.feed(Unreached(name))
    caller.tools += [(event.name, dict(event.args)) for event in step.events if isinstance(event, ToolCall)]
    return "".join(event.text for event in step.events if isinstance(event, Text)).strip()


def test_a_caller_is_back_at_the_menu_they_came_from(plan: Dialplan) -> None:
    caller = Caller("", plan=plan)
    caller.says("rosa please")
    assert f"{plan.sentences.unreached} What would you like?" == back(caller, "rosa")
    assert "Rye or white?" == caller.says("buy bread")


def test_a_caller_who_wanted_the_operator_is_back_at_their_question(plan: Dialplan) -> None:
    caller = Caller("", plan=plan)
    caller.says("buy bread", "operator")
    assert f"{plan.sentences.unreached} Rye or white?" == back(caller, "rosa")
    caller.says("rye")
    assert ("transfer", {"to": "oven", "briefing": "Somebody wants rye."}) == caller.tools[-1]


def test_a_dialplan_says_what_is_said_then_and_where_it_goes_on(plan: Dialplan) -> None:
    caller = Caller("", plan=plan.model_copy(update={"transfers": plan.transfers | {
        "oven": plan.transfers["oven"].model_copy(update={"on_failure": "welcome"})}}))  # fmt: skip
    caller.says("buy bread", "rye")
    assert "The oven is hot. What would you like?" == back(caller, "oven")


def test_nobody_is_put_through_in_circles(plan: Dialplan) -> None:
    caller = Caller("", plan=plan)
    for _ in range(2):
        caller.says("rosa please")
        assert "What would you like?" in back(caller, "rosa")
    caller.says("rosa please")
    assert plan.sentences.goodbye in back(caller, "rosa")
    assert "hang_up" == caller.tools[-1][0]


def test_who_gives_up_is_not_given_to_an_operator_who_is_not_there(plan: Dialplan) -> None:
    caller = Caller("", plan=plan)
    caller.says("operator")
    back(caller, "rosa")
    caller.says("…", "…", "…", "…")
    assert "hang_up" == caller.tools[-1][0]


def test_what_is_said_then_is_spoken_before_the_first_call(plan: Dialplan) -> None:
    said = fixed_sentences(plan)
    assert {plan.sentences.unreached, plan.sentences.still_trying, plan.sentences.take_call, "The oven is hot."} <= {
        *said
    }


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("on_failure: bred", "There is no node 'bred'"),
        ('briefing: "{brad}"', "There is no slot {brad}"),
        ("kind: hot", "'kind'"),
    ],
)
def test_what_is_wrong_with_a_transfer_is_said(wrong: str, says: str) -> None:
    with pytest.raises(DialplanFaults) as faults:
        parse(PLAN.replace('rosa: {to: "+15550100"}', f'rosa: {{to: "+15550100", {wrong}}}'), "bakery.yaml")
    assert says in str(faults.value)
