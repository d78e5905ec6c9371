"""What the telephone costs a recogniser: who is judged, what each line brings, and the table."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.audio.test_bandwidth import voice
from tests.replay.two_digits import write_manifest
from voicebot.cli import app
from voicebot.errors import UsageError
from voicebot.replay import hearing, line_copies, listening
from voicebot.replay.hearing import PHONE, WIDE, Cell, Line, Source, won_back
from voicebot.replay.hearing_sets import Part, parts
from voicebot.replay.hearing_treatments import treatment
from voicebot.replay.spoken_tasks import Recording

DATA = Path(__file__).parent.parent / "data"
MOCHA = Recording(DATA / "coffee/iced_mocha.flac", "commands_s2i", "", "", {}, 5.0, "Apache-2.0", 16000)


def recording(name: str, category: str, speaker: str, licence: str = "CC0 1.0", rate: int = 16000) -> Recording:
    return Recording(Path(name), category, speaker, "", {}, 1.0, licence, rate)


def test_nobody_is_judged_who_was_fitted_or_chosen_by() -> None:
    an4 = [recording(f"{who}{take}", "read_an4", who, "AN4 licence") for who in "abcdefgh" for take in "12"]
    part = parts(an4)
    by_speaker = [{part[r.file] for r in an4 if r.speaker == who} for who in "abcdefgh"]
    assert {Part.FIT: 2, Part.CHOOSE: 2, Part.JUDGE: 4} == {of: by_speaker.count({of}) for of in list(Part)[:3]}


@pytest.mark.parametrize(
    ("licence", "rate", "category", "part"),
    [
        ("CC BY 4.0 (LibriSpeech)", 16000, "speech_many", Part.FIT),
        ("public domain (LJ Speech)", 22050, "read_lj", Part.FIT),
        ("CC BY-NC 4.0", 16000, "speech_many", Part.NONE),
        ("MIT (repo); origin of the clip not stated", 16000, "speech_many", Part.NONE),
        ("", 16000, "speech_many", Part.NONE),
        ("CC0 1.0", 8000, "speech_many", Part.NONE),
        ("CC0 1.0", 16000, "noise", Part.NONE),
        ("Apache-2.0", 16000, "commands_s2i", Part.JUDGE),
    ],
)
def test_only_wide_speech_that_may_be_passed_on_is_fitted_on(
    licence: str, rate: int, category: str, part: Part
) -> None:
    one = recording("one", category, "", licence, rate)
    assert part is parts([one])[one.file]


def test_a_line_is_the_same_for_the_same_number_and_as_long_as_the_other_lines() -> None:
    off = treatment("off", "pocketsphinx")
    brought = {line.name: Source([MOCHA], line, off, 8000).pcm(MOCHA, 3) for line in (PHONE, *hearing.LINES[5:])}
    assert 1 == len({len(pcm) for pcm in brought.values()})
    assert 4 == len(set(brought.values()))
    assert brought[PHONE.name] == Source([MOCHA], PHONE, off, 8000).pcm(MOCHA, 3)
    soft, plain = (np.frombuffer(brought[name], "<i2").astype(float) for name in ("μ-law, 20 dB softer", PHONE.name))
    assert 20 == pytest.approx(20 * np.log10(plain.std() / soft.std()), abs=0.3)


def test_an_engine_of_16_khz_hears_the_line_through_the_treatment() -> None:
    above = {}
    for name in ("off", "classical", "neural"):
        way = treatment(name, "whisper")
        pcm = Source([MOCHA], PHONE, way, 16000).pcm(MOCHA, 0)
        # Plain upsampling is the live path's, which gives its filter's tail, too.
        tail = {"off": 48}.get(name, 0)
        assert 2 * len(Source([MOCHA], PHONE, way, 8000).pcm(MOCHA, 0)) + tail == len(pcm)
        power = np.abs(np.fft.rfft(np.frombuffer(pcm, "<i2"))) ** 2
        above[name] = power[len(power) * 11 // 20 :].sum()
    assert 100 * above["off"] < min(above["classical"], above["neural"])


def test_losses_are_repeated_made_good_silent_or_cut_as_the_treatment_says() -> None:
    line = next(line for line in hearing.LINES if line.loss)
    heard = {
        name: Source([MOCHA], line, treatment(name, "pocketsphinx"), 8000).pcm(MOCHA, 3)
        for name in ("neural", "neural+gaps", "neural+silence", "neural+cut", "neural+gaps+level")
    }
    assert 5 == len(set(heard.values()))
    frames = {name: [pcm[at : at + 320] for at in range(0, len(pcm), 320)] for name, pcm in heard.items()}
    assert frames["neural+gaps"].count(bytes(320)) < frames["neural+silence"].count(bytes(320))
    lost = (len(heard["neural"]) - len(heard["neural+cut"])) / len(heard["neural"])
    assert 0.02 < lost < 0.1


@pytest.mark.parametrize("name", ["wide", "neural+loud", "neural+gaps+cut", "+level"])
def test_a_treatment_that_is_none_is_said_to_be_none(name: str) -> None:
    with pytest.raises(UsageError, match="is no treatment"):
        treatment(name, "pocketsphinx")


def test_shipped_is_what_a_call_does_with_that_engine() -> None:
    ours, unknown = treatment("shipped", "pocketsphinx").hears, treatment("shipped", "unheard_of").hears
    assert ("neural", True, False) == (ours.bandwidth.mode, ours.level.on, ours.noise.on)
    assert ("off", False, False) == (unknown.bandwidth.mode, unknown.level.on, unknown.noise.on)


def test_each_line_tells_which_treatments_are_tried_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voicebot.engines.denoise.check", lambda: "not installed")
    tried = {line.name: list(hearing.treatments(hearing.Plan(), line)) for line in hearing.LINES}
    assert ["as it is"] == tried["16 kHz"]
    assert ["untreated", "off", "classical", "neural", "shipped"] == tried["μ-law, street 10 dB"]
    assert "neural+level" in tried["μ-law, 20 dB softer"]
    others = hearing.treatments(hearing.Plan("whisper"), PHONE)
    assert ["untreated", "classical", "neural", "off+level", "shipped"] == list(others)


def test_what_is_won_back_is_a_share_of_what_the_line_lost() -> None:
    def cell(line: Line, treatment: str, right: int) -> Cell:
        return Cell("pocketsphinx", line.name, treatment, "orders", "judge", right, 40)

    cells = [cell(WIDE, "as it is", 37), cell(PHONE, "untreated", 25), cell(PHONE, "neural", 34)]
    assert [None, 0.0, pytest.approx(0.75)] == [won_back(cells, each) for each in cells]
    assert won_back(cells[1:], cells[-1]) is None


@pytest.mark.parametrize("seed", range(8))
def test_a_copy_lies_sample_on_sample_with_its_original(seed: int) -> None:
    t = np.arange(32000) / 16000
    wide = (0.3 * np.sin(2 * np.pi * (500 + 400 * t) * t) * (np.sin(2 * np.pi * 3 * t) > 0)).astype(np.float32)
    line, original = line_copies.copy(wide, seed)
    assert (16000, 32000) == (len(line), len(original))
    lags = [float(line[20:-20] @ original[::2][20 + lag : 15980 + lag]) for lag in range(-8, 9)]
    assert abs(int(np.argmax(lags)) - 8) <= 1
    assert np.array_equal(line, line_copies.copy(wide, seed)[0])


def test_lost_packets_leave_the_rest_in_its_place() -> None:
    pcm = voice(16000).tobytes()
    there = line_copies.lost(pcm, 0.2, np.random.default_rng(1))
    same = [pcm[at : at + 320] == there[at : at + 320] for at in range(0, len(pcm), 320)]
    assert len(pcm) == len(there)
    assert 60 < sum(same) < 95


@pytest.mark.slow
def test_the_table_the_rows_and_the_plot_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voicebot.log.configure", lambda **_: None)
    monkeypatch.setenv("COLUMNS", "160")
    write_manifest(tmp_path)
    some = ["--lines", "8 kHz", "--treatments", "untreated,neural,shipped"]
    arguments = ["measure", "hearing", str(tmp_path), *some, "--out", str(tmp_path), "--engine"]
    printed = CliRunner().invoke(
        app, [*arguments, "pocketsphinx", "--engine", "faster_whisper"], catch_exceptions=False
    )
    assert "neural" in printed.output
    assert "faster_whisper is left out" in printed.output
    with (tmp_path / "hearing.csv").open(newline="") as file:
        rows = {row["treatment"]: (row["right"], row["total"]) for row in csv.DictReader(file)}
    assert ("2", "2") == rows["neural"]
    assert ["untreated", "neural", "shipped"] == list(rows)
    assert "<svg" in (tmp_path / "hearing.svg").read_text()
    assert 8 == (tmp_path / "listening.html").read_text().count("audio/flac")


def test_both_extensions_come_nearer_to_the_recording_than_plain_interpolation() -> None:
    found = {each.mode: each.lsd_db for each in listening.distances([MOCHA])}
    assert 0 == listening.distance(*[listening.ways(MOCHA)["16 kHz"]] * 2)
    assert found["neural"] < found["off"]
