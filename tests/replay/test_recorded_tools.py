"""Tools of a replay: they touch nothing, and give what they gave."""

from __future__ import annotations

from typing import Any

import pytest

from voicebot.core.dialogue import ToolCall, ToolDone
from voicebot.core.dialplan import parse
from voicebot.core.timeline import Record
from voicebot.replay.clock import clock, run
from voicebot.replay.recorded_tools import RecordedTools

PLAN = parse(
    """
name: shop
tools:
  order: {kind: note, args: {pieces: {}}}
  stock: {kind: http, method: GET, url: "http://127.0.0.1:9/stock", args: {item: {}}}
  pay: {kind: http, url: "http://127.0.0.1:9/pay"}
start: hello
nodes: {hello: {say: Hello., do: hang_up}}
""",
    "shop.yaml",
)


def ran(name: str, args: dict[str, Any], result: dict[str, Any], seconds: float = 0.5) -> list[Record]:
    started = Record(100, "tool", {"name": name, "args": args, "started": True})
    return [started, Record(600, "tool", {"name": name, "ok": True, "seconds": seconds, "result": result})]


RECORDS = [
    *ran("stock", {"item": "rye"}, {"left": 3}),
    *ran("stock", {"item": "sourdough"}, {"left": 0}, seconds=2.0),
]


def ask(tools: RecordedTools, name: str, **args: Any) -> tuple[ToolDone, float]:
    async def work() -> tuple[ToolDone, float]:
        began_s = clock().time()
        done = await tools.run(ToolCall("7", name, args))
        return done, clock().time() - began_s

    return run(work())


def test_the_same_question_has_the_same_answer_after_as_long() -> None:
    done, took_s = ask(RecordedTools(PLAN, RECORDS), "stock", item="sourdough")
    assert (ToolDone("7", True, {"left": 0}), 2.0) == (done, round(took_s, 6))


def test_another_question_to_the_same_tool_has_the_answer_that_came_first() -> None:
    tools = RecordedTools(PLAN, RECORDS)
    answers = [ask(tools, "stock", item="baguette")[0] for _ in range(3)]

    assert [{"left": 3}, {"left": 0}] == [each.result for each in answers[:2]]
    assert (False, "not in the recording") == (answers[2].ok, answers[2].result["error"])


def test_a_note_that_was_never_written_would_have_been() -> None:
    assert ToolDone("7", True, {"noted": True}) == ask(RecordedTools(PLAN, []), "order", pieces="6")[0]


@pytest.mark.parametrize(("name", "acts"), [("order", True), ("pay", True), ("stock", False), ("nothing", False)])
def test_what_acts_is_known_as_in_a_live_call(name: str, acts: bool) -> None:
    assert acts == RecordedTools(PLAN, []).acts(name)
