"""Marks in sound that are found again to the sample: short chirps at uneven distances. Pure.

A chirp has a peak of its own under its matched filter, whatever μ-law and line noise did to it; uneven distances, all
longer than any way through a service, leave no doubt which came back. 8 kHz throughout.
"""

from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from voicebot.audio.frames import RATE
from voicebot.audio.g711 import ulaw_decode, ulaw_encode
from voicebot.replay import mixing

CHIRP_MS, LOW_HZ, HIGH_HZ, LEVEL = 24, 600.0, 2800.0, 0.4
APART_MS = (300, 460)
LIKE = 0.6
"""Normalised correlation from which it is one."""
WITHIN_MS = 280.0
"""A way that takes longer is lost."""


def chirp() -> npt.NDArray[np.float32]:
    """One mark, -1..1, fading in and out."""
    count = CHIRP_MS * RATE // 1000
    seconds = np.arange(count) / RATE
    sweep = LOW_HZ + (HIGH_HZ - LOW_HZ) * seconds / (2 * seconds[-1])
    wave = np.sin(2 * np.pi * sweep * seconds) * np.hanning(count) * LEVEL
    return np.asarray(wave, np.float32)


def track(seconds: float, seed: int) -> tuple[bytes, list[int]]:
    """μ-law of a quiet line with marks in it, and the sample at which each begins."""
    chance, mark = random.Random(seed), chirp()
    noise = np.random.default_rng(seed).standard_normal(int(seconds * RATE)).astype(np.float32)
    sound = noise * np.float32(mixing.FLOOR)
    begins = []
    at = chance.randint(*APART_MS) * RATE // 1000
    while at + len(mark) < len(sound):
        sound[at : at + len(mark)] += mark
        begins.append(at)
        at += chance.randint(APART_MS[0] * RATE // 1000, APART_MS[1] * RATE // 1000)
    return ulaw_encode(mixing.pcm16(sound)), begins


def found(ulaw: bytes | bytearray) -> list[int]:
    """Where marks begin, to the sample."""
    mark = chirp().astype(np.float64)
    heard = np.frombuffer(ulaw_decode(bytes(ulaw)), "<i2").astype(np.float64) / 32768
    if len(heard) < len(mark):
        return []
    energy = np.convolve(heard**2, np.ones(len(mark)), "valid")
    floor = np.sum(mark**2) / 100  # 20 dB below a mark's: what is quieter is noise, however like
    like = np.correlate(heard, mark, "valid") / np.sqrt(np.maximum(energy, floor) * np.sum(mark**2))
    begins: list[int] = []
    for at in np.flatnonzero(like > LIKE):
        if begins and at - begins[-1] < len(mark):
            begins[-1] = int(at) if like[at] > like[begins[-1]] else begins[-1]
        else:
            begins.append(int(at))
    return begins


def ways(sent_ms: Sequence[float], heard: Sequence[int], at_ms: Callable[[int], float]) -> list[tuple[int, float]]:
    """For each mark sent that came: its number, and how long it took. `heard` are samples, `at_ms` their times."""
    arrived = [at_ms(sample) for sample in heard]
    taken = []
    for number, sent in enumerate(sent_ms):
        which = bisect_left(arrived, sent)
        if which < len(arrived) and arrived[which] - sent <= WITHIN_MS:
            taken.append((number, arrived[which] - sent))
    return taken
