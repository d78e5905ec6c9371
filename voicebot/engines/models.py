"""Models on disk: where they are, and which. Nothing here goes to the network."""

from __future__ import annotations

import hashlib
from importlib import resources
from pathlib import Path

from voicebot.config import Settings
from voicebot.core import catalogue
from voicebot.core.catalogue import Model
from voicebot.errors import UsageError

_SUFFIX = {"whisper": ".pt", "faster-whisper": "", "piper": ".onnx", "coqui": "", "silero": ".onnx"}
"""Of a kind's one file; empty where a model is a folder."""


def known() -> dict[str, Model]:
    """The catalogue."""
    return catalogue.read((resources.files("voicebot.engines") / "catalogue.toml").read_text("utf-8"))


def folder() -> Path:
    """`VOICEBOT_MODELS_DIR`."""
    return Settings().models_dir


def find(kind: str, name: str) -> Path:
    """The file or folder of a model: `name` is a path, or a name below the models folder. `UsageError` names the
    command that fetches it."""
    path = Path(name).expanduser()
    if path.is_absolute() or len(path.parts) > 1 or path.suffix in (".pt", ".pth", ".onnx"):
        if not path.exists():
            raise UsageError(f"The {kind} model {path} is not there.")
        return path
    path = folder() / kind / (name + _SUFFIX[kind])
    if path.exists():
        return path
    full = f"{kind}/{name}"
    if full in known():
        raise UsageError(f"The model {full} is not on this machine. Fetch it: voicebot models get {full}")
    raise UsageError(f"There is no model {full} in {folder()} nor in the catalogue: see voicebot models list.")


def present(model: Model, root: Path) -> bool:
    """Whether all of a model's files are there, without looking inside them."""
    paths = [root / file.path for file in model.files]
    return all(any(path.iterdir()) if path.is_dir() else path.is_file() for path in paths)


def fingerprint(file: Path) -> str:
    """Changes with the model, without reading all of it: its name says nothing about one that was trained further."""
    seen = file.stat()
    return hashlib.sha256(f"{seen.st_size}:{seen.st_mtime_ns}".encode()).hexdigest()[:8]
