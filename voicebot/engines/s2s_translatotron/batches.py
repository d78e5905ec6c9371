"""Pairs of utterances as the models are given them: telephone sound on the way in, spectrograms, symbols."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from voicebot.engines.s2s_translatotron.batch import Batch
from voicebot.engines.s2s_translatotron.loudness import levelled, over_the_telephone, placed
from voicebot.engines.s2s_translatotron.pairs import Pair
from voicebot.engines.s2s_translatotron.presets import END, SPECIAL, Config
from voicebot.engines.s2s_translatotron.spectrum import Spectrum

NEIGHBOURS = 150
"""A batch is drawn from so many utterances to either side of one, in order of length: little is padding."""
NOISE_DB = (-80.0, -50.0)
SILENCE_S = 0.5
"""Before and after the source, at most."""
LEAST_FRAMES = 0.5
"""A phoneme takes half a frame at least; espeak-ng gives some none, or less."""


class Batches:
    """Of one set of pairs, for one model's configuration."""

    def __init__(self, pairs: Sequence[Pair], config: Config, source_phonemes: Sequence[str], supervised: bool) -> None:
        self.pairs = sorted(pairs, key=lambda pair: len(pair.target))
        self._config, self._supervised = config, supervised
        self._heard, self._spoken = Spectrum(config.source), Spectrum(config.target)
        self._source = {name: at for at, name in enumerate(source_phonemes, SPECIAL)}
        self._target = {name: at for at, name in enumerate(config.target_phonemes, SPECIAL)}
        self._targets = [self._spoken.analyse(torch.from_numpy(pair.target)).half() for pair in self.pairs]

    def draw(self, size: int, chance: random.Random, longest: float = 1.0) -> Batch:
        """A batch of utterances about as long as each other, out of the shorter `longest` of all."""
        most = max(1, round(len(self.pairs) * longest))
        middle = chance.randrange(most)
        near = range(max(0, middle - NEIGHBOURS), min(most, middle + NEIGHBOURS))
        return self.batch([chance.choice(near) for _ in range(size)], np.random.default_rng(chance.getrandbits(32)))

    def batch(self, numbers: Sequence[int], chance: np.random.Generator) -> Batch:
        """Those of the pairs, shortest target first."""
        pairs, targets = [self.pairs[n] for n in numbers], [self._targets[n].float() for n in numbers]
        sources = [self._source_frames(pair, chance) for pair in pairs]
        durations = [
            _frames_of(pair, len(frames), self._config.target.hop_ms)
            for pair, frames in zip(pairs, targets, strict=True)
        ]
        known = self._supervised and all(pair.starts_s for pair in pairs)
        return Batch(
            source=_padded(sources),
            source_lengths=_lengths(sources),
            target=_padded(targets),
            target_lengths=_lengths(targets),
            target_symbols=_padded([_numbers(pair.target_phonemes, self._target) for pair in pairs]),
            source_symbols=_padded([_numbers(pair.source_phonemes, self._source) for pair in pairs]),
            durations=_padded(durations) if known else None,
        )

    def _source_frames(self, pair: Pair, chance: np.random.Generator) -> Tensor:
        rate = self._config.source.rate
        before, after = (int(chance.uniform(0, SILENCE_S) * rate) for _ in range(2))
        noise = 10 ** (chance.uniform(*NOISE_DB) / 20)
        heard = placed(pair.source, before, after)
        if rate == 8000:
            heard = over_the_telephone(heard, noise, chance)
        else:
            heard = heard + chance.standard_normal(len(heard)).astype(np.float32) * np.float32(noise)
        return self._heard.analyse(torch.from_numpy(levelled(heard, rate)))


def _frames_of(pair: Pair, frames: int, hop_ms: float) -> Tensor:
    """Duration of every phoneme in frames, and 0 for the end symbol; together exactly as long as the spectrogram."""
    if not pair.starts_s:
        return torch.zeros(len(pair.target_phonemes) + 1)
    lengths = np.maximum(np.diff(pair.starts_s) * 1000 / hop_ms, LEAST_FRAMES)
    return torch.tensor([*(lengths * frames / lengths.sum()), 0.0], dtype=torch.float32)


def _numbers(phonemes: Sequence[str], table: dict[str, int]) -> Tensor:
    """An unknown phoneme is the first of the table: rare, and better than a lost pair."""
    return torch.tensor([*[table.get(name, SPECIAL) for name in phonemes], END])


def _lengths(rows: Sequence[Tensor]) -> Tensor:
    return torch.tensor([len(row) for row in rows])


def _padded(rows: Sequence[Tensor]) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True)
