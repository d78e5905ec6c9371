"""Machines that call a number by mistake."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from voicebot.audio.fax import FaxTones
from voicebot.audio.g711 import ulaw_decode, ulaw_encode
from voicebot.carriers.wavline import read

VOICES = sorted((Path(__file__).parents[1] / "data" / "coffee").glob("*.flac"))


def tone(hz: float, ms: int, dbfs: float = -20) -> bytes:
    t = np.arange(8 * ms) / 8000
    wave = 32768 * 2**0.5 * 10 ** (dbfs / 20) * np.sin(2 * np.pi * hz * t)
    wave += np.random.default_rng(1).normal(0, 20, len(t))
    return ulaw_decode(ulaw_encode(wave.clip(-32768, 32767).astype("<i2").tobytes()))


def found_ms(pcm: bytes) -> int | None:
    """When a machine was found."""
    tones = FaxTones()
    for at in range(0, len(pcm) - 319, 320):
        if tones.push(pcm[at : at + 320]):
            return (at + 320) // 16
    return None


CALLING = tone(1100, 500) + bytes(16 * 3000)


def test_a_calling_fax_is_known_by_its_second_tone() -> None:
    assert 3500 < (found_ms(CALLING * 3) or 0) <= 4000


def test_an_answering_fax_is_known_by_its_long_one() -> None:
    assert 1000 <= (found_ms(bytes(8000) + tone(2100, 3000)) or 0) <= 1600


def test_a_tone_off_by_what_the_recommendation_allows_is_one_still() -> None:
    assert found_ms(tone(2115, 3000)) is not None
    assert found_ms((tone(1138, 500) + bytes(16 * 3000)) * 3) is not None


@pytest.mark.parametrize(
    "pcm",
    [bytes(160_000), CALLING, tone(440, 5000), tone(1100, 120) * 3, tone(2100, 900), tone(2100, 3000, -60)],
    ids=["silence", "one whistle", "ring back", "short whistles", "a beep", "far away"],
)
def test_what_is_none(pcm: bytes) -> None:
    assert found_ms(pcm) is None


@pytest.mark.parametrize("file", VOICES, ids=lambda file: file.stem)
def test_people_are_none(file: Path) -> None:
    assert found_ms(read(file)) is None
