"""A unit vocoder's checkpoint with random weights, in the layout of the released one: weight norm and all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from voicebot.engines.unit_vocoder import layers

CONFIG: dict[str, Any] = {
    "resblock": "1",
    "upsample_rates": [5, 4, 4, 2, 2],
    "upsample_kernel_sizes": [11, 8, 8, 4, 4],
    "upsample_initial_channel": 64,
    "resblock_kernel_sizes": [3, 7],
    "resblock_dilation_sizes": [[1, 3, 5], [1, 3, 5]],
    "num_embeddings": 1000,
    "embedding_dim": 16,
    "model_in_dim": 16,
    "code_hop_size": 320,
    "sampling_rate": 16000,
    "dur_predictor_params": {
        "encoder_embed_dim": 16,
        "var_pred_hidden_dim": 16,
        "var_pred_kernel_size": 3,
        "var_pred_dropout": 0.5,
    },
}


def make(folder: Path, lasting_steps: float = 2.0) -> Path:
    """Every unit lasts about so many steps of 20 ms."""
    torch.manual_seed(1)
    state = layers(CONFIG).state_dict()
    state["dur_predictor.proj.bias"] += float(torch.log(torch.tensor(lasting_steps + 1)))
    state["dur_predictor.proj.weight"] *= 0.05
    normed = {}
    for name, value in state.items():
        if name.endswith(".weight") and name.startswith(("conv_", "ups", "resblocks")):
            norm = value.norm(dim=tuple(range(1, value.dim())), keepdim=True)
            normed[name + "_g"], normed[name + "_v"] = norm, value * 3  # only its direction counts
        else:
            normed[name] = value
    folder.mkdir(parents=True, exist_ok=True)
    torch.save({"generator": normed}, folder / "g_00500000")
    (folder / "config.json").write_text(json.dumps(CONFIG))
    return folder
