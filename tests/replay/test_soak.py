"""What a soak calls a leak, and a whole record."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from voicebot.call.recorder import header
from voicebot.core.timeline import Record
from voicebot.replay.load_figures import Usage
from voicebot.replay.soak import Soak, grown, whole

BEFORE = Usage(cpu_s=1.0, rss_mb=100.0, threads=9, descriptors=36)
FLAT = Soak(20, 500, 0, 0, 0, 5.0, 90, BEFORE, replace(BEFORE, cpu_s=900.0, rss_mb=120.0), (120.0,) * 240, 620, 0)


def test_threads_descriptors_and_records_are_told_apart_from_nothing_left() -> None:
    assert {} == FLAT.left
    assert {} == replace(FLAT, after=replace(BEFORE, threads=8)).left
    after = replace(BEFORE, threads=11, descriptors=37)
    assert {"threads": 2, "descriptors": 1, "broken records": 3} == replace(FLAT, after=after, broken=3).left


def test_memory_that_rises_to_its_level_has_not_grown_and_a_leak_has() -> None:
    risen = [100 + min(20.0, n) for n in range(200)]
    assert 0 == grown(risen) == FLAT.grown_mb
    assert 10 == pytest.approx(grown([100 + n / 10 for n in range(200)]))
    assert 0 == grown([1.0, 2.0])


@pytest.mark.parametrize(
    ("last", "missing", "expected"),
    [
        (Record(9, "call_ended", {"reason": "caller_hangup"}), 0, True),
        (Record(9, "call_ended", {"reason": "media_lost"}), 0, True),
        (Record(9, "call_ended", {"reason": "caller_hangup"}), 4, False),
        (Record(9, "call_ended", {"reason": "crashed"}), 0, False),
        (Record(9, "turn", {}), 0, False),
    ],
    ids=["hung up", "gone", "audio cut short", "another end", "no end"],
)
def test_a_record_is_whole_with_the_callers_end_and_all_of_its_audio(
    tmp_path: Path, last: Record, missing: int, expected: bool
) -> None:
    (tmp_path / "timeline.jsonl").write_bytes(Record(0, "call_started", {}).encode() + last.encode())
    (tmp_path / "audio.wav").write_bytes(header(64) + bytes(64 - missing))
    assert expected is whole(tmp_path)
