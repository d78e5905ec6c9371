"""G.711 against the standard's own formula, and against the standard library where that is right."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebot.audio.g711 import ULAW_SILENCE, alaw_decode, alaw_encode, ulaw_decode, ulaw_encode

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import audioop

EVERY_SAMPLE = np.arange(-32768, 32768).astype("<i2").tobytes()
EVERY_CODE = bytes(range(256))


def itu_ulaw(sample: int) -> int:
    """μ-law of one 16-bit sample, step by step after ITU-T G.711: 14 bits, bias 33, eight segments."""
    magnitude = min(((~sample if sample < 0 else sample) >> 2) + 33, 0x1FFF)
    segment = magnitude.bit_length() - 5
    code = ((8 - segment) << 4) | (0xF - ((magnitude >> segment) & 0xF))
    return code | 0x80 if sample >= 0 else code


def test_every_sample_is_encoded_as_the_standard_says() -> None:
    assert bytes(itu_ulaw(s) for s in range(-32768, 32768)) == ulaw_encode(EVERY_SAMPLE)


def test_the_standard_library_differs_where_it_is_known_to() -> None:
    differing = sum(a != b for a, b in zip(ulaw_encode(EVERY_SAMPLE), audioop.lin2ulaw(EVERY_SAMPLE, 2), strict=True))

    assert 508 == differing


def test_alaw_and_both_decoders_agree_with_the_standard_library() -> None:
    assert audioop.lin2alaw(EVERY_SAMPLE, 2) == alaw_encode(EVERY_SAMPLE)
    assert audioop.ulaw2lin(EVERY_CODE, 2) == ulaw_decode(EVERY_CODE)
    assert audioop.alaw2lin(EVERY_CODE, 2) == alaw_decode(EVERY_CODE)


@pytest.mark.parametrize(("encode", "decode"), [(ulaw_encode, ulaw_decode), (alaw_encode, alaw_decode)])
def test_what_was_decoded_encodes_to_itself(encode, decode) -> None:  # type: ignore[no-untyped-def]
    once = decode(EVERY_CODE)

    assert once == decode(encode(once))


def test_silence_is_silence() -> None:
    assert bytes([ULAW_SILENCE]) * 160 == ulaw_encode(bytes(320))
    assert bytes(320) == ulaw_decode(bytes([ULAW_SILENCE]) * 160)


@given(st.lists(st.integers(-32768, 32767), max_size=200))
def test_the_error_is_within_half_a_step(samples: list[int]) -> None:
    pcm = np.array(samples, "<i2")
    back = np.frombuffer(ulaw_decode(ulaw_encode(pcm.tobytes())), "<i2")

    error = np.abs(back.astype(int) - pcm)
    assert np.all(error <= np.maximum(np.abs(pcm.astype(int)) / 16, 8) + 650 * (np.abs(pcm.astype(int)) > 32100))


def test_half_a_sample_is_refused() -> None:
    with pytest.raises(ValueError):
        ulaw_encode(b"\0\0\0")
