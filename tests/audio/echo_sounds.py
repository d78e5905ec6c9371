"""Voices, rooms and lines for the tests of the echo guard: short, synthetic, the same every time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from voicebot.audio import g711
from voicebot.audio.echo import EchoGuard, Verdict
from voicebot.audio.frames import FRAME_BYTES, FRAME_SAMPLES, RATE

Sound = npt.NDArray[np.float64]


def voice(seed: int, seconds: float = 2.0, dbfs: float = -22.0) -> Sound:
    """Something like speech: a pitch that wanders, resonances, syllables of 200 ms, breath."""
    chance = np.random.default_rng(seed)
    n = int(seconds * RATE)
    time = np.arange(n) / RATE
    pitch = chance.uniform(90, 220) * (
        1
        + 0.2
        * np.interp(time, np.arange(0, seconds + 1, 0.15), chance.normal(size=len(np.arange(0, seconds + 1, 0.15))))
    )
    phase = np.cumsum(pitch) / RATE
    pulses = (np.diff(np.floor(phase), prepend=0) > 0).astype(float) + 0.02 * chance.standard_normal(n)
    sound = np.zeros(n)
    for start in range(0, n, RATE // 5):
        formants = chance.uniform((300, 900, 2200), (800, 2000, 3200))
        at = np.arange(400) / RATE
        throat = sum(np.exp(-at * 300) * np.cos(2 * np.pi * f * at) for f in formants)
        part = np.convolve(pulses[start : start + RATE // 5], throat)[: n - start]
        part[: RATE // 5] *= np.hanning(RATE // 5)[: len(part[: RATE // 5])] ** 0.3
        sound[start : start + len(part)] += part
    return sound * 10 ** (dbfs / 20) / float(np.std(sound))


def line(*parts: tuple[float, Sound], seconds: float) -> Sound:
    """Sounds that begin at these seconds, on a line with a little noise."""
    out = np.random.default_rng(0).standard_normal(int(seconds * RATE)) * 3e-4
    for start, sound in parts:
        at = int(start * RATE)
        part = sound[: len(out) - at]
        out[at : at + len(part)] += part
    return out


def room(sound: Sound, return_db: float = -12.0, seed: int = 9) -> Sound:
    """A loudspeaker and 100 ms of reverberation."""
    chance = np.random.default_rng(seed)
    tail = chance.standard_normal(800) * 10 ** (-3 * np.arange(800) / 800) * 0.15
    tail[0] += 1.0
    echo = np.convolve(sound, tail)
    return echo * 10 ** (return_db / 20) * float(np.std(sound) / np.std(echo))


def pcm(sound: Sound) -> bytes:
    """Through μ-law, as int16 LE."""
    samples = np.clip(np.rint(sound * 32768), -32768, 32767).astype("<i2")
    return g711.ulaw_decode(g711.ulaw_encode(samples.tobytes()))


def verdicts(guard: EchoGuard, near: bytes, start: int = 0) -> list[Verdict]:
    """One for each 20 ms frame of a line that begins at sample `start`."""
    return [
        guard.heard(near[at : at + FRAME_BYTES], start + at // 2)
        for at in range(0, len(near) - FRAME_BYTES + 1, FRAME_BYTES)
    ]


def between(found: list[Verdict], start_s: float, end_s: float) -> list[Verdict]:
    """Those of the frames that begin in this time."""
    return found[int(start_s * RATE) // FRAME_SAMPLES : int(end_s * RATE) // FRAME_SAMPLES]
