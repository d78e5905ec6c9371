"""A call's timeline, as it happens, into figures."""

from __future__ import annotations

import inspect
import re

import pytest

from voicebot.core.timeline import Record
from voicebot.service.health import COUNTED, CallWatch, Metrics


def figures(*records: Record) -> dict[str, float]:
    """Samples that are not nought, by name and labels."""
    metrics = Metrics()
    watch = CallWatch(metrics, "twilio")
    for record in records:
        watch(record)
    return {
        sample.name.removeprefix("voicebot_") + "".join(f" {value}" for value in sample.labels.values()): sample.value
        for metric in metrics.registry.collect()
        for sample in metric.samples
        if sample.value and not sample.name.endswith(("_created", "_bucket"))
    }


def test_what_other_processes_tell_is_what_is_counted() -> None:
    assert COUNTED == set(re.findall(r'case "(\w+)"', inspect.getsource(CallWatch.__call__)))


def turn(turn: int, end_ms: int, **fields: object) -> Record:
    return Record(end_ms + 200, "turn", {"turn": turn, "end_ms": end_ms, **fields})


def test_the_gap_is_from_the_end_of_speech_to_the_first_audio_heard() -> None:
    found = figures(turn(2, 4000, text="a latte"), Record(4700, "heard_from", {"turn": 2}))
    assert 1.0 == found["voice_to_voice_seconds_count cascade"]
    assert 0.7 == pytest.approx(found["voice_to_voice_seconds_sum cascade"])
    assert 1.0 == found["turns_total spoken"]


def test_an_answer_in_two_parts_has_one_gap() -> None:
    found = figures(
        turn(2, 4000, text="x"), Record(4700, "heard_from", {"turn": 2}), Record(6000, "heard_from", {"turn": 2})
    )
    assert 1.0 == found["voice_to_voice_seconds_count cascade"]


def test_what_is_said_into_a_silence_is_no_answer() -> None:
    found = figures(
        turn(2, 4000, text="x"), Record(9000, "silence", {"count": 1}), Record(9300, "heard_from", {"turn": 3})
    )
    assert "voice_to_voice_seconds_count cascade" not in found
    assert 1.0 == found["turns_total silence"]


def test_the_greeting_is_counted_apart() -> None:
    found = figures(Record(-20, "heard_from", {"turn": 1}))
    assert (1.0, None) == (found["greeting_seconds_count"], found.get("voice_to_voice_seconds_count cascade"))


def test_the_figures_of_responders_are_apart() -> None:
    found = figures(
        Record(0, "call_started", {"responder": "openai_realtime"}),
        turn(2, 4000, text="x"),
        Record(4700, "heard_from", {"turn": 2}),
        Record(5000, "responder", {"name": "cascade", "why": "broke"}),
        turn(3, 8000, text="x"),
        Record(9000, "heard_from", {"turn": 3}),
    )
    assert (1.0, 1.0) == (found["responder_calls_total openai_realtime"], found["handovers_total openai_realtime"])
    assert 0.7 == pytest.approx(found["voice_to_voice_seconds_sum openai_realtime"])
    assert 1.0 == pytest.approx(found["voice_to_voice_seconds_sum cascade"])


def test_turns_are_spoken_keyed_or_unclear() -> None:
    found = figures(turn(2, 0, text="x"), turn(3, 0, text="", digits="12"), turn(4, 0, text=""))
    assert (1.0, 1.0, 1.0) == tuple(found[f"turns_total {kind}"] for kind in ("spoken", "keyed", "unclear"))


def test_an_ended_call_is_counted_by_reason_with_all_that_was_malformed() -> None:
    fields = {"reason": "bot_hangup", "malformed": {"not_json": 3, "bad_base64": 1}, "ignored": {"Tick": 2}}
    found = figures(Record(0, "malformed", {"reason": "not_json"}), Record(9000, "call_ended", fields))
    assert 1.0 == found["calls_total twilio bot_hangup"]
    assert (3.0, 1.0) == (found["malformed_total not_json"], found["malformed_total bad_base64"])
    assert 2.0 == found["ignored_events_total Tick"]


def test_holds_resumes_and_engine_faults_are_counted() -> None:
    found = figures(
        Record(0, "hold", {}), Record(0, "resume", {}), Record(0, "engine", {"stage": "tts", "name": "x", "fault": "y"})
    )
    assert (1.0, 1.0, 1.0) == (found["holds_total"], found["resumes_total"], found["engine_faults_total tts"])


def test_kinds_that_nobody_counts_are_of_no_matter() -> None:
    assert {} == figures(Record(0, "words", {"text": "+15550001111"}), Record(0, "a new kind", {}))


def test_an_engine_that_fails_is_counted_with_who_took_over_and_whether_it_is_left_alone() -> None:
    first = {"stage": "llm", "name": "openai", "fault": "no answer"}
    failed = Record(0, "engine", {**first, "then": "scripted", "breaker": "closed"})
    opened = Record(0, "engine", {**first, "then": "scripted", "breaker": "open"})
    back = Record(0, "engine", {**first, "fault": "", "recovered": True, "breaker": "closed"})

    found = figures(failed, opened)
    assert (2.0, 2.0) == (found["engine_faults_total llm"], found["engine_switches_total llm scripted"])
    assert 1.0 == found["engine_breaker_open llm openai"]
    assert "engine_breaker_open llm openai" not in figures(failed, opened, back)


def test_an_engine_that_is_asked_again_is_no_switch() -> None:
    again = Record(0, "engine", {"stage": "tts", "name": "espeak", "fault": "x", "then": "espeak", "breaker": "closed"})
    assert "engine_switches_total tts espeak" not in figures(again)
