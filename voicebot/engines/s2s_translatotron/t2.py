"""Translatotron 2 (arXiv:2107.08661).

A Conformer hears; an LSTM decoder says the target's phonemes, one at a time, with one attention on what was heard; the
attention's context and the decoder's state of every phoneme, side by side, are what the synthesiser speaks from: each
as many frames long as it predicts. Nobody tells it the phonemes' durations: only their sum is compared (as published),
unless the data know them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from voicebot.engines.s2s_translatotron.batch import Batch, Loss, Translation
from voicebot.engines.s2s_translatotron.conformer import Conformer, spec_augment
from voicebot.engines.s2s_translatotron.layers import DotAttention, Lstm
from voicebot.engines.s2s_translatotron.presets import BEGIN, END, PAD, SPECIAL, T2
from voicebot.engines.s2s_translatotron.synthesizer import Synthesizer

MOST_SYMBOLS = 200
"""Phonemes of one translation; a decoder that says more goes round in circles."""


class Translatotron2(nn.Module):
    """`forward` gives the loss, `translate` a translation."""

    def __init__(self, config: T2) -> None:
        super().__init__()
        self.config = config
        symbols = SPECIAL + len(config.target_phonemes)
        self.encoder = Conformer(
            config.source.width, config.subsampling_channels, config.encoder_units, config.encoder_layers,
            config.encoder_heads, config.encoder_kernel, config.dropout,
        )  # fmt: skip
        self.attention = DotAttention(
            config.decoder_units, config.encoder_units, config.attention_units, config.attention_heads, config.dropout
        )
        self.embedding = nn.Embedding(symbols, config.phoneme_units, padding_idx=PAD)
        width = config.phoneme_units + config.attention_units
        self.decoder = Lstm(width, config.decoder_units, config.decoder_layers, config.zoneout, config.dropout)
        self.phonemes = nn.Linear(config.decoder_units + config.attention_units, symbols)
        self.synthesizer = Synthesizer(config)

    def forward(self, batch: Batch) -> Loss:
        config = self.config
        source = batch.source
        if self.training:
            source = spec_augment(source, batch.source_lengths, config.masked_bands, config.masked_frames)
        memory, mask = self.encoder(source, batch.source_lengths)
        states, _ = self._decode(memory, mask, batch.target_symbols)
        phonemes = F.cross_entropy(
            self.phonemes(states).transpose(1, 2), batch.target_symbols, ignore_index=PAD,
            label_smoothing=config.label_smoothing,
        )  # fmt: skip
        counts = (batch.target_symbols != PAD).sum(1) - 1  # the end symbol is not spoken
        spectrogram, duration = self.synthesizer.learn(states, counts, batch)
        total = spectrogram + config.phoneme_weight * phonemes + duration
        return Loss(total, spectrogram, phonemes, duration=duration)

    def translate(self, source: Tensor, lengths: Tensor) -> Translation:
        """Translate spectrograms [B, T, bands], greedily."""
        with torch.no_grad():
            memory, mask = self.encoder(source, lengths)
            states, symbols, weights = self._say(memory, mask)
            said: list[list[int]] = [row[: row.index(END)] if END in row else row for row in symbols.tolist()]
            counts = torch.tensor([len(row) for row in said], device=source.device)
            frames, sizes = self.synthesizer.speak(states, counts)
        return Translation(frames, sizes, said, weights)

    def _decode(self, memory: Tensor, mask: Tensor, symbols: Tensor) -> tuple[Tensor, Tensor]:
        """States [B, N, units + attention] and weights [B, N, T, heads], with the right symbols before each."""
        given = F.pad(symbols[:, :-1], (1, 0), value=BEGIN)
        prepared, (context, cells) = self.attention.prepare(memory), self._begin(memory)
        states, looks = [], []
        for embedded in self.embedding(given).unbind(1):
            state, context, cells, weights = self._step(embedded, context, cells, prepared, mask)
            states.append(state)
            looks.append(weights)
        return torch.stack(states, dim=1), torch.stack(looks, dim=1)

    def _say(self, memory: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As `_decode`, with the likeliest symbol before each; also the symbols, [B, N]."""
        prepared, (context, cells) = self.attention.prepare(memory), self._begin(memory)
        symbol = torch.full((memory.size(0),), BEGIN, device=memory.device)
        ended = torch.zeros_like(symbol, dtype=torch.bool)
        states: list[Tensor] = []
        said: list[Tensor] = []
        looks: list[Tensor] = []
        while not ended.all() and len(said) < MOST_SYMBOLS:
            state, context, cells, weights = self._step(self.embedding(symbol), context, cells, prepared, mask)
            symbol = self.phonemes(state)[:, END:].argmax(-1) + END
            ended = ended | (symbol == END)
            states.append(state)
            said.append(symbol)
            looks.append(weights)
        return torch.stack(states, dim=1), torch.stack(said, dim=1), torch.stack(looks, dim=1)

    def _begin(self, memory: Tensor) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        return memory.new_zeros(memory.size(0), self.config.attention_units), self.decoder.begin(memory[:, 0])

    def _step(
        self, embedded: Tensor, context: Tensor, cells: list[tuple[Tensor, Tensor]],
        prepared: tuple[Tensor, Tensor], mask: Tensor,
    ) -> tuple[Tensor, Tensor, list[tuple[Tensor, Tensor]], Tensor]:  # fmt: skip
        hidden, cells = self.decoder.step(torch.cat([embedded, context], dim=-1), cells)
        context, weights = self.attention(hidden, prepared, mask)
        return torch.cat([hidden, context], dim=-1), context, cells, weights
