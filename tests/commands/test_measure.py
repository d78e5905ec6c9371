"""`voicebot measure understanding`: the table, the rows, and what is refused."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from typer.testing import CliRunner

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
