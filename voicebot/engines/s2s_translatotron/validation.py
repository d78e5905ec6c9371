"""How good a model is on pairs that it has not seen."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
import torch

from voicebot.engines.s2s_translatotron.batch import Translation
from voicebot.engines.s2s_translatotron.batches import Batches
from voicebot.engines.s2s_translatotron.checkpoint import Model
from voicebot.engines.s2s_translatotron.presets import END
from voicebot.engines.s2s_translatotron.t1 import Translatotron1
from voicebot.engines.s2s_translatotron.warp import distances, edits

AT_ONCE = 32
COMPARED = 16
"""Spectrograms that are compared with each other."""


@dataclass(frozen=True, slots=True)
class Score:
    """Shares are 0..1."""

    exact: float
    """Utterances whose target phonemes are all right; of Translatotron 1, its auxiliary decoder's."""
    error: float
    """Phonemes to change, over phonemes."""
    length: float
    """Frames made over frames wanted, over all utterances."""
    nearest: float
    """Of 16 spectrograms made, those nearer to their own original than to any of the other 15: what is heard is what
    was meant. Distances are those of dynamic time warping."""
    focus: float
    """How much of the attention lies on one place, on average."""
    value: float
    """What a training wants more of."""

    def facts(self) -> dict[str, float]:
        """Rounded, for a log."""
        return {name: round(number, 4) for name, number in asdict(self).items() if name != "value"}


def validate(model: Model, pairs: Batches, device: str = "cpu") -> Score:
    """Translate all pairs, which always have the same noise, and compare."""
    wrong, total, exact, made_frames, wanted_frames, focus = 0, 0, 0, 0, 0, []
    nearest = 0.0
    for start in range(0, len(pairs.pairs), AT_ONCE):
        numbers = range(start, min(start + AT_ONCE, len(pairs.pairs)))
        batch = pairs.batch(numbers, np.random.default_rng(start))
        made = model.translate(batch.source.to(device), batch.source_lengths.to(device))
        for said, row in zip(made.symbols, batch.target_symbols.tolist(), strict=True):
            meant = row[: row.index(END)]
            wrong, total, exact = wrong + edits(said, meant), total + len(meant), exact + (said == meant)
        made_frames += int(made.lengths.sum())
        wanted_frames += int(batch.target_lengths.sum())
        focus.append(float(made.weights.amax(dim=2).mean()))
        if start == 0:
            nearest = _nearest(made, batch.target, batch.target_lengths)
    count = len(pairs.pairs)
    listens = isinstance(model, Translatotron1)
    length = made_frames / wanted_frames
    off = abs(1 - length)
    value = nearest + exact / count / 2 - off if listens else exact / count - wrong / max(1, total)
    mean_focus = sum(focus) / len(focus)
    return Score(exact / count, wrong / max(1, total), length, nearest, mean_focus, value)


def attention(model: Model, pairs: Batches, device: str = "cpu") -> npt.NDArray[np.float32]:
    """Where the model looks while it translates the first pair: [steps, places of the memory], the mean of its
    heads."""
    batch = pairs.batch([0], np.random.default_rng(0))
    made = model.translate(batch.source.to(device), batch.source_lengths.to(device))
    weights: npt.NDArray[np.float32] = made.weights[0].mean(-1).float().cpu().numpy()
    return weights


def _nearest(made: Translation, target: torch.Tensor, lengths: torch.Tensor) -> float:
    count = len(lengths)
    chosen = list(range(0, count, max(1, count // COMPARED)))[:COMPARED]
    spoken = [made.frames[n, : max(1, int(made.lengths[n]))].float().cpu().numpy() for n in chosen]
    wanted = [target[n, : int(lengths[n])].numpy() for n in chosen]
    table = distances(spoken, wanted)
    return float((table.argmin(axis=1) == np.arange(len(chosen))).mean())
