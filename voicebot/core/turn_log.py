"""The turn machine's own log: every event it was fed, and when. The same events give the same actions, so a call's
turns can be gone through again, step by step, long after the call.

    {"at": 1840, "event": "VoiceStarted", "may_interrupt": true}
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import fields
from typing import Any, get_args

import orjson

from voicebot.core.events import Action, BargeIn, Event, Timing
from voicebot.core.timeline import EndReason
from voicebot.core.turns import TurnMachine

_KINDS: dict[str, type] = {kind.__name__: kind for kind in get_args(Event)}
_FIELDS = {name: tuple(field.name for field in fields(kind)) for name, kind in _KINDS.items()}
_READ: dict[str, Any] = {
    "reason": EndReason,
    "ending": lambda text: None if text is None else EndReason(text),
    "timing": lambda given: Timing(**{**given, "barge_in": BargeIn(given["barge_in"])}),
}
"""Fields that are more than JSON has."""


def encode(event: Event, now_ms: int) -> bytes:
    """One line, newline included."""
    kind = type(event).__name__
    return orjson.dumps({"at": now_ms, "event": kind, **{name: getattr(event, name) for name in _FIELDS[kind]}}) + b"\n"


def decode(lines: Iterable[bytes]) -> Iterator[tuple[Event, int]]:
    """(event, milliseconds) of each line; a line that is none (a crash in its middle) is skipped."""
    for line in lines:
        try:
            data = orjson.loads(line)
            now_ms, kind = int(data.pop("at")), _KINDS[data.pop("event")]
            yield kind(**{name: _READ.get(name, _same)(value) for name, value in data.items()}), now_ms
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError):
            continue


def _same(value: Any) -> Any:
    return value


def replay(lines: Iterable[bytes], timing: Timing) -> Iterator[tuple[int, Event, str, list[Action]]]:
    """What a machine makes of a log: (ms, event, the state after it, the actions it asked for)."""
    machine = TurnMachine(timing)
    for event, now_ms in decode(lines):
        actions = machine.feed(event, now_ms)
        yield now_ms, event, machine.state.value, actions
