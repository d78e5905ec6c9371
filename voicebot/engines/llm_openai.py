"""A streaming language model through the Chat Completions protocol: OpenAI's own or any server that speaks it.

The dialplan becomes instructions and tools (`core.prompting`, `core.tool_specs`); of our replies the history holds
what the caller heard (`core.conversation`), in the words in which it was said (`core.spoken`). The greeting and the
reprompts after silence are the dialplan's own sentences and cost no request.

Options (`engines.options.openai` of a dialplan; the service fills in the first three from its settings):

    api_key, base_url, model
    temperature, max_tokens     left out, the server's defaults
    extra_body                  a table merged into every request, for what only one server knows
    first_chunk_s, gap_s        deadlines: first useful chunk (2.5), each one after it (3)
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from math import inf
from typing import Any, assert_never

import orjson

from voicebot import log
from voicebot.core.conversation import Conversation, Message
from voicebot.core.dialogue import (
    CallerTurn,
    Heard,
    LlmEvent,
    Opening,
    Past,
    Pressed,
    Returned,
    Silent,
    Text,
    ToolCall,
    ToolDone,
    Unasked,
    Unreached,
)
from voicebot.core.dialplan import Dialplan
from voicebot.core.expect import Expectation
from voicebot.core.prompting import open_expectation, opening, system_prompt
from voicebot.core.retelling import answer_transfer, conversation_of, in_words, result
from voicebot.core.spoken import Speakable
from voicebot.core.tool_specs import fault_in_call, tool_specs
from voicebot.engines.base import AgentContext, EngineConfig
from voicebot.engines.guard import Patience
from voicebot.engines.openai_client import access, known, lack
from voicebot.engines.openai_draft import Draft
from voicebot.engines.openai_stream import ChatStream, Deadlines, Delta, Finished, RawCall
from voicebot.errors import PeerError

DEFAULT_MODEL = "gpt-4.1-mini"
ENDINGS = ("transfer", "hang_up")
MOST_SAID = 1200
"""Characters of one answer, a minute and a half of speech: nobody listens longer, and the sentence is its last."""
SENTENCE_END = re.compile(r"[.!?…][\"')]*\s*$")
GO_ON = "[Your answer broke off here. Go on with the very next word, and repeat nothing.]"
MOST_DIALPLANS = 100
"""Remembered; a service that reloads for months must not grow."""
_OPTIONS = frozenset(
    ("api_key", "base_url", "model", "temperature", "max_tokens", "extra_body", "first_chunk_s", "gap_s")
)
_log = log.get("llm_openai")


def check() -> str | None:
    """None when it can run here, else what it needs."""
    return lack()


def create(config: EngineConfig) -> OpenAiLlm:
    """`UsageError` for an unknown option, or when neither key nor base URL is set."""
    known(config.options, _OPTIONS, "openai")
    key, base_url = access(config.options, "openai engine")
    return OpenAiLlm(key, base_url, config.options)


class OpenAiLlm:
    """The engine: one HTTP client for all calls."""

    def __init__(self, key: str, base_url: str, options: Mapping[str, Any]) -> None:
        deadlines = Deadlines(float(options.get("first_chunk_s", 2.5)), float(options.get("gap_s", 3.0)))
        # The stream keeps these; a long tool call is no event before it is whole, and one retry may come before all.
        self.patience = Patience(deadlines.first_s + 0.5, deadlines.gap_s + 5.0, inf)
        request: dict[str, Any] = {"model": str(options.get("model") or DEFAULT_MODEL)}
        if "temperature" in options:
            request["temperature"] = options["temperature"]
        if "max_tokens" in options:
            request["max_completion_tokens"] = options["max_tokens"]
        if "extra_body" in options:
            request["extra_body"] = dict(options["extra_body"])
        self._stream = ChatStream(key, base_url, request, deadlines)
        self._expectations: dict[str, Expectation] = {}

    async def start(self) -> None:
        """Make the client ready; no request is sent, so a wrong key shows with the first call."""
        await asyncio.to_thread(self._stream.open)

    async def warm(self) -> None:
        """Have a connection open. `PeerError` when there is none to be had."""
        await self._stream.warm()

    async def close(self) -> None:
        await self._stream.close()

    def prepare(self, dialplan: Dialplan) -> tuple[Expectation, ...]:
        """One expectation for all of the call, worked out when the dialplan loads (0.1 s): no call waits for it."""
        return (self._expectation(dialplan),)

    def _expectation(self, plan: Dialplan) -> Expectation:
        if plan.hash not in self._expectations:
            if len(self._expectations) >= MOST_DIALPLANS:
                self._expectations.clear()
            self._expectations[plan.hash] = open_expectation(plan)
        return self._expectations[plan.hash]

    def open(self, context: AgentContext) -> OpenAiSession:
        return OpenAiSession(self._stream, context, self._expectation(context.dialplan))


class OpenAiSession:
    """The agent of one call."""

    def __init__(self, stream: ChatStream, context: AgentContext, expectation: Expectation) -> None:
        self._stream, self._plan, self._expectation = stream, context.dialplan, expectation
        self._context = context
        self._tools = tool_specs(self._plan)
        self._instructions = system_prompt(self._plan, context.now_iso, context.caller, context.headers)
        self._conversation = Conversation()
        self._calls: deque[ToolCall] = deque()
        """Asked for by the model and not yet given out: the call runs one at a time."""
        self._called_before = 0
        self._corrected = False
        """Whether this turn has already sent a bad tool call back."""
        self._draft: Draft | None = None
        self._begun = ""
        """Of the coming answer, what another agent has said already."""
        self._go_on = False

    @property
    def expectation(self) -> Expectation:
        """Open: a model may ask for anything in any order."""
        return self._expectation

    def committed(self, text: str, complete: bool) -> None:
        """Only what the caller heard stays in the history."""
        self._conversation.committed(text, complete)

    def take_over(self, past: Sequence[Past], begun: str) -> None:
        """The history as if we had led the call."""
        self._conversation = conversation_of(past)
        self._called_before = sum(each.call is not None for each in past)
        self._begun = begun

    async def prepare(self, turn: CallerTurn) -> None:
        """Ask the model already, as if these words were the caller's turn."""
        if isinstance(turn, Heard) and not self._calls:
            then = self._conversation.copy()
            then.heard(in_words(turn))
            self._draft = Draft(self._messages(then))
            await self._draft.run(self._stream, self._tools)

    async def reply(self, turn: CallerTurn) -> AsyncGenerator[LlmEvent, None]:
        """Text as it is generated, then tool calls one at a time, those that end the call last. `PeerError` when
        the server fails, is too slow or says nothing."""
        if isinstance(turn, ToolDone):
            self._conversation.result(turn.call_id, result(turn))
        else:
            self._calls.clear()
            self._corrected = False
            answer_transfer(self._conversation, turn)
            self._conversation.heard(in_words(turn))
        self._go_on, begun, self._begun = bool(self._begun), self._begun, ""
        if begun:
            self._conversation.said(begun)
        match turn:
            case Opening():
                answer = self._greeting()
            case Silent(count):
                answer = self._still_there(count)
            case Returned():
                answer = self._welcome_back()
            case ToolDone() if self._calls:
                answer = self._next_call()
            case Heard() | Pressed() | Unasked() | Unreached() | ToolDone():
                answer = self._generated()
            case _:
                assert_never(turn)
        async with aclosing(answer) as events:
            async for event in events:
                yield event

    async def _greeting(self) -> AsyncGenerator[LlmEvent, None]:
        """Word for word; where the flow begins with something only the model can do, it greets."""
        context = self._context
        events = opening(self._plan, _moment(context.now_iso), context.caller, context.headers)
        for event in events:
            if isinstance(event, Text):
                self._conversation.said(event.text)
            yield event
        if not events:
            self._conversation.heard("[The call was just answered. Greet the caller.]")
            async with aclosing(self._generated()) as generated:
                async for event in generated:
                    yield event

    async def _still_there(self, count: int) -> AsyncGenerator[LlmEvent, None]:
        """Ask again; after the dialplan's number of reprompts say goodbye."""
        sentences = self._plan.sentences
        over = count > max(1, self._plan.limits.reprompts)
        asked = sentences.still_there[(count - 1) % len(sentences.still_there)] if sentences.still_there else ""
        text = sentences.goodbye if over else asked
        self._conversation.said(text)
        yield Text(text)
        if over:
            yield ToolCall("silence", "hang_up", {})

    async def _welcome_back(self) -> AsyncGenerator[LlmEvent, None]:
        self._conversation.said(self._plan.sentences.welcome_back)
        yield Text(self._plan.sentences.welcome_back)

    async def _next_call(self) -> AsyncGenerator[LlmEvent, None]:
        yield self._calls.popleft()

    async def _generated(self) -> AsyncGenerator[LlmEvent, None]:
        apart, length = "", 0
        while True:
            calls: tuple[RawCall, ...] = ()
            async with aclosing(self._asked()) as deltas:
                spoken = Speakable(self._plan.language.startswith("en"))
                async for delta in deltas:
                    match delta:
                        case Delta(text):
                            said = spoken.push(text)
                        case Finished(calls):
                            said = spoken.flush()
                        case _:
                            assert_never(delta)
                    if said:
                        self._conversation.said(said)
                        yield Text(apart + said)
                        apart, length = "", length + len(said)
                        if length > MOST_SAID and SENTENCE_END.search(said):
                            _log.warning("answer_cut", characters=length)
                            return
            if not calls:
                return
            faults = self._called(calls)
            if not any(faults.values()):
                self._calls.extend(self._in_order())
                yield self._calls.popleft()
                return
            self._send_back(faults)
            apart = " "  # from what was said before the wrong call

    def _asked(self) -> AsyncGenerator[Delta | Finished, None]:
        """The model's answer to the conversation as it is: the draft where it was made for just that."""
        messages, draft = self._messages(self._conversation), self._draft
        self._draft = None
        if draft is not None and not draft.failed and draft.messages == messages:
            return draft.deltas()
        return self._stream.reply(messages, self._tools)

    def _called(self, raw: Sequence[RawCall]) -> dict[str, str]:
        """Take the calls into the history. Call id → what is wrong with it, empty for nothing. The ids are ours:
        some servers give none, others the same ones in every reply, one wants nine letters and digits."""
        faults: dict[str, str] = {}
        calls = []
        for call in raw:
            try:
                args = orjson.loads(call.arguments or "{}")
                fault = fault_in_call(self._tools, call.name, args)
            except orjson.JSONDecodeError:
                args, fault = {}, "The arguments were not valid JSON."
            self._called_before += 1
            call_id = f"call{self._called_before:05d}"
            faults[call_id] = fault
            calls.append(ToolCall(call_id, call.name, args if isinstance(args, dict) else {}))
        self._conversation.called(calls)
        return faults

    def _in_order(self) -> list[ToolCall]:
        """Those that end the call last, and only one of them."""
        calls = self._conversation.waiting()
        return [c for c in calls if c.name not in ENDINGS] + [c for c in calls if c.name in ENDINGS][:1]

    def _send_back(self, faults: Mapping[str, str]) -> None:
        """Tell the model once what was wrong; nothing of a reply with a bad call runs."""
        _log.warning("tool_call_refused", faults=[fault for fault in faults.values() if fault])
        for call_id, fault in faults.items():
            error = fault or "Not run, because another call in the same reply was wrong. Call it again."
            self._conversation.result(call_id, orjson.dumps({"error": error}).decode())
        if self._corrected:
            raise PeerError("The model called a tool wrongly twice.")
        self._corrected = True

    def _messages(self, conversation: Conversation) -> list[dict[str, Any]]:
        shown = [_message(message) for message in conversation.messages()]
        if self._go_on and shown[-1]["role"] == "assistant":
            shown.append({"role": "user", "content": GO_ON})
        return [{"role": "system", "content": self._instructions}, *shown]


def _message(message: Message) -> dict[str, Any]:
    """As the protocol writes it."""
    match message.role:
        case "tool":
            return {"role": "tool", "tool_call_id": message.call_id, "content": message.text}
        case "assistant" if message.calls:
            calls = [
                {
                    "id": call.call_id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": orjson.dumps(dict(call.args)).decode()},
                }
                for call in message.calls
            ]
            return {"role": "assistant", "content": message.text or None, "tool_calls": calls}
        case _:
            return {"role": message.role, "content": message.text}


def _moment(now_iso: str) -> datetime:
    try:
        return datetime.fromisoformat(now_iso)
    except ValueError:
        return datetime.now(UTC)
