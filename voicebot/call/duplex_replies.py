"""The replies of a native engine that go on or are not heard to their end, and the tools they wait for."""

from __future__ import annotations

import asyncio
from collections import deque

from voicebot.call.duplex_leg import Leg
from voicebot.call.duplex_reply import EngineReply
from voicebot.call.playback import Playback
from voicebot.core import duplex as dx
from voicebot.core.dialogue import ToolDone
from voicebot.errors import PeerError

LATE = "The native engine did not answer in time."
NO_RESULT = "the caller spoke before there was a result; it may or may not have happened"


class EngineReplies:
    """One call's."""

    def __init__(self, leg: Leg) -> None:
        self._leg = leg
        self._all: dict[str, EngineReply] = {}
        self._waiting: deque[EngineReply] = deque()
        """Begun, and not taken up by a turn."""
        self._news = asyncio.Event()
        self._asked = False
        """Asked for, and not begun."""
        self._lost: dx.Gone | None = None
        self._calls: set[str] = set()
        """Without a result."""

    # --- in

    def begin(self, reply: str) -> None:
        """The engine begins one."""
        self._asked = False
        self._all[reply] = found = EngineReply(reply, self._leg.abilities.gives)
        self._waiting.append(found)
        self._news.set()

    def take(self, event: dx.ReplyAudio | dx.ReplyText | dx.ReplyCalls | dx.ReplyEnded) -> None:
        """Something of one; what was cut is not known any more."""
        reply = self._all.get(event.reply)
        if reply is None:
            return
        if isinstance(event, dx.ReplyEnded):
            reply.end()
        reply.take(event)

    def lose(self, gone: dx.Gone) -> None:
        """Their session is gone."""
        self._lost = gone
        for reply in self._all.values():
            reply.lose(gone.fault)
        self._calls.clear()
        self._asked = False
        self._news.set()

    # --- out

    @property
    def waiting(self) -> bool:
        """Whether one has begun that nobody has taken up."""
        return bool(self._waiting)

    @property
    def expired(self) -> bool:
        """Whether the session's life was over, and another one goes on."""
        return self._lost is not None and self._lost.expected

    def fresh(self) -> None:
        """Another turn begins."""
        self._lost = None

    def ask(self, instructions: str) -> None:
        """Ask the engine to reply."""
        if self._leg.session:
            self._asked = True
            self._leg.session.respond(instructions)

    async def wait(self, seconds: float) -> None:
        """For one to begin; the session's end ends the waiting, too."""
        try:
            async with asyncio.timeout(seconds):
                while not self._waiting and self._lost is None:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            pass

    def next(self) -> EngineReply:
        """The one that waits. `PeerError` when there is none."""
        if not self._waiting:
            raise PeerError(self._lost.fault if self._lost else LATE)
        return self._waiting.popleft()

    def untold(self) -> str:
        """What was generated and is not in the call's record yet, for a session that must know it."""
        return " ".join(rest for reply in self._all.values() if reply not in self._waiting and (rest := reply.untold))

    # --- the end of a turn

    def forget(self) -> None:
        """All was heard of those that have ended."""
        self._all = {reply.id: reply for reply in self._all.values() if not reply.ended or reply in self._waiting}

    def cut(self, playback: Playback) -> None:
        """What is not heard by now will not be: the engine is told of each how much was."""
        session, watermark = self._leg.session, playback.ledger.heard
        for reply in self._all.values():
            if session and reply.unheard(watermark):
                session.cut(reply.id, reply.heard_ms(watermark))
        if session and self._asked:
            session.cut("", 0)
        self._all.clear()
        self._waiting.clear()
        self._asked = False
        for call_id in list(self._calls):
            self.tool_done(ToolDone(call_id, False, {"error": NO_RESULT}))

    # --- tools

    def called(self, call_id: str) -> None:
        """A tool is asked for."""
        self._calls.add(call_id)

    def cancelled(self, call_ids: tuple[str, ...]) -> None:
        """Nobody wants these results, or none will come."""
        self._calls -= set(call_ids)

    def tool_done(self, done: ToolDone) -> None:
        """A result, if it is still wanted."""
        if done.call_id in self._calls and self._leg.session:
            self._leg.session.tool_done(done)
        self._calls.discard(done.call_id)
