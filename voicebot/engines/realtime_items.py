"""Conversations, tools and outcomes as the Realtime protocol writes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from voicebot.core.conversation import Message
from voicebot.core.dialogue import ToolCall
from voicebot.core.duplex import How, ReplyEnded
from voicebot.core.tool_specs import ToolSpec


def items_of(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Conversation items; an assistant's calls come after its text."""
    items: list[dict[str, Any]] = []
    for message in messages:
        if message.role == "tool":
            items.append({"type": "function_call_output", "call_id": message.call_id, "output": message.text})
            continue
        if message.text.strip():
            kind = "output_text" if message.role == "assistant" else "input_text"
            content = [{"type": kind, "text": message.text}]
            items.append({"type": "message", "role": message.role, "content": content})
        items += [_call(call.call_id, call.name, call.args) for call in message.calls]
    return items


def _call(call_id: str, name: str, args: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "function_call", "call_id": call_id, "name": name, "arguments": orjson.dumps(dict(args)).decode()}


def tool_list(tools: Sequence[ToolSpec]) -> list[dict[str, Any]]:
    """As a session takes them."""
    return [
        {"type": "function", "name": t.name, "description": t.description, "parameters": dict(t.parameters)}
        for t in tools
    ]


def call_of(item: Any) -> ToolCall:
    """A finished function call; arguments that are no JSON object are none."""
    try:
        args = orjson.loads(item.arguments or "{}")
    except orjson.JSONDecodeError:
        args = {}
    return ToolCall(item.call_id, item.name, args if isinstance(args, dict) else {})


def ended(done: Any, spoke: bool) -> ReplyEnded:
    """How a response ended; one that broke off after it had spoken is done."""
    details = done.status_details
    why = str(getattr(details, "reason", None) or getattr(getattr(details, "error", None), "code", None) or "")
    match done.status:
        case "cancelled":
            return ReplyEnded(done.id, How.INTERRUPTED)
        case "failed":
            return ReplyEnded(done.id, How.FAILED, f"The server failed ({why or 'no reason given'}).")
        case "incomplete" if not spoke:
            return ReplyEnded(done.id, How.FAILED, f"The server broke off ({why or 'no reason given'}).")
        case _:
            return ReplyEnded(done.id, How.DONE)
