"""Keys as tones: each once, and nothing else is a key."""

from __future__ import annotations

import numpy as np
import pytest

from voicebot.audio.dtmf import HIGH, KEYS, LOW, RATE, Dtmf
from voicebot.audio.g711 import ulaw_decode, ulaw_encode


def tone(key: str, ms: int, gap_ms: int = 60, level: float = 0.2, twist_db: float = 0.0) -> bytes:
    """A key pressed, through μ-law, and silence behind it."""
    row = next(n for n, keys in enumerate(KEYS) if key in keys)
    t = np.arange(RATE * ms // 1000) / RATE
    high = np.sin(2 * np.pi * HIGH[KEYS[row].index(key)] * t) * 10 ** (twist_db / 20)
    wave = level * (np.sin(2 * np.pi * LOW[row] * t) + high)
    pcm = (np.clip(wave, -1, 1) * 32767).astype("<i2").tobytes() + bytes(RATE * gap_ms // 1000 * 2)
    return ulaw_decode(ulaw_encode(pcm))


def keys(pcm: bytes, frame: int = 320) -> str:
    ear = Dtmf()
    return "".join(key for at in range(0, len(pcm), frame) for key in ear.push(pcm[at : at + frame]))


@pytest.mark.parametrize("frame", [160, 320, 318, 960])
def test_every_key_is_heard_once_however_the_audio_is_cut(frame: int) -> None:
    every = "".join(KEYS)
    assert every == keys(bytes(800) + b"".join(tone(key, 80) for key in every), frame)


@pytest.mark.parametrize("ms", [50, 100, 1000])
def test_a_key_counts_once_however_long_it_is_pressed(ms: int) -> None:
    assert "5" == keys(tone("5", ms))


def test_the_same_key_twice_is_two_keys() -> None:
    assert "77" == keys(tone("7", 70) + tone("7", 70))


def test_a_dropout_does_not_make_two_of_one() -> None:
    assert "3" == keys(tone("3", 100, gap_ms=10) + tone("3", 100))


@pytest.mark.parametrize("twist_db", [-6, 6])
def test_one_tone_may_be_louder_than_the_other(twist_db: float) -> None:
    assert "1" == keys(tone("1", 80, level=0.1, twist_db=twist_db))


def test_soft_keys_are_heard_and_too_short_ones_are_not() -> None:
    assert "9" == keys(tone("9", 80, level=0.02))
    assert "" == keys(tone("9", 20))


def test_noise_and_single_tones_are_no_keys() -> None:
    rng = np.random.default_rng(1)
    noise = rng.normal(0, 3000, RATE * 20).clip(-32768, 32767).astype("<i2").tobytes()
    t = np.arange(RATE * 2) / RATE
    sines = b"".join((np.sin(2 * np.pi * f * t) * 8000).astype("<i2").tobytes() for f in (425, 697, 1209, 1000))
    assert "" == keys(noise + sines)
