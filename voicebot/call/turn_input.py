"""What the caller did, as the agent gets it and as the timeline keeps it."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import assert_never

from voicebot.audio.tone import Tone
from voicebot.core import events as ev
from voicebot.core import turn_log
from voicebot.core.dialogue import CallerTurn, Heard, Opening, Pressed, Returned, Silent, ToolDone, Unasked, Unreached
from voicebot.core.events import Input, StartReply
from voicebot.core.timeline import Record
from voicebot.core.words import Words

MASK = "•••"


def caller_turn(start: StartReply, words: Words, onset_ms: int, end_ms: int, tone: str = "") -> CallerTurn:
    """`words` are those heard last; where the machine put several utterances together, their text alone counts."""
    match start.input:
        case Input.OPENING:
            return Opening()
        case Input.SPOKEN:
            said = words if words.text == start.text else Words(start.text, final=True)
            return Heard(said, onset_ms, end_ms, tone)
        case Input.KEYED:
            return Pressed(start.text.rstrip("#") or "#")
        case Input.SILENCE:
            return Silent(start.count)
        case Input.RETURN:
            return Returned()
        case Input.UNASKED:
            return Unasked()
        case Input.UNREACHED:
            return Unreached(start.text)
        case _:
            assert_never(start.input)


def logged(event: ev.Event, now_ms: int, secret: bool) -> bytes:
    """The line of the turn machine's log; what is secret is masked, which changes no decision."""
    match event:
        case ev.WordsHeard(text=text) if secret and text:
            event = replace(event, text=MASK)
        case ev.Key() if secret:
            event = replace(event, digit="0")
        case _:
            pass
    return turn_log.encode(event, now_ms)


def record_of(
    turn: CallerTurn, start: StartReply, secret: bool, now_ms: int, tone: Tone | None = None
) -> Record | None:
    """The line of the timeline for this turn; what is secret is masked. None for the opening."""
    match turn:
        case Heard(words, onset_ms, end_ms):
            text, confidence = (MASK if secret else words.text), round(words.confidence, 3)
            fields = {"text": text, "confidence": confidence, "start_ms": onset_ms, "end_ms": end_ms}
            if tone is not None:
                fields["tone"] = {name: round(value, 2) for name, value in asdict(tone).items()}
            return Record(now_ms, "turn", {"turn": start.turn, **fields})
        case Pressed(digits):
            keys = MASK if secret else digits
            fields = {"text": "", "digits": keys, "confidence": 1.0, "start_ms": now_ms, "end_ms": now_ms}
            return Record(now_ms, "turn", {"turn": start.turn, **fields})
        case Silent(count):
            return Record(now_ms, "silence", {"count": count})
        case Opening() | Returned() | Unasked() | Unreached() | ToolDone():
            return None
        case _:
            assert_never(turn)
