"""A cassette: what engines answered, and when, by what they were asked.

    {"stage": "llm", "engine": "openai", "asked": "…", "pieces": [{"at_ms": 214, "text": "We open "}, …]}

One file for each request, named by stage, engine and a hash of all that the engine was told: the prompt and tools, the
conversation so far, the turn; the voice and the sentence. `at_ms` counts from the request. The same request is
answered from the cassette, at the same moments; so a replay costs nothing, needs no key, and is the same every time.
What is not on it was never asked before: it goes to the engine where that is allowed, else the replay could not be run.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import orjson

from voicebot.errors import PeerError

Mode = Literal["auto", "recorded", "live"]
"""`auto`: engines on this machine are asked what is not on the cassette. `recorded`: nobody is. `live`: everybody is
asked everything, and the cassette is recorded anew."""
REMOTE = frozenset({"openai"})
"""Engines that cost money or leave the machine."""
SHOWN = 80
"""Characters of a request that a message shows."""
Piece = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Request:
    stage: str
    engine: str
    asked: str
    """For people."""
    told: Any
    """Everything that the answer depends on, as JSON has it."""

    @property
    def file(self) -> str:
        """The same for the same request."""
        key = hashlib.sha256(orjson.dumps(self.told, option=orjson.OPT_SORT_KEYS, default=str)).hexdigest()[:32]
        return f"{self.stage}-{self.engine.replace(':', '.')}-{key}.json"


@dataclass(slots=True)
class Cassette:
    """`folder` None: nothing is kept."""

    folder: Path | None = None
    mode: Mode = "auto"
    missing: list[str] = field(default_factory=list)
    """Requests that were not on it, and that nobody could be asked."""

    def knows(self, engine: str) -> bool:
        """Whether anything is on it that this engine said."""
        return self.folder is not None and any(self.folder.glob(f"*-{engine}-*.json"))

    def find(self, request: Request) -> list[Piece] | None:
        """The answer; None where it has to be asked."""
        if self.folder is None or self.mode == "live":
            return None
        try:
            pieces: list[Piece] = orjson.loads((self.folder / request.file).read_bytes())["pieces"]
        except (OSError, orjson.JSONDecodeError, KeyError, TypeError):
            return None
        return pieces

    def may_ask(self, engine: str) -> bool:
        """Whether `engine` may be asked what is not on it."""
        return self.mode == "live" or (self.mode == "auto" and engine.partition(":")[0] not in REMOTE)

    def lack(self, request: Request) -> PeerError:
        """The request is not on it, and may not be asked."""
        self.missing.append(f"{request.stage} {request.engine}: {request.asked[:SHOWN]}")
        return PeerError("The cassette has no answer to this.")

    def keep(self, request: Request, pieces: Sequence[Piece]) -> None:
        """Whole, or not at all."""
        if self.folder is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        told = {"stage": request.stage, "engine": request.engine, "asked": request.asked, "pieces": list(pieces)}
        handle, name = tempfile.mkstemp(dir=self.folder, prefix="new")
        with os.fdopen(handle, "wb") as file:
            file.write(orjson.dumps(told, option=orjson.OPT_INDENT_2))
        os.replace(name, self.folder / request.file)
