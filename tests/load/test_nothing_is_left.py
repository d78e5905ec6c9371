"""Calls leave nothing behind: no task, descriptor, thread or object; and a long one does not grow."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import sys
import threading
from pathlib import Path

import pytest

from tests import virtual_time
from tests.load.wire import Calls, calls
from voicebot.core.timeline import EndReason, decode

linux = pytest.mark.skipif(sys.platform != "linux", reason="descriptors are counted in /proc")


def left() -> tuple[int, int, int]:
    """(tasks, threads, descriptors)."""
    return len(asyncio.all_tasks()), threading.active_count(), len(os.listdir("/proc/self/fd"))


def objects() -> int:
    gc.collect()
    return len(gc.get_objects())


async def many(world: Calls, count: int, most_s: float) -> None:
    """Calls of up to `most_s`, eight at a time, hung up at any moment."""
    chance = random.Random(1)
    for _ in range(count // 8):
        async with asyncio.TaskGroup() as group:
            for _ in range(8):
                group.create_task(world.call(chance.uniform(0.0, most_s)))


@linux
@pytest.mark.parametrize(
    ("count", "most_s"),
    [
        pytest.param(64, 2.0, id="hung up within two seconds"),
        pytest.param(1000, 2.0, id="a thousand within two seconds", marks=[pytest.mark.slow, pytest.mark.timeout(600)]),
        pytest.param(1000, 20.0, id="a thousand short ones", marks=[pytest.mark.slow, pytest.mark.timeout(1200)]),
    ],
)
def test_many_calls_leave_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, most_s: float
) -> None:
    async def life() -> tuple[tuple[int, int, int], tuple[int, int, int], float]:
        async with calls(tmp_path, monkeypatch) as world:
            await many(world, 16, most_s)  # whatever is kept once for all is there now
            before, kept = left(), objects()
            await many(world, count, most_s)
            return before, left(), (objects() - kept) / count

    before, after, objects_per_call = virtual_time.run(life())
    assert before == after
    assert objects_per_call < 5
    folders = list((tmp_path / "data" / "calls").iterdir())
    ends = [list(decode((folder / "timeline.jsonl").read_bytes().splitlines()))[-1].kind for folder in folders]
    assert ["call_ended"] * len(folders) == ends


@pytest.mark.parametrize(
    "minutes", [2, pytest.param(239, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])], ids="{} minutes".format
)
def test_a_call_does_not_grow_with_its_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, minutes: int) -> None:
    async def life() -> tuple[int, int, EndReason]:
        async with calls(tmp_path, monkeypatch, lambda plan: plan.replace("7200", "14400")) as world:
            async with asyncio.TaskGroup() as group:
                call = group.create_task(world.call(minutes * 60))
                await asyncio.sleep(60)
                young = objects()
                await asyncio.sleep(minutes * 60 - 65)
                old = objects()
            return young, old, call.result()

    young, old, reason = virtual_time.run(life())
    assert EndReason.MEDIA_LOST == reason
    assert old - young < 3000  # remembered turns are bounded; a quarter of an hour has more frames than that
    (audio,) = (tmp_path / "data" / "calls").glob("*/audio.wav")
    assert abs(minutes * 60 - (audio.stat().st_size - 44) / 32000) < 0.5


def test_nothing_is_imported_after_a_call_was_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def life() -> set[str]:
        scripted = "llm: [scripted]"
        async with calls(tmp_path, monkeypatch, lambda plan: plan.replace("llm: [stub]", scripted)) as world:
            before = set(sys.modules)
            await world.call(20)
            return set(sys.modules) - before

    assert set() == virtual_time.run(life())
