"""Models that can be fetched: read from the data file `engines/catalogue.toml`."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from voicebot.errors import UsageError

KINDS = ("whisper", "faster-whisper", "piper", "coqui", "silero")
"""First part of a model's name, and its folder."""
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class File:
    path: str
    """Where it goes, below the models folder: `piper/en_US-lessac-medium.onnx`."""
    url: str
    sha256: str
    """Hex; empty where the publisher names none beforehand: then what its server says counts."""


@dataclass(frozen=True, slots=True)
class Model:
    name: str
    """`<kind>/<name>`: `whisper/base`."""
    about: str
    licence: str
    megabytes: int
    """Of the download, about."""
    files: tuple[File, ...]
    unpack: bool = False
    """The one file is a ZIP archive; `path` is then the folder that its files go to."""

    @property
    def kind(self) -> str:
        return self.name.partition("/")[0]


def read(text: str) -> dict[str, Model]:
    """Models by name. `UsageError` for an entry that is not sound."""
    entries = tomllib.loads(text)
    return {name: _model(name, entry) for name, entry in entries.items()}


def _model(name: str, entry: Mapping[str, Any]) -> Model:
    base = entry.get("from", "")
    files = tuple(
        File(path, url if "://" in url else base + url, "".join(sha256)) for path, url, *sha256 in entry["files"]
    )
    model = Model(name, entry["about"], entry["licence"], entry["megabytes"], files, entry.get("unpack", False))
    if fault := _fault(model):
        raise UsageError(f"The catalogue's entry {name}: {fault}.")
    return model


def _fault(model: Model) -> str:
    if model.kind not in KINDS:
        return f"its kind is none of {', '.join(KINDS)}"
    if not model.files or (model.unpack and len(model.files) != 1):
        return "it needs a file, and an archive is one"
    for file in model.files:
        if not file.path.startswith(model.kind + "/") or ".." in file.path.split("/"):
            return f"{file.path} lies outside its folder"
        if file.sha256 and not _SHA256.fullmatch(file.sha256):
            return f"{file.path} has no SHA-256"
    return ""
