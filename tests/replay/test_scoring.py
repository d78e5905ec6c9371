"""Calls whose truth is known, judged: times to 10 ms, overlaps to 20 ms, every metric at its alarm."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from tests.replay.made_calls import RATE, call, key, spoken, tone, track, voice
from voicebot.core.timeline import Record
from voicebot.replay import verdict
from voicebot.replay.measures.definitions import DEFINED
from voicebot.replay.recording import CallAudio, Media, Said
from voicebot.replay.scoring import score
from voicebot.replay.verdict import Verdict

STARTED = Record(0, "call_started", {"dialplan": "coffee", "dialplan_hash": "abc", "engines": {"asr": "pocketsphinx"}})
GOOD = Media(1000, 0, 0, 0, 1.0, 2.0, 0, "PCMU")


def turn(ms: int, start_ms: int, end_ms: int, text: str = "a latte", number: int = 1) -> Record:
    fields = {"turn": number, "text": text, "confidence": 0.9, "start_ms": start_ms, "end_ms": end_ms}
    return Record(ms, "turn", fields)


def said(ms: int, text: str, heard: str = "", complete: bool = True) -> Record:
    return Record(ms, "said", {"text": text, "heard": heard or text, "complete": complete})


def value(judged: Verdict, name: str) -> float:
    found = judged.metric(name).value
    assert isinstance(found, float), f"{name} is {found}: {judged.metric(name).why}"
    return found


# --- truth -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gap_ms", [0, 40, 200, 355, 700, 1_203, 2_000])
def test_a_response_gap_is_right_to_ten_milliseconds(gap_ms: int) -> None:
    judged = score(call([(3000, 4000)], [(500, 2000), (4000 + gap_ms, 5000 + gap_ms)]))
    assert gap_ms == pytest.approx(value(judged, "response_gap_p50"), abs=10)


def test_gaps_between_tone_bursts_are_right_to_ten_milliseconds() -> None:
    dice = random.Random(7)
    gaps = [dice.randrange(60, 1800) for _ in range(12)]
    caller, bot, at = [], [(200, tone(900, 1000.0))], 2000
    for gap in gaps:
        caller.append((at, tone(600)))
        bot.append((at + 600 + gap, tone(700, 1000.0)))
        at += 600 + gap + 700 + 900
    made = replace(call(ms=at + 500), caller=track(caller, at + 500), bot=track(bot, at + 500, seed=2))
    found = [answer.gap_ms for answer in score(made).answers]
    assert gaps == pytest.approx(found, abs=10)


@pytest.mark.parametrize("overlap_ms", [100, 340, 1000])
def test_an_overlap_is_right_to_twenty_milliseconds(overlap_ms: int) -> None:
    judged = score(call([(5000 - overlap_ms, 7000)], [(1000, 5000)]))
    assert overlap_ms == pytest.approx(1000 * value(judged, "talk_over_s"), abs=20)
    assert ["caller"] == [event.side for event in judged.events if event.kind == "talk_over"]


@pytest.mark.parametrize("noise", [0.0, 4.0, 40.0])
@pytest.mark.parametrize("level", [600.0, 3000.0, 9000.0])
def test_edges_hold_in_noise_and_at_any_level(noise: float, level: float) -> None:
    made = call()
    side = track([(3000, voice(1500, level=level))], 20_000, noise)
    [found] = [each for each in score(replace(made, caller=side)).turns if each.side == "caller"]
    assert (3000, 4500) == pytest.approx((found.start_ms, found.end_ms), abs=10)


def test_wide_band_recordings_have_their_turns_in_their_own_samples() -> None:
    wide = np.repeat(spoken([(1000, 2000)], 4000, 180, 1), 2)
    judged = score(replace(call(ms=4000), rate=16_000, caller=wide, bot=None))
    assert (16_000, 32_000) == pytest.approx((judged.turns[0].start_sample, judged.turns[0].end_sample), abs=160)


def test_pauses_within_a_turn_do_not_end_it_unless_the_other_side_begins() -> None:
    judged = score(call([(1000, 2000), (3000, 4000), (6000, 7000)], [(4500, 5500)]))
    assert [("caller", 1000), ("bot", 4500), ("caller", 6000)] == [
        (each.side, pytest.approx(each.start_ms, abs=10)) for each in judged.turns
    ]


def test_an_uh_huh_over_the_bot_is_no_turn_to_be_answered() -> None:
    judged = score(call([(3000, 3300)], [(1000, 6000)]))
    assert () == judged.answers
    assert 0.0 == value(judged, "no_yields")


def test_the_bot_falls_silent_for_an_interruption_in_this_time() -> None:
    judged = score(call([(3000, 4500)], [(1000, 3240), (5000, 6000)]))
    assert 240 == pytest.approx(value(judged, "stop_time_p95"), abs=10)


def test_where_the_bot_had_finished_of_itself_nothing_stopped_it() -> None:
    records = (STARTED, said(3240, "all of it"))
    judged = score(call([(3000, 4500)], [(1000, 3240), (5000, 6000)], records=records))
    assert judged.metric("stop_time_p95").value is None


def test_keys_in_the_sound_are_found_and_are_no_turns() -> None:
    side = track([(1000, key(120)), (1300, key(120, 941, 1477)), (4000, voice(800))], 8000)
    judged = score(replace(call(bot=[(5500, 6500)], ms=8000), caller=side))
    assert "5#" == judged.metric("keys").value
    assert [4000, 5500] == pytest.approx([each.start_ms for each in judged.turns], abs=10)


def test_a_key_that_came_as_event_and_as_tone_was_pressed_once() -> None:
    side = track([(1000, key(120))], 8000)
    pressed = verdict.Event("dtmf", 1060, 1160, "caller", "5")
    assert "5" == score(replace(call(ms=8000), caller=side, events=(pressed,))).metric("keys").value


def test_speech_and_music_of_two_tones_press_no_keys() -> None:
    assert "" == score(call([(1000, 15_000)], [(16_000, 19_000)])).metric("keys").value


def test_the_level_is_of_the_speech_alone() -> None:
    judged = score(replace(call(ms=9000), caller=track([(1000, tone(4000, 440.0, 3276.8))], 9000)))
    assert -23.0 == pytest.approx(value(judged, "level_caller"), abs=0.2)  # a sine of -20 dBFS


def test_a_mono_recording_says_what_cannot_be_known_of_it() -> None:
    made = replace(call([(1000, 2000), (5000, 6000)], ms=8000), bot=None, mixed=True)
    judged = score(made)
    assert judged.metric("response_gap_p50").value is None
    assert "all voices are in one channel" == judged.metric("response_gap_p50").why
    assert 1.0 == value(judged, "dead_air")
    assert judged.metric("one_way").value is None


def test_the_waterfall_of_an_answer_comes_from_the_timeline() -> None:
    records = (
        STARTED, Record(4250, "words", {"text": "a latte", "final": True, "took_ms": 30}), turn(4300, 3000, 4000),
        Record(4301, "reply_started", {"turn": 1}), Record(4420, "reply_audio", {"turn": 1}),
        Record(4500, "heard_from", {"turn": 1}),
    )  # fmt: skip
    [answer] = score(call([(3000, 4000)], [(500, 2000), (4500, 6000)], records=records)).answers
    expected = [("final words", 4250), ("endpoint", 4300), ("reply asked", 4301), ("voice", 4420), ("heard", 4500)]
    assert expected == [(step.name, step.at_ms) for step in answer.steps]


def test_turns_have_the_words_of_the_timeline_and_what_was_not_heard() -> None:
    records = (
        STARTED,
        said(2000, "Hello, what can I get you?"),
        turn(4300, 3000, 4000),
        said(6000, "One latte then", "One", False),
    )
    judged = score(call([(3000, 4000)], [(500, 2000), (4500, 6000)], records=records))
    assert [("Hello, what can I get you?", ""), ("a latte", ""), ("One latte then", "One")] == [
        (t.text, t.heard) for t in judged.turns
    ]
    assert 2.0 == value(judged, "unheard_words")


def test_words_are_counted_as_jiwer_counts_them_after_numbers_and_fillers() -> None:
    records = (STARTED, turn(4300, 3000, 4000, "i would like forty two small latte"))
    reference = [Said("Uh, I'd like 42 large lattes.", "caller", 3000, 4000), Said("Sure.", "bot", 4500, 6000)]
    judged = score(call([(3000, 4000)], [(4500, 6000)], records=records, reference=reference))
    assert 100 * 2 / 7 == pytest.approx(value(judged, "wer"), abs=0.01)
    kinds = [(each.kind, each.reference, each.heard) for each in judged.transcript if each.kind != "same"]
    assert [("wrong", "large", "small"), ("wrong", "lattes", "latte")] == kinds


def test_names_and_numbers_are_the_key_terms_unless_others_are_given() -> None:
    records = (STARTED, turn(4300, 3000, 4000, "call miller at four twenty"))
    reference = [Said("Call Miller at 4 20, Room 7.", "caller", 3000, 4000)]
    made = call([(3000, 4000)], [(4500, 6000)], records=records, reference=reference)
    assert 60.0 == value(score(made), "key_terms")  # Miller, 4, 20 of Miller, 4, 20, Room, 7
    assert 50.0 == value(score(made, terms=["Miller", "Schmidt"]), "key_terms")


def test_the_same_call_gives_the_same_bytes() -> None:
    made = call([(3000, 4000)], [(500, 2000), (4500, 6000)])
    assert verdict.write(score(made)) == verdict.write(score(made))


def test_every_metric_is_there_for_every_call_with_its_definition() -> None:
    for made in (call(), call([(3000, 4000)], [(500, 2000)]), replace(call(), caller=None), replace(call(), bot=None)):
        judged = score(made)
        assert list(DEFINED) == sorted((each.name for each in judged.metrics), key=list(DEFINED).index)
        assert all(each.definition.endswith(".") for each in judged.metrics)
        assert all(each.value is not None or each.why for each in judged.metrics)


# --- each metric at its alarm -----------------------------------------------------------------------------------

Bad = Callable[[], CallAudio]
SLOW = call([(3000, 4000)], [(500, 2000), (5600, 6500)])
TOOL = (STARTED, Record(5000, "tool", {"name": "book", "ok": True, "seconds": 1.9}))
LATE = (STARTED, turn(4900, 3000, 4000))
FAULT = (STARTED, Record(900, "engine", {"stage": "llm", "name": "openai", "fault": "timeout"}))
SQUARE = np.full(8000, 32767) * np.sign(tone(1000) + 0.5)
REPEATED = (
    turn(4200, 3000, 4000, "a large latte"),
    turn(8200, 7000, 8000, "a large latte please"),
    turn(12_200, 11_000, 12_000, "a large latte"),
)
HELLO = (
    turn(4200, 3000, 4000, "a latte"),
    turn(8200, 7000, 8000, "hello?"),
    turn(12_200, 11_000, 12_000, "are you there"),
)
THREE = [(3000, 4000), (7000, 8000), (11_000, 12_000)]

ALARMS: dict[str, tuple[float, Bad]] = {
    "response_gap_p95": (1600, lambda: SLOW),
    "tool_gap_p95": (2600, lambda: call([(3000, 4000)], [(500, 2000), (6600, 7500)], records=TOOL)),
    "endpoint_delay_p95": (900, lambda: call([(3000, 4000)], [(5100, 6000)], records=LATE)),
    "stop_time_p95": (700, lambda: call([(3000, 5000)], [(1000, 3700), (6000, 7000)])),
    "false_cutoffs": (100, lambda: call([(3000, 4000), (4800, 6000)], [(4500, 5000)])),
    "false_yields": (100, lambda: call([(3000, 3300)], [(1000, 3200), (7000, 8000)])),
    "no_yields": (1, lambda: call([(3000, 4500)], [(1000, 8000)])),
    "talk_over": (100 * 2 / 7, lambda: call([(4000, 8000)], [(1000, 6000)])),
    "dead_air": (5, lambda: call([(3000, 4000), (9500, 10_500)], [(500, 900), (6200, 7200), (13_000, 17_600)])),
    "dead_air_longest": (9, lambda: call([(3000, 4000)], [(1000, 2000), (13_000, 18_500)])),
    "monologue": (33, lambda: call([], [(1000, 34_000)], 36_000)),
    "repetitions": (2, lambda: call(THREE, [(500, 2000)], records=(STARTED, *REPEATED))),
    "hellos": (2, lambda: call(THREE, [(500, 2000)], records=(STARTED, *HELLO))),
    "loss": (3, lambda: call(media=[("caller", GOOD), ("bot", replace(GOOD, packets=970, lost=30))])),
    "jitter_p95": (45, lambda: call(media=[("caller", replace(GOOD, jitter_p95_ms=45.0))])),
    "mos": (3.55, lambda: call(media=[("caller", replace(GOOD, packets=920, lost=80))])),
    "clipping": (1000, lambda: replace(SLOW, caller=track([(1000, SQUARE)], 9000))),
    "dc": (1.5, lambda: replace(SLOW, caller=(np.asarray(SLOW.caller) + 491).astype(np.int16))),
    "one_way": (1, lambda: replace(call([], [(1000, 7000)]), caller=np.zeros(20 * RATE, np.int16))),
    "engine_faults": (1, lambda: call(records=FAULT)),
}  # fmt: skip
TOLERANCE = {"clipping": 60, "talk_over": 0.5, "mos": 0.2, "dead_air_longest": 0.02, "monologue": 0.02, "dc": 0.1}


@pytest.mark.parametrize("name", ALARMS)
def test_a_metric_at_its_alarm(name: str) -> None:
    expected, make = ALARMS[name]
    judged = score(make())
    assert expected == pytest.approx(value(judged, name), abs=TOLERANCE.get(name, 10 if expected > 100 else 0.01))
    assert judged.metric(name).alarm


def test_every_limit_has_its_alarm_tested() -> None:
    assert {name for name, what in DEFINED.items() if what.limit is not None} == set(ALARMS)


def test_a_good_call_has_no_alarm() -> None:
    records = (STARTED, said(2000, "Hello, what can I get you?"), turn(4300, 3000, 4000), said(6500, "One latte."),
               Record(7000, "call_ended", {"reason": "bot_hangup"}))  # fmt: skip
    judged = score(call([(3000, 4000)], [(500, 2000), (4500, 6500)], 7000, records=records, media=[("caller", GOOD)]))
    assert [] == [each.name for each in judged.metrics if each.alarm]
    assert "bot_hangup" == judged.metric("outcome").value


def test_the_worst_comes_first_and_a_place_once() -> None:
    judged = score(call([(3000, 4500), (11_000, 12_000)], [(1000, 8000), (14_600, 15_500)]))
    assert ["no_yields", "response_gap_p95", "dead_air"] == [each.metric for each in judged.worst]


def test_hold_and_keying_are_no_dead_air() -> None:
    hold = (STARTED, Record(4500, "held", {}), Record(12_000, "taken_back", {}))
    assert 0.0 == value(score(call([(3000, 4000)], [(500, 2500), (12_200, 19_000)], records=hold)), "dead_air")
    keyed = (verdict.Event("dtmf", 6000, 6100, "caller", "1"),)
    assert 0.0 == value(score(call([(3000, 4000)], [(500, 2500), (8000, 19_000)], events=keyed)), "dead_air")


def test_the_bots_voice_that_leaks_into_the_callers_channel_is_nobody_speaking_over_it() -> None:
    side = track([(2000, voice(2500, 110, 150.0)), (7000, voice(1500))], 12_000)
    judged = score(replace(call([], [(1000, 6000), (9000, 11_000)], 12_000), caller=side))
    assert 0.0 == value(judged, "talk_over_s")
    assert ["bot", "caller", "bot"] == [each.side for each in judged.turns]


def test_noise_that_is_as_loud_as_speech_is_no_turn() -> None:
    hiss = np.random.default_rng(3).normal(0, 3000, 12_000).astype(np.int16)
    judged = score(replace(call([], [(6000, 8000)], 12_000), caller=track([(1000, hiss)], 12_000)))
    assert ["bot"] == [each.side for each in judged.turns]
