"""What the flow asks and how it asks again: questions, hints, and the state they belong to.

The states are a closed union: `Flow` moves between them, this module words them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from voicebot.core.expect import NOTHING, Expectation
from voicebot.core.expectations import expected
from voicebot.core.memory import Memory
from voicebot.core.plan import Action, Node, TakeMessage
from voicebot.core.sentences import filled, hint
from voicebot.core.slots import Reader

# --- states: what the flow waits for ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Menu:
    """One of the node's intents."""


@dataclass(frozen=True, slots=True)
class Form:
    """Slots of the node; `asked` is the one the question was about, empty for an open question."""

    asked: str = ""
    heard: tuple[str, ...] = ()
    """Words of an answer that is not complete yet."""


@dataclass(frozen=True, slots=True)
class Check:
    """Yes or no to the value of a slot."""

    slot: str


@dataclass(frozen=True, slots=True)
class CheckIntent:
    """Yes or no to an intent; `words` are what it was guessed from."""

    intent: str
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Readback:
    """Yes, no, or a change."""


@dataclass(frozen=True, slots=True)
class Change:
    """What to change."""


@dataclass(frozen=True, slots=True)
class Message:
    """Free speech for `action`; then `rest`."""

    action: TakeMessage
    rest: tuple[Action, ...]


@dataclass(frozen=True, slots=True)
class Tool:
    """The result of a tool; then `rest`."""

    call_id: str
    name: str
    rest: tuple[Action, ...] = ()
    failed: str = ""


@dataclass(frozen=True, slots=True)
class Over:
    """Nothing: the call ends."""


State = Menu | Form | Check | CheckIntent | Readback | Change | Message | Tool | Over


class Prompts:
    """One call's wording; variants take turns, so that no question sounds the same twice in a row."""

    def __init__(self, reader: Reader, memory: Memory) -> None:
        self._reader, self._memory = reader, memory
        self._used: Counter[str] = Counter()

    def variant(self, key: str, texts: Sequence[str]) -> str:
        """The next of `texts`; empty when there are none."""
        if not texts:
            return ""
        self._used[key] += 1
        return texts[(self._used[key] - 1) % len(texts)]

    def question(self, name: str, state: State) -> str:
        """What to ask in this state of the node `name`, as a template."""
        node, m = self._reader.plan.nodes[name], self._reader.manners
        match state:
            case Menu():
                return self.variant(name, node.say) or m.general_help
            case Form(asked=""):
                return self.variant(name, node.say) or self._ask(name, node, first_missing(node, self._memory))
            case Form(asked=slot):
                return self._ask(name, node, slot)
            case Check(slot):
                return filled(self.variant(f"check {slot}", m.confirm), value=self._memory.said(slot))
            case CheckIntent(intent):
                return filled(m.confirm_intent, title=node.intents[intent].title)
            case Readback():
                return node.readback
            case Change():
                return m.anything_wrong
            case Message(action):
                return self.variant(f"message {name}", action.take_message)
            case Tool():
                return self._reader.plan.sentences.one_moment
            case Over():
                return ""
            case _:
                assert_never(state)

    def _ask(self, name: str, node: Node, slot: str) -> str:
        if not slot:
            return self._reader.manners.anything_wrong
        asked = self.variant(f"{name}/{slot}", node.collect[slot].ask)
        return asked or filled(self._reader.manners.ask_slot, slot=slot.replace("_", " "))

    def again(self, name: str, state: State, misses: int, silent: bool) -> list[str]:
        """The `misses`-th time that nothing was understood, 1-based: say it again, then explain, then offer help."""
        plan, m = self._reader.plan, self._reader.manners
        leads = plan.sentences.still_there if silent else m.not_caught
        lead = leads[min(misses, len(leads)) - 1] if leads else ""
        custom = self._custom(name, state)
        texts = [lead]
        if misses <= len(custom):
            texts.append(custom[misses - 1])
        elif misses == 1:
            texts.append(self.question(name, state))
        else:
            texts.append(self.hint(name, state) or self.question(name, state))
        if misses > 1 and plan.operator:
            texts.append(m.offer_operator)
        return texts

    def _custom(self, name: str, state: State) -> Sequence[str]:
        node = self._reader.plan.nodes[name]
        match state:
            case Form(asked=slot) if slot:
                return node.collect[slot].reprompts
            case Menu() | Form():
                return node.reprompts
            case _:
                return ()

    def hint(self, name: str, state: State) -> str:
        """An example, or how to use the keys; empty when there is none."""
        node, m = self._reader.plan.nodes[name], self._reader.manners
        match state:
            case Form(asked=slot) if slot:
                return hint(self._reader.plan, slot, node.collect[slot])
            case Menu() | Form() | Change():
                return node.help
            case Check() | CheckIntent() | Readback():
                return m.explain_yes_no
            case _:
                return ""

    def expectation(self, name: str, state: State) -> Expectation:
        """What the caller may say in this state."""
        reader = self._reader
        match state:
            case Menu():
                return expected(reader, "menu", name)
            case Form(asked=""):
                return expected(reader, "form", name)
            case Form(asked=slot):
                return expected(reader, "asking", name, slot)
            case Check(slot):
                return expected(reader, "checking", name, slot)
            case CheckIntent():
                return expected(reader, "checking", name)
            case Readback():
                return expected(reader, "reading_back", name)
            case Change():
                return expected(reader, "changing", name)
            case Message():
                return expected(reader, "message", name)
            case Tool() | Over():
                return NOTHING
            case _:
                assert_never(state)


def first_missing(node: Node, memory: Memory) -> str:
    """The first required slot that is not filled; empty when none is missing."""
    return next((slot for slot, spec in node.collect.items() if spec.required and slot not in memory), "")
