"""Translatotron (arXiv:1904.06037): straight from one spectrogram to the other.

Stacked bidirectional LSTMs hear; a Tacotron-like decoder attends to what was heard, with additive multi-head attention,
and makes the spectrogram a few frames at a time from the frames before, which pass through a bottleneck of 32 numbers.
Two more decoders, attached to layers of the encoder in training only, say the phonemes of source and target: without
them the encoder does not learn to understand.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from voicebot.engines.s2s_translatotron.batch import Batch, Loss, Translation
from voicebot.engines.s2s_translatotron.layers import (
    AdditiveAttention,
    Cells,
    Lstm,
    Postnet,
    Prenet,
    blstms,
    content,
    spectrogram_loss,
    teacher_frames,
)
from voicebot.engines.s2s_translatotron.presets import BEGIN, END, PAD, SPECIAL, T1

VOICE_UNITS = 256
"""Of a speaker encoder's embedding (GE2E, arXiv:1710.10467)."""
LONGEST_S = 15.0
"""Of one translation."""
MOST_SYMBOLS = 200
STOP_WEIGHT = 3.0
"""One step in many is the last one."""


@dataclass(slots=True)
class Lesson:
    """What the training changes as it goes."""

    reduction: int
    """Frames a decoder step: many at first, which makes attending worth while, then fewer."""
    aux_weight: float = 1.0
    guide_weight: float = 0.0
    """Of guided attention (arXiv:1710.08969), which holds the attention near the diagonal until it has found its
    way."""
    frame_dropout: float = 0.0
    """How many of the frames before are hidden from the decoder, so that it must listen."""


class PhonemeDecoder(nn.Module):
    """Auxiliary: says phonemes from a layer of the encoder."""

    def __init__(self, config: T1, phonemes: int, memory: int) -> None:
        super().__init__()
        symbols = SPECIAL + phonemes
        self.embedding = nn.Embedding(symbols, config.phoneme_units, padding_idx=PAD)
        self.decoder = Lstm(config.phoneme_units + memory, config.aux_units, config.aux_layers, dropout=config.dropout)
        self.attention = AdditiveAttention(config.aux_units, memory, config.attention_units, heads=1)
        self.out = nn.Linear(config.aux_units + memory, symbols)

    def forward(self, memory: Tensor, mask: Tensor, symbols: Tensor) -> Tensor:
        """Cross entropy of the symbols."""
        given = F.pad(symbols[:, :-1], (1, 0), value=BEGIN)
        prepared, context = self.attention.prepare(memory), torch.zeros_like(memory[:, 0])
        cells, logits = self.decoder.begin(context), []
        for embedded in self.embedding(given).unbind(1):
            hidden, cells = self.decoder.step(torch.cat([embedded, context], dim=-1), cells)
            context, _ = self.attention(hidden, prepared, mask)
            logits.append(self.out(torch.cat([hidden, context], dim=-1)))
        return F.cross_entropy(torch.stack(logits, dim=2), symbols, ignore_index=PAD)

    def say(self, memory: Tensor, mask: Tensor) -> list[list[int]]:
        """The likeliest symbols, one after the other."""
        prepared, context = self.attention.prepare(memory), torch.zeros_like(memory[:, 0])
        cells, symbol = self.decoder.begin(context), torch.full((memory.size(0),), BEGIN, device=memory.device)
        said: list[list[int]] = [[] for _ in range(memory.size(0))]
        open_rows = set(range(memory.size(0)))
        for _ in range(MOST_SYMBOLS):
            hidden, cells = self.decoder.step(torch.cat([self.embedding(symbol), context], dim=-1), cells)
            context, _ = self.attention(hidden, prepared, mask)
            symbol = self.out(torch.cat([hidden, context], dim=-1))[:, END:].argmax(-1) + END
            for row, value in enumerate(symbol.tolist()):
                if value == END:
                    open_rows.discard(row)
                elif row in open_rows:
                    said[row].append(value)
            if not open_rows:
                break
        return said


