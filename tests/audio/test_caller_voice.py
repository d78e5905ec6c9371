"""The detector's onsets that are believed: the caller's."""

from __future__ import annotations

from collections.abc import Mapping

from tests.audio.echo_sounds import line, pcm, room, voice
from voicebot.audio.caller_voice import CallerVoice
from voicebot.audio.echo import EchoGuard
from voicebot.audio.foreground import Foreground
from voicebot.audio.frames import FRAME_BYTES, RATE
from voicebot.audio.levels import rms_dbfs
from voicebot.audio.voice import Offset, Onset

BOT, CALLER = voice(1), voice(2, 1.0)


def told(near: bytes, detector: Mapping[float, Onset | Offset], guard: EchoGuard) -> dict[float, Onset | Offset]:
    """What the gate says, by the second at which it does; `detector` likewise."""
    gate, found = CallerVoice(guard), {}
    for at in range(0, len(near) - FRAME_BYTES + 1, FRAME_BYTES):
        second = round((at + FRAME_BYTES) / 2 / RATE, 2)
        if event := gate.push(near[at : at + FRAME_BYTES], at // 2, detector.get(second)):
            found[second] = event
    return found


def speaking(start_s: float = 0.5) -> EchoGuard:
    guard = EchoGuard()
    guard.played(pcm(BOT), int(start_s * RATE))
    return guard


def onset(second: float) -> Onset:
    return Onset(int(second * RATE))


def offset(second: float) -> Offset:
    return Offset(int(second * RATE))


def test_while_the_bot_is_silent_the_detector_is_believed_at_once() -> None:
    detector = {0.6: onset(0.5), 1.7: offset(1.5)}
    near = pcm(line((0.5, CALLER), seconds=2))

    assert detector == told(near, detector, EchoGuard())


def test_our_echo_begins_and_ends_no_voice() -> None:
    near = pcm(line((0.65, room(BOT)), seconds=3.2))

    assert {} == told(near, {0.76: onset(0.66), 2.9: offset(2.7)}, speaking())


def test_a_caller_inside_the_echo_begins_where_the_echo_was_no_longer_alone() -> None:
    near = pcm(line((0.65, room(BOT)), (1.6, CALLER), seconds=3.2))
    found = told(near, {0.76: onset(0.66), 2.9: offset(2.7)}, speaking())
    (second, first), (_, last) = sorted(found.items())

    assert isinstance(first, Onset)
    assert 1.6 <= second <= 1.8
    assert abs(first.at / RATE - 1.6) <= 0.1
    assert isinstance(last, Offset)


def test_when_the_caller_stops_and_the_echo_goes_on_the_voice_ends() -> None:
    near = pcm(line((0.65, room(voice(1, 4.0))), (1.6, CALLER), seconds=5))
    guard = EchoGuard()
    guard.played(pcm(voice(1, 4.0)), RATE // 2)
    found = sorted(told(near, {0.76: onset(0.66), 4.9: offset(4.7)}, guard).items())

    assert [Onset, Offset] == [type(event) for _, event in found]
    assert abs(found[1][1].at / RATE - 2.6) <= 0.25
    assert found[1][0] <= 3.0


def test_a_caller_on_a_line_without_echo_waits_a_quarter_second_at_most() -> None:
    near = pcm(line((1.0, CALLER), seconds=3))
    found = told(near, {1.08: onset(1.0), 2.3: offset(2.0)}, speaking())

    assert [Onset, Offset] == [type(event) for event in found.values()]
    assert min(found) <= 1.25


def test_a_voice_of_which_nothing_is_known_is_let_through_in_the_end() -> None:
    quiet = pcm(line(seconds=3))
    found = told(quiet, {1.08: onset(1.0)}, speaking())

    assert [onset(1.0)] == list(found.values())
    assert min(found) <= 1.4


def in_front(near: bytes, detector: Mapping[float, Onset | Offset], guard: EchoGuard) -> list[float]:
    """The seconds at which a call's ear would tell of an onset: the gate decides whether a voice is one, the
    foreground whether it stands out."""
    gate, foreground, found = CallerVoice(guard), Foreground(), []
    for at in range(0, len(near) - FRAME_BYTES + 1, FRAME_BYTES):
        frame, second = near[at : at + FRAME_BYTES], round((at + FRAME_BYTES) / 2 / RATE, 2)
        gate.push(frame, at // 2, detector.get(second))
        speech = rms_dbfs(frame) > -45
        edge = foreground.push(frame, at // 2, speech, gate.theirs, over_bot=True, own=gate.verdict.own)
        if isinstance(edge, Onset):
            found.append(second)
    return found


def test_before_the_foreground_our_echo_holds_nobody_and_a_caller_inside_it_does() -> None:
    detector = {0.76: onset(0.66), 2.9: offset(2.7)}
    (second,) = in_front(pcm(line((0.65, room(BOT)), (1.6, CALLER), seconds=3.2)), detector, speaking())

    assert [] == in_front(pcm(line((0.65, room(BOT)), seconds=3.2)), detector, speaking())
    assert 1.6 <= second <= 1.8
