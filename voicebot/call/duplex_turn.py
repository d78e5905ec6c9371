"""One turn of a native responder: the engine is asked, or has begun by itself; its replies are played as they come, its
tools are run, and what the flow wants said word for word is said in the dialplan's own voice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

from voicebot.call.cascade import MAX_TOOLS, Cascade, Ending, Mouth, RunTool
from voicebot.call.duplex_leg import Leg
from voicebot.call.duplex_replies import EngineReplies
from voicebot.call.duplex_reply import EngineReply
from voicebot.call.playback import Playback
from voicebot.core import duplex as dx
from voicebot.core import events as ev
from voicebot.core.conversation import Message
from voicebot.core.dialogue import (
    CallerTurn,
    Heard,
    Opening,
    Pressed,
    Returned,
    Silent,
    Text,
    ToolCall,
    ToolDone,
    Unasked,
    Unreached,
)
from voicebot.core.guide import Guide, Leave, Move
from voicebot.core.retelling import in_words
from voicebot.engines.guard_llm import GuardedLlm
from voicebot.errors import PeerError

READY_S = 1.8
"""For a session, when the caller waits for an answer."""
FIRST_S = 2.0
"""From being asked to the first sign of a reply."""
THINKING_S = 4.0
"""From the first sign of a reply to the first of its words or sounds."""
GAP_S = 2.0
"""Within a reply."""
OWN_WAY_S = 0.8
"""An engine that decides the turns has so much longer than we to find the caller's end. Then it is asked."""
SLOW_S = 5.0
"""… and one that cannot be asked may think so long."""
GO_ON = "Your last answer broke off. Go on with the very next word, and repeat nothing."


@dataclass(frozen=True, slots=True)
class Around:
    """What the responder needs of its call."""

    cascade: Cascade
    playback: Playback
    group: asyncio.TaskGroup
    note: Callable[..., None]
    feed: Callable[[ev.Event], None]
    on_made: Callable[[], None]
    """What is expected next has changed."""
    run_tool: RunTool


