"""Building blocks of both models. Tensors are batch first: [B, T, …]; lengths are [B] int64; masks are True on
content."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Cells = list[tuple[Tensor, Tensor]]
"""Hidden and cell state of every layer, [B, units] each."""


def content(lengths: Tensor, size: int) -> Tensor:
    """Mask [B, size]: True where there is content."""
    return torch.arange(size, device=lengths.device)[None] < lengths[:, None]


def sinusoids(positions: Tensor, width: int) -> Tensor:
    """Position embedding (arXiv:1706.03762), [len(positions), width]; positions may be negative."""
    rates = torch.exp(torch.arange(0, width, 2, device=positions.device) * (-math.log(10000.0) / width))
    angles = positions[:, None] * rates
    return torch.cat([torch.sin(angles), torch.cos(angles)], dim=1)


class Prenet(nn.Module):
    """Between a frame made and the next: a bottleneck with dropout. Dropout is what keeps the decoder from copying, and
    in Tacotron it stays on at inference; here it is off then, so that the same speech gives the same translation."""

    def __init__(self, width: int, units: tuple[int, ...], dropout: float = 0.5) -> None:
        super().__init__()
        sizes = (width, *units)
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.dropout = dropout

    def forward(self, frame: Tensor) -> Tensor:
        for layer in self.layers:
            frame = F.dropout(F.relu(layer(frame)), self.dropout, self.training)
        return frame


class Postnet(nn.Module):
    """Residual convolutions of width 5 over the whole spectrogram [B, T, width] (Tacotron 2)."""

    def __init__(self, width: int, channels: int, layers: int, dropout: float) -> None:
        super().__init__()
        sizes = (width, *[channels] * (layers - 1), width)
        pairs = list(pairwise(sizes))
        self.convolutions = nn.ModuleList(nn.Conv1d(a, b, 5, padding=2) for a, b in pairs)
        self.norms = nn.ModuleList(nn.BatchNorm1d(b) for _, b in pairs[:-1])
        self.dropout = dropout

    def forward(self, frames: Tensor) -> Tensor:
        x = frames.transpose(1, 2)
        for convolution, norm in zip(self.convolutions, self.norms, strict=False):
            x = F.dropout(torch.tanh(norm(convolution(x))), self.dropout, self.training)
        return frames + self.convolutions[-1](x).transpose(1, 2)


class Lstm(nn.Module):
    """A stack of LSTMs in one direction, over a sequence or a step at a time, with zoneout (arXiv:1606.01305): a unit
    keeps its old state now and then in training, and the expectation of that at inference."""

    def __init__(self, width: int, units: int, layers: int, zoneout: float = 0.0, dropout: float = 0.0) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.LSTM(width if n == 0 else units, units, batch_first=True) for n in range(layers))
        self.units, self.zoneout, self.dropout = units, zoneout, dropout

    def begin(self, like: Tensor) -> Cells:
        """States of nothing heard; batch, type and device of `like`."""
        zero = like.new_zeros(like.size(0), self.units)
        return [(zero, zero) for _ in self.layers]

    def step(self, x: Tensor, cells: Cells) -> tuple[Tensor, Cells]:
        """One step, [B, width] → [B, units]."""
        after: Cells = []
        for layer, (hidden, cell) in zip(self.layers, cells, strict=True):
            weights = (layer.weight_ih_l0, layer.weight_hh_l0, layer.bias_ih_l0, layer.bias_hh_l0)
            new_hidden, new_cell = torch.lstm_cell(x, (hidden, cell), *weights)
            after.append((self._kept(hidden, new_hidden), self._kept(cell, new_cell)))
            x = F.dropout(after[-1][0], self.dropout, self.training)
        return x, after

    def forward(self, x: Tensor, cells: Cells | None = None) -> Tensor:
        """A whole sequence, [B, T, width] → [B, T, units]."""
        if not self.zoneout:  # the library's own loop is quicker
            for layer in self.layers:
                x = F.dropout(layer(x)[0], self.dropout, self.training)
            return x
        cells = self.begin(x[:, 0]) if cells is None else cells
        steps = []
        for at in range(x.size(1)):
            out, cells = self.step(x[:, at], cells)
            steps.append(out)
        return torch.stack(steps, dim=1)

    def _kept(self, old: Tensor, new: Tensor) -> Tensor:
        if not self.zoneout:
            return new
        if not self.training:
            return self.zoneout * old + (1 - self.zoneout) * new
        return torch.where(torch.rand_like(new) < self.zoneout, old, new)


class Blstm(nn.Module):
    """An LSTM in each direction; the one that runs backwards begins at each utterance's own end, as packed sequences
    do, which the library trains four times slower on a CPU."""

    def __init__(self, width: int, units: int) -> None:
        super().__init__()
        self.forwards, self.backwards = (nn.LSTM(width, units, batch_first=True) for _ in range(2))

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """[B, T, width] → [B, T, 2 × units]; what lies beyond an utterance's end means nothing."""
        places = torch.arange(x.size(1), device=x.device)[None]
        mirror = torch.where(places < lengths[:, None], lengths[:, None] - 1 - places, places)[..., None]
        back = self.backwards(x.gather(1, mirror.expand_as(x)))[0]
        return torch.cat([self.forwards(x)[0], back.gather(1, mirror.expand_as(back))], dim=-1)


