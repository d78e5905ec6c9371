"""Whisper's features. The reference values were made with transformers 5.24's `WhisperFeatureExtractor(chunk_length=8)`
with `do_normalize=True`, zeros in front."""

from __future__ import annotations

import numpy as np
import pytest

from voicebot.audio.logmel import log_mel


def chirp(samples: int) -> np.ndarray:
    t = np.arange(samples) / 16000
    return (0.3 * np.sin(2 * np.pi * (200 * t + 300 * t * t)) * (1 + np.sin(9 * t))).astype(np.float32)


REFERENCE = {
    (1000, 0, 799): 1.26287,
    (1000, 5, 798): 2.18345,
    (1000, 6, 798): 2.12671,
    (1000, 5, 796): 2.14549,
    (1000, 6, 796): 2.04701,
    (1000, 0, 400): 0.25635,
    (1000, 1, 400): 0.19537,
    (48000, 0, 799): 0.48741,
    (48000, 44, 797): 1.80517,
    (48000, 45, 797): 1.36343,
    (48000, 35, 700): 1.36799,
    (48000, 36, 700): 1.13001,
    (48000, 11, 540): 1.59240,
    (48000, 12, 540): 1.44746,
    (128000, 0, 799): -0.07144,
    (128000, 68, 797): 1.54316,
    (128000, 69, 797): 0.59020,
    (128000, 64, 700): 1.48892,
    (128000, 65, 700): 1.45365,
    (128000, 58, 540): 0.40645,
    (128000, 59, 540): 0.14694,
    (200000, 0, 799): -0.33198,
    (200000, 79, 797): 1.14031,
    (200000, 77, 700): 1.49067,
    (200000, 78, 700): 0.83814,
    (200000, 73, 540): 1.61305,
    (200000, 74, 540): 1.38323,
}
"""(samples, band, column): value."""


@pytest.mark.parametrize("samples", [1000, 48_000, 128_000, 200_000])
def test_features_are_whispers(samples: int) -> None:
    found = log_mel(chirp(samples))
    wanted = {key: value for key, value in REFERENCE.items() if key[0] == samples}
    assert (80, 800) == found.shape
    assert np.float32 == found.dtype
    assert wanted == {key: pytest.approx(float(found[key[1], key[2]]), abs=1e-4) for key in wanted}


def test_only_the_last_eight_seconds_count_and_not_how_loud_they_are() -> None:
    sound = chirp(200_000)
    np.testing.assert_array_equal(log_mel(sound), log_mel(sound[-128_000:]))
    np.testing.assert_allclose(log_mel(sound), log_mel(sound * 100), atol=1e-3)


def test_silence_and_nothing_are_finite() -> None:
    assert np.isfinite(log_mel(np.zeros(1000, np.float32))).all()
    assert np.isfinite(log_mel(np.zeros(0, np.float32))).all()
