"""`voicebot train bandwidth`: weights that the extension runs on, the same for the same seed."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from voicebot.audio.bandwidth import Shaped
from voicebot.audio.envelope import Weights
from voicebot.cli import app
from voicebot.errors import UsageError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Six made-up speakers, two seconds each: hisses and hums in turns. Of four in AN4's category one is fitted on."""
    monkeypatch.setattr("voicebot.log.configure", lambda **_: None)
    time_s = np.arange(32_000) / 16_000
    with (tmp_path / "MANIFEST.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "category", "speaker", "transcript", "labels", "sample_rate", "duration_s", "licence"])
        for at, category in enumerate(["read_an4"] * 4 + ["speech_made_up"] * 2):
            hiss = np.random.default_rng(at).standard_normal(len(time_s)) * 0.1
            hum = sum(np.sin(2 * np.pi * (100 + 10 * at) * n * time_s) / n for n in range(1, 30)) * 0.1
            sound = np.where(time_s * 5 % 2 < 1, hiss, hum)
            soundfile.write(tmp_path / f"{at}.wav", sound, 16_000)
            writer.writerow([f"{at}.wav", category, f"speaker {at}", "", "", 16_000, 2.0, "CC0 1.0"])
    return tmp_path


def fit(folder: Path, out: str, *more: str) -> tuple[Weights, str]:
    arguments = ["train", "bandwidth", "--data", str(folder), "--out", str(folder / out), "--hidden", "8", *more]
    printed = CliRunner().invoke(app, [*arguments, "--copies", "2", "--epochs", "20"], catch_exceptions=False)
    with np.load(folder / out) as arrays:
        return Weights.of(arrays), printed.output


def test_what_is_fitted_tells_a_hiss_from_a_hum_and_is_the_same_again(folder: Path) -> None:
    pytest.importorskip("torch")
    found, said = fit(folder, "first.npz")
    assert "of 3 voices" in said
    again, _ = fit(folder, "again.npz")
    np.testing.assert_array_equal(found.w1, again.w1)
    other, _ = fit(folder, "other.npz", "--seed", "2")
    assert (found.w1 != other.w1).any()

    chance, time_s = np.random.default_rng(9), np.arange(8000) / 8000
    hum = sum(np.sin(2 * np.pi * 115 * n * time_s) / n for n in range(1, 30))
    hiss, hum = (each / each.std() * 2000 for each in (chance.standard_normal(8000), np.asarray(hum)))
    above = []
    for sound in (hiss, hum):
        wide = Shaped(found).push(sound.astype(np.int16)).astype(float)
        power = np.abs(np.fft.rfft(wide * np.hanning(len(wide)))) ** 2
        above.append(power[len(power) * 11 // 20 :].sum() / power.sum())
    assert 3 * above[1] < above[0]


def test_without_pytorch_one_sentence_says_what_is_missing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(UsageError, match="pip install torch"):
        fit(folder, "none.npz")
