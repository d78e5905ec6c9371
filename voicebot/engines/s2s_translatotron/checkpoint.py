"""Models on disk: a folder with `model.safetensors` and `model.json`, which says what the weights are and were made
from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from voicebot.engines.s2s_translatotron import presets
from voicebot.engines.s2s_translatotron.presets import T1, Config
from voicebot.engines.s2s_translatotron.t1 import Translatotron1
from voicebot.engines.s2s_translatotron.t2 import Translatotron2
from voicebot.errors import UsageError

FORMAT = 1
WEIGHTS, SETTINGS = "model.safetensors", "model.json"
Model = Translatotron1 | Translatotron2


@dataclass(frozen=True, slots=True)
class About:
    """What a model translates, and what it was made from."""

    source: str
    """BCP 47."""
    target: str
    trained_on: str
    """In words: data, steps. Says what it may be used for."""
    reduction: int = 0
    """Frames a decoder step that Translatotron 1 has got to; 0: its configuration's."""
    words: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Target word → its phonemes, where they are few enough to be known: for the transcript."""


def build(config: Config) -> Model:
    """With random weights."""
    return Translatotron1(config) if isinstance(config, T1) else Translatotron2(config)


def save(folder: Path, model: Model, about: About) -> None:
    """Write both files, each whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    save_file(weights, folder / f"{WEIGHTS}.new")
    (folder / f"{WEIGHTS}.new").replace(folder / WEIGHTS)
    facts = {name: getattr(about, name) for name in About.__slots__}
    told = {"format": FORMAT, "model": presets.to_json(model.config), "about": facts}
    (folder / f"{SETTINGS}.new").write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", "utf-8")
    (folder / f"{SETTINGS}.new").replace(folder / SETTINGS)


def load(folder: Path, device: str = "cpu") -> tuple[Model, About]:
    """Ready to translate. `UsageError`, one sentence, for what is no model or does not fit its settings."""
    told = _told(folder)
    config = presets.from_json(told["model"])
    try:
        about = About(**told["about"])
        weights = load_file(folder / WEIGHTS, device="cpu")
    except (OSError, SafetensorError) as error:
        raise UsageError(f"{folder / WEIGHTS} cannot be read: {error}.") from None
    except (TypeError, KeyError) as error:
        raise UsageError(f"{folder / SETTINGS} does not say what the model is about: {error}.") from None
    with torch.device("meta"):
        wanted = build(config).state_dict()
    if misfit := _misfit(wanted, weights):
        raise UsageError(f"{folder / WEIGHTS} does not fit its {SETTINGS}: {misfit}.")
    model = build(config)
    model.load_state_dict(weights)
    if isinstance(model, Translatotron1) and about.reduction:
        model.lesson.reduction = about.reduction
    return model.to(device).eval(), about


def _told(folder: Path) -> dict[str, Any]:
    try:
        told = json.loads((folder / SETTINGS).read_text("utf-8"))
        version, _ = told["format"], told["model"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{folder} holds no Translatotron: {SETTINGS} cannot be read ({error}).") from None
    if version != FORMAT:
        raise UsageError(f"{folder / SETTINGS} is of format {version}; this version reads {FORMAT}.")
    return dict(told)


def _misfit(wanted: Mapping[str, torch.Tensor], found: Mapping[str, torch.Tensor]) -> str:
    if lacking := sorted(set(wanted) - set(found)):
        return f"{lacking[0]} is missing, as are {len(lacking) - 1} more" if lacking[1:] else f"{lacking[0]} is missing"
    if extra := sorted(set(found) - set(wanted)):
        return f"{extra[0]} is not part of such a model"
    for name, tensor in wanted.items():
        if tensor.shape != found[name].shape:
            return f"{name} is {tuple(found[name].shape)} where {tuple(tensor.shape)} is wanted"
    return ""
