"""The guard around the agent of one call.

It keeps what was said and heard, so that any agent of the chain can lead the next turn: one that has not followed the
call so far takes over from that record. An agent that fails before it has said anything is replaced without a trace;
one that breaks off in the middle of its answer is replaced by one that goes on from there. A native engine that leads
the call keeps its record here, too (`begin`, `note`, `committed`), for the agents to take over from. The next
turn begins with the first agent again, unless its breaker is open: an agent that hiccuped once is still the better one.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from math import inf
from typing import Any

from voicebot import log
from voicebot.core.conversation import first_characters
from voicebot.core.dialogue import CallerTurn, Heard, LlmEvent, Past, Text, ToolDone
from voicebot.core.expect import Expectation
from voicebot.core.words import Words
from voicebot.engines.base import AgentContext, Llm, LlmSession
from voicebot.engines.guard import Chain, Member, Patience, Relay, Watch, in_time, patience_of

USUAL = Patience(first_s=2.5, gap_s=3.0, whole_s=inf)
"""A reply may take as long as the caller listens."""
MOST_PAST = 200
"""Turns remembered; older ones are forgotten."""
_log = log.get("guard_llm")


@dataclass(slots=True)
class _Led:
    """An agent's session, and how much of the call it has followed."""

    session: LlmSession
    turns: int


class GuardedLlm:
    """One call's agent: an `LlmSession`."""

    def __init__(self, chain: Chain[Llm], context: AgentContext, watch: Watch) -> None:
        self._chain, self._context, self._watch = chain, context, watch
        self._past: list[Past] = []
        self._turns = 0
        """In all, those that were forgotten included."""
        self._open = 0
        """Index in `past` of the first entry of the current reply, its tools included."""
        first = chain.likely()
        self._goes_on = False
        self._led = {first.name: _Led(first.engine.open(context), 0)}
        self._leader = first.name

    @property
    def expectation(self) -> Expectation:
        """Of the agent that spoke last."""
        return self._led[self._leader].session.expectation

    def watched_by(self, watch: Watch) -> None:
        """The conversation goes on in another call of the carrier's: what happens is told there from now on."""
        self._watch = watch

    async def prepare(self, turn: CallerTurn) -> None:
        """Passed on to the agent that will be asked, if it has followed the call."""
        led = self._led.get(self._chain.likely().name)
        if led is not None and led.turns == self._turns:
            try:
                await led.session.prepare(turn)
            except Exception as error:  # whatever it is, `reply` will meet it, too
                _log.warning("prepare_failed", error=type(error).__name__)

    async def reply(self, turn: CallerTurn) -> AsyncGenerator[LlmEvent, None]:
        """As any agent's. `PeerError` when nobody of the chain could answer."""
        before, at = self._taken_over() if self._goes_on else self.begin(turn)
        relay = Relay(self._chain, self._watch)
        while (member := relay.next()) is not None:
            begun = self._past[-1].said
            try:
                async with aclosing(self._answer(member, turn, before, begun)) as events:
                    async for event in events:
                        self.note(event)
                        yield event
                relay.done(member)
                self._led[member.name].turns = at
                return
            except Exception as error:  # a library may raise anything; the caller must not suffer from it
                relay.failed(member, error)
            except BaseException:  # the call wants no more: a tool was asked for, or the caller goes on
                if self._past[-1].said or self._past[-1].call:
                    relay.done(member)
                if member.name in self._led:
                    self._led[member.name].turns = at
                raise
        raise relay.error

    async def _answer(
        self, member: Member[Llm], turn: CallerTurn, before: Sequence[Past], begun: str
    ) -> AsyncGenerator[LlmEvent, None]:
        session = self._session(member, before, begun)
        source: Any = session.reply(turn)
        async with (
            aclosing(source),
            aclosing(in_time(source, patience_of(member.engine, USUAL), _is_useful)) as events,
        ):
            async for event in events:
                self._leader = member.name
                yield event

    def _session(self, member: Member[Llm], before: Sequence[Past], begun: str) -> LlmSession:
        """The agent's session, which knows what came before this turn."""
        led = self._led.get(member.name)
        if led is not None and led.turns == self._turns - 1 and not begun:
            led.turns = -1  # until it has answered
            return led.session
        session = member.engine.open(self._context)
        session.take_over(before, begun)
        self._led[member.name] = _Led(session, -1)
        return session

    # --- the record

    @property
    def past(self) -> Sequence[Past]:
        """The call so far."""
        return self._past

    def go_on(self) -> CallerTurn:
        """The next `reply` takes over in the middle of this turn, from whoever led the call so far."""
        self._goes_on = True
        return self._past[-1].turn

    def _taken_over(self) -> tuple[list[Past], int]:
        self._goes_on = False
        return self._past[:-1], self._turns

    def begin(self, turn: CallerTurn) -> tuple[list[Past], int]:
        """(what came before, the number of turns with this one)."""
        if not isinstance(turn, ToolDone):
            del self._past[: max(0, len(self._past) - MOST_PAST)]
            self._open = len(self._past)
        before = list(self._past)
        self._past.append(Past(turn))
        self._turns += 1
        return before, self._turns

    def reheard(self, words: Words) -> None:
        """Somebody with better ears understood the caller's last words."""
        for at in range(len(self._past) - 1, -1, -1):
            turn = self._past[at].turn
            if isinstance(turn, Heard):
                self._past[at] = replace(self._past[at], turn=replace(turn, words=words))
                return

    def note(self, event: LlmEvent) -> None:
        """What the agent said, or asked for, in this turn."""
        last = self._past[-1]
        self._past[-1] = (
            replace(last, said=last.said + event.text) if isinstance(event, Text) else replace(last, call=event)
        )

    def committed(self, text: str, complete: bool) -> None:
        """What was said is cut back to what was heard."""
        if not complete:
            left = sum(not c.isspace() for c in text)
            for at in range(self._open, len(self._past)):
                said, left = first_characters(self._past[at].said, left)
                self._past[at] = replace(self._past[at], said=said)
        for led in self._led.values():
            if led.turns == self._turns:
                led.session.committed(text, complete)


def _is_useful(event: LlmEvent) -> bool:
    return not isinstance(event, Text) or bool(event.text)
