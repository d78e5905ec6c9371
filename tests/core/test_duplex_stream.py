"""Replies found in audio without end."""

from __future__ import annotations

import numpy as np

from voicebot.core.duplex import DuplexEvent, ReplyAudio, ReplyBegan, ReplyEnded, ReplyText
from voicebot.core.duplex_stream import Stretches

LOUD = (8000 * np.sin(np.arange(1920) / 9)).astype("<i2").tobytes()
QUIET = bytes(2 * 1920)


def run(stretches: Stretches, *frames: bytes) -> list[DuplexEvent]:
    return [event for frame in frames for event in stretches.sound(frame)]


def test_silence_is_no_reply() -> None:
    assert [] == run(Stretches(24000), *[QUIET] * 50)


def test_a_reply_begins_with_sound_and_ends_after_a_second_without() -> None:
    told = run(Stretches(24000), QUIET, LOUD, LOUD, *[QUIET] * 20)
    assert ReplyBegan("reply_1") == told[0]
    assert ReplyEnded("reply_1") == told[-1]
    assert 2 + 13 == len([event for event in told if isinstance(event, ReplyAudio)])


def test_a_pause_within_a_reply_is_part_of_it() -> None:
    told = run(Stretches(24000), LOUD, *[QUIET] * 11, LOUD, *[QUIET] * 11)
    assert 24 == len([event for event in told if isinstance(event, ReplyAudio)])
    assert not [event for event in told if isinstance(event, ReplyEnded)]


def test_a_word_begins_a_reply_as_well_and_keeps_it_going() -> None:
    stretches = Stretches(24000)
    assert [ReplyBegan("reply_1"), ReplyText("reply_1", "Hello")] == stretches.word("Hello")
    run(stretches, *[QUIET] * 12)
    stretches.word(" you")
    assert not [event for event in run(stretches, *[QUIET] * 12) if isinstance(event, ReplyEnded)]


def test_space_alone_begins_nothing() -> None:
    assert [] == Stretches(24000).word(" ")


def test_after_a_cut_a_short_pause_is_enough_for_another_reply() -> None:
    stretches = Stretches(24000)
    run(stretches, LOUD)
    stretches.cut("reply_1")
    assert [] == run(stretches, LOUD, LOUD, *[QUIET] * 2)
    assert [] == stretches.word(" left over")
    assert [ReplyBegan("reply_2"), ReplyAudio("reply_2", LOUD)] == run(stretches, *[QUIET] * 4, LOUD)


def test_a_cut_of_a_reply_that_is_over_mutes_nothing() -> None:
    stretches = Stretches(24000)
    run(stretches, LOUD, *[QUIET] * 13)
    stretches.cut("reply_1")
    assert ReplyBegan("reply_2") == run(stretches, LOUD)[0]
