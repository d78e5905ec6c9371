"""A loaded model at work: speech of one language in, speech of the other out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr
import torch
from torch import Tensor

from voicebot.engines.s2s_translatotron import checkpoint, hifigan, voice_encoder
from voicebot.engines.s2s_translatotron.loudness import Samples, levelled
from voicebot.engines.s2s_translatotron.presets import SPECIAL
from voicebot.engines.s2s_translatotron.spectrum import Spectrum
from voicebot.engines.s2s_translatotron.spelling import spelled
from voicebot.engines.s2s_translatotron.t1 import Translatotron1

Speak = Callable[[Tensor], Tensor]
"""Frames [T, width] to samples."""


@dataclass(frozen=True, slots=True)
class Translated:
    """At the model's own rate, levelled as telephone speech is."""

    samples: Samples
    rate: int
    text: str
    """What it says; in phonemes, between strokes, where the model does not know how its words are spelled."""


class Translator:
    """`vocoder` and `voice` are a HiFi-GAN's folder and a speaker encoder's file; without them Griffin and Lim speak,
    and the voice is the model's."""

    def __init__(
        self,
        folder: Path,
        device: str = "cpu",
        rounds: int = 30,
        vocoder: Path | None = None,
        voice: Path | None = None,
    ) -> None:
        self.model, self.about = checkpoint.load(folder, device)
        self.config, self._device = self.model.config, device
        self._heard, made = Spectrum(self.config.source), Spectrum(self.config.target)
        self._voice = voice_encoder.load(voice) if voice else None
        self._speak: Speak = (
            hifigan.load(vocoder, self.config.target) if vocoder else lambda frames: made.speak(frames, rounds)
        )

    def translate(self, samples: Samples) -> Translated:
        """One utterance at the source's rate."""
        source = levelled(samples, self.config.source.rate)
        frames = self._heard.analyse(torch.from_numpy(source))[None].to(self._device)
        lengths = torch.tensor([frames.size(1)], device=self._device)
        if isinstance(self.model, Translatotron1):
            made = self.model.translate(frames, lengths, self._embedded(samples))
        else:
            made = self.model.translate(frames, lengths)
        names = [self.config.target_phonemes[number - SPECIAL] for number in made.symbols[0] if number >= SPECIAL]
        with torch.no_grad():
            spoken = self._speak(made.frames[0, : int(made.lengths[0])].cpu()).numpy() if names else np.zeros(0)
        rate = self.config.target.rate
        return Translated(levelled(spoken.astype(np.float32), rate), rate, spelled(names, self.about.words))

    def _embedded(self, samples: Samples) -> Tensor | None:
        if self._voice is None or self.model.voice is None:
            return None
        rate = voice_encoder.SOUND.rate
        heard = soxr.resample(samples, self.config.source.rate, rate)
        return self._voice.embed(torch.from_numpy(heard))[None].to(self._device)


def threads(count: int) -> None:
    """How many this process computes with: more, on a machine that carries calls, make each other wait."""
    torch.set_num_threads(count)
