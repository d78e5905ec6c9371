"""How a turn was said, on a speaker whose pace, loudness and pitch are known."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.audio.voices import syllables
from voicebot.audio.prosody import Frame, Intonation
from voicebot.audio.tone import Tone, Tones
from voicebot.carriers.wavline import read

DATA = Path(__file__).parent.parent / "data"
SAID = DATA / "turns" / "just_in_time.flac"


class Speaker:
    """Only frames with sound are pushed, as a call does."""

    def __init__(self) -> None:
        self.tones, self._at = Tones(), 0
        self._intonation = Intonation(self.tones.push)

    def says(self, pcm: bytes) -> Tone:
        for at in range(0, len(pcm), 320):
            frame = pcm[at : at + 320]
            self._at += 160
            if any(frame):
                self._intonation.push(frame, self._at)
        self._intonation.settle()
        found = self.tones.tone()
        assert found
        self.tones.taken()
        return found


@pytest.mark.parametrize("ms", [160, 200, 250, 330])
def test_syllables_are_counted_by_the_second(ms: int) -> None:
    assert pytest.approx(1000 / ms, rel=0.12) == Speaker().says(syllables(12, ms)).rate


def test_a_first_turn_is_compared_with_nothing() -> None:
    first = Speaker().says(syllables(10, 200))
    assert (1.0, 0.0, 0.0, 0) == (first.pace, first.level_db, first.pitch_st, first.turns)


def test_pace_loudness_and_pitch_are_told_against_the_turns_before() -> None:
    speaker = Speaker()
    for _ in range(3):
        speaker.says(syllables(10, 240))
    other = speaker.says(syllables(14, 160, hz=170.0, loud=12000.0))
    assert pytest.approx(1.5, abs=0.2) == other.pace
    assert pytest.approx(6.0, abs=1.0) == other.level_db
    assert pytest.approx(12 * np.log2(170 / 120), abs=0.7) == other.pitch_st


def test_a_pause_within_a_turn_is_noticed_and_is_not_slowness() -> None:
    whole, broken = Speaker().says(syllables(10, 200)), Speaker().says(syllables(10, 200, gap_ms=600))
    assert (0, 1) == (whole.pauses, broken.pauses)
    assert pytest.approx(600, abs=100) == broken.pause_ms
    assert pytest.approx(whole.rate, rel=0.15) == broken.rate


def test_a_sound_drawn_out_is_noticed() -> None:
    n = 8 * 500
    held = np.sin(2 * np.pi * 120 * 3 * np.arange(n) / 8000) + np.sin(2 * np.pi * 120 * 4 * np.arange(n) / 8000)
    said = syllables(8, 200) + bytes((3000 * held).astype("<i2"))
    assert (0, 1) == (Speaker().says(syllables(8, 200)).drawn, Speaker().says(said).drawn)


def test_a_real_voice_that_hurries_is_heard_to_hurry() -> None:
    samples = np.frombuffer(read(SAID), "<i2").astype(float)
    rates = []
    for factor in (0.8, 1.0, 1.25):  # played faster: the pitch rises with it, which is another measure's business
        at = np.arange(0, len(samples) - 1, factor)
        faster = np.interp(at, np.arange(len(samples)), samples).astype("<i2").tobytes()
        loud = [faster[i : i + 320] for i in range(0, len(faster), 320)]
        level = np.percentile([np.abs(np.frombuffer(each, "<i2").astype(int)).max() for each in loud], 90)
        spoken = [each for each in loud if np.abs(np.frombuffer(each, "<i2").astype(int)).max() > level / 30]
        rates.append(Speaker().says(b"".join(spoken)).rate)
    assert all(slower < faster for slower, faster in pairwise(rates)), rates


def test_hardly_a_voice_tells_nothing() -> None:
    tones = Tones()
    tones.push(Frame(-20.0, 12.0), 0)
    assert tones.tone() is None
    tones.taken()
    assert tones.tone() is None


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(-96, 0), st.none() | st.floats(0, 32), st.integers(0, 3)).map(
            lambda each: (Frame(each[0], each[1]), each[2])
        ),
        max_size=120,
    )
)
def test_whatever_is_heard_the_figures_are_sane(frames: list[tuple[Frame, int]]) -> None:
    tones, at = Tones(), 0
    for turn in range(3):
        for frame, gap in frames:
            at += 160 * (1 + gap * 10)
            tones.push(frame, at)
        if (found := tones.tone()) is not None:
            assert 0 <= found.rate <= 25
            assert 0 <= found.range_st <= 32
            assert found.speech_ms == 20 * len(frames)
            assert turn == found.turns
        tones.taken()
