"""The shared form of a judged call."""

from __future__ import annotations

import json

import pytest

from voicebot.errors import UsageError
from voicebot.replay import verdict
from voicebot.replay.verdict import (
    Answer,
    Compared,
    Event,
    Exact,
    Metric,
    Moment,
    Source,
    Step,
    Suite,
    SuiteCall,
    Tolerance,
    Turn,
    Verdict,
    Word,
)


def judged() -> Verdict:
    return Verdict(
        name="order",
        mode="score",
        source=Source("stereo file", ("order.wav",), "told", 8000),
        duration_ms=4000,
        turns=(
            Turn("caller", 0, 1000, 0, 8000, "a latte", (Word("a", 0, 100), Word("latte", 100, 1000, 0.5))),
            Turn("bot", 1500, 3000, 12000, 24000),
        ),
        answers=(Answer(0, 1, 500, steps=(Step("endpoint", 1200), Step("heard", 1500))),),
        events=(Event("dtmf", 3100, 3200, "caller", "5"),),
        metrics=(
            Metric("gap", "gap", "latency", 500.0, "ms", "how long", Tolerance(50.0, 0.1), samples=(500.0,)),
            Metric("end", "outcome", "outcome", "done", "", "how it ended", Exact(), better="same"),
            Metric("wer", "words wrong", "language", None, "%", "", Tolerance(1.0), why="there is no reference"),
        ),
        worst=(Moment(1000, 1500, "slow", "gap", 1.0),),
        compared=(Compared("gap", 400.0, 500.0, 100.0, "worse", "slower"),),
        versions={"dialplan": "coffee"},
    )


def test_a_verdict_survives_its_json() -> None:
    assert judged() == verdict.read(verdict.write(judged()))


def test_the_same_verdict_gives_the_same_bytes() -> None:
    assert verdict.write(judged()) == verdict.write(verdict.read(verdict.write(judged())))


def test_a_suite_survives_its_json() -> None:
    suite = Suite("a week", "rehear", (SuiteCall("order", "calls/order", "worse", 4000, metrics=judged().metrics),))
    assert suite == verdict.read_suite(verdict.write(suite))


def test_the_schema_names_every_part() -> None:
    assert {"Turn", "Metric", "Answer", "Moment", "Compared"} <= set(verdict.schema()["$defs"])


@pytest.mark.parametrize("text", [b"", b"[]", b'{"name": 1}', b"\xff"])
def test_what_is_no_report_is_refused_in_one_sentence(text: bytes) -> None:
    with pytest.raises(UsageError, match=r"^old\.json is no report of `voicebot replay`: .+\.$"):
        verdict.read(text, "old.json")


def test_another_version_is_refused() -> None:
    other = json.dumps(json.loads(verdict.write(judged())) | {"version": 99}).encode()
    with pytest.raises(UsageError, match="version 99"):
        verdict.read(other)
