"""`voicebot measure understanding`: the table, the rows, and what is refused."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.peers import onnx_model
from voicebot.commands.measure import app
from voicebot.errors import UsageError

ROOT = Path(__file__).parent.parent
COFFEE = str(ROOT.parent / "dialplans" / "coffee.yaml")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one recording. The runner closes its own standard error, which no logger may keep."""
    monkeypatch.setattr("voicebot.log.configure", lambda **_: None)
    with (tmp_path / "MANIFEST.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "category", "speaker", "transcript", "labels"])
        writer.writerow([ROOT / "data/digits/five.flac", "alphanumeric_moonshine", "one", "five", ""])
    return tmp_path


def test_a_table_is_printed_and_rows_are_written(folder: Path) -> None:
    rows = folder / "rows.csv"
    arguments = ["understanding", str(folder), "--coffee", COFFEE, "--conditions", "phone", "--rows", str(rows)]
    printed = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert "100%" in printed.output
    with rows.open(newline="") as file:
        found = {row["condition"]: row for row in csv.DictReader(file)}
    assert {"phone", "phone, babble"} == set(found)
    assert ("utterances", "1", "1") == tuple(found["phone"][key] for key in ("unit", "right", "total"))


def test_an_unknown_condition_is_refused_with_those_there_are(folder: Path) -> None:
    with pytest.raises(UsageError, match="wide-band, babble"):
        CliRunner().invoke(app, ["understanding", str(folder), "--conditions", "moon"], catch_exceptions=False)


def test_echo_prints_its_table_and_what_the_figures_mean(folder: Path) -> None:
    with (folder / "MANIFEST.csv").open("a", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([ROOT / "data/coffee/iced_mocha.flac", "read_lj", "one", "", ""])
        writer.writerow([ROOT / "data/digits/nine.flac", "read_an4", "two", "", ""])
    arguments = ["echo", str(folder), "--vad", "webrtc", "--scenes", "1", "--only", "in a room"]
    printed = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert "kept back" in printed.output
    assert "CPU: of guard and gate" in printed.output


def test_ends_of_turns_are_told_beside_the_baselines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voicebot.log.configure", lambda **_: None)
    monkeypatch.setenv("COLUMNS", "140")
    with (tmp_path / "MANIFEST.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "category", "speaker", "transcript", "labels"])
        writer.writerow([ROOT / "data/coffee/iced_mocha.flac", "commands_s2i", "", "", ""])
    model = str(onnx_model.write(tmp_path / "m.onnx"))
    printed = CliRunner().invoke(
        app, ["turn-ends", str(tmp_path), "--coffee", COFFEE, "--model", model], catch_exceptions=False
    )
    for said in ("answers, all speakers", "fixed 600 ms", "webrtcvad only", "all and model"):
        assert said in printed.output


def test_a_half_of_the_speakers_that_there_is_not_is_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match="all, fit, rest"):
        CliRunner().invoke(app, ["turn-ends", str(folder), "--speakers", "some"], catch_exceptions=False)