class Translatotron1(nn.Module):
    """`forward` gives the loss, `translate` a translation. `lesson` may be changed between steps."""

    def __init__(self, config: T1) -> None:
        super().__init__()
        self.config, self.lesson = config, Lesson(config.reduction)
        both, width = 2 * config.encoder_units, config.target.width
        self.encoder = blstms(config.source.width * config.stack, config.encoder_units, config.encoder_layers)
        memory = both + config.voice_dims
        self.voice = nn.Linear(VOICE_UNITS, config.voice_dims) if config.voice_dims else None
        self.source_decoder = PhonemeDecoder(config, len(config.source_phonemes), both)
        self.target_decoder = PhonemeDecoder(config, len(config.target_phonemes), both)
        self.prenet = Prenet(width, config.prenet)
        self.attending = Lstm(config.prenet[-1] + memory, config.decoder_units, 1)
        self.attention = AdditiveAttention(config.decoder_units, memory, config.attention_units, config.attention_heads)
        self.decoder = Lstm(
            config.decoder_units + memory, config.decoder_units, config.decoder_layers - 1, dropout=config.dropout
        )
        # As wide as the first lesson needs; a lesson with fewer frames a step uses the first outputs.
        self.frames = nn.Linear(config.decoder_units + memory, width * max(config.reduction, config.first_reduction))
        self.stop = nn.Linear(config.decoder_units + memory, 1)
        self.postnet = Postnet(width, config.postnet_channels, config.postnet_layers, config.dropout)

    # --- learning

    def forward(self, batch: Batch) -> Loss:
        layers, mask = self._hear(batch.source, batch.source_lengths)
        memory = self._voiced(layers[-1], batch.voice)
        target, given = teacher_frames(batch.target, self.lesson.reduction)
        if self.training and self.lesson.frame_dropout:
            given = given * (torch.rand_like(given[..., :1]) >= self.lesson.frame_dropout)
        states, weights = self._follow(memory, mask, self.prenet(given))
        made = self._frames(states)
        spectrogram = spectrogram_loss(
            (made, self.postnet(made)), target, content(batch.target_lengths, target.size(1))
        )
        stop = self._stop_loss(states, batch.target_lengths)
        said = self.source_decoder(layers[self.config.aux_source_layer - 1], mask, batch.source_symbols)
        meant = self.target_decoder(layers[self.config.aux_target_layer - 1], mask, batch.target_symbols)
        total = spectrogram + stop + self.lesson.aux_weight * (said + meant)
        guide = None
        if self.lesson.guide_weight:
            steps = -(-batch.target_lengths // self.lesson.reduction)
            guide = guided(weights, steps, mask.sum(1))
            total = total + self.lesson.guide_weight * guide
        return Loss(total, spectrogram, meant, said, stop, guide=guide)

    def _follow(self, memory: Tensor, mask: Tensor, given: Tensor) -> tuple[Tensor, Tensor]:
        """Decoder states [B, steps, units + memory] and weights [B, steps, T, heads], for the frames given."""
        prepared, context, cells = self._begin(memory)
        queries, contexts, looks = [], [], []
        for before in given.unbind(1):
            query, cells = self.attending.step(torch.cat([before, context], dim=-1), cells)
            context, weights = self.attention(query, prepared, mask)
            queries.append(query)
            contexts.append(context)
            looks.append(weights)
        query, context = torch.stack(queries, dim=1), torch.stack(contexts, dim=1)
        hidden = query + self.decoder(torch.cat([query, context], dim=-1))
        return torch.cat([hidden, context], dim=-1), torch.stack(looks, dim=1)

    def _stop_loss(self, states: Tensor, lengths: Tensor) -> Tensor:
        steps = -(-lengths // self.lesson.reduction)
        place = torch.arange(states.size(1), device=states.device)[None]
        weight = states.new_tensor(STOP_WEIGHT)
        right = (place >= steps[:, None] - 1).to(states.dtype)
        return F.binary_cross_entropy_with_logits(self.stop(states).squeeze(-1), right, pos_weight=weight)

    # --- translating

    def translate(self, source: Tensor, lengths: Tensor, voice: Tensor | None = None) -> Translation:
        """Translate spectrograms [B, T, bands] until every decoder says stop."""
        with torch.no_grad():
            layers, mask = self._hear(source, lengths)
            memory = self._voiced(layers[-1], voice)
            made, sizes, weights = self._speak(memory, mask)
            symbols = self.target_decoder.say(layers[self.config.aux_target_layer - 1], mask)
            return Translation(self.postnet(made), sizes, symbols, weights)

    def _speak(self, memory: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        prepared, context, cells = self._begin(memory)
        above = self.decoder.begin(memory[:, 0])
        frame = memory.new_zeros(memory.size(0), self.config.target.width)
        most = round(LONGEST_S * 1000 / self.config.target.hop_ms) // self.lesson.reduction
        ends = torch.full((memory.size(0),), most, device=memory.device)
        made, looks = [], []
        for at in range(most):
            query, cells = self.attending.step(torch.cat([self.prenet(frame), context], dim=-1), cells)
            context, weights = self.attention(query, prepared, mask)
            hidden, above = self.decoder.step(torch.cat([query, context], dim=-1), above)
            state = torch.cat([query + hidden, context], dim=-1)
            made.append(self._frames(state[:, None]))
            looks.append(weights)
            frame = made[-1][:, -1]
            stops = (self.stop(state).squeeze(-1) > 0) & (ends == most)
            ends = torch.where(stops, at + 1, ends)
            if bool((ends < most).all()):
                break
        return torch.cat(made, dim=1), ends * self.lesson.reduction, torch.stack(looks, dim=1)

    # --- both

    def _hear(self, source: Tensor, lengths: Tensor) -> tuple[list[Tensor], Tensor]:
        """Outputs of every encoder layer, [B, T / stack, 2 × units], and their mask."""
        stack = self.config.stack
        x = F.pad(source, (0, 0, 0, -source.size(1) % stack))
        x = x.reshape(x.size(0), -1, stack * x.size(2))
        lengths = -(-lengths // stack)
        outputs = []
        for layer in self.encoder:
            x = F.dropout(layer(x, lengths), self.config.dropout, self.training)
            outputs.append(x)
        return outputs, content(lengths, x.size(1))

    def _voiced(self, memory: Tensor, voice: Tensor | None) -> Tensor:
        if self.voice is None:
            return memory
        beside = torch.zeros_like(memory[:, 0, :1]).expand(-1, VOICE_UNITS) if voice is None else voice
        return torch.cat([memory, self.voice(beside)[:, None].expand(-1, memory.size(1), -1)], dim=-1)

    def _begin(self, memory: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor, Cells]:
        return self.attention.prepare(memory), torch.zeros_like(memory[:, 0]), self.attending.begin(memory[:, 0])

    def _frames(self, states: Tensor) -> Tensor:
        """[B, steps, …] → [B, steps × reduction, width]."""
        width = self.config.target.width
        flat = self.frames(states)[..., : width * self.lesson.reduction]
        return flat.reshape(flat.size(0), -1, width)


def guided(weights: Tensor, steps: Tensor, sizes: Tensor, width: float = 0.3) -> Tensor:
    """Guided attention's loss for weights [B, steps, T, heads]: what is looked at far from the diagonal."""
    rows = torch.arange(weights.size(1), device=weights.device)[None] / steps[:, None]
    columns = torch.arange(weights.size(2), device=weights.device)[None] / sizes[:, None]
    far = 1 - torch.exp(-((rows[:, :, None] - columns[:, None]) ** 2) / (2 * width**2))
    far = far * (rows < 1)[:, :, None] * (columns < 1)[:, None]
    return (weights.mean(-1) * far).sum() / steps.sum()
