"""Wide-band recordings as a telephone would have brought them, each time another telephone: what the learnt bandwidth
extension is fitted on. The same copy for the same seed.

Drawn anew for every copy: loudness, the band (a telephone's 300-3400 Hz, a steep edge, a missing bass, nothing), noise,
a codec before the line (GSM 06.10, ADPCM of 32 and 24 kbit/s; libsndfile's), G.711's law, lost packets as `Jitter`
makes them whole.
"""

from __future__ import annotations

import io

import numpy as np
import soundfile
import soxr

from voicebot.audio import g711
from voicebot.audio.jitter import FRAME, Jitter, Placed
from voicebot.replay.mixing import PHONE_RATE, WIDE_RATE, Sound, pcm16, speech_power

CODECS = (("WAV", "GSM610"), ("AU", "G721_32"), ("AU", "G723_24"))


def copy(wide: Sound, seed: int) -> tuple[Sound, Sound]:
    """(as the line brought it, 8 kHz; as it was, 16 kHz, as loud), sample on sample. Seed 0: μ-law and nothing else."""
    chance = np.random.default_rng(seed)
    if seed:
        power = speech_power(wide, WIDE_RATE)
        wide = wide * np.float32(10 ** (chance.uniform(-34, -14) / 20) / max(power, 1e-9) ** 0.5)
    wide = wide * np.float32(min(1.0, 0.95 / max(float(np.abs(wide).max()), 1e-9)))
    line = np.asarray(soxr.resample(wide, WIDE_RATE, PHONE_RATE, quality="VHQ"), np.float32)
    if not seed:
        return heard(line, "ulaw"), wide
    line = _noisy(_banded(line, chance), chance)
    if chance.random() < 0.2:
        line = coded(line, *CODECS[chance.integers(len(CODECS))])
    line = heard(line, "alaw" if chance.random() < 0.3 else "ulaw")
    return (_lossy(line, chance) if chance.random() < 0.2 else line), wide


def heard(line: Sound, law: str) -> Sound:
    """Through G.711."""
    pcm = pcm16(line)
    pcm = g711.alaw_decode(g711.alaw_encode(pcm)) if law == "alaw" else g711.ulaw_decode(g711.ulaw_encode(pcm))
    return np.asarray(np.frombuffer(pcm, "<i2").astype(np.float32) / 32768, np.float32)


def coded(line: Sound, container: str, codec: str) -> Sound:
    """Through another codec, as long as it was."""
    file = io.BytesIO()
    soundfile.write(file, line, PHONE_RATE, format=container, subtype=codec)
    file.seek(0)
    back = soundfile.read(file, dtype="float32")[0]
    return np.pad(back[: len(line)], (0, max(0, len(line) - len(back))))


def _banded(line: Sound, chance: np.random.Generator) -> Sound:
    """Butterworth edges, without their delay."""
    hz = np.fft.rfftfreq(len(line), 1 / PHONE_RATE)
    gain = np.ones_like(hz)
    kind = chance.integers(4)
    if kind in (1, 3):
        gain /= np.sqrt(1 + (chance.uniform(60, 350) / np.maximum(hz, 1e-3)) ** 4)
    if kind in (1, 2):
        gain /= np.sqrt(1 + (hz / chance.uniform(3300, 3800)) ** (8 if kind == 1 else 60))
    return np.asarray(np.fft.irfft(np.fft.rfft(line) * gain, len(line)), np.float32)


def _noisy(line: Sound, chance: np.random.Generator) -> Sound:
    """Half of the copies: noise whose spectrum falls, 12 to 45 dB below the speech."""
    if chance.random() < 0.5:
        return line
    hz = np.fft.rfftfreq(len(line), 1 / PHONE_RATE)
    colour = 1 / (1 + hz / chance.uniform(200, 4000))
    noise = np.fft.irfft(np.fft.rfft(chance.standard_normal(len(line))) * colour, len(line))
    wanted = speech_power(line, PHONE_RATE) / 10 ** (chance.uniform(12, 45) / 10)
    return np.asarray(line + noise * (wanted / np.mean(noise**2)) ** 0.5, np.float32)


def _lossy(line: Sound, chance: np.random.Generator) -> Sound:
    """Three packets of a hundred lost."""
    return np.asarray(np.frombuffer(lost(pcm16(line), 0.03, chance), "<i2").astype(np.float32) / 32768, np.float32)


def lost(pcm: bytes, share: float, chance: np.random.Generator) -> bytes:
    """8 kHz int16 LE with this share of its 20 ms gone, made whole as on a call; as long as it was."""
    return b"".join(placed.pcm for placed in brought(pcm, share, chance))


def brought(pcm: bytes, share: float, chance: np.random.Generator) -> list[Placed]:
    """The same in its pieces, which say what is concealed."""
    jitter, size, found = Jitter(), FRAME * 2, list[Placed]()
    for at in range(0, len(pcm), size):
        if chance.random() >= share or at in (0, (len(pcm) - 1) // size * size):
            found += jitter.push(at // 2, pcm[at : at + size])
    return found + jitter.flush()
