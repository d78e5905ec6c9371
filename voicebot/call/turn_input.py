"""What the caller did, as the agent gets it and as the timeline keeps it."""

from __future__ import annotations

from typing import assert_never

from voicebot.core.dialogue import CallerTurn, Heard, Opening, Pressed, Silent, ToolDone
from voicebot.core.events import Input, StartReply
from voicebot.core.timeline import Record
from voicebot.core.words import Words

MASK = "•••"


def caller_turn(start: StartReply, words: Words, onset_ms: int, end_ms: int) -> CallerTurn:
    """`words` are those heard last; where the machine put several utterances together, their text alone counts."""
    match start.input:
        case Input.OPENING:
            return Opening()
        case Input.SPOKEN:
            return Heard(words if words.text == start.text else Words(start.text, final=True), onset_ms, end_ms)
        case Input.KEYED:
            return Pressed(start.text.rstrip("#") or "#")
        case Input.SILENCE:
            return Silent(start.count)
        case _:
            assert_never(start.input)


def record_of(turn: CallerTurn, start: StartReply, secret: bool, now_ms: int) -> Record | None:
    """The line of the timeline for this turn; what is secret is masked. None for the opening."""
    match turn:
        case Heard(words, onset_ms, end_ms):
            text, confidence = (MASK if secret else words.text), round(words.confidence, 3)
            fields = {"text": text, "confidence": confidence, "start_ms": onset_ms, "end_ms": end_ms}
            return Record(now_ms, "turn", {"turn": start.turn, **fields})
        case Pressed(digits):
            keys = MASK if secret else digits
            fields = {"text": "", "digits": keys, "confidence": 1.0, "start_ms": now_ms, "end_ms": now_ms}
            return Record(now_ms, "turn", {"turn": start.turn, **fields})
        case Silent(count):
            return Record(now_ms, "silence", {"count": count})
        case Opening() | ToolDone():
            return None
        case _:
            assert_never(turn)
