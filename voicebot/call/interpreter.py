"""One side of an interpreted call: the interpreter in the place of agent and voice.

What this person says goes to an engine that translates it, and what comes of it is the *other* side's to hear. So a
turn of theirs is answered by nobody: it is asked for, and their line is free again. What they hear comes by itself,
when the other side has said something, as a reply that nobody asked for; it waits while they speak, and yields when
they interrupt. Where there is no other side, people hear their own words translated.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator
from typing import assert_never

from voicebot import log
from voicebot.call.cascade import Ending, Mouth
from voicebot.call.ducked import Ducked
from voicebot.call.duplex_leg import Ends, Leg
from voicebot.call.duplex_replies import EngineReplies
from voicebot.call.duplex_reply import EngineReply
from voicebot.call.duplex_turn import Around
from voicebot.core import duplex as dx
from voicebot.core import events as ev
from voicebot.core import interpreting
from voicebot.core.conversation import Message
from voicebot.core.dialogue import (
    CallerTurn,
    Heard,
    LlmEvent,
    Opening,
    Pressed,
    Returned,
    Silent,
    ToolDone,
    Unasked,
    Unreached,
)
from voicebot.core.dialplan import Dialplan
from voicebot.core.expect import Expectation
from voicebot.core.timeline import EndReason
from voicebot.engines.duplex_base import Duplex
from voicebot.engines.guard import Chain, Watch
from voicebot.errors import PeerError

READY_S = 1.8
"""For the engine, when something is to be translated."""
GAP_S = 7.0
"""Within a translation."""
AGAIN_S = 0.5
"""What waits is announced as often, until it is taken up."""
LATE_S = 8.0
"""A translation that was asked for and has not begun after so long is given up."""
MOST_UNSAID = 64
"""Sentences of one side whose translations have not come yet; older ones are forgotten."""
_log = log.get("interpreter")


class Side:
    """`name` is caller or callee; `plan` the dialplan as this side has it. `meet` comes before `begin`."""

    def __init__(self, name: str, plan: Dialplan, chain: Chain[Duplex]) -> None:
        self.name, self.plan, self.agent, self.watch = name, plan, self, Watch()
        self.leg = Leg(chain, self.watch, dx.Decides.OURS, Ends(self._context, self._made, self._lost, self._over))
        self._expectation = interpreting.expectation(plan)
        self.duck: Ducked | None = None
        """This side's line, where it hears the other's own voice, too."""
        self._around: Around | None = None
        self._other = self
        self._incoming = EngineReplies(self.leg)
        self._speaking = self._answering = False
        self._told_s = -AGAIN_S
        self._unsaid: deque[str] = deque(maxlen=MOST_UNSAID)
        """Said on this side, and not asked for yet: one translation goes on at a time."""
        self._asked = ""
        self._asked_s = -math.inf
        self._heard = ""
        """What the engine itself heard since its last translation."""
        self._saying: dict[str, tuple[str, str]] = {}
        """Translation that goes on → what was said, what it says so far."""

    def meet(self, other: Side) -> None:
        """Whose words this side hears."""
        self._other, self._incoming = other, EngineReplies(other.leg)

    @property
    def up(self) -> bool:
        """Whether this side's line is."""
        return self._around is not None

    # --- the responder of a session

    def begin(self, around: Around) -> None:
        """The line is up."""
        self._around, self._loop = around, asyncio.get_running_loop()
        self._living = around.group.create_task(self.leg.live())

    def end(self) -> None:
        """The line wants no more."""
        self._living.cancel()
        self._around = None

    def hear(self, pcm: bytes, away: bool) -> None:
        """8 kHz int16 LE; on hold it is music."""
        self.leg.push(bytes(len(pcm)) if away else pcm, self._loop.time())
        if self._other.duck and self._other is not self and not away:
            self._other.duck.overhear(pcm)

    def beat(self) -> None:
        """Now and then."""
        self.leg.beat(self._loop.time())
        self._announce()

    def began(self) -> None:
        """They begin to speak."""
        self._speaking = True
        self.leg.began()

    def moved(self, state: ev.State) -> None:
        """What they said came to nothing, or is over."""
        if state in (ev.State.LISTENING, ev.State.SPEAKING, ev.State.AWAY):
            self._speaking = False
            self.leg.over()

    async def answer(self, turn: CallerTurn, mouth: Mouth) -> Ending | None:
        """`PeerError` when the engine is not there, or breaks off."""
        self._speaking, self._answering = False, True
        try:
            await self._do(turn, mouth)
        finally:
            self._answering, self._told_s = False, -AGAIN_S
            self._loop.call_soon(self._announce)  # once the machine knows that this turn is over
        return None

    async def _do(self, turn: CallerTurn, mouth: Mouth) -> None:
        match turn:
            case Opening() | Returned():
                await self._up.cascade.say(interpreting.notice_for(self.plan), False, mouth)
            case Heard(words):
                await self._translate(words.text)
            case Unasked():
                while self._incoming.waiting:
                    await self._speak(self._incoming.next(), mouth)
            case Pressed() | Silent() | Unreached() | ToolDone():
                pass
            case _:
                assert_never(turn)

    # --- as an agent

    @property
    def expectation(self) -> Expectation:
        return self._expectation

    async def reply(self, turn: CallerTurn) -> AsyncIterator[LlmEvent]:
        """It has no words of its own."""
        return
        yield

    async def prepare(self, turn: CallerTurn) -> None:
        """The engine is at it already."""

    def committed(self, heard: str, complete: bool) -> None:
        """They heard a translation, or interrupted it: then its engine is told."""
        self._speaking = False
        if complete:
            self._incoming.forget()
        elif self._around:
            self._incoming.cut(self._around.playback)
            self._other.was_cut()

    # --- from this side to the other

    async def _translate(self, text: str) -> None:
        await self.leg.ready(READY_S)
        self.leg.over()
        if self.leg.decides is not dx.Decides.ENGINE:  # which translates when it thinks fit
            self._unsaid.append(text)
            self._ask()

    def _ask(self) -> None:
        """For the next sentence, when none is being translated."""
        session = self.leg.session
        if session is None or not self._unsaid or self._saying:
            return
        if (now_s := self._loop.time()) - self._asked_s < LATE_S:
            return
        self._asked, self._asked_s = self._unsaid.popleft(), now_s
        if not self.leg.abilities.obeys:  # one that does would take the words for more that was said
            session.tell(Message("user", self._asked))
        session.respond()

    def was_cut(self) -> None:
        """The other side interrupted what was said for this one; the engine may say no more of it."""
        for source, said in self._saying.values():
            self._note(source, said)
        self._saying.clear()
        self._ask()

    def _made(self, event: dx.DuplexEvent) -> None:
        """What this side's engine tells."""
        match event:
            case dx.ReplyBegan(reply):
                self._saying[reply] = (self._asked, "")
                self._asked, self._asked_s = "", -math.inf
                self._other.arrives(reply)
            case dx.ReplyText(reply, text):
                if reply in self._saying:  # not one that was cut
                    source, said = self._saying[reply]
                    self._saying[reply] = (source, said + text)
                self._other.takes(event)
            case dx.ReplyEnded(reply, how, fault):
                if fault:
                    _log.warning("translation_failed", engine=self.leg.name, fault=fault, how=how.value)
                if reply in self._saying:
                    self._note(*self._saying.pop(reply))
                self._other.takes(event)
                self._ask()
            case dx.ReplyAudio():
                self._other.takes(event)
            case dx.CallerWords(text, final):
                if final:
                    self._heard = f"{self._heard} {text}".strip()
                self._up.note("words", text=text, final=final, confidence=1.0, by=self.leg.name)
            case _:
                pass

    def _note(self, source: str, said: str) -> None:
        """Both languages, in both records."""
        source, self._heard = source or self._heard, ""
        for side in {id(self): self, id(self._other): self._other}.values():
            if side._around:
                side._around.note("interpreted", by=self.name, source=source, text=said.strip())

    def _context(self, decides: dx.Decides) -> dx.Context:
        target = interpreting.spec(self.plan).to
        wish = f"Interpret from {self.plan.language} to {target}. Say the translation and nothing else."
        return dx.Context(wish, language=self.plan.language, target=target, decides=decides)

    def _lost(self, gone: dx.Gone) -> None:
        self._asked_s = -math.inf
        self._saying.clear()
        self._other.loses(gone)

    def _over(self, fault: str) -> None:
        _log.error("no_interpreter", side=self.name, why=fault)
        if self._around:
            self._around.feed(ev.Close(EndReason.ENGINE_FAILED, "trouble"))

    # --- from the other side to this one

    def arrives(self, reply: str) -> None:
        """A translation of what the other side said begins."""
        if self._around:
            self._incoming.begin(reply)
            self._announce()

    def takes(self, event: dx.ReplyAudio | dx.ReplyText | dx.ReplyEnded) -> None:
        """Something of it."""
        self._incoming.take(event)

    def loses(self, gone: dx.Gone) -> None:
        """The other side's engine is gone, and what it was saying with it."""
        self._incoming.lose(gone)

    def _announce(self) -> None:
        """Something waits to be heard, and nobody speaks here."""
        if not self._around or self._speaking or self._answering or not self._incoming.waiting:
            return
        if self._loop.time() - self._told_s >= AGAIN_S:
            self._told_s = self._loop.time()
            self._around.feed(ev.EngineSpeaks())

    async def _speak(self, reply: EngineReply, mouth: Mouth) -> None:
        """Play a translation to its end."""
        playback = self._up.playback
        while True:
            item = await reply.next(GAP_S)
            match item:
                case bytes():
                    await mouth.room()
                    mouth.play(item, (), True)
                    reply.queued(playback, len(item) // 2)
                case dx.ReplyText(_, text):
                    mouth.say(text)
                    reply.spoke(item)
                case dx.ReplyEnded(_, dx.How.FAILED, fault):
                    raise PeerError(fault)
                case _:
                    pass
            reply.place(playback, mouth.turn)
            if isinstance(item, dx.ReplyEnded):
                return

    @property
    def _up(self) -> Around:
        if self._around is None:
            raise PeerError("The line is gone.")
        return self._around
