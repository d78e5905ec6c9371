"""The call so far, told to a model that has not followed it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

import orjson

from voicebot.core.conversation import Conversation
from voicebot.core.dialogue import (
    CallerTurn,
    Heard,
    Opening,
    Past,
    Pressed,
    Returned,
    Silent,
    ToolDone,
    Unasked,
    Unreached,
)

UNCLEAR = 0.4
"""Confidence below which the model is told that the words are doubtful."""
MOST_RESULT = 8000
"""Characters of a tool's result that go into the history."""
NOT_TRANSFERRED = '{"error": "Nobody took the call. The caller is still with you."}'


def conversation_of(past: Iterable[Past]) -> Conversation:
    """The history as if the model had led the call."""
    told = Conversation()
    for each in past:
        if isinstance(each.turn, ToolDone):
            told.result(each.turn.call_id, result(each.turn))
        else:
            answer_transfer(told, each.turn)
            told.heard(in_words(each.turn))
        if each.said:
            told.said(each.said)
        if each.call:
            told.called([each.call])
    return told


def answer_transfer(told: Conversation, turn: CallerTurn) -> None:
    """Before `turn` is told: the result of a transfer that failed. One that works has none, for nobody reads it."""
    if isinstance(turn, Unreached):
        for call in told.waiting():
            told.result(call.call_id, NOT_TRANSFERRED)


def in_words(turn: CallerTurn) -> str:
    """The caller's turn as a message; empty for one without words. Brackets are ours (see `core.prompting`)."""
    match turn:
        case Opening() | Silent() | Returned() | Unasked() | ToolDone():
            return ""
        case Unreached(to):
            return f"[Nobody took the call for {to!r}. The caller is with you again: tell them, and go on.]"
        case Pressed(digits):
            return f"[The caller pressed {' '.join(digits)} on the keypad.]"
        case Heard(words, tone=tone):
            text = words.text.replace("[", "(").replace("]", ")").strip()
            if not text:
                return "[The caller said something that could not be understood.]"
            notes = ["This was hard to hear."] * (words.confidence < UNCLEAR)
            notes += [f"The caller sounds {tone}."] * bool(tone)
            return "\n".join([text, *(f"[{note}]" for note in notes)])
        case _:
            assert_never(turn)


def result(done: ToolDone) -> str:
    """A tool's result as a message."""
    told = dict(done.result) if done.ok else {"error": "it did not work", **done.result}
    return orjson.dumps(told, default=str).decode()[:MOST_RESULT]
