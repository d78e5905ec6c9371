"""The engine and the real client against a local server that streams as OpenAI's does."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.peers.openai_chat import Answer, ChatServer, Drop, Raw, Stall, calls, refuses, says
from voicebot.core.dialogue import CallerTurn, Heard, Opening, Past, Pressed, Silent, Text, ToolCall, ToolDone
from voicebot.core.dialplan import Dialplan, parse
from voicebot.core.expect import Mode
from voicebot.core.words import Words
from voicebot.engines import llm_openai
from voicebot.engines.base import AgentContext, EngineConfig
from voicebot.engines.llm_openai import OpenAiSession
from voicebot.errors import PeerError, UsageError

PLAN = """
name: desk
description: The front desk of Hill Clinic.
timezone: Europe/London
persona: {name: Ada, style: Calm.}
lexicon: {Siobhan: {said: shi vawn}}
tools:
  message:
    kind: note
    description: A message for the staff.
    args: {text: {required: true}, urgent: {type: boolean}}
  find:
    kind: http
    url: http://127.0.0.1:1/find
    args: {name: {required: true}}
transfers:
  nurse: {to: "+15550100"}
limits: {reprompts: 2}
sentences: {still_there: ["Hello?", "Still there?"], goodbye: "Bye."}
start: hello
nodes:
  hello:
    say: Hill Clinic, this is {persona}. How can I help?
    intents:
      leave_message: {title: to leave a message, examples: [leave a message], do: [{hang_up: Noted.}]}
