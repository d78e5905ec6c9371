"""Soft voices up, loud ones down, others as they are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voicebot.audio.leveller import BEFORE_MS, HOLD_MS, LEARN_MS, LEAST_DBFS, MOST_DBFS, Leveller, Samples

QUIET = 2400
"""Samples of a line at rest before a voice: a call's pre-roll."""


def utterance(dbfs: float, samples: int = 8000, seed: int = 1) -> Samples:
    """A quiet line, then noise as loud as a voice, with a pause in every quarter of a second."""
    chance = np.random.default_rng(seed)
    loud = np.where(np.arange(samples) % 2000 < 1600, 10 ** (dbfs / 20) * 32768, 8)
    return np.rint(np.concatenate([chance.standard_normal(QUIET) * 8, chance.standard_normal(samples) * loud])).astype(
        np.int16
    )


def levelled(pcm: Samples, size: int = 160) -> Samples:
    leveller = Leveller()
    pieces = [leveller.push(pcm[at : at + size]) for at in range(0, len(pcm), size)]
    return np.concatenate([*pieces, leveller.flush()])


def dbfs(pcm: Samples) -> float:
    """Of the voice."""
    loud = np.concatenate([pcm[QUIET + at : QUIET + at + 1600] for at in range(0, len(pcm) - QUIET - 1600, 2000)])
    return 20 * float(np.log10(np.sqrt(np.mean(loud.astype(float) ** 2)) / 32768))


@given(cuts=st.lists(st.integers(0, 900), max_size=14), loudness=st.floats(-60, -8))
@settings(max_examples=60, deadline=None)
def test_as_many_samples_come_out_as_go_in_however_it_is_cut_and_the_same_ones(
    cuts: list[int], loudness: float
) -> None:
    pcm = utterance(loudness)[: sum(cuts)]
    leveller, at, parts = Leveller(), 0, []
    for size in cuts:
        parts.append(leveller.push(pcm[at : at + size]))
        at += size
        assert len(pcm[:at]) - sum(map(len, parts)) <= (BEFORE_MS + HOLD_MS) * 8 + 160
    parts.append(leveller.flush())
    cut = np.concatenate(parts) if parts else pcm
    assert len(pcm) == len(cut)
    np.testing.assert_array_equal(levelled(pcm), cut)


@given(before=st.integers(0, 9000), flushed=st.booleans())
@settings(max_examples=20, deadline=None)
def test_after_flush_and_after_reset_it_is_as_new(before: int, flushed: bool) -> None:
    leveller = Leveller()
    leveller.push(utterance(-50, seed=2)[:before])
    _ = leveller.flush() if flushed else leveller.reset()  # type: ignore[func-returns-value]
    pcm = utterance(-40)
    np.testing.assert_array_equal(levelled(pcm), np.concatenate([leveller.push(pcm), leveller.flush()]))


@pytest.mark.parametrize(("loudness", "wanted"), [(-55, LEAST_DBFS), (-40, LEAST_DBFS), (-12, MOST_DBFS)])
def test_a_voice_too_soft_or_too_loud_is_brought_to_the_nearer_edge(loudness: float, wanted: float) -> None:
    assert wanted == pytest.approx(dbfs(levelled(utterance(loudness))), abs=1.5)


@pytest.mark.parametrize("loudness", [-32.0, -26.0, -20.5])
def test_a_voice_between_the_edges_or_near_them_stays_as_it_is_to_the_sample(loudness: float) -> None:
    pcm = utterance(loudness)
    np.testing.assert_array_equal(pcm, levelled(pcm))


def test_once_the_voice_is_known_nothing_more_is_held_back() -> None:
    pcm, leveller = utterance(-45), Leveller()
    begun = QUIET + LEARN_MS * 8
    assert QUIET - BEFORE_MS * 8 == len(leveller.push(pcm[: begun - 160]))
    assert (BEFORE_MS + LEARN_MS) * 8 == len(leveller.push(pcm[begun - 160 : begun]))
    assert 160 == len(leveller.push(pcm[begun : begun + 160]))


def test_where_nobody_speaks_only_the_newest_waits_and_all_stays_as_it_is() -> None:
    hum = np.tile(utterance(-26)[:QUIET], 4)
    assert len(hum) - BEFORE_MS * 8 == len(Leveller().push(hum))
    np.testing.assert_array_equal(hum, levelled(hum))


def test_a_click_does_not_hold_back_what_follows_for_ever() -> None:
    hum = np.tile(utterance(-26)[:QUIET], 4)
    hum[4000:4160] = 5000
    assert len(hum) == len(Leveller().push(hum))


def test_a_voice_that_grows_much_louder_is_turned_down_again() -> None:
    soft, loud = utterance(-45), utterance(-14)[QUIET:]
    assert dbfs(np.concatenate([loud[:QUIET], levelled(np.concatenate([soft, loud]))[-len(loud) :]])) < -16


def test_nothing_is_clipped_that_was_not() -> None:
    assert np.abs(levelled(utterance(-50)).astype(int)).max() < 32767