def blstms(width: int, units: int, layers: int) -> nn.ModuleList:
    """A stack of them."""
    return nn.ModuleList(Blstm(width if n == 0 else 2 * units, units) for n in range(layers))


class AdditiveAttention(nn.Module):
    """Bahdanau's attention with heads (arXiv:1409.0473): `prepare` once for each utterance, then a query at a time."""

    def __init__(self, query: int, memory: int, units: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key = nn.Linear(query, units), nn.Linear(memory, units, bias=False)
        self.value = nn.Linear(memory, units, bias=False)
        self.score = nn.Parameter(torch.randn(heads, units // heads) * 0.1)
        self.out = nn.Linear(units, memory)

    def prepare(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values, [B, T, heads, units / heads] each."""
        batch, size, _ = memory.shape
        return self.key(memory).view(batch, size, self.heads, -1), self.value(memory).view(batch, size, self.heads, -1)

    def forward(self, query: Tensor, prepared: tuple[Tensor, Tensor], mask: Tensor) -> tuple[Tensor, Tensor]:
        """Context [B, memory] and weights [B, T, heads] for a query [B, query]."""
        keys, values = prepared
        energy = torch.tanh(keys + self.query(query).view(keys.size(0), 1, self.heads, -1))
        scores = (energy * self.score).sum(-1).masked_fill(~mask[..., None], -1e9)
        weights = scores.softmax(dim=1)
        return self.out((weights[..., None] * values).sum(1).flatten(1)), weights


class DotAttention(nn.Module):
    """Scaled dot products with heads (arXiv:1706.03762): `prepare` once for each utterance, then a query at a time."""

    def __init__(self, query: int, memory: int, units: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.query, self.key, self.value = nn.Linear(query, units), nn.Linear(memory, units), nn.Linear(memory, units)
        self.out = nn.Linear(units, units)

    def prepare(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values, [B, heads, T, units / heads] each."""
        batch, size, _ = memory.shape
        key, value = (each(memory).view(batch, size, self.heads, -1).transpose(1, 2) for each in (self.key, self.value))
        return key, value

    def forward(self, query: Tensor, prepared: tuple[Tensor, Tensor], mask: Tensor) -> tuple[Tensor, Tensor]:
        """Context [B, units] and weights [B, T, heads] for a query [B, query]."""
        keys, values = prepared
        asked = self.query(query).view(keys.size(0), self.heads, -1, 1)
        scores = (keys @ asked).squeeze(-1) / math.sqrt(keys.size(-1))
        weights = scores.masked_fill(~mask[:, None], -1e9).softmax(dim=-1)
        kept = F.dropout(weights, self.dropout, self.training)
        return self.out((kept[:, :, None] @ values).flatten(1)), weights.transpose(1, 2)


def teacher_frames(target: Tensor, reduction: int) -> tuple[Tensor, Tensor]:
    """The target [B, T, width] padded to whole steps, and the frame that each step is given: the last of the step
    before it, [B, steps, width]."""
    size = -(-target.size(1) // reduction) * reduction
    padded = F.pad(target, (0, 0, 0, size - target.size(1)))
    last = padded[:, reduction - 1 :: reduction]
    return padded, torch.cat([torch.zeros_like(last[:, :1]), last[:, :-1]], dim=1)


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Of values [B, T, width] where the mask [B, T] is true."""
    return (values * mask[..., None]).sum() / (mask.sum() * values.size(-1)).clamp_min(1)


def spectrogram_loss(made: tuple[Tensor, Tensor], target: Tensor, mask: Tensor) -> Tensor:
    """L1 plus L2, before and after the post-net."""
    errors = [frames - target for frames in made]
    return sum((masked_mean(error.abs(), mask) + masked_mean(error.square(), mask) for error in errors), start=0.0)
