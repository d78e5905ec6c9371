"""The scripted agent behind the engine contract: `core.flow` runs the dialplan, no model is asked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime

from voicebot.core.dialogue import CallerTurn, LlmEvent
from voicebot.core.dialplan import Dialplan, expectations
from voicebot.core.expect import Expectation
from voicebot.core.flow import Flow
from voicebot.core.intents import classifier
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
        return ScriptedSession(Flow(plan, datetime.fromisoformat(context.now_iso), context.caller))


class ScriptedSession:
    """One call. A turn is answered at once and wholly; a reply that is cut short has still been decided."""

    def __init__(self, flow: Flow) -> None:
        self._flow = flow

    @property
    def expectation(self) -> Expectation:
        return self._flow.expectation

    async def reply(self, turn: CallerTurn) -> AsyncIterator[LlmEvent]:
        for event in self._flow.feed(turn).events:
            yield event

    async def prepare(self, turn: CallerTurn) -> None:
        """Nothing to gain: the answer takes a millisecond."""

    def committed(self, text: str, complete: bool) -> None:
        """A flow does not depend on how much of its sentence was heard: "repeat" says all of it again."""
