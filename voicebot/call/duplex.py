"""The native responder: a speech-to-speech engine in the place of agent and voice, on the same call.

The turn machine stays in charge of the floor. Where the engine decides, what it does comes to the machine as an event:
a reply that nobody asked for becomes a turn, an interruption is one. What the engine says goes through the same ledger,
so that the conversation is what was heard, and the engine is told where it was cut. The dialplan's recogniser hears
with it, for the turns, for the record, and so that the cascade can take over in the middle of the call.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime
from typing import assert_never

from voicebot import log
from voicebot.call.cascade import Ending, Mouth
from voicebot.call.duplex_leg import Ends, Leg
from voicebot.call.duplex_replies import EngineReplies
from voicebot.call.duplex_turn import Around, Turn
from voicebot.core import duplex as dx
from voicebot.core import events as ev
from voicebot.core.dialogue import CallerTurn, Heard, LlmEvent
from voicebot.core.expect import Expectation
from voicebot.core.guide import Guide
from voicebot.core.retelling import conversation_of
from voicebot.core.words import Words
from voicebot.engines.base import AgentContext
from voicebot.engines.duplex_base import Duplex
from voicebot.engines.guard import Chain, Watch
from voicebot.engines.guard_llm import GuardedLlm
from voicebot.errors import PeerError

LATER_MS = (1200, 1800)
"""Where the engine decides, our own ears wait at least so long, for it to be first: `quick_ms` and `pause_ms`."""
_log = log.get("duplex")


class Native:
    """One call's responder, and its agent: `expectation`, `prepare` and `committed` are an agent's. When no native
    engine is left, the cascade leads the rest of the call; `agent` is its agent, which keeps the record from the
    start."""

    def __init__(
        self, chain: Chain[Duplex], agent: GuardedLlm, context: AgentContext, watch: Watch, expectation: Expectation
    ) -> None:
        self.plan, self.agent, self._expectation = context.dialplan, agent, expectation
        self.leads = True
        self._half = self.plan.turns.duplex == "half"
        self._guide = Guide(self.plan, datetime.fromisoformat(context.now_iso), context.caller, context.headers)
        ends = Ends(self._context, self._on_event, self._on_lost, self._on_over)
        self._leg = Leg(chain, watch, dx.Decides(self.plan.turns.decided_by), ends)
        self._replies = EngineReplies(self._leg)
        self._answering = False
        self._wordless = False
        """The turn that was taken last has the words of our own recogniser only."""
        self._early = ""
        """What the engine understood before the turn was taken."""

    def begin(self, around: Around) -> None:
        """The call is up."""
        self._around, self._loop = around, asyncio.get_running_loop()
        self._living = around.group.create_task(self._leg.live())

    def end(self) -> None:
        """The call wants no more of it."""
        self.leads = False
        self._living.cancel()

    # --- the caller

    def hear(self, pcm: bytes, away: bool) -> None:
        """Caller audio, 8 kHz int16 LE. On hold it is music, and half duplex hears nothing while it speaks: silence
        to the engine."""
        if self.leads:
            deaf = away or (self._half and self._around.playback.audible)
            self._leg.push(bytes(len(pcm)) if deaf else pcm, self._loop.time())

    def beat(self) -> None:
        """Now and then."""
        if self.leads:
            self._leg.beat(self._loop.time())

    def began(self) -> None:
        """The turn machine listens to the caller."""
        if self.leads:
            self._leg.began()

    def moved(self, state: ev.State) -> None:
        """Where the caller's turn has come to nothing, the next one is another."""
        if state in (ev.State.LISTENING, ev.State.SPEAKING, ev.State.AWAY):
            self._leg.over()

    # --- as an agent

    @property
    def expectation(self) -> Expectation:
        """Of the step that the flow is at. Where the engine decides, our own ears wait longer than it, and leave
        interruptions to it."""
        if not self.leads:
            return self.agent.expectation
        node, turns = self.plan.nodes[self._guide.node], self.plan.turns
        found = replace(
            self._expectation,
            barge_in=node.barge_in or turns.barge_in,
            min_words=node.min_words or turns.min_words,
            keys=self._guide.keys,
        )
        if self._leg.decides is dx.Decides.ENGINE:
            quick_ms, pause_ms = LATER_MS
            found = replace(found, quick_ms=max(found.quick_ms, quick_ms), pause_ms=max(found.pause_ms, pause_ms))
        if self._half or self._leg.decides is dx.Decides.ENGINE:
            found = replace(found, barge_in="strict")
        return found

    def reply(self, turn: CallerTurn) -> AsyncIterator[LlmEvent]:
        """The words of the cascade's agent; the responder's own answer is `answer`."""
        return self.agent.reply(turn)

    async def prepare(self, turn: CallerTurn) -> None:
        """The engine is at it already."""
        if not self.leads:
            await self.agent.prepare(turn)

    def committed(self, heard: str, complete: bool) -> None:
        """A turn has ended; of what was not heard of it the engine is told."""
        self.agent.committed(heard, complete)
        if complete:
            self._replies.forget()
        else:
            self._replies.cut(self._around.playback)
        self._rest()

    def _rest(self) -> None:
        """A moment in which a session may end without anybody noticing."""
        if self.leads and self._leg.leaving and not self._answering and self._around.playback.ledger.empty:
            self._around.group.create_task(self._leg.renew())

    # --- what the engine says

    def _on_event(self, event: dx.DuplexEvent) -> None:
        match event:
            case dx.ReplyBegan(reply):
                self._replies.begin(reply)
                if not self._answering:
                    self._around.feed(ev.EngineSpeaks())
            case dx.ReplyEnded(fault=fault) if fault:
                _log.warning("reply_failed", engine=self._leg.name, fault=fault, how=event.how.value)
                self._replies.take(event)
            case dx.ReplyAudio() | dx.ReplyText() | dx.ReplyCalls() | dx.ReplyEnded():
                self._replies.take(event)
            case dx.CallerWords(text, final):
                self._reheard(text.strip(), final)
            case dx.Interrupted() if self._leg.decides is dx.Decides.ENGINE:
                if self._answering or self._around.playback.speaking:
                    self._around.feed(ev.EngineYields(self._around.playback.ledger.interruptible()))
            case dx.CallsCancelled(call_ids):
                self._replies.cancelled(call_ids)
            case dx.Leaving():
                self._rest()
            case dx.Interrupted() | dx.CallerStarted() | dx.CallerStopped() | dx.Gone():
                pass
            case _:
                assert_never(event)

    def _reheard(self, text: str, final: bool) -> None:
        """The engine's own transcript, which counts for more than our recogniser's."""
        shown = "•••" if self._expectation.secret and text else text
        self._around.note("words", text=shown, final=final, confidence=1.0, by=self._leg.name)
        if final and text and self._wordless:
            self._wordless = False
            self.agent.reheard(Words(text, final=True))
        elif final and text:
            self._early = f"{self._early} {text}".strip()

    def _on_lost(self, gone: dx.Gone) -> None:
        self._replies.lose(gone)
        self._around.note("note", text=f"{self._leg.name}: {gone.fault}")

    def _on_over(self, fault: str) -> None:
        if self.leads and not self._answering:  # else the reply finds out by itself
            self._hand_over(fault)
            self._around.on_made()

    def _hand_over(self, why: str) -> None:
        """The cascade leads from here on."""
        self.leads = False
        self._living.cancel()
        self._around.note("responder", name="cascade", why=why)

    def _context(self, decides: dx.Decides) -> dx.Context:
        plan, told = self.plan, conversation_of(self.agent.past)
        if untold := self._replies.untold():
            told.said(untold)
        return dx.Context(self._guide.instructions, self._guide.tools, told.messages(), plan.language, decides=decides)

    # --- replies

    async def answer(self, turn: CallerTurn, mouth: Mouth) -> Ending | None:
        """Answer `turn`. `PeerError` when the cascade cannot either."""
        if not self.leads:
            return await self._around.cascade.reply(turn, mouth)
        self._answering = True
        self._replies.fresh()
        if isinstance(turn, Heard):
            turn = self._with_words(turn)
        try:
            self.agent.begin(turn)
            ending = await Turn(mouth, self._leg, self._replies, self._guide, self.agent, self._around).answer(turn)
            self._leg.works()
            return ending
        except PeerError as error:
            return await self._without(str(error), mouth)
        finally:
            self._answering = False
            if self.leads and self._replies.waiting:
                self._around.feed(ev.EngineSpeaks())

    def _with_words(self, turn: Heard) -> Heard:
        """The engine's transcript may come before the turn, or after it."""
        early, self._early, self._wordless = self._early, "", not self._early
        return replace(turn, words=Words(early, final=True)) if early else turn

    async def _without(self, fault: str, mouth: Mouth) -> Ending | None:
        """The engine failed the caller: one short sentence, and the cascade goes on from what was said."""
        self._leg.give_up(fault)
        self._hand_over(fault)
        turn = self.agent.go_on()
        wordless = replace(mouth, say=lambda _: None, play=lambda pcm, _, may: mouth.play(pcm, (), may))
        await self._around.cascade.say(self.plan.sentences.one_moment, True, wordless)
        return await self._around.cascade.reply(turn, mouth)
