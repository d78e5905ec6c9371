"""Several processes that carry calls for one service: calls are spread, found again, counted together, and die alone."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.peers.phone import Phone
from tests.service.world import STREAM_HEADERS, Service, serving, token_of, until
from voicebot.config import Settings
from voicebot.service.call_worker import CallWorker

CREW = ("-m", "tests.service.tone_crew")
several_cores = pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2, reason="needs two cores"
)
pytestmark = several_cores


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    async with serving(tmp_path, crew=CREW, workers=2) as running:
        yield running


def phone(service: Service, token: str, **more: object) -> Phone:
    return Phone(service.stream, token, headers=STREAM_HEADERS, **more)  # type: ignore[arg-type]


def worker_of(service: Service) -> CallWorker:
    assert service.desk.crew
    [worker] = service.desk.crew.workers
    return worker


async def test_a_call(service: Service) -> None:
    async with phone(service, await token_of(service)) as caller:
        await caller.audio(5)
        await caller.hears(0.4)
        await until(lambda: worker_of(service).calls)
        await caller.stop()
        print(await caller.is_left())
    await until(lambda: not worker_of(service).calls)
    assert [("CA1", "caller_hangup")] == service.rows()
    print((await service.web.get("/metrics")).text)
    assert 0
