"""What both models are given to learn from, and what they make of an utterance."""

from __future__ import annotations

from dataclasses import dataclass, fields

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Batch:
    """Pairs of utterances. Spectrograms are [B, T, width], symbols [B, N] with the end symbol last and padding
    after."""

    source: Tensor
    source_lengths: Tensor
    target: Tensor
    target_lengths: Tensor
    target_symbols: Tensor
    source_symbols: Tensor
    durations: Tensor | None = None
    """Frames of every target symbol, 0 for the end symbol, [B, N], where the data know them."""
    voice: Tensor | None = None
    """The source speaker's embedding, [B, 256], for a model with a speaker encoder."""

    def to(self, device: str) -> Batch:
        """The same on another device."""
        values = (getattr(self, each.name) for each in fields(self))
        return Batch(*(value if value is None else value.to(device) for value in values))


@dataclass(frozen=True, slots=True)
class Loss:
    """What is minimised, and what it is the sum of (unweighted)."""

    total: Tensor
    spectrogram: Tensor
    target_phonemes: Tensor
    source_phonemes: Tensor | None = None
    stop: Tensor | None = None
    duration: Tensor | None = None
    guide: Tensor | None = None

    def parts(self) -> dict[str, float]:
        """For the log."""
        named = ((each.name, getattr(self, each.name)) for each in fields(self))
        return {name: round(float(value.detach()), 4) for name, value in named if value is not None}


@dataclass(frozen=True, slots=True)
class Translation:
    """What a model made, for a batch."""

    frames: Tensor
    """[B, T, width]."""
    lengths: Tensor
    symbols: list[list[int]]
    """Target phonemes without the end symbol; for Translatotron 1, those of its auxiliary decoder."""
    weights: Tensor
    """Attention, [B, steps, T of the memory, heads]."""
