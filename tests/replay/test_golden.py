"""What became better or worse than a golden run, each metric by its own rule; and the same for a CI."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from voicebot.errors import UsageError
from voicebot.replay import golden
from voicebot.replay.junit import junit
from voicebot.replay.measures.definitions import metric
from voicebot.replay.suite import exit_code
from voicebot.replay.verdict import Source, Suite, SuiteCall, Verdict


def verdict(diverged_ms: int | None = None, **values: Any) -> Verdict:
    source = Source("stereo file", ("a.wav",), "told", 8000)
    metrics = tuple(metric(name, value) for name, value in values.items())
    return Verdict("a call", "rerun", source, 1000, (), (), (), metrics, diverged_ms=diverged_ms)


def outcomes(before: Verdict, now: Verdict) -> dict[str, str]:
    return {each.name: each.outcome for each in golden.compare(before, now)}


@pytest.mark.parametrize(
    ("name", "was", "value", "outcome"),
    [
        ("endpoint_delay_p50", 450, 450, "same"),
        ("endpoint_delay_p50", 450, 500, "same"),
        ("endpoint_delay_p50", 450, 501, "worse"),
        ("endpoint_delay_p50", 1000, 1100, "same"),
        ("endpoint_delay_p50", 1000, 1101, "worse"),
        ("endpoint_delay_p50", 450, 399, "better"),
        ("key_terms", 90.0, 88.0, "worse"),
        ("key_terms", 90.0, 92.0, "better"),
        ("words_per_minute", 150, 180, "changed"),
        ("no_yields", 0, 1, "worse"),
        ("no_yields", 1, 0, "better"),
        ("tools", "order", "order", "same"),
        ("tools", "order", "", "worse"),
        ("outcome", "bot_hangup", "caller_hangup", "worse"),
        ("said", "Hello, there!", "hello there", "same"),
        ("said", "Hello.", "Good day.", "changed"),
        ("endpoint_delay_p50", 450, None, "changed"),
        ("endpoint_delay_p50", None, 450, "same"),
    ],
)
def test_a_metric_compares_by_its_own_rule(name: str, was: Any, value: Any, outcome: str) -> None:
    assert {name: outcome} == outcomes(verdict(**{name: was}), verdict(**{name: value}))


def test_a_difference_is_a_sentence_and_no_difference_is_none() -> None:
    was, now = verdict(endpoint_delay_p50=445, tools="order"), verdict(endpoint_delay_p50=745, tools="order")
    assert ["Endpoint delay, median: 745 ms instead of 445 ms.", ""] == [e.text for e in golden.compare(was, now)]
    assert [300, None] == [each.delta for each in golden.compare(was, now)]


def test_after_another_answer_words_are_not_compared_and_what_the_call_was_for_is() -> None:
    values = {"said": "Hello.", "wer": 5.0, "tools": "order", "response_gap_p50": 400}
    now = verdict(2000, said="Good day.", wer=50.0, tools="", response_gap_p50=900)

    found = outcomes(verdict(**values), now)

    assert {"said": "diverged", "wer": "diverged", "tools": "worse", "response_gap_p50": "worse"} == found


def test_a_golden_run_that_had_diverged_itself_is_compared_as_any_other() -> None:
    assert {"said": "same"} == outcomes(verdict(500, said="Hello."), verdict(500, said="Hello."))


def test_a_golden_run_is_kept_by_name_and_mode(tmp_path: Path) -> None:
    accepted = verdict(endpoint_delay_p50=450)
    golden.accept(tmp_path / "golden", accepted)

    assert accepted == golden.golden_of(tmp_path / "golden", accepted)
    assert None is golden.golden_of(tmp_path / "golden", replace(accepted, mode="rehear"))
    assert None is golden.golden_of(tmp_path / "golden", replace(accepted, name="another"))


def test_a_golden_run_that_is_broken_is_told_in_one_sentence(tmp_path: Path) -> None:
    golden.accept(tmp_path, verdict()).write_text('{"name": "a')

    with pytest.raises(UsageError, match="is no report of `voicebot replay`"):
        golden.golden_of(tmp_path, verdict())


def test_of_several_runs_the_median_and_the_most_frequent_count() -> None:
    runs = [verdict(endpoint_delay_p50=ms, tools=tools) for ms, tools in ((900, "order"), (400, ""), (450, "order"))]

    middle = golden.middle(runs)

    assert (450, "order") == (middle.metric("endpoint_delay_p50").value, middle.metric("tools").value)


def call(outcome: Any, **more: Any) -> SuiteCall:
    return SuiteCall(f"a {outcome} call", "", outcome, 1000, **more)


@pytest.mark.parametrize(
    ("found", "code"),
    [
        (["pass"], 0),
        (["pass", "changed"], 0),
        (["pass", "worse"], 1),
        (["pass", "failed"], 2),
        (["failed", "worse"], 1),
    ],
)
def test_the_exit_code_says_whether_anything_is_worse_or_could_not_be_run(found: list[str], code: int) -> None:
    assert code == exit_code([call(outcome) for outcome in found])


def test_a_suite_as_junit_names_what_became_worse() -> None:
    compared = golden.compare(verdict(endpoint_delay_p50=445), verdict(endpoint_delay_p50=745))
    calls = (
        call("pass", passed=2, runs=3),
        call("worse", compared=compared),
        call("failed", note="No such file\x00 <there>."),
        call("changed"),
    )

    group = ElementTree.fromstring(junit(Suite("last week", "rerun", calls)))[0]

    assert ("4", "1", "1", "1") == tuple(group.get(name) for name in ("tests", "failures", "errors", "skipped"))
    passed, worse, failed, changed = group
    assert "2 of 3 runs passed" == passed.findtext("system-out")
    assert "Endpoint delay, median: 745 ms instead of 445 ms." == worse.find("failure").get("message")  # type: ignore[union-attr]
    assert "No such file\ufffd <there>." == failed.find("error").get("message")  # type: ignore[union-attr]
    assert changed.find("skipped") is not None
