"""Pitch, loudness and voicing, on sounds that are known and on a real voice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voicebot.audio.prosody import Frame, Intonation, Prosody
from voicebot.carriers.wavline import read

DATA = Path(__file__).parent.parent / "data"


def voice(pitches_hz: list[float], loud: float = 3000.0) -> bytes:
    """A buzz through a telephone's band: harmonics from 300 to 3400 Hz, the fundamental itself left out below."""
    hz = np.repeat(np.asarray(pitches_hz, float), 160)
    phase = 2 * np.pi * np.cumsum(hz) / 8000
    sound = sum(np.where((300 < k * hz) & (k * hz < 3400), np.sin(k * phase) / k, 0) for k in range(1, 40))
    return bytes((loud * np.asarray(sound)).astype("<i2"))


def pushed(intonation: Intonation, pcm: bytes) -> list[Frame]:
    for at in range(0, len(pcm), 320):
        intonation.push(pcm[at : at + 320])
    return list(intonation.frames)


def said(pcm: bytes) -> Prosody:
    intonation = Intonation()
    pushed(intonation, pcm)
    found = intonation.summary()
    assert found
    return found


@pytest.mark.parametrize("hz", [75, 100, 140, 200, 260, 350])
def test_a_pitch_is_found_though_the_telephone_does_not_carry_it(hz: int) -> None:
    found = [f.pitch_st for f in pushed(Intonation(), voice([hz] * 20))[4:]]
    assert [pytest.approx(12 * np.log2(hz / 65), abs=0.2)] * len(found) == found


def test_noise_and_silence_have_no_pitch() -> None:
    noise = bytes(np.random.default_rng(1).normal(0, 2000, 8000).astype("<i2"))
    intonation = Intonation()
    assert {None} == {frame.pitch_st for frame in pushed(intonation, noise + bytes(8000))}
    assert intonation.summary() is None


def test_a_fall_goes_down_and_a_rise_goes_up() -> None:
    even = [150.0] * 40
    fall = said(voice([*even, *np.linspace(150, 90, 15)]))
    rise = said(voice([*even, *np.linspace(150, 230, 15)]))
    level = said(voice(even + [150.0] * 15))
    assert fall.slope < -0.8 < -0.2 < level.slope < 0.2 < 0.8 < rise.slope
    assert fall.pitch < -0.5 < level.pitch < 0.5 < rise.pitch


def test_a_voice_that_dies_away_has_fallen_in_level() -> None:
    loud, soft = voice([150.0] * 30), voice([150.0] * 8, loud=700)
    assert 6 < said(loud + soft).fall_db < 14
    assert 1 > said(loud).fall_db


def test_a_drawn_out_sound_is_longer_than_the_speakers_others() -> None:
    syllables = (voice([150.0] * 6) + bytes(320 * 4)) * 5
    assert said(syllables + voice([150.0] * 30)).stretch > 1 > 0.5 > said(syllables).stretch


def test_a_turn_begins_anew_but_the_speaker_stays_known() -> None:
    intonation = Intonation()
    pushed(intonation, voice([200.0] * 100))
    intonation.begin()
    assert intonation.summary() is None
    pushed(intonation, voice([150.0] * 20))
    found = intonation.summary()
    assert found
    assert 340 <= found.voiced_ms <= 400
    assert found.pitch < -1.0


def test_a_real_voice_has_a_pitch_that_people_have() -> None:
    frames = pushed(Intonation(), read(DATA / "digits" / "nine.flac"))
    hz = [65 * 2 ** (f.pitch_st / 12) for f in frames if f.pitch_st is not None]
    assert len(hz) >= 8
    assert 70 < np.median(hz) < 350


@settings(max_examples=40, deadline=None)
@given(st.lists(st.binary(max_size=400), max_size=12))
def test_whatever_comes_in_the_summary_is_finite_and_bounded(frames: list[bytes]) -> None:
    intonation = Intonation()
    for pcm in frames:
        intonation.push(pcm)
    found = intonation.summary()
    if found:
        assert -4 <= found.pitch <= 4
        assert -4 <= found.slope <= 4
        assert -3 <= found.stretch <= 3
        assert 0 <= found.fall_db < 96
        assert 20 <= found.voiced_ms <= 20 * len(frames)
