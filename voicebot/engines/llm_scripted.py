"""The scripted agent behind the engine contract: `core.flow` runs the dialplan, no model is asked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import datetime
from itertools import pairwise

from voicebot.core.dialogue import (
    CallerTurn,
    Heard,
    LlmEvent,
    Opening,
    Past,
    Pressed,
    Text,
    ToolCall,
    ToolDone,
    Unreached,
)
from voicebot.core.dialplan import Dialplan, expectations
from voicebot.core.expect import Expectation
from voicebot.core.flow import Flow
from voicebot.core.intents import classifier
from voicebot.core.prompts import Tool
from voicebot.core.slots import reader_of
from voicebot.engines.base import AgentContext, EngineConfig


def check() -> str | None:
    """It always can run: it needs nothing but the dialplan."""
    return None


def create(config: EngineConfig) -> ScriptedAgent:
    """`config` has nothing to say here: all of it is in the dialplan."""
    return ScriptedAgent()


class ScriptedAgent:
    """Shared by all calls, which share nothing but their dialplan."""

    async def start(self) -> None:
        """Nothing to warm up: `prepare` compiles a dialplan."""

    async def close(self) -> None:
        """Nothing to let go."""

    def prepare(self, dialplan: Dialplan) -> tuple[Expectation, ...]:
        """Every expectation that the flow can reach. Compiles the dialplan: no call pays for it."""
        reader = reader_of(dialplan)
        for name, node in dialplan.nodes.items():
            if node.intents:
                classifier(reader, name)
        return expectations(dialplan)

    def open(self, context: AgentContext) -> ScriptedSession:
        plan: Dialplan = context.dialplan
        now = datetime.fromisoformat(context.now_iso)
        return ScriptedSession(lambda: Flow(plan, now, context.caller, context.headers))


class ScriptedSession:
    """One call. A turn is answered at once and wholly; a reply that is cut short has still been decided."""

    def __init__(self, new: Callable[[], Flow]) -> None:
        self._new, self._flow = new, new()
        self._asked = ""
        """The tool that the agent before us asked for, whose result comes next."""
        self._begun = False

    @property
    def expectation(self) -> Expectation:
        return self._flow.expectation

    async def reply(self, turn: CallerTurn) -> AsyncIterator[LlmEvent]:
        if isinstance(turn, ToolDone) and self._asked:
            turn = ToolDone(self._awaited(), turn.ok, turn.result)
        if self._begun:  # another agent's sentence was cut: the voice drops it
            yield Text("… ")
        self._asked, self._begun = "", False
        for event in self._flow.feed(turn).events:
            yield event

    async def prepare(self, turn: CallerTurn) -> None:
        """Nothing to gain: the answer takes a millisecond."""

    def committed(self, text: str, complete: bool) -> None:
        """A flow does not depend on how much of its sentence was heard: "repeat" says all of it again."""

    def take_over(self, past: Sequence[Past], begun: str) -> None:
        """Go through what the caller said as if we had been asked: what was told is known, and need not be told again.
        Where our way would have led to something that the other agent did not do (a tool, the end of the call), we
        begin at the start: it is better to ask again than to do it twice."""
        self._begun = bool(begun.strip())
        results = {p.call.call_id: q.turn for p, q in pairwise(past) if p.call and isinstance(q.turn, ToolDone)}
        done = {p.call.name: results.get(p.call.call_id) for p in past if p.call}
        self._asked = past[-1].call.name if past and past[-1].call else ""
        flow = self._new()
        if not all(self._relived(flow, each.turn, done) for each in past):
            flow = self._new()
            flow.feed(Opening())
        self._flow = flow

    def _relived(self, flow: Flow, turn: CallerTurn, done: Mapping[str, ToolDone | None]) -> bool:
        """Whether the flow would have gone the same way as the call."""
        if not isinstance(turn, Opening | Heard | Pressed | Unreached):
            return True
        step = flow.feed(turn)
        while isinstance(step.events[-1], ToolCall):
            call = step.events[-1]
            if step.ended or call.name not in done:
                return False
            result = done[call.name]
            if result is None:  # it is coming
                return True
            step = flow.feed(ToolDone(call.call_id, result.ok, result.result))
        return not step.ended

    def _awaited(self) -> str:
        state = self._flow.state
        return state.call_id if isinstance(state, Tool) and state.name == self._asked else ""
