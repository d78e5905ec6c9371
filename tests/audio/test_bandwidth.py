"""Bandwidth extension: two samples for each, in their places, however the stream is cut."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voicebot.audio.bandwidth import Extender, Folding, Plain, Samples, Shaped
from voicebot.audio.envelope import FEATURES, HIGH_HZ, Weights, carriers
from voicebot.engines import bandwidth

WAYS: dict[str, Callable[[], Extender]] = {
    "plain": Plain,
    "classical": Folding,
    "neural": lambda: Shaped(bandwidth.weights()),
}
every_way = pytest.mark.parametrize("way", WAYS)


def voice(samples: int, seed: int = 1) -> Samples:
    """Loud and soft noise in turns, 0.1 s each: something for every branch."""
    chance = np.random.default_rng(seed)
    loud = np.where(np.arange(samples) // 800 % 2, 3000, 30)
    return (chance.standard_normal(samples) * loud).astype(np.int16)


def tone(hertz: int, loudness: float = 8000.0) -> Samples:
    return (loudness * np.sin(2 * np.pi * hertz * np.arange(8000) / 8000)).astype(np.int16)


def whole(extender: Extender, pcm: Samples) -> Samples:
    return np.concatenate([extender.push(pcm), extender.flush()])


def high_share(pcm: Samples, extender: Extender) -> float:
    """Of the power that comes out, how much lies above 4 kHz."""
    wide = whole(extender, pcm)
    power = np.abs(np.fft.rfft(wide.astype(float) * np.hanning(len(wide)))) ** 2
    return float(power[len(power) // 2 :].sum() / power.sum())


@every_way
@given(cuts=st.lists(st.integers(0, 700), max_size=12))
@settings(max_examples=60, deadline=None)
def test_two_samples_for_each_however_it_is_cut_and_the_same_ones(way: str, cuts: list[int]) -> None:
    pcm = voice(sum(cuts))
    extender, at, parts = WAYS[way](), 0, []
    for size in cuts:
        parts.append(extender.push(pcm[at : at + size]))
        at += size
        held_ms = at / 8 - sum(map(len, parts)) / 16
        assert 0 <= held_ms <= extender.delay_ms
    cut = np.concatenate([*parts, extender.flush()])
    assert 2 * len(pcm) == len(cut)
    np.testing.assert_allclose(whole(WAYS[way](), pcm), cut, atol=1)


@every_way
@given(before=st.integers(0, 900), flushed=st.booleans())
@settings(max_examples=30, deadline=None)
def test_after_flush_and_after_reset_it_is_as_new(way: str, before: int, flushed: bool) -> None:
    extender = WAYS[way]()
    extender.push(voice(before, 2))
    if flushed:
        extender.flush()
    else:
        extender.reset()
    np.testing.assert_array_equal(whole(WAYS[way](), voice(1500)), whole(extender, voice(1500)))


@every_way
def test_what_the_line_brought_stays_in_its_place(way: str) -> None:
    pcm = tone(300)
    wide = whole(WAYS[way](), pcm)
    np.testing.assert_allclose(pcm[800:-800], wide[::2][800:-800], atol=200)
    assert np.abs(wide[801:-800:2] - (8000 * np.sin(2 * np.pi * 300 * (np.arange(801, 15200, 2) / 16000)))).max() < 200


@every_way
def test_nothing_comes_of_nothing(way: str) -> None:
    assert not whole(WAYS[way](), np.zeros(3000, np.int16)).any()


def test_plain_leaves_the_band_above_empty() -> None:
    assert high_share(tone(3000), Plain()) < 0.001


def test_folding_mirrors_what_is_high_in_the_band_and_not_what_is_low() -> None:
    assert high_share(tone(3800), Folding(0.3, 0.0)) > 0.05
    assert high_share(tone(500), Folding(0.3, 0.0)) < 0.001


def test_folding_boosts_a_hiss_and_not_the_lines_own_noise() -> None:
    chance = np.random.default_rng(1)
    line = (chance.standard_normal(8000) * 100).astype(np.int16)
    hiss = np.convolve(chance.standard_normal(8002) * 4000, [0.29, -0.52, 0.23], "valid").astype(np.int16)
    assert high_share(line, Folding()) < 0.15 < high_share(hiss, Folding())


def test_the_learnt_one_gives_a_hiss_its_highs_and_a_vowel_none() -> None:
    chance = np.random.default_rng(1)
    hiss = np.convolve(chance.standard_normal(8002) * 4000, [0.29, -0.52, 0.23], "valid").astype(np.int16)
    vowel = sum(tone(120 * n, 3000 / n) for n in range(1, 20)).astype(np.int16)
    neural = WAYS["neural"]
    assert high_share(vowel, neural()) < 0.01 < 0.2 < high_share(hiss, neural())


def test_carriers_have_the_same_power_density_each_in_its_band() -> None:
    power = np.mean(carriers() ** 2, axis=0)
    np.testing.assert_allclose(np.diff(HIGH_HZ) / 8000, power, rtol=1e-3)


def test_weights_of_another_network_are_refused() -> None:
    shapes = {"w1": (FEATURES, 4), "b1": (4,), "w2": (4, 4), "b2": (4,), "w3": (4, 9), "b3": (9,)}
    arrays = {name: np.zeros(shape) for name, shape in shapes.items()}
    assert (2, 9) == Weights.of(arrays).forward(np.zeros((2, FEATURES), np.float32)).shape
    with pytest.raises(ValueError, match="missing"):
        Weights.of({name: array for name, array in arrays.items() if name != "b2"})
    with pytest.raises(ValueError, match="another network"):
        Weights.of(arrays | {"w2": np.zeros((5, 4))})
