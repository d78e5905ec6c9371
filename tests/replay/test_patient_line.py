"""A recorded caller who waits for the bot as they did."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tests.call.world import ToneVad, noise, tone
from tests.replay.recorded_calls import channel
from voicebot.carriers.base import Audio, CallInfo, HungUp
from voicebot.replay.clock import run
from voicebot.replay.patient_line import Cue, PatientLine, Utterance, utterances
from voicebot.replay.recorded_bot import stretches

INFO = CallInfo("test", "replay", "", "")


def test_what_is_said_is_said_in_answer_to_the_bot_over_it_or_after_a_pause_of_ones_own() -> None:
    bot = stretches(channel(20, (0.5, noise(1500)), (6.0, noise(3000))))
    caller = channel(20, (2.8, tone(500)), (7.0, tone(800)), (12.0, tone(600)), (14.0, tone(500)))

    found = utterances(caller, bot, ToneVad())  # type: ignore[arg-type]

    assert ["end", "begin", "end", "self"] == [each.cue.kind for each in found]
    want = (800, 1000, 3000, 1400)
    assert all(abs(each.cue.ms - ms) <= 40 for each, ms in zip(found, want, strict=True))


def spoken(
    said: Sequence[Utterance], bot: Sequence[tuple[float, float]], stays_ms: int = 1000
) -> tuple[list[float], float]:
    """(when the caller begins to speak, when they hang up), in seconds; the bot speaks at these (start, seconds)."""

    async def listen() -> tuple[list[float], float]:
        line, waiting, begun, loud = PatientLine(INFO, said, stays_ms), list(bot), list[float](), False
        async for event in line.events():
            if waiting and line.clock_ms() >= waiting[0][0] * 1000:
                line.send(noise(int(waiting.pop(0)[1] * 1000)), 0, 1)
            match event:
                case Audio(pcm, at):
                    now = bool(np.abs(np.frombuffer(pcm, "<i2")).max() > 500)
                    if now and not loud:
                        begun.append(at / 8000)
                    loud = now
                case HungUp("caller_hangup"):
                    break
        return begun, line.clock_ms() / 1000

    return run(listen())


def test_they_speak_so_long_after_the_bots_end_as_then_whenever_that_is() -> None:
    said = [Utterance(tone(500), Cue("end", 900))]
    for seconds in (1.0, 4.0):
        (begun,), _ = spoken(said, [(0.2, seconds), (7.0, 0.5)])
        assert abs(0.2 + seconds + 0.9 - begun) <= 0.06


def test_they_speak_over_the_bot_as_they_did() -> None:
    (begun,), _ = spoken([Utterance(tone(500), Cue("begin", 700))], [(0.2, 3.0), (5.0, 0.5)])
    assert abs(0.9 - begun) <= 0.06


def test_a_bot_that_says_nothing_is_not_waited_for_for_ever() -> None:
    begun, ended = spoken([Utterance(tone(500), Cue("end", 300)), Utterance(tone(500), Cue("begin", 100))], [])
    assert [12.0, 24.5] == [round(at, 1) for at in begun]
    assert ended < 40


def test_after_the_last_answer_they_hang_up() -> None:
    _, ended = spoken([Utterance(tone(500), Cue("end", 600))], [(0.2, 1.0), (3.0, 2.0)], stays_ms=1000)
    assert abs(6.0 - ended) <= 0.1
