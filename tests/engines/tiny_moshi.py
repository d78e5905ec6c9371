"""A Moshi with random weights, small enough for a CPU, in the files that Kyutai's loader reads.

    python tests/engines/tiny_moshi.py FOLDER

Run by whatever Python has moshi in it; it imports nothing of ours. The audio is noise of the right shape.
"""

from __future__ import annotations

import copy
import json
import random
import sys
from pathlib import Path
from typing import Any

WORDS = "hello how can i help you today yes no thank you goodbye one two three four five table book people".split()


def make(folder: Path) -> None:
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    pieces = _tokenizer(folder)
    _mimi(folder)
    _lm(folder, pieces)


def _tokenizer(folder: Path) -> int:
    import sentencepiece

    chance = random.Random(0)
    lines = [" ".join(chance.choices(WORDS, k=6)) for _ in range(400)]
    (folder / "corpus.txt").write_text("\n".join(lines))
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "corpus.txt"), model_prefix=str(folder / "tokenizer"), vocab_size=80, model_type="bpe",
        unk_id=0, bos_id=1, eos_id=2, pad_id=3, minloglevel=2,
    )  # fmt: skip
    return int(sentencepiece.SentencePieceProcessor(str(folder / "tokenizer.model")).get_piece_size())


def _mimi(folder: Path) -> None:
    import torch
    from moshi.models import loaders
    from safetensors.torch import save_file

    config: Any = copy.deepcopy(loaders._mimi_config)
    config["seanet"].update(dimension=32, n_filters=2)
    config["quantizer"].update(dimension=16, n_q=8, bins=64, input_dimension=32, output_dimension=32)
    config["transformer"].update(
        d_model=32,
        num_heads=2,
        num_layers=1,
        dim_feedforward=64,
        input_dimension=32,
        output_dimensions=[32],
        context=50,
    )
    (folder / "mimi.json").write_text(json.dumps(config))
    model = loaders.get_mimi(None, config, num_codebooks=8)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                torch.nn.init.normal_(parameter, std=0.9 / parameter[0].numel() ** 0.5)
        for name, buffer in model.named_buffers():  # of the quantizer, else every frame has the same codes
            if "embedding_sum" in name:
                buffer.copy_(torch.randn_like(buffer))
            elif "cluster_usage" in name or name.endswith("_initialized"):
                buffer.fill_(1.0)
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, folder / "mimi.safetensors")


def _lm(folder: Path, pieces: int) -> None:
    import torch
    from moshi.models import loaders
    from safetensors.torch import save_file

    lm = dict(loaders._lm_kwargs)
    lm.update(
        dim=64, text_card=pieces, num_heads=2, num_layers=2, hidden_scale=2.0, context=100, n_q=16, dep_q=8, card=64,
        depformer_dim=32, depformer_dim_feedforward=64, depformer_num_heads=2, depformer_num_layers=1,
    )  # fmt: skip
    config = lm | {
        "moshi_name": "moshi.safetensors",
        "mimi_name": "mimi.safetensors",
        # Kyutai's server has no argument for it: what is no address of a file would be fetched
        "mimi_config_name": f"file://{folder / 'mimi.json'}",
        "tokenizer_name": "tokenizer.model",
        "model_type": "moshi",
        "lm_gen_config": {},
    }
    (folder / "config.json").write_text(json.dumps(config))
    model = loaders.get_moshi_lm(None, lm_kwargs=lm, device="cpu", dtype=torch.float32)
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, folder / "moshi.safetensors")


if __name__ == "__main__":
    make(Path(sys.argv[1]).absolute())
