"""Calls judged as they end."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from prometheus_client import generate_latest
from typer.testing import CliRunner

from tests.replay.recorded_calls import settings, taken
from voicebot.cli import app
from voicebot.core.timeline import Record
from voicebot.replay.verdict import read
from voicebot.replay.watch import LOST_S, Figures, Watch


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a call that went well."""
    folder = tmp_path_factory.mktemp("watch")
    return taken(folder, settings(folder))


def place(finished: Path, calls: Path, name: str, *, ended: bool = True, dead_air_s: int = 0) -> Path:
    """A call's folder among `calls`; it is silent for so long at its end."""
    folder = calls / name
    shutil.copytree(finished, folder)
    timeline = folder / "timeline.jsonl"
    if not ended:
        timeline.write_bytes(b"\n".join(timeline.read_bytes().splitlines()[:-1]) + b"\n")
    if dead_air_s:
        pcm = (folder / "audio.wav").read_bytes()
        from voicebot.call.recorder import HEADER, header

        cut = pcm[HEADER:][: 8000 * 4 * 6]
        sound = cut + bytes(8000 * 4 * dead_air_s) + pcm[HEADER:][8000 * 4 * 6 :]
        (folder / "audio.wav").write_bytes(header(len(sound)) + sound)
    return folder


def told(figures: Figures) -> str:
    return generate_latest(figures.registry).decode()


def test_a_call_is_judged_when_it_has_ended_and_once(tmp_path: Path, finished: Path) -> None:
    figures = Figures()
    watch = Watch(tmp_path, figures)
    folder = place(finished, tmp_path, "20260101-a", ended=False)
    assert [] == list(watch.look())

    with (folder / "timeline.jsonl").open("ab") as timeline:
        timeline.write(Record(12400, "call_ended", {"reason": "bot_hangup", "seconds": 12.4}).encode())
    (verdict,) = watch.look()
    assert [] == list(watch.look())

    assert "20260101-a" == verdict.name
    assert verdict == read((folder / "report" / "report.json").read_bytes())
    assert "voicebot_calls_scored_total 1.0" in told(figures)


def test_what_went_wrong_in_it_is_an_alarm(tmp_path: Path, finished: Path) -> None:
    figures = Figures()
    watch = Watch(tmp_path, figures)
    place(finished, tmp_path, "20260101-a", dead_air_s=10)

    assert 1 == len(list(watch.look()))

    assert 'voicebot_call_alarms_total{metric="dead_air_longest"} 1.0' in told(figures)
    assert "voicebot_last_call_alarms 0.0" not in told(figures)


def test_calls_that_had_ended_before_are_left_alone_unless_they_are_wanted(tmp_path: Path, finished: Path) -> None:
    place(finished, tmp_path, "20260101-a")

    assert [] == list(Watch(tmp_path, Figures()).look())
    assert ["20260101-a"] == [verdict.name for verdict in Watch(tmp_path, Figures(), old=True).look()]
    assert [] == list(Watch(tmp_path, Figures(), old=True).look()), "its report is there"


def test_a_call_that_was_lost_in_its_middle_is_judged_after_an_hour(tmp_path: Path, finished: Path) -> None:
    folder = place(finished, tmp_path, "20260101-a", ended=False)
    now_s = (folder / "timeline.jsonl").stat().st_mtime + LOST_S - 1
    watch = Watch(tmp_path, Figures(), old=True, now_s=lambda: now_s)
    assert [] == list(watch.look())

    now_s += 2
    assert 1 == len(list(watch.look()))


def test_a_call_that_cannot_be_judged_is_counted_and_the_next_one_is_judged(tmp_path: Path, finished: Path) -> None:
    figures = Figures()
    watch = Watch(tmp_path, figures)
    (place(finished, tmp_path, "20260101-a") / "audio.wav").write_bytes(b"RIFF")
    place(finished, tmp_path, "20260101-b")

    assert ["20260101-b"] == [verdict.name for verdict in watch.look()]
    assert [] == list(watch.look())
    assert "voicebot_calls_not_scored_total 1.0" in told(figures)


def test_one_look_from_the_command_line_tells_by_its_exit_code(
    tmp_path: Path, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOICEBOT_DATA_DIR", str(tmp_path))
    monkeypatch.setattr("os.nice", lambda _: 0)
    assert 0 == CliRunner().invoke(app, ["replay", "watch", "--once"]).exit_code, "no calls yet"
    place(finished, tmp_path / "calls", "20260101-a", dead_air_s=10)

    result = CliRunner().invoke(app, ["replay", "watch", "--once"])

    assert 1 == result.exit_code
    assert "✗ 20260101-a" in result.output
    assert "Dead air, longest" in result.output
