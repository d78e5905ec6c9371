"""The guard around the agent, in virtual time: who leads the call, and what they know of it."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import pytest

from tests.peers.engines import Model
from tests.virtual_time import run
from voicebot.core.dialogue import CallerTurn, Heard, Opening, Past, Text, ToolCall, ToolDone
from voicebot.core.dialplan import parse
from voicebot.core.words import Words
from voicebot.engines import llm_scripted
from voicebot.engines.base import AgentContext, EngineConfig
from voicebot.engines.guard import Chain, Member, Watch
from voicebot.engines.guard_llm import GuardedLlm
from voicebot.errors import PeerError

PLAN = """
name: cafe
persona: {name: Blue Cup}
types:
  size: [small, large]
  drink: [latte, mocha]
tools:
  order: {kind: note, args: {size: {required: true}, drink: {required: true}}}
start: welcome
nodes:
  welcome:
    say: "{persona}, what can I get you?"
    examples: ["[i'd like] [a] {size} {drink} [please]", "[a] {drink} [please]"]
    collect:
      drink: {required: true, ask: "Which drink?"}
      size: {required: true, ask: "Small or large?"}
    do:
      - {tool: order, args: {size: "{size}", drink: "{drink}"}}
      - hang_up: Your {size} {drink} is on its way.
