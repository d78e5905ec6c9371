"""Spectrograms of speech, and speech from spectrograms.

A frame is the natural logarithm of magnitudes (mel bands, or every bin), moved and scaled to about -1..1. The way back
is Griffin and Lim's (1984) in its fast form (Perraudin 2013): phases that fit the magnitudes, found by going to and
fro.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from voicebot.engines.s2s_translatotron.presets import Sound

FLOOR = 1e-3
"""Magnitude taken for silence; full scale is about 100."""
SHIFT, SCALE = 3.5, 2.5
MOMENTUM = 0.99


class Spectrum:
    """Both ways, for one kind of spectrogram."""

    def __init__(self, sound: Sound) -> None:
        self.sound = sound
        self._window = torch.hann_window(sound.window)
        self._bands = mel_bands(sound) if sound.bands else None
        self._inverse = torch.linalg.pinv(self._bands) if self._bands is not None else None

    def analyse(self, samples: Tensor) -> Tensor:
        """Float samples -1..1 [n], at least one window of them, at the sound's rate → frames [1 + n // hop, width]."""
        least = self.sound.fft // 2 + 1  # what the transform reflects at the ends
        if samples.numel() < least:
            samples = F.pad(samples, (0, least - samples.numel()))
        magnitudes = self._transform(samples).abs()
        if self._bands is not None:
            magnitudes = self._bands @ magnitudes
        return (magnitudes.clamp_min(FLOOR).log().T + SHIFT) / SCALE

    def speak(self, frames: Tensor, rounds: int = 30) -> Tensor:
        """Frames [T, width] → float samples [(T - 1) × hop]. More rounds sound a little cleaner."""
        magnitudes = (frames.T.float() * SCALE - SHIFT).exp()
        if self._inverse is not None:
            magnitudes = (self._inverse @ magnitudes).clamp_min(FLOOR / 10)
        chance = torch.Generator().manual_seed(0)  # the same frames sound the same
        phases = torch.polar(torch.ones_like(magnitudes), 2 * math.pi * torch.rand(magnitudes.shape, generator=chance))
        before = torch.zeros_like(phases)
        for _ in range(rounds):
            rebuilt = self._transform(self._samples(magnitudes * phases))
            moved = rebuilt - MOMENTUM / (1 + MOMENTUM) * before
            phases, before = moved / moved.abs().clamp_min(1e-8), rebuilt
        return self._samples(magnitudes * phases)

    def _transform(self, samples: Tensor) -> Tensor:
        sound = self.sound
        return torch.stft(samples, sound.fft, sound.hop, sound.window, self._window, return_complex=True)

    def _samples(self, spectrum: Tensor) -> Tensor:
        sound = self.sound
        length = (spectrum.size(1) - 1) * sound.hop
        return torch.istft(spectrum, sound.fft, sound.hop, sound.window, self._window, length=length)


def mel_bands(sound: Sound) -> Tensor:
    """Triangles on the mel scale (HTK's), [bands, fft // 2 + 1]."""
    edges = torch.linspace(_mel(sound.low_hz), _mel(sound.high_hz), sound.bands + 2)
    hertz = 700 * (10 ** (edges / 2595) - 1)
    bins = torch.linspace(0, sound.rate / 2, sound.fft // 2 + 1)[None]
    low, middle, high = hertz[:-2, None], hertz[1:-1, None], hertz[2:, None]
    return torch.minimum((bins - low) / (middle - low), (high - bins) / (high - middle)).clamp_min(0)


def _mel(hertz: float) -> float:
    return 2595 * math.log10(1 + hertz / 700)
