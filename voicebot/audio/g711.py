"""G.711, μ-law and A-law, after ITU-T G.711 (the segment rules of the G.191 software tool library).

PCM is signed 16-bit little-endian. μ-law is decoded by the standard library's `audioop`, a tenth of the time of a
table look-up in numpy; its μ-law encoder differs from the recommendation on 508 of 65,536 inputs, so ours is a table.
"""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # in the standard library below 3.13, audioop-lts above
    import audioop

ULAW_SILENCE = 0xFF
ALAW_SILENCE = 0xD5


def _ulaw_encoder() -> npt.NDArray[np.uint8]:
    linear = np.arange(65536, dtype=np.uint16).view(np.int16).astype(np.int32)
    magnitude = np.minimum((np.where(linear < 0, ~linear, linear) >> 2) + 33, 0x1FFF)
    segment = np.floor(np.log2(magnitude)).astype(np.int32) - 4  # 1..8
    low = 0xF - ((magnitude >> segment) & 0xF)
    code = ((8 - segment) << 4) | low | np.where(linear >= 0, 0x80, 0)
    table: npt.NDArray[np.uint8] = code.astype(np.uint8)
    return table


def _alaw_encoder() -> npt.NDArray[np.uint8]:
    linear = np.arange(65536, dtype=np.uint16).view(np.int16).astype(np.int32)
    magnitude = np.where(linear < 0, ~linear, linear) >> 4  # 0..2047
    exponent = np.maximum(np.floor(np.log2(np.maximum(magnitude, 1))).astype(np.int32) - 3, 0)
    shifted = magnitude >> np.maximum(exponent - 1, 0)
    code = np.where(exponent > 0, (exponent << 4) | (shifted & 0xF), magnitude)
    return ((code | np.where(linear >= 0, 0x80, 0)) ^ 0x55).astype(np.uint8)


def _alaw_decoder() -> npt.NDArray[np.int16]:
    code = np.arange(256)
    plain = code ^ 0x55
    exponent, mantissa = (plain >> 4) & 7, plain & 0xF
    magnitude = np.where(exponent > 0, ((mantissa << 4) + 0x108) << np.maximum(exponent - 1, 0), (mantissa << 4) + 8)
    return np.where(plain & 0x80, magnitude, -magnitude).astype(np.int16)


_ULAW_ENCODE = _ulaw_encoder()
_ALAW_ENCODE, _ALAW_DECODE = _alaw_encoder(), _alaw_decoder()


def ulaw_encode(pcm: bytes) -> bytes:
    """int16 LE → one μ-law byte a sample. `ValueError` for an odd number of bytes."""
    return _ULAW_ENCODE.take(np.frombuffer(pcm, "<u2")).tobytes()


def ulaw_decode(data: bytes) -> bytes:
    """μ-law → int16 LE."""
    return audioop.ulaw2lin(data, 2)


def alaw_encode(pcm: bytes) -> bytes:
    """int16 LE → one A-law byte a sample. `ValueError` for an odd number of bytes."""
    return bytes(_ALAW_ENCODE[np.frombuffer(pcm, "<u2")])


def alaw_decode(data: bytes) -> bytes:
    """A-law → int16 LE."""
    return bytes(_ALAW_DECODE[np.frombuffer(data, np.uint8)])
