"""Noise suppression as a stage in front of a recogniser."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voicebot.engines import denoise
from voicebot.engines.denoise import Denoiser
from voicebot.errors import UsageError

needs_package = pytest.mark.skipif(denoise.check() is not None, reason=str(denoise.check()))


def line(samples: int, noise: float = 300.0) -> np.ndarray:
    """A tone that comes and goes, in noise."""
    at = np.arange(samples)
    tone = 6000 * np.sin(2 * np.pi * 440 * at / 8000) * (at % 8000 > 5000)
    return np.rint(tone + np.random.default_rng(1).standard_normal(samples) * noise).astype("<i2")


def cleaned(pcm: np.ndarray, size: int = 160) -> np.ndarray:
    stream = Denoiser()
    out = b"".join(stream.push(pcm[at : at + size].tobytes()) for at in range(0, len(pcm), size))
    return np.frombuffer(out + stream.flush(), "<i2")


@needs_package
@given(cuts=st.lists(st.integers(0, 500), max_size=10))
@settings(max_examples=25, deadline=None)
def test_as_many_samples_come_out_as_go_in_however_it_is_cut_and_the_same_ones(cuts: list[int]) -> None:
    pcm = line(sum(cuts))
    stream, at, out = Denoiser(), 0, b""
    for size in cuts:
        out += stream.push(pcm[at : at + size].tobytes())
        at += size
        assert at - len(out) // 2 <= 19 * 8
    out += stream.flush()
    np.testing.assert_array_equal(cleaned(pcm), np.frombuffer(out, "<i2"))
    assert len(pcm) == len(out) // 2


@needs_package
def test_after_a_flush_it_is_as_new() -> None:
    stream, pcm = Denoiser(), line(1600)
    once = stream.push(pcm.tobytes()) + stream.flush()
    assert once == stream.push(pcm.tobytes()) + stream.flush()


@needs_package
def test_noise_is_softer_and_what_stands_out_of_it_stays_in_its_place() -> None:
    pcm = line(24000)
    there = cleaned(pcm)
    assert there[17000:20500].std() < 0.5 * pcm[17000:20500].std()
    tone, was = there[21500:23500].astype(float), pcm[21500:23500].astype(float)
    assert tone.std() > 0.7 * was.std()
    lags = [float(was[100:-100] @ tone[100 + lag : len(tone) - 100 + lag]) for lag in range(-8, 9)]
    assert abs(int(np.argmax(lags)) - 8) <= 1


def test_without_the_package_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'voicebot\[noise\]'"):
        Denoiser()
