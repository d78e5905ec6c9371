"""Tools of the dialplan, run for the agent: a web hook, or a note to whoever works there.

A tool that acts (`note`, or `http` with anything but GET) runs at most once per request of the agent, is
finished even if the caller interrupts or hangs up meanwhile, and is in the timeline before it starts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import httpx
import orjson

from voicebot import log
from voicebot.core.dialogue import ToolCall, ToolDone
from voicebot.core.dialplan import Dialplan

RESULT_BYTES = 16 * 1024
"""More of a tool's answer than this no agent reads."""
_log = log.get("tools")


class Tools(Protocol):
    """What a call needs of its tools."""

    def acts(self, name: str) -> bool:
        """Whether running it changes something outside."""
        ...

    async def run(self, call: ToolCall) -> ToolDone:
        """Never raises: what went wrong is the result."""
        ...


@dataclass(frozen=True, slots=True)
class Toolbox:
    """The tools of one call."""

    dialplan: Dialplan
    call_id: str
    caller: str
    notes: Path
    """`notes.jsonl`: one line for each note, shared by all calls."""

    def acts(self, name: str) -> bool:
        """Whether running it changes something outside."""
        tool = self.dialplan.tools.get(name)
        return tool is not None and not (tool.kind == "http" and tool.method == "GET")

    async def run(self, call: ToolCall) -> ToolDone:
        """Never raises: what went wrong is the result."""
        tool = self.dialplan.tools.get(call.name)
        if tool is None:
            return ToolDone(call.call_id, False, {"error": f"There is no tool {call.name!r}."})
        try:
            async with asyncio.timeout(tool.deadline_s):
                if tool.kind == "http":
                    result = await self._post(tool, call)
                else:
                    result = await asyncio.to_thread(self._note, call)
            return ToolDone(call.call_id, True, result)
        except TimeoutError:
            return ToolDone(call.call_id, False, {"error": "no answer in time; it may or may not have happened"})
        except (httpx.HTTPError, OSError, ValueError) as error:
            _log.warning("tool_failed", tool=call.name, error=type(error).__name__)
            return ToolDone(call.call_id, False, {"error": "the service it needs did not answer properly"})

    async def _post(self, tool: Any, call: ToolCall) -> Mapping[str, Any]:
        headers = {"Idempotency-Key": f"{self.call_id}-{call.call_id}"}
        async with httpx.AsyncClient(timeout=tool.deadline_s) as client:
            if tool.method == "GET":
                response = await client.get(tool.url, params=dict(call.args), headers=headers)
            else:
                body = {"call_id": self.call_id, "caller": self.caller, "tool": call.name, "args": dict(call.args)}
                response = await client.request(tool.method, tool.url, json=body, headers=headers)
        response.raise_for_status()
        if len(response.content) > RESULT_BYTES:
            raise ValueError("answer too long")
        data = orjson.loads(response.content) if response.content else {}
        return data if isinstance(data, dict) else {"result": data}

    def _note(self, call: ToolCall) -> Mapping[str, Any]:
        line = orjson.dumps(
            {
                "at": datetime.now(UTC).isoformat(timespec="seconds"),
                "call_id": self.call_id,
                "dialplan": self.dialplan.name,
                "note": call.name,
                "caller": self.caller,
                **dict(call.args),
            },
            default=str,
        )
        with open(self.notes, "ab") as file:
            file.write(line + b"\n")
        return {"noted": True}
