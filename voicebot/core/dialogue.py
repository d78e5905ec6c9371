"""What passes between a call and its agent: the caller's turn in, text and tool calls out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from voicebot.core.words import Words


@dataclass(frozen=True, slots=True)
class Opening:
    """The call was answered: greet."""


@dataclass(frozen=True, slots=True)
class Heard:
    """The caller's turn, as words."""

    words: Words
    start_ms: int = 0
    end_ms: int = 0
    """Where in the recording, media clock."""
    tone: str = ""
    """What is unusual in how it was said (see `core.tone.tag`), where the dialplan wants it told."""


@dataclass(frozen=True, slots=True)
class Pressed:
    """Keyed digits, one turn."""

    digits: str


@dataclass(frozen=True, slots=True)
class Silent:
    """Nobody spoke for the reprompt deadline; `count` is 1 for the first time in a row."""

    count: int


@dataclass(frozen=True, slots=True)
class Returned:
    """The caller had put us on hold and is back."""


@dataclass(frozen=True, slots=True)
class Unasked:
    """A native engine speaks up by itself."""


@dataclass(frozen=True, slots=True)
class Unreached:
    """The transfer that the last reply asked for has failed: nobody took the caller, who is with us still."""

    to: str
    """Its name."""


@dataclass(frozen=True, slots=True)
class ToolDone:
    """The result of the last `ToolCall` that the reply asked for."""

    call_id: str
    ok: bool
    result: Mapping[str, Any]


CallerTurn = Opening | Heard | Pressed | Silent | Returned | Unasked | Unreached | ToolDone


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of the reply, to be spoken. A streaming model yields fragments; they concatenate."""

    text: str
    interruptible: bool = True


@dataclass(frozen=True, slots=True)
class ToolCall:
    """Built in: `transfer` {to}, `hang_up` {}; everything else is a tool of the dialplan.
    It runs after the text before it was heard when it ends the call, at once otherwise."""

    call_id: str
    name: str
    args: Mapping[str, Any]


LlmEvent = Text | ToolCall


@dataclass(frozen=True, slots=True)
class Past:
    """A turn of the call so far, for an agent that takes over in the middle of it."""

    turn: CallerTurn
    said: str = ""
    """What the caller heard of the answer."""
    call: ToolCall | None = None
    """The tool that the answer asked for; its result is the next turn."""
