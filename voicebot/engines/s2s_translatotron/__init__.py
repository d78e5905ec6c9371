"""Translatotron 1 and 2: direct speech-to-speech translation by models that `voicebot train` makes.

A native engine (`engines: {responder: native, s2s: translatotron}`), or an interpreter's. Options
(`engines.options.translatotron` of a dialplan):

    model            folder with model.safetensors and model.json; the languages and the rate are the model's own
    device           cpu (default) or cuda
    rounds           of Griffin and Lim's method, 5–100, default 30
    vocoder          folder with a HiFi-GAN for the model's spectrograms, instead
    speaker_encoder  file with a GE2E speaker encoder, for a Translatotron 1 that keeps voices

Nothing here imports torch: it runs in a process of its own.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

from voicebot.engines.base import EngineConfig
from voicebot.engines.s2s_translatotron.engine import Translatotron
from voicebot.errors import UsageError

_DEFAULTS: dict[str, Any] = {"model": "", "device": "cpu", "rounds": 30, "vocoder": "", "speaker_encoder": ""}


def check() -> str | None:
    lacking = [name for name in ("torch", "safetensors") if importlib.util.find_spec(name) is None]
    return f"Install {' and '.join(lacking)}: pip install 'voicebot[translatotron]'." if lacking else None


def create(config: EngineConfig) -> Translatotron:
    settings = _DEFAULTS | dict(config.options)
    if unknown := set(settings) - set(_DEFAULTS):
        raise UsageError(f"translatotron has no option {sorted(unknown)[0]!r}. Use one of: {', '.join(_DEFAULTS)}.")
    if not settings["model"]:
        raise UsageError("translatotron needs a model: train one with `voicebot train`, and name its folder.")
    if not isinstance(settings["rounds"], int) or not 5 <= settings["rounds"] <= 100:
        raise UsageError(f"translatotron's rounds must be from 5 to 100, not {settings['rounds']!r}.")
    return Translatotron(settings | {"rate": rate_of(Path(settings["model"]))})


def rate_of(folder: Path) -> int:
    """What a model hears at. `UsageError` for a folder without one."""
    try:
        return int(json.loads((folder / "model.json").read_text("utf-8"))["model"]["source"]["rate"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{folder} holds no Translatotron: model.json cannot be read ({error}).") from None
