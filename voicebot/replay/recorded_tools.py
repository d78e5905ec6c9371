"""Tools in a replay: nothing outside is touched. A tool gives what it gave in the recording, after as long."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from voicebot.core.dialogue import ToolCall, ToolDone
from voicebot.core.dialplan import Dialplan
from voicebot.core.timeline import Record

ACTED = {"noted": True}
"""Result of a note that was never written before: it would have been."""


class RecordedTools:
    """One call's, from the records of its timeline."""

    def __init__(self, plan: Dialplan, records: Sequence[Record]) -> None:
        self._plan = plan
        self._done = _done(records)

    def acts(self, name: str) -> bool:
        """As `Toolbox.acts`: the turn machine must not know the difference."""
        tool = self._plan.tools.get(name)
        return tool is not None and not (tool.kind == "http" and tool.method == "GET")

    async def run(self, call: ToolCall) -> ToolDone:
        """What the same call gave then; else what the tool gave then; else, of a note, that it was written, and of
        anything else that it failed: nobody knows what it would have said."""
        same = [each for each in self._done if each[0] == call.name]
        exact = next((each for each in same if each[1] == dict(call.args)), None)
        done = exact or next(iter(same), None)
        if done is not None:
            self._done.remove(done)
            await asyncio.sleep(done[2])
            return ToolDone(call.call_id, done[3], done[4])
        tool = self._plan.tools.get(call.name)
        if tool is not None and tool.kind == "note":
            return ToolDone(call.call_id, True, ACTED)
        return ToolDone(call.call_id, False, {"error": "not in the recording"})


_Done = tuple[str, Mapping[str, Any], float, bool, Mapping[str, Any]]


def _done(records: Sequence[Record]) -> list[_Done]:
    """(name, arguments, seconds, whether it worked, result) of each call."""
    found: list[_Done] = []
    asked: dict[str, Mapping[str, Any]] = {}
    for record in records:
        if record.kind != "tool":
            continue
        name, fields = str(record.fields.get("name", "")), record.fields
        if fields.get("started"):
            asked[name] = dict(fields.get("args") or {})
        elif "ok" in fields:
            result = dict(fields.get("result") or {})
            found.append((name, asked.pop(name, {}), float(fields.get("seconds", 0.0)), bool(fields["ok"]), result))
    return found
