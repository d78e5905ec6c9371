"""HiFi-GAN's generator (arXiv:2010.05646), to speak more cleanly than Griffin and Lim's method does, where a checkpoint
for the model's own spectrograms is at hand.

A checkpoint is a folder with `vocoder.json` (the fields of HiFi-GAN's `config.json`) and `vocoder.safetensors` (or the
generator's own `.pth`), trained on frames as `spectrum` makes them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from voicebot.engines.s2s_translatotron.presets import Sound
from voicebot.errors import UsageError

SETTINGS, WEIGHTS = "vocoder.json", "vocoder.safetensors"
SLOPE = 0.1


class Residual(nn.Module):
    """Pairs of dilated and plain convolutions around themselves (`ResBlock1`)."""

    def __init__(self, channels: int, kernel: int, dilations: list[int]) -> None:
        super().__init__()
        self.convs1 = nn.ModuleList(
            nn.Conv1d(channels, channels, kernel, dilation=d, padding=d * (kernel - 1) // 2) for d in dilations
        )
        self.convs2 = nn.ModuleList(nn.Conv1d(channels, channels, kernel, padding=(kernel - 1) // 2) for _ in dilations)

    def forward(self, x: Tensor) -> Tensor:
        for dilated, plain in zip(self.convs1, self.convs2, strict=True):
            x = x + plain(F.leaky_relu(dilated(F.leaky_relu(x, SLOPE)), SLOPE))
        return x


class Generator(nn.Module):
    """Frames [T, bands] to samples [T × hop]. Names of the weights are the published code's."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__()
        wide, kernels = settings["upsample_initial_channel"], settings["resblock_kernel_sizes"]
        self.conv_pre = nn.Conv1d(settings["num_mels"], wide, 7, padding=3)
        self.ups, self.resblocks, self.kernels = nn.ModuleList(), nn.ModuleList(), len(kernels)
        strides = zip(settings["upsample_rates"], settings["upsample_kernel_sizes"], strict=True)
        for number, (stride, kernel) in enumerate(strides):
            narrow = wide >> (number + 1)
            self.ups.append(nn.ConvTranspose1d(wide >> number, narrow, kernel, stride, padding=(kernel - stride) // 2))
            for size, dilations in zip(kernels, settings["resblock_dilation_sizes"], strict=True):
                self.resblocks.append(Residual(narrow, size, dilations))
        self.conv_post = nn.Conv1d(narrow, 1, 7, padding=3)

    def forward(self, frames: Tensor) -> Tensor:
        x = self.conv_pre(frames.T[None])
        for number, up in enumerate(self.ups):
            x = up(F.leaky_relu(x, SLOPE))
            blocks = self.resblocks[number * self.kernels : (number + 1) * self.kernels]
            x = sum(block(x) for block in blocks) / self.kernels
        return torch.tanh(self.conv_post(F.leaky_relu(x)))[0, 0]


def load(folder: Path, sound: Sound) -> Generator:
    """Ready to speak `sound`. `UsageError`, one sentence, for one that speaks other spectrograms, or is none."""
    try:
        settings: dict[str, Any] = json.loads((folder / SETTINGS).read_text("utf-8"))
        given = [settings[name] for name in ("sampling_rate", "num_mels", "hop_size", "win_size")]
        wanted = [sound.rate, sound.width, sound.hop, sound.window]
        if given != wanted:
            raise UsageError(
                f"The vocoder in {folder} speaks spectrograms of another kind: rate, bands, hop and window are "
                f"{given} there, {wanted} here."
            )
        generator = Generator(settings)
        generator.load_state_dict(_plain(_weights(folder)))
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise UsageError(f"{folder} holds no HiFi-GAN vocoder: {str(error).splitlines()[0]}.") from None
    generator.eval()
    return generator


def _weights(folder: Path) -> dict[str, Tensor]:
    if (folder / WEIGHTS).exists():
        return dict(load_file(folder / WEIGHTS))
    found = sorted(folder.glob("*.pth"))
    if not found:
        raise OSError(f"there is no {WEIGHTS}")
    saved: dict[str, Any] = torch.load(found[0], map_location="cpu", weights_only=True)
    return dict(saved.get("generator", saved))


def _plain(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weight norm (direction and length apart), which is for training only, multiplied out."""
    plain = {name: tensor for name, tensor in weights.items() if not name.endswith(("weight_g", "weight_v"))}
    for name, length in weights.items():
        if name.endswith("weight_g"):
            direction = weights[name[:-1] + "v"]
            norm = direction.flatten(1).norm(dim=1).view(length.shape)
            plain[name[:-2]] = direction * (length / norm)
    return plain