"""


def heard(text: str) -> Heard:
    return Heard(Words(text, final=True))


class Call:
    """`Call(model, …).says(turn)`: the text of the reply, all of it heard."""

    def __init__(self, *engines: Any) -> None:
        self.watch, self.records = Watch(), []  # type: ignore[var-annotated]
        self.watch.tell = lambda **fields: self.records.append(fields)
        self.context = AgentContext(parse(PLAN, "cafe.yaml"), "", "", "2026-11-23T09:30:00+00:00")
        self.chain = Chain("llm", *map(Member, ["first", "second"], engines))

    async def __aenter__(self) -> Call:
        self.agent = GuardedLlm(self.chain, self.context, self.watch)
        return self

    async def __aexit__(self, *_: object) -> None: ...

    async def says(self, turn: CallerTurn) -> str:
        text = (await self.does(turn))[0]
        self.agent.committed(text, True)
        return text

    async def does(self, turn: CallerTurn) -> tuple[str, ToolCall | None]:
        text = ""
        async with aclosing(self.agent.reply(turn)) as events:
            async for event in events:
                if isinstance(event, ToolCall):
                    return text, event
                text += event.text
        return text, None


def scripted() -> Any:
    return llm_scripted.create(EngineConfig())


def in_call(*engines: Any) -> Any:
    """Run the decorated coroutine function with a call."""

    def decorate(test: Any) -> Any:
        async def work() -> None:
            async with Call(*engines) as call:
                await test(call)

        run(work())

    return decorate


def test_an_agent_that_works_leads_all_of_the_call() -> None:
    first = Model()

    @in_call(first, Model())
    async def _(call: Call) -> None:
        assert ["ok", "ok"] == [await call.says(Opening()), await call.says(heard("hi"))]
        assert [] == call.records
        assert ([Opening(), heard("hi")], [("ok", True)] * 2) == (first.sessions[0].turns, first.sessions[0].heard)
        assert 1 == len(first.sessions)


def test_before_anything_was_said_the_next_agent_answers_with_the_history() -> None:
    first = Model([[Text("Hello.")], [PeerError("429")]])
    second = Model()

    @in_call(first, second)
    async def _(call: Call) -> None:
        await call.says(Opening())
        assert "ok" == await call.says(heard("hi"))
        assert [Past(Opening(), "Hello.")] == second.sessions[0].past
        assert [("first", "429", "second")] == [(r["name"], r["fault"], r["then"]) for r in call.records]


def test_an_agent_that_says_nothing_is_replaced_in_time() -> None:
    @in_call(Model([[60.0]]), Model())
    async def _(call: Call) -> None:
        began = asyncio.get_running_loop().time()
        assert "ok" == await call.says(Opening())
        assert 2.5 == asyncio.get_running_loop().time() - began


def test_in_the_middle_of_an_answer_the_next_agent_is_told_what_was_said_of_it() -> None:
    second = Model([[Text("at nine.")]])

    @in_call(Model([[Text("We open "), 60.0]]), second)
    async def _(call: Call) -> None:
        assert "We open at nine." == await call.says(heard("when do you open"))
        assert ([], "We open ") == (second.sessions[0].past, second.sessions[0].begun)


def test_the_first_agent_leads_again_next_time_and_knows_what_it_missed() -> None:
    first = Model([[PeerError("500")]])

    @in_call(first, Model([[Text("from the second")]]))
    async def _(call: Call) -> None:
        await call.says(heard("one"))
        assert "ok" == await call.says(heard("two"))
        assert [Past(heard("one"), "from the second")] == first.sessions[-1].past


def test_history_is_what_was_heard_not_what_was_said() -> None:
    second = Model()

    @in_call(Model([[Text("One two three four.")], [PeerError("500")]]), second)
    async def _(call: Call) -> None:
        await call.does(Opening())
        call.agent.committed("One two", False)
        await call.says(heard("wait"))
        assert [Past(Opening(), "One two ")] == second.sessions[0].past


def test_a_result_reaches_the_agent_that_takes_over_after_the_tool_ran() -> None:
    order = ToolCall("7", "order", {"size": "small"})
    second = Model()

    @in_call(Model([[Text("A moment. "), order], [PeerError("500")]]), second)
    async def _(call: Call) -> None:
        assert ("A moment. ", order) == await call.does(heard("a small one"))
        await call.says(ToolDone("7", True, {"number": 12}))
        assert [Past(heard("a small one"), "A moment. ", order)] == second.sessions[0].past
        assert [ToolDone("7", True, {"number": 12})] == second.sessions[0].turns


def test_a_reply_cut_short_by_the_caller_is_no_failure_and_the_agent_goes_on() -> None:
    first = Model([[Text("One "), Text("two")]])

    @in_call(first, Model())
    async def _(call: Call) -> None:
        async with aclosing(call.agent.reply(Opening())) as events:
            await anext(events)
        call.agent.committed("One", False)
        await call.says(heard("hi"))
        assert (1, []) == (len(first.sessions), call.records)


def test_when_nobody_can_answer_the_call_is_told() -> None:
    @in_call(Model([[PeerError("no")]]), Model([[PeerError("neither")]]))
    async def _(call: Call) -> None:
        with pytest.raises(PeerError, match="neither"):
            await call.says(Opening())


def test_an_empty_reply_of_a_lone_agent_is_asked_for_once_more() -> None:
    only = Model([[PeerError("said nothing", retryable=True)]])

    @in_call(only)
    async def _(call: Call) -> None:
        assert "ok" == await call.says(Opening())


def test_an_agent_is_prepared_only_if_it_has_followed_the_call() -> None:
    first = Model([[PeerError("no")]])

    @in_call(first, Model())
    async def _(call: Call) -> None:
        await call.agent.prepare(heard("one"))
        await call.says(heard("one"))
        await call.agent.prepare(heard("two"))
        assert [[heard("one")]] == [session.prepared for session in first.sessions]


# --- the scripted agent takes over from a model


def test_what_the_caller_told_the_model_need_not_be_told_again() -> None:
    model = Model([[Text("Hello!")], [Text("Sure, a latte. How big?")], [PeerError("500")]])

    @in_call(model, scripted())
    async def _(call: Call) -> None:
        await call.says(Opening())
        await call.says(heard("a latte please"))
        text, tool = await call.does(heard("large"))
        assert tool is not None
        assert ("order", {"size": "large", "drink": "latte"}) == (tool.name, dict(tool.args))
        assert "Which drink?" not in text


def test_what_the_model_has_done_is_not_done_again() -> None:
    order = ToolCall("7", "order", {"size": "large", "drink": "latte"})
    model = Model([[Text("Hello!")], [order], [PeerError("500")]])

    @in_call(model, scripted())
    async def _(call: Call) -> None:
        await call.says(Opening())
        await call.does(heard("a large latte please"))
        text, tool = await call.does(ToolDone("7", True, {}))
        assert ("Your large latte is on its way.", "hang_up") == (text.strip(), tool and tool.name)


def test_where_its_own_way_would_have_ended_it_begins_again_and_orders_nothing() -> None:
    model = Model([[Text("Hello!")], [Text("We have no more of that.")], [PeerError("500")]])

    @in_call(model, scripted())
    async def _(call: Call) -> None:
        await call.says(Opening())
        await call.says(heard("a large latte please"))
        text, tool = await call.does(heard("a mocha then"))
        assert ("Small or large?", None) == (text.strip(), tool)


def test_a_sentence_that_the_model_broke_off_is_let_go_before_the_script_speaks() -> None:
    model = Model([[Text("Hello!")], [Text("Well, our latte"), PeerError("dropped")]])

    @in_call(model, scripted())
    async def _(call: Call) -> None:
        await call.says(Opening())
        assert "Well, our latte… Small or large?" == await call.says(heard("a latte"))
