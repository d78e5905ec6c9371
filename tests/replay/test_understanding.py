"""Measuring understanding: the sound conditions, right and wrong, and one small measurement for real."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebot.core import dialplan
from voicebot.core.dialplan import Dialplan
from voicebot.core.grammar import grammar
from voicebot.core.words import Words
from voicebot.errors import UsageError
from voicebot.replay import mixing
from voicebot.replay.spoken_tasks import (
    ONE_DIGIT,
    ONE_LETTER,
    SPELLED_AND_NUMBERS,
    CoffeeScore,
    Recording,
    by_word,
    edits,
    recordings,
)
from voicebot.replay.understanding import CONDITIONS, measure

ROOT = Path(__file__).parent.parent
DATA = ROOT / "data"


@pytest.fixture(scope="module")
def coffee() -> Dialplan:
    file = ROOT.parent / "dialplans" / "coffee.yaml"
    return dialplan.parse(file.read_text("utf-8"), str(file))


# --- sound ---------------------------------------------------------------------------------------------------


def tone(hertz: int, seconds: float, loudness: float = 0.3) -> mixing.Sound:
    at = np.arange(int(8000 * seconds)) / 8000
    return (loudness * np.sin(2 * np.pi * hertz * at)).astype(np.float32)


@pytest.mark.parametrize("snr_db", [0.0, 10.0, 20.0])
def test_babble_is_as_far_below_the_speech_as_asked(snr_db: float) -> None:
    speech = np.concatenate([tone(400, 1), np.zeros(8000, np.float32)])
    noise = mixing.babble(speech, [tone(700, 0.7, 0.9), tone(900, 1.3, 0.01)], snr_db, 8000, seed=3) - speech
    ratio = np.mean(speech[:8000] ** 2) / np.mean(noise**2)
    assert abs(snr_db - 10 * np.log10(ratio)) < 0.3


def test_the_same_seed_mixes_the_same_babble() -> None:
    first, again, other = (mixing.babble(tone(400, 1), [tone(700, 0.7)], 10, 8000, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_quiet_line_is_put_around_a_recording() -> None:
    sound = mixing.edged(tone(400, 1), 8000, seed=1)
    assert 8000 + 2 * 2400 == len(sound)
    assert 0 < np.abs(sound[:2400]).max() < 0.002


def test_a_telephone_makes_int16_of_the_same_length_with_the_steps_of_ulaw() -> None:
    pcm = np.frombuffer(mixing.telephone(tone(400, 1)), "<i2")
    assert 8000 == len(pcm)
    assert len(set(pcm.tolist())) <= 256


def test_a_file_that_is_no_recording_is_refused_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "x.wav").write_text("no sound")
    with pytest.raises(UsageError, match="cannot be read as a recording"):
        mixing.read(tmp_path / "x.wav", 8000)


# --- right and wrong -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "heard", "count"), [("a b c", "a b c", 0), ("a b c", "a c", 1), ("a", "x y", 2), ("", "a b", 2)]
)
def test_edits_counts_substitutions_insertions_and_deletions(wanted: str, heard: str, count: int) -> None:
    assert count == edits(wanted.split(), heard.split())


_words = st.lists(st.sampled_from("abc"), max_size=7)


@given(_words, _words)
def test_edits_is_a_distance(one: list[str], two: list[str]) -> None:
    assert edits(one, two) == edits(two, one)
    assert (edits(one, two) == 0) == (one == two)
    assert abs(len(one) - len(two)) <= edits(one, two) <= max(len(one), len(two))


def test_more_wrong_words_than_words_count_as_none_right() -> None:
    wanted = Recording(Path(), "read_an4", "", "yes", {})
    assert {"words": (0, 1), "sentences": (0, 1)} == by_word(wanted, Words("no no no", True))


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("i'd like an iced mocha with a bit of sugar please", {"orders": (1, 1), "orders, amounts too": (1, 1)}),
        ("iced mocha with some sugar", {"orders": (1, 1), "orders, amounts too": (0, 1)}),
        ("a large iced mocha with a bit of sugar", {"orders": (0, 1), "slots invented": (1, 3)}),
        ("mocha with a bit of sugar", {"orders": (0, 1), "slots": (1, 2)}),
    ],
)
def test_an_order_is_right_when_all_that_was_said_was_understood_and_nothing_else(
    coffee: Dialplan, text: str, right: dict[str, tuple[int, int]]
) -> None:
    labels = {"slots": {"coffeeDrink": "iced mocha", "sugarAmount": "a bit of sugar"}}
    score = CoffeeScore(coffee)(Recording(Path(), "commands_s2i", "", "", labels), Words(text, True))
    assert right == {unit: score[unit] for unit in right}


@pytest.mark.parametrize("expectation", [ONE_DIGIT, ONE_LETTER, SPELLED_AND_NUMBERS])
def test_what_may_be_said_can_be_read(expectation: object) -> None:
    assert grammar(expectation).phrases  # type: ignore[arg-type]


# --- a measurement --------------------------------------------------------------------------------------------


def test_a_folder_without_a_manifest_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"MANIFEST.csv cannot be read"):
        recordings(tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_real_recordings_are_measured_through_a_telephone(tmp_path: Path, coffee: Dialplan) -> None:
    order = json.dumps({"slots": {"coffeeDrink": "iced mocha", "sugarAmount": "a bit of sugar"}})
    with (tmp_path / "MANIFEST.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "category", "speaker", "transcript", "labels"])
        writer.writerow([DATA / "coffee/iced_mocha.flac", "commands_s2i", "", "", order])
        for digit in ("two", "five", "nine"):
            writer.writerow([DATA / f"digits/{digit}.flac", "alphanumeric_moonshine", "one", digit, ""])
    rows = await measure(tmp_path, coffee, conditions=CONDITIONS[:1])
    found = {(row.task, row.unit): (row.right, row.total) for row in rows}
    assert (1, 1) == found["coffee orders", "orders"]
    assert (3, 3) == found["single digits (moonshine)", "utterances"]
