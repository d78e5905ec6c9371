"""A matrix as a picture: what an attention looked at. No torch, and no library for plots."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import numpy.typing as npt

CELL = 6
"""Pixels of one number, each way."""


def png(weights: npt.NDArray[np.float32]) -> bytes:
    """Weights [rows, columns] as a grey picture: black is the largest of its row. The first row is at the top."""
    shares = weights / np.maximum(weights.max(axis=1, keepdims=True), 1e-9)
    grey = (255 * (1 - shares)).astype(np.uint8).repeat(CELL, axis=0).repeat(CELL, axis=1)
    rows = b"".join(b"\0" + row.tobytes() for row in grey)
    header = struct.pack(">IIBBBBB", grey.shape[1], grey.shape[0], 8, 0, 0, 0, 0)
    parts = (b"IHDR", header), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in parts)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
