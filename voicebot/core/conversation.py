"""A conversation as a language model is told it: what the caller said, and of our replies what the caller heard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from voicebot.core.dialogue import ToolCall

MOST_MESSAGES = 120
"""Older ones are forgotten, whole turns at a time."""
CUT = "—"
"""Ends a reply that the caller cut short."""
NO_RESULT = '{"error": "The caller spoke before there was a result; it may or may not have happened."}'


@dataclass(frozen=True, slots=True)
class Message:
    role: Literal["user", "assistant", "tool"]
    text: str
    calls: tuple[ToolCall, ...] = ()
    """Of an assistant."""
    call_id: str = ""
    """Of a tool: whose result this is."""


class Conversation:
    """Grows by `heard`, `said`, `called`, `result`; `committed` cuts back what was said to what was heard."""

    def __init__(self) -> None:
        self._messages: list[Message] = []
        self._turn = 0
        """Index of the first message of the current reply."""

    def copy(self) -> Conversation:
        """Another one that begins with the same messages."""
        other = Conversation()
        other._messages, other._turn = list(self._messages), self._turn
        return other

    def heard(self, text: str = "") -> None:
        """The caller's turn; empty for one without words (the opening, silence). What we say next answers it."""
        for call in self.waiting():
            self.result(call.call_id, NO_RESULT)
        if text:
            self._messages.append(Message("user", text))
        self._forget()
        self._turn = len(self._messages)

    def said(self, text: str) -> None:
        """A piece of our reply was generated."""
        last = self._messages[-1] if len(self._messages) > self._turn else None
        if last is None or last.role != "assistant" or last.calls:
            self._messages.append(Message("assistant", text))
        else:
            self._messages[-1] = replace(last, text=last.text + text)

    def called(self, calls: Sequence[ToolCall]) -> None:
        """Our reply asks for tools, after the text so far."""
        self.said("")
        self._messages[-1] = replace(self._messages[-1], calls=tuple(calls))

    def waiting(self) -> list[ToolCall]:
        """Calls without a result, in order."""
        answered = {message.call_id for message in self._messages if message.role == "tool"}
        return [c for message in self._messages for c in message.calls if c.call_id not in answered]

    def result(self, call_id: str, content: str) -> None:
        """The result of a call, which goes right behind the message that asked for it. An unknown one is ignored."""
        for at, message in enumerate(self._messages):
            if any(call.call_id == call_id for call in message.calls):
                while at + 1 < len(self._messages) and self._messages[at + 1].role == "tool":
                    at += 1
                self._messages.insert(at + 1, Message("tool", content, call_id=call_id))
                return

    def committed(self, text: str, complete: bool) -> None:
        """Of the last reply, across its tool calls, the caller heard `text`; the rest was never said."""
        if complete:
            return
        left = sum(not c.isspace() for c in text)
        kept: list[Message] = []
        for message in self._messages[self._turn :]:
            if message.role == "assistant":
                heard, left = first_characters(message.text, left)
                cut = heard.rstrip() != message.text.rstrip()
                message = replace(message, text=heard.rstrip() + CUT if heard.strip() and cut else heard)
                if not message.text.strip() and not message.calls:
                    continue
            kept.append(message)
        self._messages[self._turn :] = kept

    def messages(self) -> tuple[Message, ...]:
        """For a request: consecutive messages of the caller are one, nothing is empty, every call has a result."""
        shown: list[Message] = []
        for message in self._messages:
            if message.role == "assistant" and not message.calls and not message.text.strip():
                continue
            if shown and message.role == "user" == shown[-1].role:
                shown[-1] = replace(shown[-1], text=f"{shown[-1].text}\n{message.text}")
            else:
                shown.append(message)
        return tuple(shown)

    def _forget(self) -> None:
        """Keep the newest `MOST_MESSAGES`, from a turn of the caller on: a result must not lose its call."""
        if len(self._messages) <= MOST_MESSAGES:
            return
        start = len(self._messages) - MOST_MESSAGES
        while start < len(self._messages) and self._messages[start].role != "user":
            start += 1
        del self._messages[:start]


def first_characters(text: str, characters: int) -> tuple[str, int]:
    """(the part of `text` with the first so many characters that are not space, how many are left over).

    Space does not count: on the way through clauses and words it may have changed."""
    for at, c in enumerate(text):
        if not c.isspace():
            if characters == 0:
                return text[:at], 0
            characters -= 1
    return text, characters
