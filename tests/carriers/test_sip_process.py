"""A worker process: one that cannot work says why and is tried again, one that hangs is replaced."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from tests.sip.world import needs_pjsua2
from voicebot.carriers import sip_process
from voicebot.carriers.sip_process import Worker
from voicebot.carriers.sip_setup import Setup


@asynccontextmanager
async def worker(setup: Setup | None = None) -> AsyncIterator[Worker]:
    one = Worker((setup or Setup()).facts, lambda *_: None, lambda _: None)
    try:
        yield one
    finally:
        one.close()


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


@needs_pjsua2
async def test_it_tells_where_it_takes_calls_and_how_many() -> None:
    async with worker(Setup(capacity=2)) as one:
        await until(lambda: one.ready)
        assert (2, 2, True) == (one.capacity, one.free, one.port > 1024)


@needs_pjsua2
async def test_one_that_cannot_work_says_why_and_is_tried_again_ever_more_slowly() -> None:
    async with worker(Setup(address="192.0.2.1", dials=True)) as one:  # no address of this machine
        await until(lambda: one.fault)
        assert not one.ready
        await until(lambda: one.restarts)
        assert one.restarts < 4
        assert "address" in one.fault.lower()


@needs_pjsua2
async def test_one_that_hangs_is_killed_and_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sip_process, "HUNG_S", 1.5)
    async with worker() as one:
        await until(lambda: one.ready)
        pid = one.pid
        assert pid
        os.kill(pid, signal.SIGSTOP)
        await until(lambda: one.ready and one.pid != pid)
        await until(lambda: not os.path.exists(f"/proc/{pid}/exe"))


@needs_pjsua2
async def test_one_that_talks_nonsense_is_replaced() -> None:
    async with worker() as one:
        await until(lambda: one.ready)
        pid = one.pid
        one._sock.send(b"")  # type: ignore[union-attr]
        list(one._messages.feed(b"\0\0\0\0"))  # what follows is read from the middle of nowhere
        await until(lambda: one.ready and one.pid != pid)


async def test_its_environment_holds_none_of_our_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "tell-nobody")
    monkeypatch.setenv("VOICEBOT_SIP_ACCOUNTS", "tell-nobody")
    assert "tell-nobody" not in str(sip_process._environment())