@dataclass(frozen=True, slots=True)
class Turn:
    """`mouth` is the turn's; everything else is the call's."""

    mouth: Mouth
    leg: Leg
    replies: EngineReplies
    guide: Guide
    agent: GuardedLlm
    """Keeps the record."""
    around: Around

    async def answer(self, turn: CallerTurn) -> Ending | None:
        """`PeerError` when the engine does not do it."""
        await self.leg.ready(READY_S)
        obeys = self.leg.abilities.obeys
        match turn:
            case Heard():
                self.leg.over()
                return await self._speak(None if self.leg.decides is dx.Decides.ENGINE else "")
            case Unasked():
                return await self._speak(None)
            case Opening():
                return await self._move(self.guide.opened(obeys))
            case Pressed(digits):
                self._drop_unasked()
                move = self.guide.keyed(digits)
                self._tell(Message("user", in_words(turn)))
                return await self._move(move)
            case Silent(count):
                self._drop_unasked()
                return await self._move(self.guide.silent(count, obeys))
            case Returned():
                self._drop_unasked()
                return await self._move(self.guide.returned(obeys))
            case Unreached(to):
                self._drop_unasked()
                self._tell(Message("user", in_words(turn)))
                return await self._move(self.guide.unreached(to, obeys))
            case ToolDone():
                return None
            case _:
                assert_never(turn)

    def _drop_unasked(self) -> None:
        """What the engine has begun meanwhile is no answer to this."""
        if self.replies.waiting:
            self.replies.cut(self.around.playback)

    async def _move(self, move: Move) -> Ending | None:
        """What the flow wants said and done, the engine's tools apart."""
        while move.call is not None:
            move = await self._ran(move, move.call)
        await self._before(move)
        if move.ask is not None:
            ending = await self._speak(move.ask)
            return _ending(move.ending) or ending
        return _ending(move.ending)

    async def _before(self, move: Move) -> None:
        """Notices, in the dialplan's voice, while the engine waits; and where the flow stands now."""
        for notice in move.notices:
            await self.around.cascade.say(notice.text, notice.interruptible, self.mouth)
            self.agent.note(notice)
            self._tell(Message("assistant", notice.text))
        if move.moved and self.leg.session:
            self.leg.session.configure(self.guide.instructions, self.guide.tools)

    def _tell(self, message: Message) -> None:
        if self.leg.session:
            self.leg.session.tell(message)

    # --- the engine's replies

    async def _speak(self, ask: str | None) -> Ending | None:
        """One, or one more after each round of tools. `ask` is what it is asked for; None: it comes by itself."""
        again = spoke = False
        ending: Ending | None = None
        for _ in range(MAX_TOOLS + 1):
            reply: EngineReply | None = None
            try:
                reply = await self._next(ask)
                move = await self._voice(reply)
            except PeerError:
                if again or not self.replies.expired:
                    raise
                again = True  # its session's time was over, and another one goes on
                ask = GO_ON if reply is not None and reply.told else ask or ""
                self.replies.fresh()
                await self.leg.ready(READY_S)
                continue
            spoke = spoke or reply.sounded
            ending = ending or (_ending(move.ending) if move else None)
            over = spoke or ending is not None  # a reply without a sound is none: the answer is still to come
            if over if move is None else ending is not None and not move.result:
                return ending
            ask = None
        raise PeerError("The native engine came to no end in one turn.")

    async def _next(self, ask: str | None) -> EngineReply:
        """The reply that comes next, asked for if need be."""
        obeys, own_way = self.leg.abilities.obeys, self.leg.decides is dx.Decides.ENGINE
        if ask is None and obeys:
            await self.replies.wait(OWN_WAY_S if own_way else FIRST_S)
        if not self.replies.waiting:
            if obeys or not own_way:
                self.replies.ask(ask or "")
            await self.replies.wait(FIRST_S if obeys else SLOW_S)
        return self.replies.next()

    async def _voice(self, reply: EngineReply) -> Move | None:
        """Play a reply to its end; what its last tool led to, None when it asked for none."""
        move: Move | None = None
        while True:
            item = await reply.next(GAP_S if reply.begun else THINKING_S)
            match item:
                case bytes():
                    await self.mouth.room()
                    self.mouth.play(item, (), True)
                    reply.queued(self.around.playback, len(item) // 2)
                case dx.ReplyText(_, text):
                    self.mouth.say(text)
                    reply.spoke(item)
                case dx.ReplyCalls(_, call):
                    called = await self._called(call)
                    move = move if move is not None and move.ending is not None else called
                case dx.ReplyEnded(_, dx.How.FAILED, fault) if not reply.text:
                    raise PeerError(fault or "The native engine gave its reply up.")
                case _:
                    pass
            self._place(reply)
            if isinstance(item, dx.ReplyEnded):
                return move

    def _place(self, reply: EngineReply) -> None:
        """Words get their place in the audio as far as it is queued, and into the record."""
        placed = reply.place(self.around.playback, self.mouth.turn)
        if len(placed) > reply.told:
            self.agent.note(Text(placed[reply.told :]))
            reply.told = len(placed)

    # --- tools

    async def _called(self, call: ToolCall) -> Move:
        """Run what the engine asks for; the result goes back to it, unless the call ends."""
        self.replies.called(call.call_id)
        move = self.guide.called(call)
        while move.call is not None:
            move = await self._ran(move, move.call)
        await self._before(move)
        if move.ending is not None and not move.result:
            self.replies.cancelled((call.call_id,))
        else:
            self.replies.tool_done(ToolDone(call.call_id, move.ok, move.result))
        return move

    async def _ran(self, move: Move, call: ToolCall) -> Move:
        """A tool of the dialplan; what the flow makes of its result."""
        await self._before(move)
        self.agent.note(call)
        done = await self.around.run_tool(call)
        self.agent.begin(done)
        return self.guide.done(done)


def _ending(leave: Leave | None) -> Ending | None:
    return None if leave is None else Ending(leave.transfer_to)
