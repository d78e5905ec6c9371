"""One call's side of the conversation: where it stands, what it knows, and what it says in this turn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime

from voicebot.core import say
from voicebot.core.dialogue import LlmEvent, Text, ToolCall
from voicebot.core.memory import Memory
from voicebot.core.plan import Dialplan, Node, Slot
from voicebot.core.prompts import Form, Menu, Over, Prompts, State, Tool
from voicebot.core.slots import Reader, with_type

TRANSFERS = 3
"""Times that one of them may fail; then the call is over."""
MAX_ACTIONS = 100
"""Actions and nodes between two turns of the caller."""


class Talk:
    """`now`: local time at the dialplan's place; `caller`: number or SIP user; `headers`: what came with the call."""

    def __init__(self, reader: Reader, now: datetime, caller: str, headers: Mapping[str, str]) -> None:
        self.reader = reader
        self.plan: Dialplan = reader.plan
        self.memory = Memory(reader, now, caller, headers)
        self.prompts = Prompts(reader, self.memory)
        self.node_name = self.plan.start
        self.state: State = Menu()
        self.home = ""
        """The node that first listened: where "start over" leads."""
        self.misses = 0
        """Turns in a row that brought nothing."""
        self.patience = 0
        """Silences that are no miss: the caller asked for a moment."""
        self.unreached: Counter[str] = Counter()
        """Transfers that failed, and how often."""
        self.before: State | None = None
        """What the caller was asked when they wanted the operator instead."""
        self.asked: Counter[str] = Counter()
        """How often each thing was asked since it last changed: nothing is asked for ever."""
        self.out: list[LlmEvent] = []
        self._last: tuple[str, ...] = ()
        self._calls = 0
        self._actions_left = MAX_ACTIONS

    @property
    def node(self) -> Node:
        return self.plan.nodes[self.node_name]

    def form(self) -> dict[str, Slot]:
        """The slots that this node collects, with their types."""
        return {name: with_type(name, spec) for name, spec in self.node.collect.items()}

    # --- turns ---------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """A turn of the caller came."""
        self.out, self._actions_left = [], MAX_ACTIONS

    def finish(self) -> tuple[LlmEvent, ...]:
        """What was said and called in this turn. Texts but the last end in a space, so that they join."""
        texts = tuple(event.text for event in self.out if isinstance(event, Text))
        self._last = texts or self._last
        last = len(self.out) - 1
        return tuple(
            Text(event.text + " ", event.interruptible) if isinstance(event, Text) and place < last else event
            for place, event in enumerate(self.out)
        )

    def may_act(self) -> bool:
        """False when this turn has done so much that it must be going in circles."""
        self._actions_left -= 1
        return self._actions_left >= 0

    # --- speaking ------------------------------------------------------------------------------------------------

    def say(self, text: str, interruptible: bool = True) -> None:
        """Says a template; nothing when it comes out empty."""
        said = say.render(text, self.memory.spoken())
        if said:
            self.out.append(Text(said, interruptible))

    def say_next(self, key: str, texts: tuple[str, ...], interruptible: bool = True) -> None:
        """Says one of several variants; they take turns."""
        self.say(self.prompts.variant(key, texts), interruptible)

    def ask(self) -> None:
        self.say(self.prompts.question(self.node_name, self.state))

    def repeat(self) -> None:
        for text in self._last or ("",):
            self.out += [Text(text)] if text else []

    def help(self) -> None:
        """What can be said here, then the question; where the question is a whole welcome, the help is enough."""
        hint = self.prompts.hint(self.node_name, self.state)
        self.say(hint or self.reader.manners.general_help)
        if not (hint and self.state in (Menu(), Form(asked=""))):
            self.ask()

    def miss(self, silent: bool = False) -> None:
        """Nothing was understood: ask again, in other words, then give up."""
        self.misses += 1
        if self.misses > self.plan.limits.reprompts:
            self.give_up()
            return
        for text in self.prompts.again(self.node_name, self.state, self.misses, silent):
            self.say(text)

    # --- acting --------------------------------------------------------------------------------------------------

    def call(self, name: str, args: Mapping[str, str]) -> str:
        """Asks for a tool; the id under which its result will come."""
        self._calls += 1
        call_id = f"flow-{self._calls}"
        self.out.append(ToolCall(call_id, name, dict(args)))
        return call_id

    def transfer(self, name: str) -> None:
        """To a transfer by its name; a name that is none gives up."""
        transfer = self.plan.transfers.get(name)
        if transfer is None:
            self.say(self.reader.manners.giving_up)
            self.hang_up()
            return
        self.say_next(f"transfer {name}", transfer.say)
        args = {"to": name}
        if transfer.kind == "warm":
            briefing = self.prompts.variant(f"briefing {name}", transfer.briefing)
            args["briefing"] = say.render(briefing, self.memory.spoken())
        self.before = None
        self.state = Tool(self.call("transfer", args), "transfer")

    def nobody_took(self, name: str) -> str:
        """Says that this transfer failed. The node to go on with; empty where the caller is asked once more what they
        were asked before, or the call is over."""
        transfer = self.plan.transfers.get(name)
        self.unreached[name] += 1
        said = transfer.unreached if transfer else ()
        self.say_next(f"unreached {name}", said or (self.plan.sentences.unreached,))
        before, self.before, self.misses = self.before, None, 0
        if self.unreached[name] >= TRANSFERS:
            self.hang_up()
            return ""
        if transfer and transfer.on_failure:
            return transfer.on_failure
        if before is None and (self.node.collect or not (self.node.intents or self.node.dtmf)):
            # A form has done its work: the call begins again where it first listened.
            home = self.home or self.plan.start
            for slot in (*self.node.collect, *self.plan.nodes[home].collect):
                self.memory.drop(slot)
            return home
        self.state = before or Menu()
        self.ask()
        return ""

    def operator(self) -> None:
        if self.plan.operator:
            before = self.state
            self.transfer(self.plan.operator)
            self.before = before
        else:
            self.say(self.reader.manners.no_operator)
            self.ask()

    def hang_up(self, last_words: str = "") -> None:
        self.say(last_words or self.plan.sentences.goodbye)
        self.state = Over()
        self.call("hang_up", {})

    def give_up(self) -> None:
        """Nobody is kept going in circles: a person, or a polite end."""
        self.say(self.reader.manners.giving_up)
        if self.plan.operator and not self.unreached[self.plan.operator]:
            self.transfer(self.plan.operator)
        else:
            self.hang_up()
