"""The streaming resampler: at once, in proportion, without images and aliases."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voicebot.audio.resample import Resampler, resample_whole

RATES = [(8000, 16000), (16000, 8000), (24000, 8000), (22050, 8000), (44100, 8000), (48000, 8000), (8000, 48000)]


def sine(rate: int, hz: float, seconds: float = 2.0, amplitude: float = 16000) -> bytes:
    t = np.arange(int(rate * seconds)) / rate
    return (amplitude * np.sin(2 * np.pi * hz * t)).astype("<i2").tobytes()


def levels(pcm: bytes, rate: int, hz: float) -> tuple[float, float]:
    """dB of the tone, and of the loudest thing that is not the tone, relative to amplitude 16000."""
    x = np.frombuffer(pcm, "<i2")[rate // 2 : rate // 2 + rate].astype(float)
    window = np.blackman(len(x))
    spectrum = np.abs(np.fft.rfft(x * window)) / (window.sum() / 2 * 16000)
    away = np.abs(np.fft.rfftfreq(len(x), 1 / rate) - hz) > 60
    return 20 * np.log10(spectrum[~away].max() + 1e-9), 20 * np.log10(spectrum[away].max() + 1e-9)


@pytest.mark.parametrize(("rate_in", "rate_out"), RATES)
def test_every_20_ms_come_out_at_once(rate_in: int, rate_out: int) -> None:
    resampler = Resampler(rate_in, rate_out)
    frame = bytes(rate_in // 50 * 2)

    assert [rate_out // 50] * 10 == [len(resampler.push(frame)) // 2 for _ in range(10)]


@pytest.mark.parametrize(("rate_in", "rate_out"), RATES)
def test_it_holds_back_less_than_three_milliseconds(rate_in: int, rate_out: int) -> None:
    assert Resampler(rate_in, rate_out).delay_ms <= 3


@pytest.mark.parametrize(("rate_in", "rate_out"), RATES)
@pytest.mark.parametrize("hz", [300, 1000, 3000])
def test_the_telephone_band_passes_and_nothing_else_appears(rate_in: int, rate_out: int, hz: int) -> None:
    resampler = Resampler(rate_in, rate_out)

    tone, other = levels(resampler.push(sine(rate_in, hz)), rate_out, hz)

    assert abs(tone) < 0.5
    assert other < -60


@pytest.mark.parametrize("rate_in", [16000, 22050, 24000, 44100, 48000])
def test_what_does_not_fit_below_4_khz_is_removed(rate_in: int) -> None:
    _, alias = levels(Resampler(rate_in, 8000).push(sine(rate_in, 4700)), 8000, 0)

    assert alias < -60


@given(st.binary(max_size=3000), st.lists(st.integers(1, 500), min_size=1, max_size=30), st.sampled_from(RATES))
@settings(max_examples=60, deadline=None)
def test_whatever_the_sizes_of_the_pushes_the_stream_is_the_same(
    pcm: bytes, sizes: list[int], rates: tuple[int, int]
) -> None:
    pcm = pcm[: len(pcm) // 2 * 2]
    whole, pieces = Resampler(*rates), Resampler(*rates)
    expected = whole.push(pcm) + whole.flush()

    got, at, turn = b"", 0, 0
    while at < len(pcm):
        size = sizes[turn % len(sizes)]
        got += pieces.push(pcm[at : at + size])
        at, turn = at + size, turn + 1

    assert expected == got + pieces.flush()


def test_the_tail_of_an_utterance_is_not_lost() -> None:
    resampler = Resampler(8000, 16000)
    click = np.zeros(160, "<i2")
    click[-1] = 20000

    resampler.push(click.tobytes())
    tail = np.frombuffer(resampler.flush(), "<i2")

    assert np.abs(tail).max() > 10000


def test_a_reset_forgets_what_was_said_before() -> None:
    resampler = Resampler(8000, 16000)
    resampler.push(sine(8000, 1000, 0.1))
    resampler.reset()

    assert bytes(640) == resampler.push(bytes(320))


def test_full_scale_is_clipped_and_never_wraps() -> None:
    square = np.where(np.arange(1600) % 16 < 8, 32767, -32768).astype("<i2")

    out = np.frombuffer(Resampler(8000, 16000).push(square.tobytes()), "<i2").astype(int)

    assert np.abs(np.diff(out[100:])).max() < 65000, "no jump from one end of the scale to the other"


def test_a_whole_recording_keeps_its_length() -> None:
    assert 8000 == len(resample_whole(sine(22050, 1000, 1.0), 22050, 8000)) // 2
