"""Agents in the browser who take interpreted calls: a caller waits, somebody opens the page and calls the same
dialplan, and is the other side."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque

from voicebot.carriers.base import Line
from voicebot.core.dialplan import Dialplan
from voicebot.core.timeline import EndReason

BROWSER = "browser"
"""As a dialplan's `interpret: {call: browser}`, and as the carrier of the agent's line."""


class Agents:
    """Of one process."""

    def __init__(self) -> None:
        self._wanted: defaultdict[str, deque[asyncio.Future[Line]]] = defaultdict(deque)
        self._busy: dict[str, asyncio.Event] = {}
        """Call id of an agent's line that is in a call → set when it is out."""

    def is_one(self, plan: Dialplan, line: Line) -> bool:
        """Whether this line is an agent's, not a caller's."""
        return plan.interpret is not None and BROWSER == plan.interpret.call == line.info.carrier

    async def wait(self, plan: str) -> Line:
        """For a caller: the line of the next agent. `release` it afterwards."""
        wanted: asyncio.Future[Line] = asyncio.get_running_loop().create_future()
        self._wanted[plan].append(wanted)
        try:
            return await wanted
        finally:
            if wanted in self._wanted[plan]:
                self._wanted[plan].remove(wanted)

    def release(self, line: Line) -> None:
        """The call with this agent is over."""
        if over := self._busy.pop(line.info.call_id, None):
            over.set()

    async def serve(self, plan: str, line: Line) -> EndReason:
        """For an agent: take the call that has waited longest, until it is over. Where none waits, hang up."""
        while self._wanted[plan] and self._wanted[plan][0].done():
            self._wanted[plan].popleft()
        if not self._wanted[plan]:
            await line.hangup(EndReason.BOT_HANGUP.value)
            return EndReason.BOT_HANGUP
        over = self._busy[line.info.call_id] = asyncio.Event()
        self._wanted[plan].popleft().set_result(line)
        try:
            await over.wait()
        finally:
            self._busy.pop(line.info.call_id, None)
        return EndReason.BOT_HANGUP
