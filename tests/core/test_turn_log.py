"""A call's turns, gone through again from their log."""

from __future__ import annotations

import pytest

from voicebot.core import events as ev
from voicebot.core.events import BargeIn, State, Timing
from voicebot.core.timeline import EndReason
from voicebot.core.turn_log import decode, encode, replay
from voicebot.core.turns import TurnMachine

EVENTS = [
    (ev.Answered(), 0),
    (ev.Retime(Timing(barge_in=BargeIn.KEYWORDS, quick_ms=200)), 10),
    (ev.ReplyAudio(1), 100),
    (ev.Playing(), 180),
    (ev.VoiceStarted(may_interrupt=True), 900),
    (ev.Speech(120, may_interrupt=False), 1020),
    (ev.WordsHeard("please stop", final=False, real=True), 1400),
    (ev.VoiceStopped(1500), 1700),
    (ev.TurnMayEnd(400), 1700),
    (ev.Key("4", complete=False), 1800),
    (ev.ReplyDone(1, EndReason.TRANSFER), 1900),
    (ev.ReplyDone(1), 1900),
    (ev.Close(EndReason.DRAINED, "goodbye"), 2000),
    (ev.Gone(EndReason.CALLER_HANGUP), 2100),
]


def test_every_event_comes_back_as_it_was() -> None:
    assert EVENTS == list(decode(encode(event, ms) for event, ms in EVENTS))


@pytest.mark.parametrize(
    "line", [b"", b"{", b'{"at": 1}', b'{"at": 1, "event": "Nonsense"}', b'{"event": "Tick"}', b"[]"]
)
def test_a_line_that_is_none_is_skipped(line: bytes) -> None:
    assert [(ev.Tick(), 7)] == list(decode([line, encode(ev.Tick(), 7)]))


def test_gone_through_again_the_turns_are_the_same() -> None:
    machine = TurnMachine(Timing())
    lived = [machine.feed(event, ms) for event, ms in EVENTS]

    again = list(replay([encode(event, ms) for event, ms in EVENTS], Timing()))

    assert lived == [actions for _, _, _, actions in again]
    assert State.ENDED.value == again[-1][2]
