"""`voicebot calls`: what a person, or a program, is told of the calls that were taken."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from voicebot.carriers.base import CallInfo
from voicebot.cli import app
from voicebot.core.timeline import EndReason, Record
from voicebot.errors import UsageError
from voicebot.service.store import Store

RECORDS = [
    Record(0, "call_started", {"call_id": "20260102-030405-aa"}),
    Record(2000, "said", {"turn": 1, "text": "Hello. ", "heard": "Hello. ", "complete": True}),
    Record(
        4200, "turn", {"turn": 2, "text": "a [large] latte [/]", "confidence": 0.9, "start_ms": 3000, "end_ms": 4000}
    ),
    Record(4600, "heard_from", {"turn": 2}),
    Record(6000, "said", {"turn": 2, "text": "One latte. Anything else?", "heard": "One latte.", "complete": False}),
    Record(7000, "turn", {"turn": 3, "text": "", "digits": "12", "start_ms": 7000, "end_ms": 7000}),
    Record(7500, "tool", {"name": "order", "ok": False, "seconds": 0.1}),
    Record(7600, "fixed", {"sentence": "trouble", "text": "I'm sorry."}),
    Record(7700, "transfer", {"to": "desk", "ok": True}),
    Record(8000, "call_ended", {"reason": "transfer", "seconds": 8.0}),
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VOICEBOT_DATA_DIR", str(tmp_path))
    call = tmp_path / "calls" / "1"
    call.mkdir(parents=True)
    (call / "timeline.jsonl").write_bytes(b"".join(record.encode() for record in RECORDS) + b'{"ms":')

    async def fill(store: Store) -> None:
        at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
        await store.started(CallInfo("20260102-030405-aa", "twilio", "+15550001111", ""), "coffee", at, str(call))
        await store.ended("20260102-030405-aa", EndReason.TRANSFER, 8.0, 2)
        await store.rejected(CallInfo("20260102-030406-bb", "twilio", "[red]", ""), "", "busy")
        await store.started(CallInfo("20260102-030407-cc", "browser", "", ""), "clinic", at, "")

    store = Store.at(tmp_path)
    asyncio.run(fill(store))
    store.close()
    return tmp_path


def run(*words: str) -> str:
    result = CliRunner().invoke(app, list(words))
    if result.exception:
        raise result.exception
    return result.output


def test_calls_are_listed_whole_lines_each_when_nobody_watches(folder: Path) -> None:
    lines = run("calls").splitlines()
    assert 4 == len(lines)
    [ended] = [line for line in lines if "aa" in line]
    assert ["20260102-030405-aa", "twilio", "+15550001111", "coffee", "8", "2", "transfer"] == ended.split()
    assert any("[red]" in line and "rejected (busy)" in line for line in lines)
    assert any("up now" in line for line in lines)


def test_a_program_gets_json(folder: Path) -> None:
    rows = {row["id"]: row for row in json.loads(run("calls", "--json"))}
    assert ("transfer", "2026-01-02T03:04:05+00:00", 8.0) == tuple(
        rows["20260102-030405-aa"][key] for key in ("end_reason", "started_at", "seconds")
    )
    assert rows["20260102-030407-cc"]["end_reason"] is None


def test_the_list_can_be_one_dialplans_and_short(folder: Path) -> None:
    assert ["clinic"] == [row["dialplan"] for row in json.loads(run("calls", "--json", "--dialplan", "clinic"))]
    assert 1 == len(json.loads(run("calls", "--json", "-n", "1")))


def test_a_call_is_shown_as_it_was_heard_with_its_latencies(folder: Path) -> None:
    text = run("calls", "show", "20260102-030405")
    for line in (
        "caller  a [large] latte [/]  answered after 600 ms",
        "bot     One latte. — cut off here (of: One latte. Anything else?)",
        "caller  keys 12",
        "tool    order failed",
        "bot     I'm sorry. (fixed sentence)",
        "transfer to desk",
        "1 answers, median 600 ms and at most 600 ms after the caller stopped speaking; of that 200 ms",
    ):
        assert line in text


def test_a_program_gets_the_whole_timeline(folder: Path) -> None:
    shown = json.loads(run("calls", "show", "20260102-030405-aa", "--json"))
    assert [record.kind for record in RECORDS] == [record["kind"] for record in shown["timeline"]]


def test_a_call_that_was_not_carried_can_be_shown_too(folder: Path) -> None:
    assert "rejected" in run("calls", "show", "20260102-030406-bb")


@pytest.mark.parametrize("call_id", ["none", "2026", "%"])
def test_a_call_that_is_not_there_or_not_the_only_one_is_a_sentence(folder: Path, call_id: str) -> None:
    with pytest.raises(UsageError, match="voicebot calls"):
        run("calls", "show", call_id)


def test_without_calls_it_says_where_it_looked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICEBOT_DATA_DIR", str(tmp_path / "none"))
    with pytest.raises(UsageError, match="VOICEBOT_DATA_DIR"):
        run("calls")
    assert not (tmp_path / "none").exists()
