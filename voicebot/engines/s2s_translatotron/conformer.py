"""The encoder of Translatotron 2: two convolutions of stride 2, then a Conformer (arXiv:2005.08100).

Layer norm stands where the paper has batch norm: a batch holds utterances of different lengths, and of one when the
model is used.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from voicebot.engines.s2s_translatotron.layers import content, sinusoids


class Subsampling(nn.Module):
    """A quarter of the frames: [B, T, bands] → [B, ⌈T/4⌉, units]."""

    def __init__(self, bands: int, channels: int, units: int) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, channels, 3, 2, 1), nn.Conv2d(channels, channels, 3, 2, 1)
        self.out = nn.Linear(channels * ((bands + 3) // 4), units)

    def forward(self, frames: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        x = F.relu(self.second(F.relu(self.first(frames[:, None]))))
        return self.out(x.transpose(1, 2).flatten(2)), (lengths + 3) // 4


class FeedForward(nn.Module):
    """Four times as wide inside."""

    def __init__(self, units: int, dropout: float) -> None:
        super().__init__()
        self.norm, self.dropout = nn.LayerNorm(units), dropout
        self.wide, self.narrow = nn.Linear(units, 4 * units), nn.Linear(4 * units, units)

    def forward(self, x: Tensor) -> Tensor:
        x = F.dropout(F.silu(self.wide(self.norm(x))), self.dropout, self.training)
        return F.dropout(self.narrow(x), self.dropout, self.training)


class RelativeAttention(nn.Module):
    """Self-attention that knows distances, not places (arXiv:1901.02860)."""

    def __init__(self, units: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout, self.norm = heads, dropout, nn.LayerNorm(units)
        self.inputs, self.out = nn.Linear(units, 3 * units), nn.Linear(units, units)
        self.distance = nn.Linear(units, units, bias=False)
        self.content_bias = nn.Parameter(torch.zeros(heads, 1, units // heads))
        self.distance_bias = nn.Parameter(torch.zeros(heads, 1, units // heads))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        batch, size, units = x.shape
        split = self.inputs(self.norm(x)).view(batch, size, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        query, key, value = split[0], split[1], split[2]  # [B, heads, T, units / heads]
        places = torch.arange(size - 1, -size, -1, device=x.device, dtype=x.dtype)
        distance = self.distance(sinusoids(places, units)).view(2 * size - 1, self.heads, -1).permute(1, 2, 0)
        by_content = (query + self.content_bias) @ key.transpose(-1, -2)
        by_distance = _shifted((query + self.distance_bias) @ distance, size)
        scores = (by_content + by_distance) / math.sqrt(key.size(-1))
        weights = scores.masked_fill(~mask[:, None, None], -1e9).softmax(dim=-1)
        mixed = F.dropout(weights, self.dropout, self.training) @ value
        return F.dropout(self.out(mixed.transpose(1, 2).reshape(batch, size, units)), self.dropout, self.training)


def _shifted(scores: Tensor, size: int) -> Tensor:
    """[B, heads, T, 2T-1] by distance (T-1 … -(T-1)) → [B, heads, T, T] by place: row i begins at distance i."""
    batch, heads = scores.shape[:2]
    padded = F.pad(scores, (1, 0)).view(batch, heads, 2 * size, size)
    return padded[:, :, 1:].reshape(batch, heads, size, 2 * size - 1)[..., :size]


class Convolution(nn.Module):
    """Gated, depthwise: what lies near. Padding stays silent."""

    def __init__(self, units: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.norm, self.gate = nn.LayerNorm(units), nn.Linear(units, 2 * units)
        self.depthwise = nn.Conv1d(units, units, kernel, groups=units)
        self.inner, self.out, self.dropout = nn.LayerNorm(units), nn.Linear(units, units), dropout
        self.pad = ((kernel - 1) // 2, kernel // 2)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x = F.glu(self.gate(self.norm(x)), dim=-1) * mask[..., None]
        x = self.depthwise(F.pad(x.transpose(1, 2), self.pad)).transpose(1, 2)
        return F.dropout(self.out(F.silu(self.inner(x))), self.dropout, self.training)


class Block(nn.Module):
    """Half a feed-forward, attention, convolution, the other half."""

    def __init__(self, units: int, heads: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.before, self.after = FeedForward(units, dropout), FeedForward(units, dropout)
        self.attention = RelativeAttention(units, heads, dropout)
        self.convolution = Convolution(units, kernel, dropout)
        self.norm = nn.LayerNorm(units)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x = x + 0.5 * self.before(x)
        x = x + self.attention(x, mask)
        x = x + self.convolution(x, mask)
        return self.norm(x + 0.5 * self.after(x))


class Conformer(nn.Module):
    """[B, T, bands] → memory [B, ⌈T/4⌉, units] and its mask. Places are marked in front, too (ours): a decoder that
    attends from outside finds the beginning sooner."""

    def __init__(
        self, bands: int, channels: int, units: int, layers: int, heads: int, kernel: int, dropout: float
    ) -> None:
        super().__init__()
        self.subsampling = Subsampling(bands, channels, units)
        self.blocks = nn.ModuleList(Block(units, heads, kernel, dropout) for _ in range(layers))
        self.dropout = dropout

    def forward(self, frames: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        x, lengths = self.subsampling(frames, lengths)
        mask = content(lengths, x.size(1))
        places = torch.arange(x.size(1), device=x.device, dtype=x.dtype)
        x = F.dropout(x + sinusoids(places, x.size(2)), self.dropout, self.training)
        for block in self.blocks:
            x = block(x, mask)
        return x * mask[..., None], mask


def spec_augment(frames: Tensor, lengths: Tensor, bands: int, places: int) -> Tensor:
    """SpecAugment without time warping: one band of up to `bands` and one stretch of up to `places` frames (a fifth of
    the utterance at most) are blanked to the utterance's mean."""
    if not bands and not places:
        return frames
    batch, size, width = frames.shape
    chance = torch.rand(batch, 4, device=frames.device)
    band = torch.arange(width, device=frames.device)[None]
    time = torch.arange(size, device=frames.device)[None]
    wide = chance[:, :1] * min(bands, width)
    low = chance[:, 1:2] * (width - wide)
    long = chance[:, 2:3] * torch.clamp(lengths[:, None] / 5, max=places)
    start = chance[:, 3:] * (lengths[:, None] - long)
    blank = ((band >= low) & (band < low + wide))[:, None] | ((time >= start) & (time < start + long))[..., None]
    return torch.where(blank, frames.mean(dim=(1, 2), keepdim=True), frames)
