"""Engines by name: `load("asr", "pocketsphinx")` imports `voicebot.engines.asr_pocketsphinx`.

A third-party package adds an engine with an entry point in the group `voicebot.engines`, named
`<stage>_<name>`, that points at a module of the same shape.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any

import voicebot.engines as package
from voicebot.errors import UsageError

STAGES = ("vad", "eot", "asr", "llm", "tts", "s2s", "mt")
_lent: dict[str, ModuleType] = {}
_lenders: set[str] = set()


def lend(stage: str, name: str, module: ModuleType, lender: str) -> None:
    """An engine that only this process has, and no list shows: a measurement's stand-in. `lender`: the module whose
    `lend` has another process of ours lend it, too."""
    _lent[f"{stage}_{name}"] = module
    _lenders.add(lender)


def lenders() -> list[str]:
    """Modules to `lend` from, in a process that is to have what this one has."""
    return sorted(_lenders)


def names(stage: str) -> list[str]:
    """Every engine of a stage that is installed, ours and third-party, sorted."""
    ours = {m.name for m in pkgutil.iter_modules(package.__path__)}
    theirs = {e.name for e in entry_points(group="voicebot.engines")}
    prefix = stage + "_"
    return sorted(n.removeprefix(prefix) for n in ours | theirs if n.startswith(prefix))


def load(stage: str, name: str) -> ModuleType:
    """The module of an engine. `UsageError` names the engines there are when this one is unknown."""
    wanted = f"{stage}_{name}"
    if wanted in _lent:
        return _lent[wanted]
    for entry in entry_points(group="voicebot.engines"):
        if entry.name == wanted:
            module = entry.load()
            assert isinstance(module, ModuleType)
            return module
    if name not in names(stage):
        raise UsageError(f"There is no {stage} engine {name!r}. Use one of: {', '.join(names(stage)) or 'none'}.")
    return importlib.import_module(f"voicebot.engines.{wanted}")


def check(stage: str, name: str, options: Mapping[str, Any] | None = None) -> str | None:
    """None when the engine can run here, with a dialplan's options for it, else one sentence that says what it needs.
    An engine whose needs depend on its options has a `check_for` beside its `check`."""
    module = load(stage, name)
    answer = module.check_for(options) if options and hasattr(module, "check_for") else module.check()
    return None if answer is None else str(answer)


def licence(stage: str, name: str) -> str:
    """What its module says about the terms of its weights; empty where nothing is to be said."""
    return str(getattr(load(stage, name), "LICENCE", ""))
