"""A unit vocoder: HiFi-GAN over the units of a self-supervised model, with a predictor of how long each one lasts.

The network is that of Polyak et al. 2021 (arXiv:2104.00355) as fairseq's `CodeHiFiGANVocoder` has it, which LLaMA-Omni
uses with 1000 units of mHuBERT at 16 kHz; its checkpoint is loaded as it is: `{"generator": …}` and a `config.json`.
Weight normalisation is folded in when it is loaded. PyTorch, so only in a program of its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as f

SLOPE = 0.1


def _conv(channels: int, kernel: int, dilation: int = 1) -> nn.Conv1d:
    return nn.Conv1d(channels, channels, kernel, dilation=dilation, padding=(kernel * dilation - dilation) // 2)


def residual(channels: int, kernel: int, dilations: Sequence[int]) -> nn.ModuleDict:
    """The layers of one residual block."""
    return nn.ModuleDict(
        {
            "convs1": nn.ModuleList(_conv(channels, kernel, dilation) for dilation in dilations),
            "convs2": nn.ModuleList(_conv(channels, kernel) for _ in dilations),
        }
    )


def _resolved(block: Any, x: Any) -> Any:
    for first, second in zip(block["convs1"], block["convs2"], strict=True):
        x = x + second(f.leaky_relu(first(f.leaky_relu(x, SLOPE)), SLOPE))
    return x


def layers(config: Mapping[str, Any]) -> nn.ModuleDict:
    """All of the network, under the names of the checkpoint."""
    rates, kernels = config["upsample_rates"], config["upsample_kernel_sizes"]
    width = config["upsample_initial_channel"]
    widths = [width // 2**i for i in range(len(rates) + 1)]
    found = {
        "dict": nn.Embedding(config["num_embeddings"], config["embedding_dim"]),
        "conv_pre": nn.Conv1d(config.get("model_in_dim", 80), width, 7, padding=3),
        "ups": nn.ModuleList(
            nn.ConvTranspose1d(widths[i], widths[i + 1], kernel, rate, padding=(kernel - rate) // 2)
            for i, (rate, kernel) in enumerate(zip(rates, kernels, strict=True))
        ),
        "resblocks": nn.ModuleList(
            residual(after, kernel, dilations)
            for after in widths[1:]
            for kernel, dilations in zip(
                config["resblock_kernel_sizes"], config["resblock_dilation_sizes"], strict=True
            )
        ),
        "conv_post": nn.Conv1d(widths[-1], 1, 7, padding=3),
    }
    if lasting := config.get("dur_predictor_params"):
        hidden, kernel = lasting["var_pred_hidden_dim"], lasting["var_pred_kernel_size"]
        first = nn.Conv1d(lasting["encoder_embed_dim"], hidden, kernel, padding=(kernel - 1) // 2)
        found["dur_predictor"] = nn.ModuleDict(
            {
                "conv1": nn.Sequential(first, nn.ReLU()),
                "ln1": nn.LayerNorm(hidden),
                "conv2": nn.Sequential(nn.Conv1d(hidden, hidden, kernel, padding=1), nn.ReLU()),
                "ln2": nn.LayerNorm(hidden),
                "proj": nn.Linear(hidden, 1),
            }
        )
    return nn.ModuleDict(found)


def folded(state: Mapping[str, Any]) -> dict[str, Any]:
    """Weight normalisation undone: `weight = g · v / |v|`, the norm over all but the first dimension."""
    plain = {}
    for name, value in state.items():
        if name.endswith("weight_g"):
            v = state[name[:-1] + "v"]
            plain[name[:-2]] = value * v / v.norm(dim=tuple(range(1, v.dim())), keepdim=True)
        elif not name.endswith("weight_v"):
            plain[name] = value
    return plain


class UnitVocoder:
    """A checkpoint, ready. `folder` has `config.json` and one file `g_…`; `ValueError` when it has not."""

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        files = sorted(folder.glob("g_*"))
        if not files or not (folder / "config.json").exists():
            raise ValueError(f"{folder} has no vocoder: a file g_… and its config.json.")
        config = json.loads((folder / "config.json").read_text("utf-8"))
        if config.get("multispkr") or config.get("f0"):
            raise ValueError("A vocoder of several speakers, or with pitch, cannot be used here.")
        self._kernels = len(config["resblock_kernel_sizes"])
        self.rate = int(config.get("sampling_rate", 16000))
        self.units = int(config["num_embeddings"])
        self._net = layers(config)
        state = torch.load(files[-1], map_location="cpu", weights_only=True)
        self._net.load_state_dict(folded(state["generator"]))
        self._net.eval().to(device)
        self._device = device
        self.samples_unit = 1
        for rate in config["upsample_rates"]:
            self.samples_unit *= rate
        """Of a unit that lasts one step."""

    def speak(self, units: Sequence[int], before: int = 0) -> Any:
        """float32 samples at `rate`; those of the first `before` units, which are there to be gone on from, are left
        out. `ValueError` for a unit that there is not."""
        if any(not 0 <= unit < self.units for unit in units):
            raise ValueError(f"A unit is not among the {self.units} that the vocoder has.")
        with torch.inference_mode():
            return self._samples(units, before)

    def _samples(self, units: Sequence[int], before: int) -> Any:
        net: Any = self._net
        x = net["dict"](torch.tensor([list(units)], device=self._device)).transpose(1, 2)
        lasting = self._lasting(x)
        x = net["conv_pre"](torch.repeat_interleave(x, lasting, dim=2))
        for i, up in enumerate(net["ups"]):
            x = up(f.leaky_relu(x, SLOPE))
            blocks = net["resblocks"][i * self._kernels : (i + 1) * self._kernels]
            x = torch.stack([_resolved(block, x) for block in blocks]).mean(0)
        x = torch.tanh(net["conv_post"](f.leaky_relu(x)))
        left_out = int(lasting[:before].sum()) * self.samples_unit
        return x[0, 0, left_out:].float().cpu().numpy()

    def _lasting(self, x: Any) -> Any:
        """How many steps each unit lasts, at least one; shape [units]."""
        if "dur_predictor" not in self._net:
            return torch.ones(x.shape[2], dtype=torch.long, device=x.device)
        predictor: Any = self._net["dur_predictor"]
        y = predictor["ln1"](predictor["conv1"](x).transpose(1, 2))
        y = predictor["ln2"](predictor["conv2"](y.transpose(1, 2)).transpose(1, 2))
        return torch.clamp(torch.round(torch.exp(predictor["proj"](y)[0, :, 0]) - 1).long(), min=1)
