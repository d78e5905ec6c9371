"""Which of today's dialplans a recorded call is replayed with."""

from __future__ import annotations

import re
from pathlib import Path

from voicebot.config import Settings
from voicebot.core import dialplan
from voicebot.core.dialplan import Dialplan
from voicebot.errors import UsageError
from voicebot.replay.recording import CallAudio


def plan_of(call: CallAudio, settings: Settings, wanted: str = "") -> tuple[Dialplan, Path] | None:
    """The dialplan and its file: the one that is `wanted` (a name, or a file), else the one that the call's timeline
    names. None where neither does. `UsageError` when there is no such dialplan, or it has faults."""
    name = wanted or next((str(r.fields.get("dialplan", "")) for r in call.records if r.kind == "call_started"), "")
    if not name:
        return None
    if Path(name).suffix in (".yaml", ".yml"):
        return _read(Path(name)), Path(name)
    path, named = settings.dialplans, re.compile(rf"\bname:\s*[\"']?{re.escape(name)}\b")
    for file in sorted(path.glob("*.y*ml")) if path.is_dir() else [path]:
        if named.search(_text(file)) and (plan := _read(file)).name == name:
            return plan, file
    why = "" if wanted else f" {call.name} was taken with it; say --dialplan."
    raise UsageError(f"There is no dialplan {name!r} in {path}.{why}")


def _read(file: Path) -> Dialplan:
    return dialplan.parse(_text(file), str(file))


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8", "replace")
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}.") from None
