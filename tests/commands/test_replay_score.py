"""`voicebot replay score` and `open`, as they are typed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from tests.replay.made_calls import spoken
from voicebot.call.recorder import Recorder
from voicebot.cli import app
from voicebot.core.timeline import Record
from voicebot.errors import UsageError
from voicebot.replay import verdict


def record(path: Path, gap_ms: int = 500) -> Path:
    caller, bot = spoken([(3000, 4000)], 9000, 180, 1), spoken([(500, 2000), (4000 + gap_ms, 7000)], 9000, 110, 2)
    soundfile.write(path, np.stack([caller, bot], 1), 8000)
    return path


def run(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["replay", *words])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.output


def test_a_recording_is_judged_and_its_report_written(tmp_path: Path) -> None:
    code, output = run("score", str(record(tmp_path / "call.wav")), "--caller", "left", "--out", str(tmp_path / "out"))
    assert 0 == code
    judged = verdict.read((tmp_path / "out" / "call" / "report.json").read_bytes())
    assert 500 == pytest.approx(judged.metric("response_gap_p50").value, abs=10)
    assert "Response gap, median" in output
    assert "times real time" in output
    assert (tmp_path / "out" / "call" / "report.html").is_file()
    assert not (tmp_path / "out" / "suite.html").exists()


def test_definitions_are_printed_when_asked_for(tmp_path: Path) -> None:
    _, output = run("score", str(record(tmp_path / "call.wav")), "--out", str(tmp_path / "out"), "--explain")
    assert "From the end of the caller's speech" in output
    assert "there is no reference transcript" in output


def test_what_was_said_is_in_the_report_and_not_on_the_screen(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "20260101-call")
    recorder.note(Record(4300, "turn", {"turn": 1, "text": "my card is green", "start_ms": 3000, "end_ms": 4000}))
    recorder.note(Record(6000, "said", {"turn": 1, "text": "Green it is", "heard": "Green it is", "complete": True}))
    recorder.caller(spoken([(3000, 4000)], 9000, 180, 1).tobytes(), 0)
    recorder.close()
    _, output = run("score", str(tmp_path / "20260101-call"), "--out", str(tmp_path / "out"), "--explain")
    assert "green" not in output.lower()
    assert b"my card is green" in (tmp_path / "out" / "20260101-call" / "report.json").read_bytes()


def test_a_folder_gives_a_suite_and_what_cannot_be_read_is_named_on_it(tmp_path: Path) -> None:
    (tmp_path / "calls").mkdir()
    record(tmp_path / "calls" / "a.wav")
    record(tmp_path / "calls" / "b.wav", 1800)
    (tmp_path / "calls" / "c.wav").write_bytes(b"")
    code, output = run("score", str(tmp_path / "calls"), "--out", str(tmp_path / "out"))
    assert 0 == code
    assert "c.wav is empty." in output
    suite = verdict.read_suite((tmp_path / "out" / "suite.json").read_bytes())
    assert [("a", "pass"), ("b", "pass"), ("c.wav", "failed")] == [(each.name, each.outcome) for each in suite.calls]


def test_where_nothing_can_be_judged_the_exit_code_says_so(tmp_path: Path) -> None:
    (tmp_path / "c.wav").write_bytes(b"")
    assert 2 == run("score", str(tmp_path / "c.wav"), "--out", str(tmp_path / "out"))[0]


@pytest.mark.parametrize(
    ("says", "words"),
    [
        ("left, right or find", ["--caller", "middle"]),
        ("belong to one recording", ["--bot", "b.wav", "second.wav"]),
    ],
)
def test_what_cannot_be_asked_for(says: str, words: list[str], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=says):
        run("score", str(record(tmp_path / "call.wav")), *words)


def test_an_empty_folder_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no recording"):
        run("score", str(tmp_path))


@pytest.mark.slow
def test_open_serves_the_report_until_it_is_stopped(tmp_path: Path) -> None:
    run("score", str(record(tmp_path / "call.wav")), "--out", str(tmp_path / "out"))
    command = [
        sys.executable,
        "-c",
        "from voicebot.cli import main; main()",
        "replay",
        "open",
        str(tmp_path / "out" / "call"),
        "--no-browser",
    ]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    ) as server:
        try:
            assert server.stdout is not None
            address = server.stdout.readline().split(" is at ")[1].split(" ")[0]
            with httpx.Client(base_url=address, trust_env=False) as browser:
                assert "voicebot" in browser.get("report.html").text
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(10)


def test_the_schema_of_the_report_is_printed() -> None:
    code, output = run("schema")
    assert 0 == code
    assert "Verdict" in output
