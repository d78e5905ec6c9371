"""The speaker encoder of Translatotron 1 (GE2E, arXiv:1710.10467): what a voice is like, in 256 numbers.

It is trained apart, to tell speakers from each other; voicebot does not train it. A checkpoint is `voice.safetensors`
with the weights below, for 40 mel bands at 16 kHz.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from voicebot.engines.s2s_translatotron.presets import Sound
from voicebot.engines.s2s_translatotron.spectrum import Spectrum
from voicebot.engines.s2s_translatotron.t1 import VOICE_UNITS
from voicebot.errors import UsageError

SOUND = Sound(16000, 40, 25.0, 10.0, 512)
WINDOW = 160
"""Frames that are heard at once; windows overlap by half, and their embeddings are averaged."""


class VoiceEncoder(nn.Module):
    """Three LSTMs and a projection."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(SOUND.bands, 768, 3, batch_first=True)
        self.out = nn.Linear(768, VOICE_UNITS)

    def forward(self, frames: Tensor) -> Tensor:
        """[B, T, 40] → [B, 256] of length 1."""
        return F.normalize(self.out(self.lstm(frames)[0][:, -1]), dim=-1)

    def embed(self, samples: Tensor) -> Tensor:
        """Float samples at 16 kHz → [256]."""
        frames = Spectrum(SOUND).analyse(samples)
        starts = range(0, max(1, len(frames) - WINDOW // 2), WINDOW // 2)
        with torch.no_grad():
            each = [self(frames[None, at : at + WINDOW])[0] for at in starts]
        return F.normalize(torch.stack(each).mean(0), dim=-1)


def load(file: Path) -> VoiceEncoder:
    """`UsageError`, one sentence, for a file that is no such encoder."""
    encoder = VoiceEncoder()
    try:
        encoder.load_state_dict(load_file(file))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise UsageError(f"{file} holds no speaker encoder: {str(error).splitlines()[0]}.") from None
    encoder.eval()
    return encoder
