"""Moshi for several calls at once in one process, on Kyutai's own streaming API: each call has a slot of the batch.

A slot that has no audio in a step is masked and does not move, one that a call has joined begins afresh; the others do
not notice. Needs torch and moshi, which pin other versions than we do: it runs in their environment (`moshi_program`)
and imports nothing of ours but the numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from voicebot.core.moshi import FRAME_SAMPLES

Samples = npt.NDArray[np.float32]
DEFAULT_REPO = "kyutai/moshiko-pytorch-bf16"
SILENT_TOKENS = (0, 3)
"""Of the text: padding, and the end of it."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where a model is: a repository's name, or files; what is not named is taken from the repository."""

    repo: str = DEFAULT_REPO
    config: str | None = None
    moshi: str | None = None
    mimi: str | None = None
    mimi_config: str | None = None
    tokenizer: str | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """What one slot says in one step."""

    pcm: Samples | None
    """A frame of float32 at 24 kHz; None in the first steps of a call."""
    text: str


class Batch:
    """A model with so many slots. Not to be used by two threads at once."""

    def __init__(self, checkpoint: Checkpoint, slots: int, device: str = "cuda", greedy: bool = False) -> None:
        from moshi.models import LMGen, loaders
        from moshi.run_inference import get_condition_tensors

        info: Any = loaders.CheckpointInfo.from_hf_repo(
            checkpoint.repo,
            checkpoint.moshi,
            checkpoint.mimi,
            checkpoint.tokenizer,
            config_path=checkpoint.config,
            mimi_config_path=checkpoint.mimi_config,
        )
        self.slots, self._device = slots, torch.device(device)
        self._mimi: Any = info.get_mimi(device=device)
        self._tokenizer: Any = info.get_text_tokenizer()
        lm: Any = info.get_moshi(device=device, dtype=torch.bfloat16 if device.startswith("cuda") else torch.float32)
        conditions = get_condition_tensors(info.model_type, lm, batch_size=slots, cfg_coef=1.0)
        how = {**info.lm_gen_config, "use_sampling": not greedy}
        self._gen: Any = LMGen(lm, condition_tensors=conditions, support_out_of_sync=True, **how)
        self._heard_codes = lm.num_codebooks - lm.dep_q - 1
        self._mimi.streaming_forever(slots)
        self._gen.streaming_forever(slots)
        self._fresh: set[int] = set()
        """Slots whose first frame is still to come."""

    def _mask(self, slots: Set[int]) -> Any:
        return torch.tensor([slot in slots for slot in range(self.slots)], device=self._device)

    def step(self, frames: Mapping[int, Samples], joined: Set[int] = frozenset()) -> dict[int, Step]:
        """80 ms of the slots that have a frame; those that were joined since the last step begin afresh."""
        with torch.no_grad():
            return self._step(frames, joined)

    def _step(self, frames: Mapping[int, Samples], joined: Set[int]) -> dict[int, Step]:
        if joined:
            self._mimi.reset_streaming(self._mask(joined))
            self._gen.reset_streaming(self._mask(joined))
            self._fresh |= joined
        heard = np.zeros((self.slots, 1, FRAME_SAMPLES), np.float32)
        for slot, frame in frames.items():
            heard[slot, 0] = frame
        moving = self._mask(frames.keys())
        self._mimi.set_exec_mask(moving)
        codes = self._mimi.encode(torch.from_numpy(heard).to(self._device))
        if first := self._fresh & frames.keys():  # as Kyutai's server: the encoder pads its first frame in its own way
            self._mimi.reset_streaming(self._mask(first))
            self._fresh -= first
        self._gen.set_exec_mask(moving)
        tokens = self._gen.step(codes[:, : self._heard_codes])
        speaking = moving & (tokens >= 0).all(dim=2).all(dim=1)
        self._mimi.set_exec_mask(speaking)
        said = self._mimi.decode(tokens[:, 1:].clamp(min=0)).float().cpu().numpy()
        texts, able = tokens[:, 0, 0].tolist(), speaking.tolist()
        return {
            slot: Step(said[slot, 0], self._piece(texts[slot])) if able[slot] else Step(None, "") for slot in frames
        }

    def _piece(self, token: int) -> str:
        if token in SILENT_TOKENS or token < 0:
            return ""
        return str(self._tokenizer.id_to_piece(token)).replace("▁", " ")
