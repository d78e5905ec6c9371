"""What stands in for lost packets in front of a recogniser: the last period of the voice, going on.

After ITU-T G.711 Appendix I (1999), without its delay: the pitch is the lag at which the last 20 ms are most like what
came before; its period is repeated, at full strength for 10 ms and then fading to nothing within 50 more, and passes
over into the next packet that came within 4 ms. A repeated packet, which is what the line itself makes of a loss,
repeats at 50 Hz whatever the voice; silence is a stop consonant that nobody said.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from voicebot.audio.frames import RATE

Float = npt.NDArray[np.float64]
LIKE = RATE // 50
"""Samples whose likeness is looked for: 20 ms."""
LAGS = (RATE // 200, RATE // 50)
"""Of pitches from 200 down to 50 Hz, in samples; of a higher one two periods are found, which do as well."""
KEPT = LIKE + LAGS[1]
FULL, FADE = RATE // 100, RATE // 20
OVER = RATE // 250
"""Samples in which a stand-in passes over into what came."""


class Gaps:
    """One stream, 8 kHz int16 LE: as many samples out as in, at once."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Another stream begins."""
        self._past = np.zeros(KEPT)
        self._period = np.zeros(1)
        self._at = 0
        """Samples since the gap began; 0: there is none."""

    def push(self, pcm: bytes, lost: bool) -> bytes:
        """What came, or as much as was `lost` in its place."""
        fresh = np.frombuffer(pcm, "<i2").astype(np.float64)
        if not len(fresh) or not (lost or self._at):
            self._keep(fresh)
            return pcm
        if lost:
            if not self._at:
                self._period = _period(self._past)
            fresh = self._going_on(len(fresh))
            self._at += len(fresh)
        else:
            over = min(OVER, len(fresh))
            rising = np.arange(1, over + 1) / (over + 1)
            fresh[:over] = fresh[:over] * rising + self._going_on(over) * (1 - rising)
            self._at = 0
        self._keep(fresh)
        return np.clip(np.rint(fresh), -32768, 32767).astype("<i2").tobytes()

    def _going_on(self, samples: int) -> Float:
        at = np.arange(self._at, self._at + samples)
        fading = np.clip(1 - (at - FULL) / FADE, 0.0, 1.0)
        return np.asarray(np.take(self._period, at, mode="wrap") * fading)

    def _keep(self, fresh: Float) -> None:
        self._past = np.concatenate([self._past, fresh])[-KEPT:]


def _period(past: Float) -> Float:
    """The last period, its end bent to what came a period before its beginning, so that it repeats smoothly."""
    newest = past[-LIKE:]
    before = np.lib.stride_tricks.sliding_window_view(past[:-1], LIKE)[::-1][LAGS[0] - 1 :]  # lag LAGS[0] first
    power = np.einsum("ij,ij->i", before, before)
    likeness = before @ newest / np.sqrt(power + 1.0)
    lag = LAGS[0] + int(np.argmax(likeness))
    period = past[-lag:].copy()
    bend = max(lag // 4, 1)
    rising = np.arange(1, bend + 1) / bend
    period[-bend:] = period[-bend:] * (1 - rising) + past[-lag - bend : -lag] * rising
    return period
