"""Rules of the turn machine for a native engine that takes turns by itself: a part of the table in `core.turns`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from voicebot.core import events as ev
from voicebot.core.events import Action, State
from voicebot.core.floor import Floor


def _speaks_up(f: Floor, _: ev.EngineSpeaks) -> list[Action]:
    return f.reply(ev.Input.UNASKED)


def _answers(f: Floor, event: ev.EngineSpeaks) -> list[Action]:
    """It thinks that the caller has finished, and is quicker than we are."""
    if f.digits:
        return f.ignore(event)
    f.silences = 0
    return f.reply(ev.Input.SPOKEN, f.said())


def _has_more(f: Floor, _: ev.EngineSpeaks) -> list[Action]:
    """What plays is heard out first."""
    f.unasked = True
    return []


def _yields(f: Floor, event: ev.EngineYields) -> list[Action]:
    """Nothing to weigh: it speaks no more. While we think, it may mean somebody whom we do not hear: the answer is
    still awaited."""
    if not event.may_interrupt or (f.state is State.THINKING and (f.tool or not f.voice)):
        return f.ignore(event)
    f.unasked = False
    return f.abandon_reply() + ([] if f.voice else f.close_ear()) + f.listen()


ENGINE_RULES: dict[tuple[State, type], Callable[[Floor, Any], list[Action]]] = {
    (State.LISTENING, ev.EngineSpeaks): _speaks_up,
    (State.HEARING, ev.EngineSpeaks): _answers,
    (State.DECIDING, ev.EngineSpeaks): _answers,
    (State.SPEAKING, ev.EngineSpeaks): _has_more,
    (State.YIELDING, ev.EngineSpeaks): _has_more,
    (State.THINKING, ev.EngineYields): _yields,
    (State.SPEAKING, ev.EngineYields): _yields,
    (State.YIELDING, ev.EngineYields): _yields,
}