"""


@pytest.fixture(scope="module")
def plan() -> Dialplan:
    return parse(PLAN, "desk.yaml")


Dial = Callable[..., Any]


@pytest.fixture
def dial(plan: Dialplan) -> Dial:
    """`async with dial(answers, **options) as (session, server)`"""

    @asynccontextmanager
    async def opened(answers: Sequence[Answer], **options: Any) -> AsyncIterator[tuple[OpenAiSession, ChatServer]]:
        async with ChatServer(answers) as server:
            defaults = {"api_key": "sk-test", "base_url": server.url, "model": "gpt-test"}
            engine = llm_openai.create(EngineConfig(options=defaults | options))
            await engine.start()
            yield engine.open(AgentContext(plan, "+15550123", "+15550000", "2026-11-23T09:30:00+00:00")), server
            await engine.close()

    return opened


def heard(text: str, confidence: float = 1.0) -> Heard:
    return Heard(Words(text, final=True, confidence=confidence))


async def answer(session: OpenAiSession, turn: CallerTurn) -> tuple[str, list[ToolCall]]:
    """As the cascade reads a reply: up to its first tool call."""
    text = ""
    async with aclosing(session.reply(turn)) as events:
        async for event in events:
            if isinstance(event, ToolCall):
                return text, [event]
            text += event.text
    return text, []


def sent(server: ChatServer, at: int = -1) -> list[tuple[str, str]]:
    """(role, content) of a request, instructions left out."""
    return [(m["role"], m.get("content") or "") for m in server.requests[at]["messages"][1:]]


# --- text -------------------------------------------------------------------------------------------------------


async def test_the_greeting_is_the_dialplans_own_and_costs_no_request(dial: Dial) -> None:
    async with dial([]) as (session, server):
        greeting = [event async for event in session.reply(Opening())]
    assert [Text("Hill Clinic, this is Ada. How can I help? ")] == greeting
    assert [] == server.requests


LOOKS = """
name: looks
tools: {find: {kind: http, url: "http://127.0.0.1:1/find"}}
start: hello
nodes: {hello: {do: [{tool: find}, {hang_up: Bye.}]}}
"""


async def test_where_the_flow_begins_with_a_tool_the_model_greets() -> None:
    """Nothing can be said word for word before the tool has answered. The server here needs no key."""
    async with ChatServer([says("Good morning.")]) as server:
        engine = llm_openai.create(EngineConfig(options={"api_key": "", "base_url": server.url}))
        session = engine.open(AgentContext(parse(LOOKS, "looks.yaml"), "", "", "2026-11-23T09:30:00+00:00"))
        assert ("Good morning.", []) == await answer(session, Opening())
        await engine.close()


HELLO = 'name: h\nstart: a\nnodes: {a: {say: "{greeting}[, {header_x_name}].", dtmf: {1: a}}}'


async def test_the_headers_of_the_call_are_in_the_greeting_and_told_to_the_model() -> None:
    async with ChatServer([says("Hm.")]) as server:
        engine = llm_openai.create(EngineConfig(options={"api_key": "", "base_url": server.url}))
        plan = parse(HELLO, "hello.yaml")
        session = engine.open(AgentContext(plan, "", "", "2026-11-23T09:30:00+00:00", {"x-name": "Ann"}))
        assert ("Good morning, Ann. ", []) == await answer(session, Opening())
        await answer(session, heard("hi"))
        await engine.close()
    assert 'header_x_name = "Ann"' in server.requests[0]["messages"][0]["content"]


async def test_text_streams_as_it_comes(dial: Dial) -> None:
    async with dial([says("We open ", "at nine.")]) as (session, server):
        events = [event async for event in session.reply(heard("when do you open"))]
    assert [Text("We open "), Text("at "), Text("nine.")] == events
    assert ["Bearer sk-test"] == server.authorizations


async def test_the_first_piece_is_there_before_the_last_is_sent(dial: Dial) -> None:
    async with dial([says("One moment.", Stall(30))]) as (session, _), aclosing(session.reply(heard("hi"))) as events:
        assert Text("One ") == await anext(events)


async def test_what_cannot_be_said_is_put_into_words_and_remembered_so(dial: Dial) -> None:
    async with dial([says("That's **$12", ".50**, see ", "hill.com"), says("Yes.")]) as (session, server):
        text, _ = await answer(session, heard("how much"))
        session.committed("That's twelve dollars fifty, see", complete=False)
        await answer(session, heard("sorry"))
    assert "That's twelve dollars fifty, see hill dot com" == text
    assert ("assistant", "That's twelve dollars fifty, see—") == sent(server)[1]


async def test_the_request_names_model_tools_and_instructions(dial: Dial) -> None:
    async with dial([says("Yes.")], temperature=0.3, max_tokens=200, extra_body={"seed": 7}) as (session, server):
        await answer(session, heard("hi"))
    request = server.requests[0]
    assert ("gpt-test", True, 0.3, 200, 7) == tuple(
        request[key] for key in ("model", "stream", "temperature", "max_completion_tokens", "seed")
    )
    tools = {tool["function"]["name"]: tool["function"]["parameters"] for tool in request["tools"]}
    assert ["message", "find", "transfer", "hang_up"] == list(tools)
    assert ["nurse"] == tools["transfer"]["properties"]["to"]["enum"]
    assert "Siobhan" in request["messages"][0]["content"]
    assert "Monday, 23 November 2026, 09:30" in request["messages"][0]["content"]
    assert "+15550100" not in json.dumps(request)


async def test_keys_unclear_words_and_brackets_are_told_apart_from_speech(dial: Dial) -> None:
    async with dial([says("Yes.")] * 4) as (session, server):
        for turn in (Pressed("12"), heard("a [b]"), heard("mumble", 0.2), heard("")):
            await answer(session, turn)
    told = [content for role, content in sent(server) if role == "user"]
    assert "[The caller pressed 1 2 on the keypad.]" == told[0]
    assert ["a (b)", "mumble\n[This was hard to hear.]"] == told[1:3]
    assert told[3].startswith("[The caller said something")


async def test_silence_is_asked_about_and_then_ends_the_call_without_a_request(dial: Dial) -> None:
    async with dial([]) as (session, server):
        replies = [await answer(session, Silent(count)) for count in (1, 2, 3)]
    assert [("Hello?", []), ("Still there?", [])] == replies[:2]
    assert ("Bye.", "hang_up") == (replies[2][0], replies[2][1][0].name)
    assert [] == server.requests


# --- what was heard ------------------------------------------------------------------------------------------------


async def test_an_interrupted_reply_is_remembered_as_far_as_it_was_heard(dial: Dial) -> None:
    async with dial([says("We open at nine on weekdays."), says("Yes.")]) as (session, server):
        await answer(session, heard("hours"))
        session.committed("We open at nine", complete=False)
        await answer(session, heard("and on sunday"))
    assert [("user", "hours"), ("assistant", "We open at nine—"), ("user", "and on sunday")] == sent(server)


async def test_a_reply_of_which_nothing_was_heard_never_happened(dial: Dial) -> None:
    async with dial([says("We open at nine."), says("Yes.")]) as (session, server):
        await answer(session, heard("hours"))
        session.committed("", complete=False)
        await answer(session, heard("hello"))
    assert [("user", "hours\nhello")] == sent(server)


async def test_a_complete_reply_is_remembered_as_generated(dial: Dial) -> None:
    async with dial([says("We  open\nat nine."), says("Yes.")]) as (session, server):
        await answer(session, heard("hours"))
        session.committed("We open at nine.", complete=True)
        await answer(session, heard("thanks"))
    assert ("assistant", "We  open\nat nine.") == sent(server)[1]


# --- tools -----------------------------------------------------------------------------------------------------------


async def test_a_tool_call_is_put_together_and_its_result_continues_the_reply(dial: Dial) -> None:
    script = [calls(("find", '{"name": "Siobhan"}'), text="Let me look. "), says("She is in room four.")]
    async with dial(script) as (session, server):
        text, (call,) = await answer(session, heard("where is siobhan"))
        more = await answer(session, ToolDone(call.call_id, True, {"room": 4}))
    assert ("Let me look. ", "find", {"name": "Siobhan"}) == (text, call.name, call.args)
    assert ("She is in room four.", []) == more
    assert ("tool", '{"room":4}') == sent(server)[-1]


async def test_parallel_calls_come_one_at_a_time_and_the_one_that_ends_the_call_comes_last(dial: Dial) -> None:
    script = [calls(("hang_up", ""), ("message", '{"text": "hi"}'), ("find", '{"name": "x"}')), says("Done.")]
    async with dial(script) as (session, server):
        names = []
        _, (call,) = await answer(session, heard("bye"))
        for _ in range(2):
            names.append(call.name)
            _, (call,) = await answer(session, ToolDone(call.call_id, True, {}))
        assert ["message", "find", "hang_up"] == [*names, call.name]
        assert 1 == len(server.requests)


async def test_a_call_interrupted_before_its_result_is_told_as_such(dial: Dial) -> None:
    async with dial([calls(("find", '{"name": "x"}')), says("Yes?")]) as (session, server):
        await answer(session, heard("find x"))
        session.committed("", complete=False)
        assert ("Yes?", []) == await answer(session, heard("no wait"))
    assert ["user", "assistant", "tool", "user"] == [role for role, _ in sent(server)]


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("find", '{"name": "x"', "not valid JSON"),
        ("find", "{}", "Arguments are missing: name"),
        ("transfer", '{"to": "+15559999"}', "must be one of: nurse"),
        ("delete_all", "{}", "There is no tool"),
        ("message", '{"text": "x", "urgent": "very"}', "must be of type boolean"),
        ("find", '["x"]', "must be a JSON object"),
    ],
)
async def test_a_wrong_call_is_sent_back_once_and_never_runs(dial: Dial, name: str, arguments: str, told: str) -> None:
    async with dial([calls((name, arguments), text="Well."), says("I see.")]) as (session, server):
        assert ("Well. I see.", []) == await answer(session, heard("go"))
    assert told in sent(server)[-1][1]


async def test_a_second_wrong_call_is_a_peer_error(dial: Dial) -> None:
    async with dial([calls(("find", "{")), calls(("find", "{"))]) as (session, server):
        with pytest.raises(PeerError, match="wrongly twice"):
            await answer(session, heard("go"))
    assert 2 == len(server.requests)


async def test_calls_without_ids_or_indexes_are_understood(dial: Dial) -> None:
    """Seen with servers that speak the protocol loosely: whole calls, the same id every time, no index."""
    whole = {"id": "0", "type": "function", "function": {"name": "find", "arguments": '{"name": "x"}'}}
    loose = Answer(({"tool_calls": [whole]},), "stop")
    async with dial([loose, loose, says("Done.")]) as (session, _):
        _, (first,) = await answer(session, heard("go"))
        _, (second,) = await answer(session, ToolDone(first.call_id, True, {}))
        assert ("Done.", []) == await answer(session, ToolDone(second.call_id, False, {}))
    assert first.call_id != second.call_id


# --- faults ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [refuses(429, retry_after="0.05"), refuses(500), refuses(503)])
async def test_what_may_pass_is_tried_again_once(dial: Dial, fault: Answer) -> None:
    async with dial([fault, says("Here.")]) as (session, server):
        assert ("Here.", []) == await answer(session, heard("hi"))
    assert 2 == len(server.requests)


@pytest.mark.parametrize(
    ("fault", "requests", "retryable"),
    [
        (refuses(429, retry_after="20"), 1, True),
        (refuses(429, "insufficient_quota"), 1, False),
        (refuses(401), 1, False),
        (refuses(400), 1, False),
        (refuses(500), 2, True),
    ],
)
async def test_what_will_not_pass_soon_is_a_peer_error(
    dial: Dial, fault: Answer, requests: int, retryable: bool
) -> None:
    async with dial([fault] * 3) as (session, server):
        with pytest.raises(PeerError) as raised:
            await answer(session, heard("hi"))
    assert (requests, retryable) == (len(server.requests), raised.value.retryable)


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (Answer(("late",), before=30), "did not answer in time"),
        (says(Stall(30), "late"), "fell silent"),
        (says({"role": "assistant"}, *[x for _ in range(40) for x in (Stall(0.05), {"content": ""})]), "fell silent"),
        (says("One, ", Stall(30), "two."), "fell silent"),
        (says("One, ", Drop()), "broke off|cannot be reached"),
        (says("One, ", Raw(b"data: {broken\n\n")), "broke off"),
        (says("One, ", Raw(b'data: {"error": {"message": "overloaded", "code": 503}}\n\n')), "broke off"),
        (says(), "said nothing"),
        (Answer((), "content_filter"), "said nothing"),
        (Answer(("a" * 5000,) * 10), "does not stop"),
    ],
)
async def test_a_server_that_stalls_breaks_off_or_says_nothing_is_a_peer_error(
    dial: Dial, script: Answer, message: str
) -> None:
    async with dial([script], first_chunk_s=0.4, gap_s=0.4) as (session, _):
        with pytest.raises(PeerError, match=message):
            await answer(session, heard("hi"))


async def test_a_server_that_is_not_there_is_a_retryable_peer_error(dial: Dial) -> None:
    async with ChatServer([]) as server:
        url = server.url
    async with dial([], base_url=url) as (session, _):
        with pytest.raises(PeerError, match="cannot be reached") as raised:
            await answer(session, heard("hi"))
    assert raised.value.retryable


async def test_the_call_goes_on_after_a_failed_reply(dial: Dial) -> None:
    async with dial([says("One, ", Drop()), says("Two.")]) as (session, server):
        with pytest.raises(PeerError):
            await answer(session, heard("count"))
        session.committed("", complete=False)
        assert ("Two.", []) == await answer(session, heard("go on"))
    assert [("user", "count\ngo on")] == sent(server)


async def test_closing_the_reply_closes_the_connection(dial: Dial) -> None:
    async with dial([says("One, ", Stall(30), "two.")]) as (session, server):
        async with aclosing(session.reply(heard("count"))) as events:
            await anext(events)
        async with asyncio.timeout(5):
            await server.hung_up.wait()


async def test_cancelling_before_the_first_chunk_closes_the_connection(dial: Dial) -> None:
    async with dial([says(Stall(30))]) as (session, server):
        waiting = asyncio.ensure_future(answer(session, heard("count")))
        await server.asked.wait()
        waiting.cancel()
        async with asyncio.timeout(5):
            await server.hung_up.wait()


# --- settings --------------------------------------------------------------------------------------------------------

VARIABLES = ("OPENAI_API_KEY", "VOICEBOT_OPENAI_API_KEY", "OPENAI_BASE_URL", "VOICEBOT_OPENAI_BASE_URL")


def test_check_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    assert "OPENAI_API_KEY" in str(llm_openai.check())
    with pytest.raises(UsageError, match="Set OPENAI_API_KEY"):
        llm_openai.create(EngineConfig())


@pytest.mark.parametrize("name", VARIABLES)
def test_any_of_the_variables_will_do(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for other in VARIABLES:
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, "http://127.0.0.1:1/v1")
    assert llm_openai.check() is None
    llm_openai.create(EngineConfig())


def test_an_unknown_option_says_which_there_are() -> None:
    with pytest.raises(UsageError, match="temperature"):
        llm_openai.create(EngineConfig(options={"api_key": "x", "temprature": 1}))


async def test_what_the_caller_may_say_is_open_and_holds_every_phrase_of_the_flow(dial: Dial) -> None:
    async with dial([]) as (session, _):
        expectation = session.expectation
    assert (Mode.OPEN, "desk/open") == (expectation.mode, expectation.name)
    assert "leave a message" in expectation.phrases
    assert "Siobhan" in expectation.hints


async def test_the_key_is_in_no_error_and_no_log(dial: Dial, capsys: pytest.CaptureFixture[str]) -> None:
    async with dial([refuses(401)], api_key="sk-very-secret") as (session, _):
        with pytest.raises(PeerError) as raised:
            await answer(session, heard("my name is Ann"))
    out = "".join(capsys.readouterr()) + str(raised.value)
    assert "secret" not in out
    assert "Ann" not in out


def test_the_shipped_dialplans_make_instructions() -> None:
    from voicebot.core.prompting import system_prompt

    for file in Path("dialplans").glob("*.yaml"):
        shipped = parse(file.read_text("utf-8"), str(file))
        text = system_prompt(shipped, "2026-11-23T09:30:00+00:00")
        assert all(f"## {name}\n" in text for name in shipped.nodes)


# --- work that starts early --------------------------------------------------------------------------------------


async def test_a_prepared_reply_is_used_and_asked_for_once(dial: Dial) -> None:
    async with dial([says("Of ", "course.")]) as (session, server):
        await session.prepare(heard("a table please"))
        assert ("Of course.", []) == await answer(session, heard("a table please"))
    assert 1 == len(server.requests)


async def test_a_reply_that_is_still_being_prepared_streams_on(dial: Dial) -> None:
    async with dial([says("Of ", Stall(0.2), "course.")]) as (session, server):
        preparing = asyncio.ensure_future(session.prepare(heard("a table please")))
        await server.asked.wait()
        assert ("Of course.", []) == await answer(session, heard("a table please"))
        await preparing
    assert 1 == len(server.requests)


async def test_when_the_caller_went_on_the_draft_is_dropped_and_leaves_no_trace(dial: Dial) -> None:
    async with dial([says("Never ", Stall(5), "heard."), says("For two.")]) as (session, server):
        preparing = asyncio.ensure_future(session.prepare(heard("a table")))
        await server.asked.wait()
        preparing.cancel()
        assert ("For two.", []) == await answer(session, heard("a table for two"))
    assert [("user", "a table for two")] == sent(server)


async def test_a_draft_that_failed_is_asked_for_again(dial: Dial) -> None:
    async with dial([refuses(401), says("Of course.")]) as (session, _):
        await session.prepare(heard("a table"))
        assert ("Of course.", []) == await answer(session, heard("a table"))


# --- in a chain


async def test_a_model_that_takes_over_is_told_what_was_said_and_done(dial: Dial) -> None:
    noted = ToolCall("7", "message", {"text": "call me"})
    past = [
        Past(Opening(), "Hill Clinic, this is Ada."),
        Past(heard("tell them to call me"), "I'll note that.", noted),
        Past(ToolDone("7", True, {"noted": True}), "It is noted."),
    ]
    async with dial([says("At nine.")]) as (session, server):
        session.take_over(past, "")
        assert ("At nine.", []) == await answer(session, heard("when do you open"))
    roles = ["assistant", "user", "assistant", "tool", "assistant", "user"]
    assert roles == [role for role, _ in sent(server)]
    assert ("tool", '{"noted":true}') == sent(server)[3]


async def test_a_model_goes_on_where_another_broke_off_and_the_history_has_one_answer(dial: Dial) -> None:
    async with dial([says(" at nine."), says("Yes.")]) as (session, server):
        session.take_over([], "We open")
        assert (" at nine.", []) == await answer(session, heard("when do you open"))
        session.committed("We open at nine.", complete=True)
        assert [("user", "when do you open"), ("assistant", "We open")] == sent(server)[:2]
        assert "Go on" in sent(server)[2][1]
        await answer(session, heard("really"))
    assert [("assistant", "We open at nine."), ("user", "really")] == sent(server)[1:]


async def test_an_endless_answer_ends_with_a_sentence(dial: Dial) -> None:
    async with dial([says(*["This is one sentence of many. "] * 300)]) as (session, server):
        text, _ = await answer(session, heard("tell me everything"))
        await server.hung_up.wait()
    assert 1200 < len(text) < 1400
    assert text.endswith(". ")
