"""An interpreted call: one session for each side, an interpreter between them, and the second line that makes it a
call.

Each side is a call of its own to everything else (turns, playout, recording, transcript); their interpreters know each
other. When either side is gone, the other is told and let go.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from voicebot import log
from voicebot.call.agents import BROWSER, Agents
from voicebot.call.ducked import Ducked
from voicebot.call.interpreter import Side
from voicebot.call.session import Session
from voicebot.carriers.base import CallInfo, Dial, Line
from voicebot.core import interpreting
from voicebot.core.dialplan import Dialplan
from voicebot.core.interpreting import CALLEE, CALLER, words_for
from voicebot.core.timeline import EndReason
from voicebot.engines.duplex_base import Duplex
from voicebot.engines.guard import Chain
from voicebot.errors import PeerError

RING_S = 45.0
"""For the other side to answer."""
GOODBYE_S = 12.0
"""For the other side to be told that nobody is there any more."""
_log = log.get("interpreted")


class Carry(Protocol):
    """Carry one side's line from answer to end."""

    def __call__(self, line: Line, of: Dialplan, side: Side) -> Awaitable[EndReason]: ...


@dataclass(frozen=True, slots=True)
class Booth:
    """One call's. `chains` are the interpreters from the caller and to the caller, `sessions` those that are up."""

    plan: Dialplan
    chains: tuple[Chain[Duplex], Chain[Duplex]]
    carry: Carry
    sessions: Callable[[str], Session | None]
    dial: Dial | None
    agents: Agents

    async def run(self, line: Line) -> EndReason:
        """Until the caller is gone; then so is the other side."""
        told, plans = interpreting.spec(self.plan), interpreting.sides(self.plan)
        caller = Side(CALLER, plans[0], self.chains[0])
        if not told.call:
            return await self.carry(line, plans[0], caller)
        callee = Side(CALLEE, plans[1], self.chains[1])
        caller.meet(callee)
        callee.meet(caller)
        if told.original == "ducked":
            line = caller.duck = Ducked(line)
        async with asyncio.TaskGroup() as group:
            other = group.create_task(self._other_side(line.info, plans[1], callee))
            reason = await self.carry(line, plans[0], caller)
            self._let_go(f"{line.info.call_id}-b", "goodbye")
            await asyncio.wait([other], timeout=GOODBYE_S if callee.up else 0)
            other.cancel()
        return reason

    async def _other_side(self, first: CallInfo, plan: Dialplan, callee: Side) -> None:
        """Call them, and carry their line; what becomes of it is told to the caller."""
        try:
            line = await self._reached(interpreting.spec(self.plan).call)
        except PeerError as error:
            _log.warning("other_side_not_reached", call_id=first.call_id, error=str(error))
            self._let_go(first.call_id, words_for(self.plan.language).not_reached)
            return
        try:
            info = CallInfo(f"{first.call_id}-b", line.info.carrier, line.info.caller, line.info.called)
            theirs: Line = Named(line, info)
            if interpreting.spec(self.plan).original == "ducked":
                theirs = callee.duck = Ducked(theirs)
            await self.carry(theirs, plan, callee)
        finally:
            await line.hangup(EndReason.BOT_HANGUP.value)
            self.agents.release(line)
        self._let_go(first.call_id, "goodbye")

    async def _reached(self, destination: str) -> Line:
        if destination != BROWSER and self.dial is None:
            raise PeerError("Nothing here can call out.")
        try:
            async with asyncio.timeout(RING_S):
                if destination == BROWSER or self.dial is None:
                    return await self.agents.wait(self.plan.name)
                return await self.dial(destination)
        except TimeoutError:
            raise PeerError(f"No answer in {RING_S:.0f} s.") from None

    def _let_go(self, call_id: str, sentence: str) -> None:
        if session := self.sessions(call_id):
            session.close(EndReason.BOT_HANGUP, sentence)


class Named:
    """A line under another name: the other side's call is kept beside the caller's."""

    def __init__(self, line: Line, info: CallInfo) -> None:
        self.info = info
        self.events, self.send, self.clear = line.events, line.send, line.clear
        self.clock_ms, self.transfer, self.hangup = line.clock_ms, line.transfer, line.hangup
