"""A dialplan's flow, led by a model that speaks: what it is told, what its tools do."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from voicebot.core.dialogue import ToolCall, ToolDone
from voicebot.core.dialplan import parse
from voicebot.core.guide import Guide, Leave, Move
from voicebot.core.plan import Dialplan

NOW = datetime.fromisoformat("2026-11-25T09:30:00+00:00")
SHIPPED = sorted((Path(__file__).parents[2] / "dialplans").glob("*.yaml"))
PLAN = """
name: test
persona: {name: Rosa}
transfers: {desk: {to: "+15550100", say: "I'm putting you through."}}
operator: desk
types: {size: [small, large], drink: {latte: [latte, milk coffee]}}
tools:
  order: {kind: note, args: {size: {required: true}, drink: {}}}
  weather: {kind: http, url: "http://127.0.0.1:1/", description: The weather.}
  message: {kind: note, args: {text: {required: true}}}
start: welcome
nodes:
  welcome:
    say: This call is recorded.
    interruptible: false
    dtmf: {1: order, 2: note}
    intents:
      order: {title: to order, examples: ["i'd like [a] {drink}"], do: [{goto: order}]}
      note: {title: to leave a message, examples: ["a message"], do: [{take_message: "Go ahead.", tool: message}]}
      person: {title: a person, examples: ["a person"], do: [{transfer: desk}]}
  order:
    say: Let me take that down.
    collect:
      size: {required: true, ask: "Small or large?", dtmf: {1: small, 2: large}}
      drink: {required: true, ask: "Which drink?"}
    readback: "A {size} {drink}, right?"
    do: [{tool: order, args: {size: "{size}", drink: "{drink}"}}, {hang_up: "Your {drink} comes. Goodbye."}]
"""


@pytest.fixture
def guide() -> Guide:
    made = Guide(plan(), NOW)
    made.opened(obeys=True)
    return made


def plan() -> Dialplan:
    return parse(PLAN, "test.yaml")


def call(guide: Guide, name: str, **args: str) -> Move:
    return guide.called(ToolCall("1", name, args))


def test_a_text_that_may_not_be_interrupted_is_never_left_to_the_model() -> None:
    move = Guide(plan(), NOW).opened(obeys=True)

    assert ["This call is recorded."] == [notice.text for notice in move.notices]
    assert [False] == [notice.interruptible for notice in move.notices]
    assert move.ask is None


def test_for_a_model_that_does_not_obey_every_text_is_a_notice() -> None:
    guide = Guide(parse(PLAN.replace("interruptible: false", "interruptible: true"), "t.yaml"), NOW)

    assert ["This call is recorded."] == [notice.text for notice in guide.opened(obeys=False).notices]


def test_a_step_has_its_own_tools_and_those_that_no_step_uses(guide: Guide) -> None:
    assert ["choose", "weather", "transfer", "hang_up"] == [tool.name for tool in guide.tools]
    call(guide, "choose", intent="order")
    assert ["note_answers", "caller_agreed", "weather", "transfer", "hang_up"] == [tool.name for tool in guide.tools]
    assert "'order'" in guide.instructions


def test_what_came_with_an_intent_need_not_be_asked_for(guide: Guide) -> None:
    move = call(guide, "choose", intent="order", drink="latte")

    assert {"say": "Let me take that down. Small or large?"} == dict(move.result)
    assert "drink = latte" in guide.instructions


def test_a_form_asks_reads_back_and_acts(guide: Guide) -> None:
    call(guide, "choose", intent="order", drink="latte")
    assert {"say": "A large latte, right?"} == dict(call(guide, "note_answers", size="large").result)

    acts = call(guide, "caller_agreed")
    assert acts.call is not None
    assert ("order", {"size": "large", "drink": "latte"}) == (acts.call.name, dict(acts.call.args))

    ends = guide.done(ToolDone(acts.call.call_id, True, {}))
    assert Leave() == ends.ending
    assert {"say": "Your latte comes. Goodbye."} == dict(ends.result)


def test_a_caller_cannot_agree_to_what_is_not_known(guide: Guide) -> None:
    call(guide, "choose", intent="order")

    move = call(guide, "caller_agreed")

    assert (False, {"error": "size is not known yet."}) == (move.ok, dict(move.result))


def test_a_value_that_is_none_is_refused(guide: Guide) -> None:
    call(guide, "choose", intent="order")

    move = call(guide, "note_answers", size="gigantic")

    assert not move.ok
    assert "must be one of: small, large" in move.result["error"]


def test_a_message_goes_to_its_tool(guide: Guide) -> None:
    assert {"say": "Go ahead."} == dict(call(guide, "choose", intent="note").result)
    move = call(guide, "take_message", text="call me back")

    assert move.call is not None
    assert {"text": "call me back"} == dict(move.call.args)
    assert "take_message" not in {tool.name for tool in guide.tools}


def test_keys_mean_what_they_mean_to_any_responder(guide: Guide) -> None:
    assert "Let me take that down. Small or large?" in str(guide.keyed("1").ask)
    assert "Which drink?" in str(guide.keyed("2").ask)
    assert Leave("desk") == guide.keyed("0").ending


def test_a_tool_of_the_models_own_gives_its_result_to_the_model(guide: Guide) -> None:
    move = call(guide, "weather")
    assert move.call is not None

    done = guide.done(ToolDone(move.call.call_id, True, {"sun": True}))

    assert {"sun": True} == dict(done.result)


def test_silence_is_asked_about_and_not_for_ever(guide: Guide) -> None:
    assert "Are you still there?" in str(guide.silent(1, True).ask)
    assert Leave() == guide.silent(3, True).ending


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_every_step_of_what_ships_can_be_put_into_words(file: Path) -> None:
    shipped = parse(file.read_text("utf-8"), str(file))
    guide = Guide(shipped, NOW, "+15550001111")
    guide.opened(True)
    for name, node in shipped.nodes.items():
        guide._name = name  # every step, by whatever way one gets there
        assert "You are on the telephone" in guide.instructions
        assert {"hang_up"} <= {tool.name for tool in guide.tools}
        for intent in node.intents:
            guide._name = name
            assert isinstance(guide.called(ToolCall("1", "choose", {"intent": intent})), Move)
