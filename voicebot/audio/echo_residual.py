"""How much of what is heard an echo path explains, in bands.

A residual is not only what the path has not cancelled: up to a share of the power that it expects, it may be echo all
the same, whatever its phase. That holds for a loudspeaker that clips, a delay that drifts and a room that changes.
"""

from __future__ import annotations

from math import log10

import numpy as np

from voicebot.audio.echo_delay import Sound
from voicebot.audio.echo_path import EchoPath, Power, Spectra, moved_on, spectra
from voicebot.audio.frames import FRAME_SAMPLES

ALLOWED = np.float32(0.5)
"""Share of the expected echo's power that may be left in a band, whatever its phase."""
NOISE_ALLOWED = np.float32(3.0)
REVERBERATES = np.float32(0.6)
"""Of the power expected in a frame, this much may still sound in the next: 0.5 s of reverberation."""
NOISE_RISES = np.float32(10**0.006)
MEMORY = 0.6
"""Weight of the frames before this one in what is judged; 50 ms."""
USUAL = 0.1
"""Share that a new path is taken to leave."""
EDGES = np.array([8, 12, 16, 20, 24, 28, 32, 36, 42, 48, 54, 60, 68, 76, 86, 96, 106, 118, 130, 142])
"""Bands, as bins of 25 Hz: 200 Hz to 3.5 kHz."""


def bands(power: Power) -> Power:
    """Of a frame's bins, summed in bands."""
    out: Power = np.add.reduceat(power[: EDGES[-1] + 8], EDGES)[:-1]
    return out


def power_of(spectrum: Spectra) -> Power:
    """Squared magnitudes."""
    out: Power = spectrum.real**2 + spectrum.imag**2
    return out


class Residual:
    """An echo path at a delay, in samples, and how much of what was heard lately it leaves."""

    def __init__(self, delay: int, path: EchoPath) -> None:
        self.delay, self.path = delay, path
        self._left = self._all = 0.0
        self.frames = 0
        self.usual = USUAL
        """Share of power that it leaves of our echo, in most frames."""
        self.uncancelled = 0.0
        """Share of power that the path could not cancel, over half a second."""
        self._echo = self._sent = 1e-9
        self._expected: Power = np.zeros(len(EDGES) - 1, np.float32)
        self._far: Spectra | None = None
        self._at = 0

    def hear(self, sent: Sound, at: int, near: Sound, near_bands: Power, noise: Power) -> None:
        """One frame at `at`; `sent` as `spectra` wants it."""
        before = self._far if at == self._at + FRAME_SAMPLES else None
        self._far = far = spectra(sent) if before is None else moved_on(before, sent)
        self._at = at
        residual = bands(power_of(self.path.step(far, near)))
        expected = bands(self.path.expected)
        self._expected = np.maximum(expected, REVERBERATES * self._expected)
        excess = np.maximum(residual - ALLOWED * self._expected - NOISE_ALLOWED * noise, 0)
        loud = float(near_bands.sum()) + 1e-9
        self._left = MEMORY * self._left + float(excess.sum())
        self._all = MEMORY * self._all + loud
        share = min(float(residual.sum()) / loud, 2.0)
        self.uncancelled += (share - self.uncancelled) * (0.1 if self.frames > 5 else 0.3)
        self._echo = 0.95 * self._echo + float(expected.sum())
        self._sent = 0.95 * self._sent + float(bands(power_of(far[0])).sum())
        self.frames += 1

    @property
    def unexplained(self) -> float:
        """Share of power, of the last 50 ms."""
        return self._left / self._all if self._all else 1.0

    @property
    def echo_db(self) -> float:
        """The echo expected, over what was sent."""
        return 10 * log10(self._echo / self._sent)
