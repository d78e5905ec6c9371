"""The telephone's numbers: 8 kHz, 20 ms frames."""

RATE = 8000
"""Samples per second on every line."""
FRAME_MS = 20
FRAME_SAMPLES = 160
FRAME_BYTES = 320
"""Of 16-bit PCM; half as many of G.711."""
