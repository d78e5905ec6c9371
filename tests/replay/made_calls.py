"""Calls made to order: who speaks from when to when, to the millisecond, with a voice-like sound."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from voicebot.core.timeline import Record
from voicebot.replay.recording import CallAudio, Media, Said
from voicebot.replay.verdict import Event, Side, Source

RATE = 8000
Spans = Sequence[tuple[int, int]]


def voice(ms: int, pitch: int = 120, level: float = 3000.0, rate: int = RATE) -> np.ndarray:
    """Harmonics with formants, wavering as a voice does, sharp at both ends."""
    at = np.arange(ms * rate // 1000) / rate
    wave = np.zeros(len(at))
    phase = 2 * np.pi * pitch * (at + 0.002 * np.sin(2 * np.pi * 4 * at))
    for harmonic in range(1, 3200 // pitch):
        hertz = pitch * harmonic
        weight = sum(1 / (1 + ((hertz - formant) / 150) ** 2) for formant in (500, 1500, 2500)) + 0.05
        wave += weight * np.sin(harmonic * phase + harmonic)
    return (
        (wave / np.abs(wave).std() * level * (1 + 0.3 * np.sin(2 * np.pi * 5 * at)))
        .clip(-32768, 32767)
        .astype(np.int16)
    )


def tone(ms: int, hertz: float = 440.0, level: float = 8000.0) -> np.ndarray:
    return (level * np.sin(2 * np.pi * hertz * np.arange(ms * 8) / RATE)).astype(np.int16)


def key(ms: int, low: int = 770, high: int = 1336) -> np.ndarray:
    """The tones of `5`, or of another key."""
    return tone(ms, low, 6000) + tone(ms, high, 6000)


def track(parts: Sequence[tuple[int, np.ndarray]], ms: int, noise: float = 4.0, seed: int = 1) -> np.ndarray:
    """Sounds at their times in the noise of a line."""
    side = np.random.default_rng(seed).normal(0, noise, ms * 8)
    for at_ms, sound in parts:
        side[at_ms * 8 : at_ms * 8 + len(sound)] += sound[: max(0, len(side) - at_ms * 8)]
    return side.clip(-32768, 32767).astype(np.int16)


def spoken(spans: Spans, ms: int, pitch: int, seed: int) -> np.ndarray:
    return track([(start, voice(end - start, pitch)) for start, end in spans], ms, seed=seed)


def call(
    caller: Spans = (),
    bot: Spans = (),
    ms: int = 20_000,
    *,
    records: Sequence[Record] = (),
    reference: Sequence[Said] = (),
    events: Sequence[Event] = (),
    media: Sequence[tuple[Side, Media]] = (),
) -> CallAudio:
    """Both sides speak in these spans, ms."""
    return CallAudio(
        "made",
        Source("made", (), "told", RATE),
        RATE,
        spoken(caller, ms, 180, 1),
        spoken(bot, ms, 110, 2),
        reference=tuple(reference),
        records=tuple(records),
        events=tuple(events),
        media=tuple(media),
    )
