"""The scripted agent behind the engine contract."""

from __future__ import annotations

from pathlib import Path

from voicebot.core.dialogue import CallerTurn, Heard, LlmEvent, Opening, Text, ToolCall, ToolDone
from voicebot.core.dialplan import expectations, parse
from voicebot.core.words import Words
from voicebot.engines import registry
from voicebot.engines.base import AgentContext, EngineConfig, Llm, LlmSession

FILE = Path(__file__).parents[2] / "dialplans" / "coffee.yaml"
PLAN = parse(FILE.read_text(), str(FILE))


def _agent() -> Llm:
    module = registry.load("llm", "scripted")
    assert module.check() is None
    agent: Llm = module.create(EngineConfig())
    return agent


def _open(agent: Llm) -> LlmSession:
    return agent.open(AgentContext(PLAN, "+12025550199", "coffee", "2026-11-23T10:00:00-05:00"))


async def _reply(session: LlmSession, turn: CallerTurn) -> list[LlmEvent]:
    return [event async for event in session.reply(turn)]


async def test_an_order_goes_from_greeting_to_hang_up() -> None:
    agent = _agent()
    await agent.start()
    session = _open(agent)
    greeting = await _reply(session, Opening())
    assert "Bean Street, hello! What can I get you?" == "".join(e.text for e in greeting if isinstance(e, Text))
    assert "coffee/order" == session.expectation.name
    await _reply(session, Heard(Words("a small mocha", True)))
    assert "coffee/order/readback" == session.expectation.name
    session.committed("So that's a small", False)
    (call,) = await _reply(session, Heard(Words("yes", True)))
    assert isinstance(call, ToolCall)
    assert ("order", {"size": "small", "drink": "mocha"}) == (call.name, call.args)
    last = await _reply(session, ToolDone(call.call_id, True, {}))
    assert isinstance(last[-1], ToolCall)
    assert "hang_up" == last[-1].name
    await agent.close()


def test_every_expectation_of_the_flow_is_prepared() -> None:
    assert expectations(PLAN) == _agent().prepare(PLAN)


async def test_calls_share_nothing_but_the_compiled_dialplan() -> None:
    agent = _agent()
    one, other = _open(agent), _open(agent)
    for session in (one, other):
        await _reply(session, Opening())
    await _reply(one, Heard(Words("a small mocha", True)))
    assert "coffee/order/readback" == one.expectation.name
    assert "coffee/order" == other.expectation.name


async def test_a_reply_that_is_cut_short_has_still_been_decided() -> None:
    session = _open(_agent())
    replies = session.reply(Opening())
    await anext(aiter(replies))
    assert "coffee/order" == session.expectation.name
