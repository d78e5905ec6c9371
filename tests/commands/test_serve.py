"""`voicebot serve` as a process: it starts, it is told to stop, it is killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from tests.peers.phone import Phone
from voicebot.cli import app
from voicebot.errors import UsageError
from voicebot.service.store import Store

DIALPLAN = """
name: waiting
description: Asks something and waits.
start: hello
nodes:
  hello:
    say: Say yes or no.
    intents:
      yes_please: {examples: ["yes", "yes please"], do: [{hang_up: "Goodbye."}]}
"""


@dataclass
class Served:
    """A service in a process of its own."""

    process: asyncio.subprocess.Process
    base: str
    web: httpx.AsyncClient
    printed: str

    async def call(self) -> Phone:
        answer = await self.web.post("/browser/call", json={"dialplan": "waiting"})
        return Phone(self.base.replace("http", "ws") + "/browser/stream", answer.json()["token"])

    async def metrics(self, wanted: str) -> None:
        """Until `/metrics` has that line."""
        async with asyncio.timeout(10):
            while wanted not in (await self.web.get("/metrics")).text.splitlines():  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    async def is_told(self, what: str) -> None:
        """Until `/readyz` says it."""
        async with asyncio.timeout(10):
            while (await self.web.get("/readyz")).json()["status"] != what:  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    async def ends(self) -> int:
        async with asyncio.timeout(20):
            return await self.process.wait()


@asynccontextmanager
async def served(folder: Path, **more: str) -> AsyncIterator[Served]:
    """From the banner to the end of the block, by force if need be. `folder` is its data, whatever came before."""
    (folder / "waiting.yaml").write_text(DIALPLAN)
    given = {"VOICEBOT_DATA_DIR": str(folder / "data"), "VOICEBOT_DIALPLANS": str(folder / "waiting.yaml")}
    given |= {"VOICEBOT_SIP_WORKERS": "0", "PYTHONPATH": str(Path(__file__).parents[2])}
    environment = {k: v for k, v in os.environ.items() if not k.startswith("VOICEBOT_")} | given | more
    command = (sys.executable, "-c", "from voicebot.start import main; main()", "serve", "--port", "0")
    process = await asyncio.create_subprocess_exec(
        *command, env=environment, cwd=folder, stderr=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL
    )
    assert process.stderr
    try:
        printed = ""
        async with asyncio.timeout(40):
            while "Stop with" not in printed:
                line = (await process.stderr.readline()).decode()
                assert line, printed
                printed += line
        found = re.search(r"http://127\.0\.0\.1:\d+", printed)
        assert found, printed
        async with httpx.AsyncClient(base_url=found[0], verify=False) as web:
            yield Served(process, found[0], web, printed)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process._transport.close()  # type: ignore[attr-defined]
        await process.wait()


async def test_it_says_what_is_missing_looks_at_dialplans_when_told_and_stops_when_told(tmp_path: Path) -> None:
    async with served(tmp_path) as service:
        assert "waiting" in service.printed
        assert "VOICEBOT_TWILIO_AUTH_TOKEN" in service.printed
        await service.is_told("ready")
        (tmp_path / "waiting.yaml").write_text(DIALPLAN.replace("Asks something", "Asks another thing"))
        service.process.send_signal(signal.SIGHUP)
        async with asyncio.timeout(4):  # without being told it would look every five seconds
            while "another" not in (await service.web.get("/api/dialplans")).text:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        service.process.send_signal(signal.SIGTERM)
        assert 0 == await service.ends()


async def test_calls_that_are_up_finish_before_it_stops(tmp_path: Path) -> None:
    async with served(tmp_path) as service, await service.call() as caller:
        await caller.hears(0.5)
        service.process.send_signal(signal.SIGTERM)
        await service.is_told("draining")
        assert 503 == (await service.web.post("/browser/call", json={"dialplan": "waiting"})).status_code
        await caller.audio(50)
        assert service.process.returncode is None
        await caller.stop()
        assert 0 == await service.ends()


async def test_a_second_signal_says_goodbye_to_the_callers(tmp_path: Path) -> None:
    async with served(tmp_path) as service, await service.call() as caller:
        await caller.hears(0.5)
        service.process.send_signal(signal.SIGTERM)
        await service.is_told("draining")
        service.process.send_signal(signal.SIGTERM)
        assert {"event": "ended", "reason": "drained"} == await caller.is_told("ended")
        assert 0 == await service.ends()


async def test_after_a_kill_the_call_is_closed_as_crashed_and_a_second_of_it_is_missing_at_most(tmp_path: Path) -> None:
    async with served(tmp_path) as service, await service.call() as caller:
        await caller.hears(0.5)
        await caller.audio(150)
        await asyncio.sleep(0.8)
        service.process.kill()
        assert -signal.SIGKILL == await service.ends()
    async with served(tmp_path) as again:
        [call] = (await again.web.get("/api/calls")).json()
        assert "crashed" == call["end_reason"]
        assert 2.0 <= call["seconds"]
        audio = (await again.web.get(f"/api/calls/{call['id']}/audio")).content
        assert 44 + round(call["seconds"] * 8000) * 4 == len(audio)
        timeline = (await again.web.get(f"/api/calls/{call['id']}/timeline")).json()
        assert ["call_started", "call_ended"] == [timeline[0]["kind"], timeline[-1]["kind"]]


# --- several processes

several_cores = pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2, reason="needs two cores"
)


def other_process(service: Served) -> int:
    """Of two, the one that is not the service's own."""
    pid = service.process.pid
    children = [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    [found] = [each for each in children if b"crew_program" in Path(f"/proc/{each}/cmdline").read_bytes()]
    return found


async def is_gone(pid: int) -> None:
    async with asyncio.timeout(20):
        while os.path.exists(f"/proc/{pid}"):  # noqa: ASYNC110, ASYNC240 - what is waited for knows nothing of tests
            await asyncio.sleep(0.05)


@pytest.mark.slow
@several_cores
async def test_calls_of_all_processes_finish_before_it_stops_or_are_told_goodbye(tmp_path: Path) -> None:
    async with served(tmp_path, VOICEBOT_WORKERS="2") as service, AsyncExitStack() as stack:
        callers = [await stack.enter_async_context(await service.call()) for _ in range(3)]
        await asyncio.gather(*(each.hears(0.5) for each in callers))
        await service.metrics('voicebot_worker_calls_live{worker="1"} 2.0')
        other = other_process(service)
        service.process.send_signal(signal.SIGTERM)
        await service.is_told("draining")
        await callers[0].stop()
        await callers[0].is_left()
        service.process.send_signal(signal.SIGTERM)
        for each in callers[1:]:
            assert {"event": "ended", "reason": "drained"} == await each.is_told("ended")
        assert 0 == await service.ends()
    await is_gone(other)


@pytest.mark.slow
@several_cores
async def test_calls_of_other_processes_outlive_a_kill_of_the_service(tmp_path: Path) -> None:
    async with served(tmp_path, VOICEBOT_WORKERS="2") as service, await service.call() as caller:
        await caller.hears(0.5)
        other = other_process(service)
        service.process.kill()
        await caller.audio(50)
        await caller.stop()
        assert (1000, "call ended") == await caller.is_left()
    await is_gone(other)
    store = Store.at(tmp_path / "data")
    assert ["caller_hangup"] == [row.end_reason for row in store.list()]
    store.close()


# --- what is wrong is one sentence


def refusal(*words: str) -> str:
    result = CliRunner().invoke(app, ["serve", *words])
    assert isinstance(result.exception, UsageError)
    return str(result.exception)


def test_it_does_not_open_itself_to_everybody_without_a_token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("VOICEBOT_CONSOLE_TOKEN", raising=False)
    assert "VOICEBOT_CONSOLE_TOKEN" in refusal("--host", "0.0.0.0", "--data-dir", str(tmp_path))


def test_a_port_that_is_taken_is_named_before_anything_is_loaded(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"127.0.0.1 port {port}" in refusal("--port", str(port), "--data-dir", str(tmp_path / "data"))
    assert not (tmp_path / "data").exists()


def test_settings_that_cannot_be_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICEBOT_MAX_CALLS", "many")
    assert "VOICEBOT_MAX_CALLS" in refusal("--public-url", "bot.example.com")
    assert "VOICEBOT_PUBLIC_URL" in refusal("--public-url", "bot.example.com")


def test_there_are_from_one_to_as_many_processes_as_cores() -> None:
    assert "VOICEBOT_WORKERS: Input should be greater than or equal to 1" in refusal("--workers", "0")
    assert "VOICEBOT_WORKERS is 9999: it must be from 1 to " in refusal("--workers", "9999")


def test_a_folder_without_dialplans_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    said = refusal("--port", "0", "--dialplans", str(tmp_path / "empty"), "--data-dir", str(tmp_path / "data"))
    assert str(tmp_path / "empty") in said
