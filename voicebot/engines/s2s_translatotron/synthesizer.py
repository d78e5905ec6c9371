"""The acoustic synthesiser of Translatotron 2: a Non-Attentive Tacotron (arXiv:2010.04301) on the decoder's states.

Each state gets a duration; Gaussians around the middles of the durations spread the states over the frames; two LSTMs
make the frames, one after the other, and a residual post-net smooths them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from voicebot.engines.s2s_translatotron.batch import Batch
from voicebot.engines.s2s_translatotron.layers import (
    Lstm,
    Postnet,
    Prenet,
    blstms,
    content,
    spectrogram_loss,
    teacher_frames,
)
from voicebot.engines.s2s_translatotron.presets import T2

LONGEST_S = 15.0
"""Of one translation."""
LEAST_RANGE = 0.3
"""Standard deviation of a Gaussian in frames, at least: a narrower one lies between two frames and trains badly."""


class Synthesizer(nn.Module):
    """States [B, N, width], the first `counts` of each spoken, to spectrograms."""

    def __init__(self, config: T2) -> None:
        super().__init__()
        self.config = config
        width, bands = config.decoder_units + config.attention_units, config.target.width
        self.durations = blstms(width, config.duration_units, config.duration_layers)
        self.duration = nn.Linear(2 * config.duration_units, 1)
        self.ranges = blstms(width + 1, config.duration_units, config.duration_layers)
        self.range = nn.Linear(2 * config.duration_units, 1)
        self.prenet = Prenet(bands, config.prenet)
        self.decoder = Lstm(width + config.prenet[-1], config.acoustic_units, config.acoustic_layers, config.zoneout)
        self.frames = nn.Linear(config.acoustic_units + width, bands * config.reduction)
        self.postnet = Postnet(bands, config.postnet_channels, config.postnet_layers, config.dropout)

    def learn(self, states: Tensor, counts: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Spectrogram and duration loss. Without known durations only their sum is compared, in seconds squared, and
        what was predicted is stretched to the true sum before it is used."""
        predicted = self._durations(states, counts)
        hop_s = self.config.target.hop_ms / 1000
        if batch.durations is None:
            total = predicted.sum(1)
            loss = ((total - batch.target_lengths) * hop_s).square().mean()
            used = predicted * (batch.target_lengths / total.clamp_min(1.0))[:, None]
        else:
            mask = content(counts, states.size(1))
            used = batch.durations * mask
            errors = torch.log1p(predicted) - torch.log1p(used)
            loss = (errors.square() * mask).sum() / counts.sum().clamp_min(1)
        target, given = teacher_frames(batch.target, self.config.reduction)
        spread = self._upsampled(states, used, counts, given.size(1))
        made = self._frames(self.decoder(torch.cat([spread, self.prenet(given)], dim=-1)), spread)
        mask = content(batch.target_lengths, target.size(1))
        return spectrogram_loss((made, self.postnet(made)), target, mask), loss

    def speak(self, states: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
        """Spectrograms [B, T, bands] and their lengths."""
        durations = self._durations(states, counts)
        lengths = durations.sum(1).round().long()
        most = round(LONGEST_S * 1000 / self.config.target.hop_ms)
        lengths = lengths.clamp(1, most)
        steps = -(-int(lengths.max()) // self.config.reduction)
        spread = self._upsampled(states, durations, counts, steps)
        frame, cells = states.new_zeros(states.size(0), self.config.target.width), self.decoder.begin(states[:, 0])
        made = []
        for at in range(steps):
            hidden, cells = self.decoder.step(torch.cat([spread[:, at], self.prenet(frame)], dim=-1), cells)
            made.append(self._frames(hidden[:, None], spread[:, at : at + 1]))
            frame = made[-1][:, -1]
        return self.postnet(torch.cat(made, dim=1)), lengths

    def _frames(self, hidden: Tensor, spread: Tensor) -> Tensor:
        """[B, steps, …] → [B, steps × reduction, bands]."""
        flat = self.frames(torch.cat([hidden, spread], dim=-1))
        return flat.reshape(flat.size(0), -1, self.config.target.width)

    def _durations(self, states: Tensor, counts: Tensor) -> Tensor:
        """Frames of each state, [B, N]; 0 beyond `counts`."""
        hidden = states
        for layer in self.durations:
            hidden = layer(hidden, counts)
        return F.softplus(self.duration(hidden).squeeze(-1)) * content(counts, states.size(1))

    def _upsampled(self, states: Tensor, durations: Tensor, counts: Tensor, steps: int) -> Tensor:
        """States [B, N, width] spread over decoder steps, [B, steps, width]."""
        hidden = torch.cat([states, durations.detach()[..., None]], dim=-1)
        for layer in self.ranges:
            hidden = layer(hidden, counts)
        deviations = F.softplus(self.range(hidden).squeeze(-1)) + LEAST_RANGE
        middles = durations.cumsum(1) - durations / 2
        reduction = self.config.reduction
        times = torch.arange(steps, device=states.device) * reduction + reduction / 2
        distances = (times[None, :, None] - middles[:, None]) / deviations[:, None]
        scores = -0.5 * distances.square() - deviations[:, None].log()
        mask = content(counts.clamp_min(1), states.size(1))
        return scores.masked_fill(~mask[:, None], -1e9).softmax(dim=-1) @ states
