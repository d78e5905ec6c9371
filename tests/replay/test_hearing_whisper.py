"""The hearing bench with Whisper by a path, on checkpoints of random weights: that the harness loads and asks them, not
what they understand."""

from __future__ import annotations

import csv
from pathlib import Path
from types import ModuleType

import pytest
from typer.testing import CliRunner

from tests.engines import tiny_whisper
from tests.engines.test_asr_whisper import HEAVY
from tests.replay.two_digits import write_manifest
from voicebot.cli import app
from voicebot.engines import asr_whisper


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_manifest(tmp_path)
    return tmp_path


@pytest.fixture
def measured(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The command's arguments, up to the engine."""
    monkeypatch.setattr("voicebot.log.configure", lambda **_: None)
    monkeypatch.setenv("COLUMNS", "160")
    treatments = "untreated,neural+level"
    return ["measure", "hearing", str(folder), "--lines", "kHz", "--treatments", treatments, "--out", str(folder)]


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("engine", HEAVY)
def test_a_model_by_its_path_is_loaded_and_asked_on_every_line(
    engine: ModuleType, folder: Path, measured: list[str]
) -> None:
    if engine is asr_whisper:
        name, model = "whisper", folder / "tiny.pt"
        tiny_whisper.openai_whisper(model)
    else:
        name, model = "faster-whisper", folder / "tiny"
        tiny_whisper.faster_whisper(model, folder / "work")
    printed = CliRunner().invoke(app, [*measured, "--engine", name, "--model", str(model)], catch_exceptions=False)
    assert "is left out" not in printed.output
    with (folder / "hearing.csv").open(newline="") as file:
        rows = [(row["engine"], row["line"], row["treatment"], row["total"]) for row in csv.DictReader(file)]
    own = name.replace("-", "_")
    phone = [(own, "8 kHz μ-law", treatment, "2") for treatment in ("untreated", "neural+level")]
    assert [(own, "16 kHz", "as it is", "2"), *phone] == [row for row in rows if "babble" not in row[1]]


@pytest.mark.parametrize("name", ["whisper", "faster-whisper"])
def test_without_library_or_weights_it_says_so_and_goes_on(name: str, measured: list[str]) -> None:
    printed = CliRunner().invoke(app, [*measured, "--engine", name, "--model", "small"], catch_exceptions=False)
    assert 0 == printed.exit_code
    assert f"{name.replace('-', '_')} is left out" in printed.output
