"""Telephones by the hundred: what each does, what is counted, and a short run of the command."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner
from websockets.asyncio.server import ServerConnection, serve

from voicebot.cli import app
from voicebot.engines import registry
from voicebot.errors import PeerError, UsageError
from voicebot.replay import load_report
from voicebot.replay.load import Step, holds
from voicebot.replay.load_figures import Figures, percentile, usage
from voicebot.replay.load_phone import LoadPhone
from voicebot.replay.load_talk import room
from voicebot.replay.telephone import Address

QUIET = room().encoded[0].decode()
SECOND = {"event": "media", "media": {"payload": QUIET * 50}}


@asynccontextmanager
async def called() -> AsyncIterator[tuple[LoadPhone, ServerConnection, Figures]]:
    """A telephone whose call is up, the service's end of it, and what is counted."""
    arrived: asyncio.Queue[ServerConnection] = asyncio.Queue()
    over = asyncio.Event()

    async def take(socket: ServerConnection) -> None:
        arrived.put_nowait(socket)
        await over.wait()

    figures = Figures()
    async with serve(take, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        phone = LoadPhone(Address(f"ws://127.0.0.1:{port}/twilio"), lambda _: QUIET, lambda: figures)
        await phone.call()
        yield phone, await arrived.get(), figures
        await phone.hang_up()
        over.set()


async def said(socket: ServerConnection, event: str) -> dict[str, object]:
    while (message := orjson.loads(await socket.recv()))["event"] != event:
        pass
    return message  # type: ignore[no-any-return]


async def test_it_says_start_and_then_a_frame_every_20_ms() -> None:
    async with called() as (_, socket, _):
        start = await said(socket, "start")
        times = [int((await said(socket, "media"))["media"]["timestamp"]) for _ in range(5)]  # type: ignore[index]
    assert "MZ" + "0" * 32 == start["streamSid"]
    assert [20, 40, 60, 80, 100] == times


async def test_a_mark_comes_back_when_its_audio_was_played_and_at_once_after_clear() -> None:
    async with called() as (phone, socket, _):
        await socket.send(json.dumps(SECOND))
        await socket.send(json.dumps({"event": "mark", "mark": {"name": "1:8000"}}))
        await asyncio.sleep(0.1)
        playing = phone.playing
        await socket.send(json.dumps({"event": "clear"}))
        mark = await said(socket, "mark")
    assert playing
    assert {"name": "1:8000"} == mark["mark"]
    assert 0 < phone.clears_s - phone.began_s < 0.9


@pytest.mark.slow
async def test_a_hole_in_a_sentence_is_an_underrun_and_a_pause_is_none() -> None:
    async with called() as (_, socket, figures):
        short = json.dumps({"event": "media", "media": {"payload": QUIET * 5}})
        await socket.send(short)
        await asyncio.sleep(0.2)
        await socket.send(short)
        await asyncio.sleep(0.7)
        await socket.send(short)
        await asyncio.sleep(0.05)
    assert 1 == figures.underruns


async def test_a_service_that_refuses_is_a_peers_error() -> None:
    async with serve(lambda _: None, "127.0.0.1", 0, process_request=lambda c, _: c.respond(503, "")) as server:  # type: ignore[arg-type, return-value]
        phone = LoadPhone(Address(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"), lambda _: "", Figures)
        with pytest.raises(PeerError, match="503"):
            await phone.call()


def test_a_percentile_is_a_value_that_was_measured() -> None:
    assert (-1, 3, 5, 9) == (
        percentile([], 0.5), percentile([9, 3, 5], 0), percentile([9, 3, 5], 0.5), percentile([9, 3, 5], 0.99)
    )  # fmt: skip


@pytest.mark.skipif(sys.platform != "linux", reason="costs are read from /proc")
def test_what_a_process_uses_is_read_with_its_descriptors() -> None:
    before = usage(os.getpid())
    with open(os.devnull), open(os.devnull):
        assert before.descriptors + 2 == usage(os.getpid()).descriptors
    assert before.rss_mb > 10


def step(calls: int, **changed: float) -> Step:
    given = dict.fromkeys(Step.__dataclass_fields__, 0) | {"calls": calls, "voice_to_voice_p95": 900} | changed
    return Step(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "worse", [{"late_p99": 21}, {"underruns": 1}, {"voice_to_voice_p95": 951}, {"unanswered": 1}], ids=str
)
def test_a_step_holds_whose_callers_are_as_well_off_as_one(worse: dict[str, float]) -> None:
    assert holds(step(100, late_p99=19, voice_to_voice_p95=949), step(1))
    assert not holds(step(100, **worse), step(1))


def test_the_picture_has_a_line_for_each_run() -> None:
    drawn = load_report.picture({"ours": [step(1), step(100, core=0.6)], "theirs": [step(1), step(8, core=0.9)]})
    assert 4 == drawn.count('stroke-width="1.5"') - 3
    assert "theirs" in drawn


def test_stub_engines_answer_to_no_dialplan_of_a_service() -> None:
    assert "stub" not in registry.names("asr") + registry.names("llm") + registry.names("tts")
    with pytest.raises(UsageError, match="no llm engine"):
        registry.load("llm", "stub")


@pytest.mark.slow
def test_a_short_load_answers_everybody(tmp_path: Path) -> None:
    out, plot = tmp_path / "load.json", tmp_path / "load.svg"
    given = ["measure", "load", "--calls", "2,4", "--seconds", "8", "--out", str(out), "--plot", str(plot)]
    assert 0 == CliRunner().invoke(app, given, catch_exceptions=False).exit_code
    first, second = json.loads(out.read_text())["voicebot"]["steps"]
    assert (2, 4) == (first["calls"], second["calls"])
    assert second["answers"] > 0
    assert 0 == second["unanswered"]
    assert plot.read_text().startswith("<svg")
