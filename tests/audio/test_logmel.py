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
    (1000, 10, 797): 0.97002,
    (1000, 40, 798): 0.19537,
    (1000, 79, 650): 0.19537,
    (48000, 0, 799): 0.48741,
    (48000, 10, 797): -0.14477,
    (48000, 40, 760): 0.71769,
    (48000, 79, 650): -0.14477,
    (128000, 0, 799): -0.07144,
    (128000, 10, 797): -0.24820,
    (128000, 40, 760): -0.24820,
    (128000, 79, 650): -0.24820,
    (200000, 0, 799): -0.33198,
    (200000, 10, 797): -0.33198,
    (200000, 40, 760): -0.33198,
    (200000, 79, 650): -0.33198,
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
