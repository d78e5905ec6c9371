"""Recordings made into what a call would bring: telephone sound, babble around the speaker, quiet at both ends."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from voicebot.audio import g711
from voicebot.errors import UsageError

Sound = npt.NDArray[np.float32]
"""Mono, -1..1."""

PHONE_RATE = 8_000
WIDE_RATE = 16_000
FRAME_S = 0.02
QUIET_BELOW_PEAK_DB = 30
EDGE_S = 0.3
"""What a call's voice detector leaves before the first word and after the last."""
FLOOR = 8 / 32768
"""Noise in the edges: a telephone line at rest, -72 dBFS."""


def channels(path: Path, rate: int) -> list[Sound]:
    """A recording at `rate`, each channel by itself. `UsageError` when it cannot be read."""
    try:
        samples, source_rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (OSError, soundfile.SoundFileError) as error:
        raise UsageError(f"{path} cannot be read as a recording ({error}).") from None
    return [np.asarray(soxr.resample(each, source_rate, rate, quality="VHQ"), np.float32) for each in samples.T]


def read(path: Path, rate: int) -> Sound:
    """A recording at `rate`, mixed to mono. `UsageError` when it cannot be read."""
    return np.asarray(np.mean(channels(path, rate), axis=0), np.float32)


def speech_power(sound: Sound, rate: int) -> float:
    """Mean power of the frames that are within 30 dB of the loudest: the speech, without the pauses."""
    size = int(FRAME_S * rate)
    frames = sound[: len(sound) // size * size].reshape(-1, size)
    if not len(frames):
        return float(np.mean(sound**2)) if len(sound) else 0.0
    power = np.mean(frames**2, axis=1)
    return float(np.mean(power[power >= power.max() * 10 ** (-QUIET_BELOW_PEAK_DB / 10)]))


def levelled(sound: Sound, rate: int, rms: float) -> Sound:
    """With speech of this loudness."""
    power = speech_power(sound, rate)
    return sound * np.float32(rms / power**0.5) if power > 0 else sound


def edged(sound: Sound, rate: int, seed: int) -> Sound:
    """With `EDGE_S` of a quiet line on both sides."""
    chance = np.random.default_rng(seed)
    edges = chance.standard_normal((2, int(EDGE_S * rate))).astype(np.float32) * np.float32(FLOOR)
    return np.concatenate([edges[0], sound, edges[1]])


def babble(sound: Sound, others: Sequence[Sound], snr_db: float, rate: int, seed: int) -> Sound:
    """The sound with other people talking through it, `snr_db` below its speech. Each of them starts somewhere in
    their recording and goes round it as long as needed; all are equally loud."""
    chance = np.random.default_rng(seed)
    crowd = np.zeros(len(sound), np.float32)
    for other in others:
        power = speech_power(other, rate)
        if power > 0:
            start = int(chance.integers(len(other)))
            crowd += np.resize(np.roll(other, -start), len(sound)) / np.float32(power**0.5)
    power = float(np.mean(crowd**2))
    if power <= 0:
        return sound
    wanted = speech_power(sound, rate) / 10 ** (snr_db / 10)
    return sound + crowd * np.float32((wanted / power) ** 0.5)


def pcm16(sound: Sound) -> bytes:
    """int16 LE, clipped."""
    return np.clip(np.rint(sound * 32768), -32768, 32767).astype("<i2").tobytes()


def telephone(sound: Sound) -> bytes:
    """8 kHz in; int16 LE that has been through G.711 μ-law."""
    return g711.ulaw_decode(g711.ulaw_encode(pcm16(sound)))


def sound_of(pcm: bytes, source_rate: int, rate: int) -> Sound:
    """int16 LE as a sound at `rate`."""
    samples = np.frombuffer(pcm, "<i2").astype(np.float32) / 32768
    return np.asarray(soxr.resample(samples, source_rate, rate, quality="VHQ"), np.float32)


def resampled(pcm: bytes, source_rate: int, rate: int) -> bytes:
    """int16 LE at another rate, best quality: nothing is live here."""
    samples = soxr.resample(np.frombuffer(pcm, "<i2"), source_rate, rate, quality="VHQ")
    return np.asarray(samples, "<i2").tobytes()
