"""A loop that stands still is told of, with the line at which it does."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

from voicebot.service import watchdog


class Log:
    def __init__(self) -> None:
        self.told: list[tuple[str, dict[str, Any]]] = []

    def error(self, event: str, **facts: Any) -> None:
        self.told.append((event, facts))

    warning = error


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    found = Log()
    monkeypatch.setattr(watchdog, "_log", found)
    return found


def stands_still(seconds: float) -> None:
    time.sleep(seconds)


async def test_a_blocked_loop_is_told_of_once_with_the_line_and_how_long(log: Log) -> None:
    async with watchdog.watched():
        await asyncio.sleep(0.2)
        stands_still(1.2)
        await asyncio.sleep(0.5)
    (event, facts), (again, after) = log.told
    assert ("event_loop_blocked", "event_loop_runs_again") == (event, again)
    assert "stands_still(1.2)" in facts["stack"]
    assert 1.0 < after["seconds"]


async def test_a_loop_that_runs_is_no_news_and_the_dog_leaves_with_it(log: Log) -> None:
    before = threading.active_count()
    async with watchdog.watched():
        assert before + 1 == threading.active_count()
        await asyncio.sleep(0.1)
    assert "watchdog" not in {thread.name for thread in threading.enumerate()}
