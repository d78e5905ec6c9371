"""The list of calls: every call once, with one end."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy.exc import IntegrityError

from voicebot.call.recorder import Recorder
from voicebot.carriers.base import CallInfo
from voicebot.core.timeline import EndReason, Record, decode
from voicebot.service.store import Store

NOW = datetime.now(UTC)


def info(call_id: str) -> CallInfo:
    return CallInfo(call_id, "twilio", "+15550001111", "+15550002222", "CA" + call_id)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.at(tmp_path)
    yield opened
    opened.close()


async def test_a_call_is_listed_before_it_ends(store: Store) -> None:
    await store.started(info("1"), "coffee", NOW, "/calls/1")
    [row] = store.list()
    assert ("1", "twilio", "CA1", "coffee", None, None) == (
        row.id,
        row.carrier,
        row.carrier_call_id,
        row.dialplan,
        row.end_reason,
        row.seconds,
    )


async def test_a_call_ends_once_and_the_first_reason_stays(store: Store) -> None:
    await store.started(info("1"), "coffee", NOW, "")
    await store.ended("1", EndReason.BOT_HANGUP, 12.5, 4)
    await store.ended("1", EndReason.CRASHED, 1.0, 0)
    [row] = store.list()
    assert ("bot_hangup", 12.5, 4) == (row.end_reason, row.seconds, row.turns)


async def test_a_refused_call_is_listed_with_why(store: Store) -> None:
    await store.rejected(info("1"), "", "busy")
    [row] = store.list()
    assert ("rejected", "busy", 0.0) == (row.end_reason, row.detail, row.seconds)


async def test_calls_that_are_refused_at_once_are_written_at_once(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("voicebot.service.store.MOST_TOGETHER", 20)
    written = list[int]()
    monkeypatch.setattr(store, "_add", lambda *rows: written.append(len(rows)))
    await asyncio.gather(*(store.rejected(info(str(number)), "", "busy") for number in range(30)))
    await store.rejected(info("30"), "", "busy")
    assert [20, 1] == written


async def test_no_end_but_one_of_the_closed_set_can_be_written(store: Store, tmp_path: Path) -> None:
    await store.started(info("1"), "coffee", NOW, "")
    with sqlite3.connect(tmp_path / "calls.sqlite") as direct, pytest.raises(sqlite3.IntegrityError):
        direct.execute("UPDATE calls SET end_reason = 'because'")


async def test_one_id_is_one_call(store: Store) -> None:
    await store.started(info("1"), "coffee", NOW, "")
    with pytest.raises(IntegrityError):
        await store.started(info("1"), "coffee", NOW, "")


async def test_the_latest_call_is_first(store: Store) -> None:
    for n in range(5):
        await store.started(info(str(n)), "coffee" if n % 2 else "clinic", NOW + timedelta(seconds=n), "")
    assert ["4", "3", "2"] == [row.id for row in store.list(3)]
    assert ["3", "1"] == [row.id for row in store.list(dialplan="coffee")]


async def test_a_call_is_found_by_the_beginning_of_its_id_when_there_is_only_one(store: Store) -> None:
    for call_id in ("20260101-aa", "20260101-ab", "2026%x"):
        await store.started(info(call_id), "coffee", NOW, "")
    found = [store.get(part) for part in ("20260101-aa", "20260101-ab", "20260101", "2026%", "%", "")]
    assert ["20260101-aa", "20260101-ab", None, "2026%x", None, None] == [row and row.id for row in found]


async def test_texts_that_are_too_long_are_cut_not_refused(store: Store) -> None:
    await store.started(CallInfo("1", "twilio", "9" * 5000, "8" * 5000), "coffee", NOW, "")
    await store.rejected(CallInfo("2", "twilio", "", ""), "", "x" * 5000)
    assert 2 == len(store.list())


async def test_times_are_utc_wherever_they_came_from(store: Store) -> None:
    local = datetime.fromisoformat("2026-07-01T10:00:00+02:00")
    await store.started(info("1"), "coffee", local, "")
    assert "2026-07-01T08:00:00" == store.list()[0].started_at.replace(tzinfo=None).isoformat()


async def test_after_a_crash_open_calls_are_closed_with_the_length_of_their_recording(tmp_path: Path) -> None:
    folder = tmp_path / "calls" / "1"
    store = Store.at(tmp_path)
    await store.started(info("1"), "coffee", NOW, str(folder))
    await store.started(info("2"), "coffee", NOW, str(tmp_path / "calls" / "2"))
    await store.started(info("3"), "coffee", NOW, "")
    await store.ended("3", EndReason.BOT_HANGUP, 3.0, 1)
    recorder = Recorder(folder, True, None)
    recorder.note(Record(800, "turn", {"turn": 2, "text": "a latte"}))
    recorder.caller(bytes(16000 * 2), 0)
    recorder.flush(16000)
    (folder / "timeline.jsonl").open("ab").write(b'{"ms": 900, "ki')
    store.close()  # and no more is written: the process is gone
    again = Store.at(tmp_path)
    assert 2 == again.close_crashed()
    found = {row.id: (row.end_reason, row.seconds) for row in again.list()}
    assert ("bot_hangup", 3.0) == found["3"]
    assert ("crashed", 0.0) == found["2"]
    assert "crashed" == found["1"][0]
    assert 2.0 == pytest.approx(found["1"][1], abs=1.0)
    records = list(decode((folder / "timeline.jsonl").read_bytes().splitlines()))
    assert [("turn", None), ("call_ended", "crashed")] == [(r.kind, r.fields.get("reason")) for r in records]
    assert {"1": 1, "2": 0, "3": 1} == {row.id: row.turns for row in again.list()}
    assert 0 == again.close_crashed()
    again.close()


async def test_a_call_that_had_ended_when_the_process_died_keeps_its_reason(tmp_path: Path) -> None:
    store = Store.at(tmp_path)
    await store.started(info("1"), "coffee", NOW, str(tmp_path / "1"))
    recorder = Recorder(tmp_path / "1", True, None)
    recorder.note(Record(5000, "call_ended", {"reason": "transfer", "seconds": 5.0}))
    recorder.close()
    store.close()
    again = Store.at(tmp_path)
    again.close_crashed()
    assert ["transfer"] == [row.end_reason for row in again.list()]
    again.close()


async def test_a_list_that_an_older_version_made_is_carried_on(tmp_path: Path) -> None:
    store = Store.at(tmp_path)
    await store.started(info("1"), "coffee", NOW, "")
    store.close()
    with sqlite3.connect(tmp_path / "calls.sqlite") as direct:
        direct.execute("ALTER TABLE calls DROP COLUMN owner")
    again = Store.at(tmp_path)
    assert 1 == again.close_crashed()
    await again.started(info("2"), "coffee", NOW, "")
    assert {"1", "2"} == {row.id for row in again.list()}
    again.close()


async def test_calls_of_a_process_that_lives_are_not_closed(tmp_path: Path) -> None:
    live, other = Store.at(tmp_path), Store.at(tmp_path)
    await live.started(info("1"), "coffee", NOW, "")
    assert 0 == other.close_crashed()
    assert live.list()[0].end_reason is None
    live.close()
    assert 1 == other.close_crashed()
    other.close()


async def test_old_calls_are_deleted_with_their_recordings_and_live_ones_never(store: Store, tmp_path: Path) -> None:
    old = NOW - timedelta(days=31)
    for call_id, at in (("old", old), ("live", old), ("new", NOW)):
        folder = tmp_path / "calls" / call_id
        folder.mkdir(parents=True)
        (folder / "audio.wav").write_bytes(b"RIFF")
        await store.started(info(call_id), "coffee", at, str(folder))
        if call_id != "live":
            await store.ended(call_id, EndReason.BOT_HANGUP, 1.0, 1)
    assert 0 == store.purge(0)
    assert 1 == store.purge(30)
    assert {"live", "new"} == {row.id for row in store.list()}
    assert {"live", "new"} == {each.name for each in (tmp_path / "calls").iterdir()}


async def test_many_calls_at_once_are_all_listed(store: Store) -> None:
    async def call(n: int) -> None:
        await store.started(info(str(n)), "coffee", NOW, "")
        await store.ended(str(n), EndReason.CALLER_HANGUP, 1.0, 1)

    async with asyncio.TaskGroup() as group:
        for n in range(40):
            group.create_task(call(n))
    assert 40 == len([row for row in store.list() if row.end_reason == "caller_hangup"])
