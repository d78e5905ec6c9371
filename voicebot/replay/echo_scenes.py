"""Calls with our own echo in them, made of real voices: what the bot said, what came back, and where the caller spoke.

The bot's voice goes out as μ-law, through a loudspeaker (which may clip), a room and a delay, and comes back in the
microphone together with the caller and the room's noise, as μ-law again. The rooms are synthesised: a direct sound
through a coloured loudspeaker, then noise that dies away (Moorer 1979), so many decibels below it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import soxr

from voicebot.replay import mixing
from voicebot.replay.mixing import Sound

RATE = 8000
BOT_DBFS, CALLER_DBFS = -20.0, -26.0
"""Speech level of the bot as sent, and of a caller where no echo sets the measure."""
LEAD_S, GAP_S, TAIL_S = 0.5, 1.6, 1.0
"""Quiet before the bot's first sentence, between its sentences, and at the end."""
LATE_S = (0.9, 1.8)
"""In double-talk the caller begins this long after the bot's sentence: any time between."""
FINE = 8
"""A drifting delay is read from the echo at this many times the rate, linearly between samples."""


@dataclass(frozen=True, slots=True)
class Return:
    """How the bot's voice comes back."""

    name: str
    delay_ms: float
    return_db: float
    """Echo over what was sent, as speech levels."""
    rt60_s: float = 0.15
    """Time in which the room's sound falls by 60 dB."""
    direct_db: float = 8.0
    """Direct sound over reverberation."""
    clip_db: float | None = None
    """The loudspeaker clips this far below the peaks; None: it does not."""
    noise_db: float | None = None
    """Speech level of the bot's *echo or caller* over the noise; None: a quiet line."""
    drift_ppm: float = 0.0
    jitter_ms: float = 0.0
    """The place that we are told for each sentence is wrong by as much, either way."""
    jump_ms: float = 0.0
    """The delay grows by this with every sentence after the first."""


PATHS = (
    Return("60 ms, 35 dB below", 60, -35),
    Return("20 ms, 6 dB below", 20, -6, rt60_s=0.1),
    Return("120 ms, in a room", 120, -12, rt60_s=0.4, direct_db=3),
    Return("350 ms", 350, -18, rt60_s=0.2),
    Return("500 ms, 25 dB below", 500, -25),
    Return("loudspeaker clips", 140, -10, rt60_s=0.25, clip_db=12),
    Return("in street noise", 180, -15, noise_db=15),
    Return("placed ±100 ms", 250, -15, jitter_ms=100),
    Return("drift and jumps", 200, -15, drift_ppm=200, jump_ms=20),
)


@dataclass(frozen=True, slots=True)
class Said:
    """A stretch of one side's voice, in samples."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Scene:
    far: tuple[tuple[int, bytes], ...]
    """What the guard is told: (media-clock sample, int16 LE) for each of the bot's sentences."""
    near: bytes
    """What the line brings, int16 LE."""
    bot: tuple[Said, ...]
    """Where the bot's echo sounds, or would."""
    callers: tuple[Said, ...]
    alone: bytes
    """The same without any echo, int16 LE: caller and noise."""


def levelled(sound: Sound, dbfs: float) -> Sound:
    """At this speech level."""
    power = mixing.speech_power(sound, RATE)
    return sound * np.float32((10 ** (dbfs / 10) / power) ** 0.5) if power > 0 else sound


def room(path: Return, chance: np.random.Generator) -> npt.NDArray[np.float64]:
    """The impulse response of loudspeaker and room, of unit energy."""
    speaker = np.concatenate([[1.0], chance.normal(0, 0.35, 11) * np.exp(-np.arange(11) / 4)])
    length = max(int(path.rt60_s * RATE), 64)
    tail = chance.standard_normal(length) * 10 ** (-3 * np.arange(length) / (path.rt60_s * RATE))
    tail *= (np.sum(speaker**2) / np.sum(tail**2)) ** 0.5 * 10 ** (-path.direct_db / 20)
    both = np.concatenate([np.zeros(16), tail])
    both[: len(speaker)] += speaker
    return both / float(np.sum(both**2) ** 0.5)


def returned(sent: Sound, path: Return, chance: np.random.Generator) -> Sound:
    """The echo of one sentence, from the sample at which it was played."""
    sound = sent.astype(np.float64)
    if path.clip_db is not None:
        most = float(np.abs(sound).max()) * 10 ** (-path.clip_db / 20)
        sound = np.clip(sound, -most, 0.8 * most)
    sound = np.convolve(sound, room(path, chance))
    if path.drift_ppm:
        fine = soxr.resample(sound, RATE, RATE * FINE, quality="HQ")
        at = np.arange(len(sound)) * (1 + path.drift_ppm * 1e-6) * FINE
        sound = np.interp(at, np.arange(len(fine)), fine)
    echo = levelled(sound.astype(np.float32), 0.0)
    wanted = 10 * np.log10(mixing.speech_power(sent, RATE)) + path.return_db
    return echo * np.float32(10 ** (wanted / 20))


def scene(
    bots: Sequence[Sound],
    callers: Sequence[Sound],
    path: Return | None,
    over_echo_db: float | None,
    noise: Sound,
    seed: int,
) -> Scene:
    """The bot says its sentences, each with a pause after it. With `callers`, one of them begins inside each
    sentence, `over_echo_db` louder than the echo (None: at `CALLER_DBFS`). No path: no echo."""
    chance = np.random.default_rng(seed)
    plan, at = [], int(LEAD_S * RATE)
    for bot in bots:
        plan.append((at, levelled(bot, BOT_DBFS)))
        at += len(bot) + int(GAP_S * RATE)
    near = np.zeros(at + int(TAIL_S * RATE), np.float32)
    alone = near.copy()
    far, echoes, voices = [], [], []
    same_room = int(chance.integers(2**31))
    for number, (start, bot) in enumerate(plan):
        pcm = mixing.telephone(bot)
        told = start + int(chance.uniform(-1, 1) * (path.jitter_ms if path else 0.0) * RATE / 1000)
        far.append((max(0, told), pcm))
        back = start
        if path:
            back += int((path.delay_ms + path.jump_ms * number) * RATE / 1000)
            sent = np.frombuffer(pcm, "<i2").astype(np.float32) / np.float32(32768)
            _add(near, returned(sent, path, np.random.default_rng(same_room)), back)
        echoes.append(Said(back, back + len(bot)))
        if callers:
            voice = callers[number % len(callers)]
            level = BOT_DBFS + path.return_db + over_echo_db if path and over_echo_db is not None else CALLER_DBFS
            begins = back + int(chance.uniform(*LATE_S) * RATE)
            _add(alone, levelled(voice, level), begins)
            voices.append(Said(begins, begins + len(voice)))
    if path and path.noise_db is not None:
        alone += levelled(np.resize(noise, len(near)), BOT_DBFS + path.return_db - path.noise_db)
    alone += chance.standard_normal(len(near)).astype(np.float32) * np.float32(mixing.FLOOR / 2)
    return Scene(tuple(far), mixing.telephone(near + alone), tuple(echoes), tuple(voices), mixing.telephone(alone))


def _add(near: Sound, sound: Sound, at: int) -> None:
    part = sound[: max(0, len(near) - at)]
    near[at : at + len(part)] += part
