"""A folder of calls against its golden runs: what became worse is named, and noise is not worse."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
import soundfile
from typer.testing import CliRunner, Result

from tests.replay.recorded_calls import NO, call, channel, noise, settings, taken, write_call
from voicebot.carriers.wavline import read
from voicebot.cli import app
from voicebot.replay import suite
from voicebot.replay.task import Task, earlier, work
from voicebot.replay.verdict import read_suite

KIOSK = """
name: shop
engines: {llm: scripted}
tools: {order: {kind: note, args: {pieces: {required: true}}}}
start: hello
nodes:
  hello:
    say: Rolls and more.
    collect:
      pieces: {type: number, required: true, ask: "How many rolls?"}
    do:
      - tool: order
        args: {pieces: "{pieces}"}
      - hang_up: Thank you. See you soon.
"""
SIX = NO.with_name("six.flac")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`calls/`, with one call in it, taken with KIOSK; the answers on its cassette."""
    monkeypatch.setenv("VOICEBOT_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("VOICEBOT_DIALPLANS", str(tmp_path / "plans"))
    recorded = call(channel(9, (2.6, read(SIX))), channel(9, (0.1, noise(1800)), (5.6, noise(1500))))
    made = taken(tmp_path, settings(tmp_path, KIOSK), recorded)
    shutil.copytree(made, tmp_path / "calls" / "monday")
    return tmp_path


def replay(folder: Path, *words: str, plan: str = KIOSK) -> Result:
    settings(folder, plan)
    command = ["replay", *words, str(folder / "calls"), "--out", str(folder / "out"), "--jobs", "1"]
    if words[0] == "rerun":
        command += ["--pace", "turns"]
    return CliRunner().invoke(app, command)


def test_what_is_as_it_was_passes_and_needs_no_work_the_second_time(folder: Path) -> None:
    accepted = replay(folder, "rerun", "--accept")
    assert 0 == accepted.exit_code
    assert "✓ monday" in accepted.output

    first = replay(folder, "rerun")
    before = (folder / "out/monday/report.json").stat().st_mtime_ns
    second = replay(folder, "rerun")

    assert (0, 0, first.output) == (first.exit_code, second.exit_code, second.output)
    assert before == (folder / "out/monday/report.json").stat().st_mtime_ns, "an earlier run is taken as it is"
    assert {"report.json", "new.wav", "timeline.jsonl"} <= {file.name for file in (folder / "out/monday").iterdir()}
    assert "pass" == read_suite((folder / "out/suite.json").read_bytes()).calls[0].outcome


@pytest.mark.parametrize(
    ("mode", "change", "named"),
    [
        ("rehear", ("start: hello", "turns: {patience_ms: 300}\nstart: hello"), "Endpoint delay, median"),
        ("rerun", ("start: hello", "turns: {patience_ms: 300}\nstart: hello"), "Endpoint delay, median"),
        ("rerun", ("type: number, required", "type: number, min: 10, required"), "Tools:"),
        (
            "rerun",
            (
                "say: Rolls and more.",
                f"say: {'We have the finest rolls in all the town, and much more than that. ' * 8}",
            ),
            "Longest monologue",
        ),
    ],
    ids=["rehear: slower", "slower", "a broken slot", "a worse prompt"],
)
def test_a_deliberate_regression_is_caught_and_named(
    folder: Path, mode: str, change: tuple[str, str], named: str
) -> None:
    assert 0 == replay(folder, mode, "--accept").exit_code
    worse = KIOSK.replace(*change)
    assert worse != KIOSK

    result = replay(folder, mode, "--junit", str(folder / "junit.xml"), plan=worse)

    assert 1 == result.exit_code, result.output
    assert f"worse: {named}" in result.output
    assert 'failures="1"' in (folder / "junit.xml").read_text()


def test_noise_alone_is_not_worse(folder: Path) -> None:
    assert 0 == replay(folder, "rerun", "--accept").exit_code

    result = replay(folder, "rerun", "--live", "--repeat", "3")

    assert 0 == result.exit_code, result.output
    assert "3 of 3 runs as good" in result.output


def test_a_recording_in_one_channel_is_heard_again_when_it_is_said_whose_it_is(folder: Path) -> None:
    shutil.rmtree(folder / "calls")
    (folder / "calls").mkdir()
    soundfile.write(folder / "calls" / "mono.wav", channel(4, (1.0, read(SIX))), 8000)

    assert 2 == replay(folder, "rehear", "--dialplan", "shop").exit_code
    assert 0 == replay(folder, "rehear", "--dialplan", "shop", "--caller", "left").exit_code
    assert b'"text":"it\'s six"' in (folder / "out/mono/call/timeline.jsonl").read_bytes()


def test_what_cannot_be_run_is_told_and_the_rest_is_run(folder: Path) -> None:
    (folder / "calls" / "broken.wav").write_bytes(b"RIFF")
    write_call(folder / "calls" / "other.wav", call(channel(3), channel(3, (0.2, noise(900)))))

    result = replay(folder, "rehear")

    assert 2 == result.exit_code
    assert {"broken": "failed", "monday": "pass", "other": "pass"} == {
        each["name"]: each["outcome"] for each in orjson.loads((folder / "out/suite.json").read_bytes())["calls"]
    }


@pytest.mark.slow
def test_a_folder_is_replayed_in_parallel_with_the_same_bytes(folder: Path) -> None:
    for day in ("tuesday", "wednesday"):
        shutil.copytree(folder / "calls" / "monday", folder / "calls" / day)
    names = ("report.json", "report.html", "timeline.jsonl", "call/timeline.jsonl", "call/turns.jsonl", "new.wav")

    def made() -> list[bytes]:
        return [(folder / "out" / day / n).read_bytes() for day in ("monday", "tuesday", "wednesday") for n in names]

    assert 0 == replay(folder, "rehear", "--fresh").exit_code
    one = made()
    assert 0 == replay(folder, "rehear", "--fresh", "--jobs", "2").exit_code
    assert one == made()


def test_no_two_recordings_have_the_same_name(tmp_path: Path) -> None:
    for name in ("a/x.wav", "b/x.wav", "b/y.wav", "b/c/x.wav"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        write_call(tmp_path / name, call(channel(1), channel(1)))

    found = suite.sources([tmp_path / "a/x.wav", tmp_path / "b/x.wav", tmp_path / "b"])

    assert ["x", "x-2", "c/x", "x-3", "y"] == [name for _, name in found]


def test_who_is_asked_live_is_asked_again_unless_the_suite_was_broken_off(folder: Path) -> None:
    task = Task(folder / "calls/monday", "rerun", folder / "out", folder / "golden", engines="live", name="monday")
    world = settings(folder, KIOSK)
    calls = [replace(each, folder="monday") for each in work(task, world)]

    assert [calls] == [[replace(each, folder="monday") for each in earlier(task, world) or ()]], "broken off"
    (folder / "out/suite.json").write_bytes(b"{}")
    assert None is earlier(task, world), "a whole suite is there"
