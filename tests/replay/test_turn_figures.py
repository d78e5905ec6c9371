"""What is found in what the telephone heard: where the bot stopped, whether it went on, what was lost or said twice."""

from __future__ import annotations

import numpy as np
import pytest

from voicebot.audio.g711 import ulaw_decode, ulaw_encode
from voicebot.replay.handset import SILENCE, Handset
from voicebot.replay.turn_figures import (
    HeardText,
    Outcome,
    Verdict,
    heard_text,
    judge,
    longest_silence_ms,
    placed,
)

_chance = np.random.default_rng(1)
SENTENCE = ulaw_encode(_chance.normal(0, 3000, 8000 * 4).astype("<i2").tobytes())
"""Four seconds in which every stretch is unlike every other."""
OTHER = ulaw_encode(_chance.normal(0, 3000, 8000).astype("<i2").tobytes())


def call(*parts: bytes | int, seconds: float = 6.0) -> tuple[Handset, list[float]]:
    """A handset that played these one after the other: μ-law, or ms of silence after a `clear`."""
    handset, clears = Handset(), list[float]()
    for part in parts:
        if isinstance(part, bytes):
            handset.media(part)
            while handset.waiting_ms:
                handset.tick()
        else:
            clears.append(len(handset.heard) / 8)
            handset.clear()
            for _ in range(part // 20):
                handset.tick()
    while len(handset.heard) < seconds * 8000:
        handset.tick()
    return handset, clears


def verdict(*parts: bytes | int, onset_ms: float = 1000, seconds: float = 6.0) -> Verdict:
    handset, clears = call(*parts, seconds=seconds)
    return judge(handset.heard, placed(handset.heard, handset.runs, SENTENCE), SENTENCE, onset_ms, clears)


def test_a_bot_that_never_stops_goes_on() -> None:
    found = verdict(SENTENCE)
    assert (Outcome.WENT_ON, None, None, ()) == (found.outcome, found.hold_ms, found.silence_ms, found.holes_ms)
    assert len(SENTENCE) == found.heard


def test_a_call_that_ends_while_the_bot_speaks_is_no_stop() -> None:
    assert Outcome.WENT_ON == verdict(SENTENCE[:16000], seconds=2.0).outcome


def test_a_bot_that_stops_for_good_has_yielded() -> None:
    found = verdict(SENTENCE[: 8 * 1200], 2000)
    assert (Outcome.YIELDED, 200.0, 200.0) == (found.outcome, found.hold_ms, found.silence_ms)
    assert 8 * 1200 == found.heard


def test_a_bot_that_stops_and_says_something_else_has_yielded() -> None:
    assert Outcome.YIELDED == verdict(SENTENCE[: 8 * 1200], 400, OTHER).outcome


def test_a_bot_that_says_its_sentence_again_from_the_start_has_yielded() -> None:
    found = verdict(SENTENCE[: 8 * 1200], 400, SENTENCE, seconds=8)
    assert (Outcome.YIELDED, 200.0) == (found.outcome, found.silence_ms)


def test_what_begins_far_ahead_is_something_else_that_sounds_alike() -> None:
    assert Outcome.YIELDED == verdict(SENTENCE[:8000], 400, SENTENCE[8000 + 8 * 2500 :]).outcome


@pytest.mark.parametrize("jump_ms", [0, -80, 60])
def test_a_bot_that_goes_on_has_resumed_and_what_it_missed_or_repeated_is_found(jump_ms: int) -> None:
    found = verdict(SENTENCE[: 8 * 1200], 400, SENTENCE[8 * (1200 + jump_ms) :])
    assert (Outcome.RESUMED, 200.0) == (found.outcome, found.silence_ms)
    assert ((400.0,), (float(jump_ms),)) == (found.holes_ms, found.jumps_ms)


def test_a_sentence_that_goes_on_more_quietly_or_from_a_fade_is_still_known() -> None:
    rest = np.frombuffer(ulaw_decode(SENTENCE[8 * 1200 :]), "<i2").astype(np.float64)
    rest[:160] *= np.linspace(0, 1, 160)
    found = verdict(SENTENCE[: 8 * 1200], 400, ulaw_encode((rest * 0.5).astype("<i2").tobytes()))
    assert (Outcome.RESUMED, (0.0,)) == (found.outcome, found.jumps_ms)


def test_a_hole_without_clear_is_late_audio_and_no_stop() -> None:
    handset = Handset()
    for part in (SENTENCE[: 8 * 1200], SENTENCE[8 * 1200 :]):
        handset.media(part)
        while handset.waiting_ms:
            handset.tick()
        for _ in range(10):
            handset.tick()
    found = judge(handset.heard, placed(handset.heard, handset.runs, SENTENCE), SENTENCE, 1000, [])
    assert (Outcome.WENT_ON, 1, ()) == (found.outcome, found.stutters, found.jumps_ms)


def test_mutual_silence_is_what_neither_side_filled() -> None:
    loud = OTHER[:800]
    said = loud + SILENCE * 50 + loud + SILENCE * 40
    heard = SILENCE * 30 + loud + SILENCE * 70
    assert pytest.approx(800, abs=10) == longest_silence_ms(said[: len(heard)], heard[: len(said)])


WORDS = [(0, "one "), (1000, "two "), (2000, "three "), (3000, "four ")]


@pytest.mark.parametrize(
    ("committed", "samples", "expected"),
    [
        ("", 900, HeardText(0, 0.0)),
        ("one two", 2500, HeardText(0, 0.0)),
        ("one two three four", 4000, HeardText(0, 0.0)),
        ("one two three", 2200, HeardText(1, 100.0)),
        ("one", 2800, HeardText(-1, 100.0)),
    ],
)
def test_committed_words_are_held_against_what_was_played(committed: str, samples: int, expected: HeardText) -> None:
    assert expected == heard_text(committed, WORDS, samples, 4000)
