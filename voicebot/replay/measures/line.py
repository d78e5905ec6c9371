"""What the line did to the sound: keys in it, clipping, level, direct current, and a quality estimate from packets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from voicebot.audio import dtmf
from voicebot.replay.measures.speech import STEP, Levels, Voice, blocks, pieces
from voicebot.replay.recording import RATE, CallAudio, Media, Samples
from voicebot.replay.verdict import Event, Side

FULL = 32124
"""The largest μ-law value; A-law's is 32256."""
RUNNING = 3
"""Samples at full scale, one after the other, are clipped; a lone one is a peak."""
SAME_KEY_MS = 400
"""An event and a tone so near are one press."""
STEADY_DB = 6.0
"""The level of a tone stays within this for 40 ms."""
BUFFER_MS, NETWORK_MS = 60, 50
BPL, R_BEST = 25.1, 93.2


def tones(samples: Samples, side: Side, level: Levels) -> list[Event]:
    """Keys in the sound itself. The receiver is the call's own; it is asked only where the level holds still."""
    found: list[Event] = []
    places = list(_steady(level))
    for (start, end), sound in zip(places, pieces(samples, places), strict=True):
        receiver = dtmf.Dtmf()
        pcm = sound.astype("<i2").tobytes()
        for at in range(0, len(pcm), dtmf.HOP * 2):
            for key in receiver.push(pcm[at : at + dtmf.HOP * 2]):
                ms = (start + at // 2 - dtmf.BLOCK - dtmf.HOP) * 1000 // RATE
                found.append(Event("dtmf", max(0, ms), end * 1000 // RATE, side, key))
    return found


def _steady(level: Levels) -> Iterator[tuple[int, int]]:
    """(from, to) in samples of stretches of 40 ms and more that are loud and hold their level, with room around."""
    steps = 8
    if len(level) < steps:
        return
    windows = np.lib.stride_tricks.sliding_window_view(level, steps)
    still = (np.ptp(windows, axis=1) < STEADY_DB) & (windows.min(axis=1) > -40)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], still, [False]]).astype(np.int8)))
    for start, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        yield max(0, start - 4) * STEP, (end + steps + 4) * STEP


def merged(events: Sequence[Event], heard: Sequence[Event]) -> list[Event]:
    """Keys of the signalling, and those tones that are none of them."""
    keys = list(events)
    for tone in heard:
        if not any(key.text == tone.text and abs(key.start_ms - tone.start_ms) < SAME_KEY_MS for key in keys):
            keys.append(tone)
    return sorted(keys, key=lambda key: key.start_ms)


def without_keys(voices: list[Voice], keys: Sequence[Event]) -> list[Voice]:
    """Voices that are not, for the most part, keys' tones."""
    return [
        voice
        for voice in voices
        if 2 * sum(max(0, min(voice.end_ms, key.end_ms) - max(voice.start_ms, key.start_ms)) for key in keys)
        <= voice.end_ms - voice.start_ms
    ]


def clipped(samples: Samples, voices: Sequence[Voice]) -> tuple[float, list[tuple[int, int]]]:
    """Thousandths of speech at full scale, and where (ms)."""
    count, total, places = 0, 0, []
    for voice, sound in zip(voices, _of(samples, voices), strict=True):
        full = np.abs(sound.astype(np.int32)) >= FULL
        total += len(full)
        edges = np.flatnonzero(np.diff(np.concatenate([[False], full, [False]]).astype(np.int8)))
        lengths = edges[1::2] - edges[::2]
        here = int(lengths[lengths >= RUNNING].sum())
        if here:
            count += here
            places.append((voice.start_ms, voice.end_ms))
    return (count * 1000 / total if total else 0.0), places


def _of(samples: Samples, voices: Sequence[Voice]) -> Iterator[Samples]:
    return pieces(samples, ((voice.start, voice.end) for voice in voices))


def level_dbov(samples: Samples, voices: Sequence[Voice]) -> float | None:
    """Power of the speech alone: 0 dBov is a full-scale square wave."""
    power = total = 0.0
    for sound in _of(samples, voices):
        wave = sound.astype(np.float32)
        power, total = power + float(wave @ wave), total + len(wave)
    return round(float(10 * np.log10(power / total / 32768**2 + 1e-10)), 1) if total else None


def direct_current(samples: Samples) -> float:
    """Mean of all samples, per cent of full scale."""
    total = sum(float(block.sum(dtype=np.int64)) for block in blocks(samples))
    return abs(total) / max(1, len(samples)) / 327.68


def mos(media: Media) -> float:
    """ITU-T G.107 (E-model) with its defaults, from packets alone; G.113's values for G.711 with concealment."""
    loss = 100 * (media.lost + media.late) / max(1, media.packets + media.lost)
    delay_ms = BUFFER_MS + NETWORK_MS
    delay = 0.024 * delay_ms + 0.11 * max(0.0, delay_ms - 177.3)
    r = R_BEST - delay - 95 * loss / (loss + BPL)
    return round(1 + 0.035 * r + r * (r - 60) * (100 - r) * 7e-6, 2) if r > 0 else 1.0


def one_way(call: CallAudio, voices: dict[Side, list[Voice]]) -> list[Side]:
    """Sides of which nothing is heard although the other speaks."""
    if call.mixed:
        return []
    spoken = {side: sum(v.end - v.start for v in each) / RATE for side, each in voices.items()}
    sides: list[tuple[Side, Side]] = [("caller", "bot"), ("bot", "caller")]
    return [side for side, other in sides if not spoken[side] and spoken[other] >= 5]
