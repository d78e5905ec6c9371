"""A dialplan's flow, led by a speech-to-speech model: the model hears and speaks, the flow decides what follows.

At each step the model has the instructions and tools of that step alone (`core.guide_words`). What it takes down is
checked against the slot's type; where a step is complete, its actions run here, and the model is told what to say next.
Texts that may not be interrupted are never left to a model: they are notices, played word for word. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, assert_never

from voicebot.core import guide_words, kinds, say
from voicebot.core.call_headers import NONE
from voicebot.core.dialogue import Text, ToolCall, ToolDone
from voicebot.core.grammar import normalise
from voicebot.core.guide_words import AGREED, CHOOSE, MESSAGE, NOTE
from voicebot.core.memory import Memory
from voicebot.core.plan import (
    Action,
    Decide,
    Dialplan,
    Forget,
    Goto,
    HangUp,
    Node,
    PutThrough,
    Say,
    TakeMessage,
    UseTool,
)
from voicebot.core.prompting import situation
from voicebot.core.prompts import first_missing
from voicebot.core.slots import reader_of, with_type
from voicebot.core.tool_specs import ToolSpec, fault_in_call

MOST_ACTIONS = 50
"""In one move; more is a flow that goes in circles."""


@dataclass(frozen=True, slots=True)
class Leave:
    """How the call ends, when all was said."""

    transfer_to: str = ""
    """Name of a transfer; empty to hang up."""


@dataclass(frozen=True, slots=True)
class Move:
    """What the flow wants done. In this order: notices, a tool (whose result goes to `done`), the model's own words,
    the end of the call. An end that the model brought about itself has no `result`; it has said goodbye already."""

    notices: tuple[Text, ...] = ()
    """Said word for word, by another voice than the model's."""
    call: ToolCall | None = None
    ask: str | None = None
    """What the model is asked to say now, in the form of an instruction."""
    ending: Leave | None = None
    ok: bool = True
    result: Mapping[str, Any] = field(default_factory=dict)
    """For the tool that the model called."""
    moved: bool = False
    """Other instructions and tools hold from here on."""


@dataclass(slots=True)
class _Out:
    """A move as it comes about."""

    notices: list[Text] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    call: ToolCall | None = None
    ending: Leave | None = None
    actions: int = 0


class Guide:
    """One call. `now`: local time at the place; `caller`: number or SIP user; `headers`: by name, as
    `call_headers.kept` gives them."""

    def __init__(self, plan: Dialplan, now: datetime, caller: str = "", headers: Mapping[str, str] = NONE) -> None:
        self._plan, self._reader = plan, reader_of(plan)
        self._situation = situation(plan, now.isoformat(), caller, headers)
        self._memory = Memory(self._reader, now, caller, headers)
        self._name = plan.start
        self._message: TakeMessage | None = None
        self._rest: tuple[Action, ...] = ()
        self._failed = ""
        self._tool = ""
        self._calls = 0
        self._free = False
        """Whether the tool that runs is one the model asked for by itself."""
        self._model_waits = False
        """Whether what comes about is the result of a tool that the model called."""
        self.obeys = True
        """Whether the model says what it is asked to; for one that does not, all texts are notices."""

    @property
    def node(self) -> str:
        return self._name

    @property
    def _node(self) -> Node:
        return self._plan.nodes[self._name]

    @property
    def instructions(self) -> str:
        """At this step."""
        secret = {slot for slot, spec in self._reader.slots.items() if spec.secret}
        known = {slot: filled.value for slot, filled in self._memory.filled.items() if slot not in secret}
        text = guide_words.instructions(self._plan, self._name, known, self._situation)
        for name, value in self._memory.spoken().items():
            text = text.replace(f"{{{name}}}", value)
        return text

    @property
    def keys(self) -> int:
        """Keyed digits that complete an entry here: 1 for a menu; 0: `#` or a pause ends it."""
        if slot := first_missing(self._node, self._memory):
            return kinds.keys(with_type(slot, self._node.collect[slot]))
        return 1 if self._node.dtmf else 0

    @property
    def tools(self) -> tuple[ToolSpec, ...]:
        return guide_words.tools(self._plan, self._node, self._message)

    # --- what happens

    def opened(self, obeys: bool) -> Move:
        """The call was answered."""
        self.obeys = obeys
        out = _Out()
        self._model_waits = False
        self._enter(self._plan.start, out)
        return self._asking(out, "The call was just answered. Greet the caller.")

    def silent(self, count: int, obeys: bool) -> Move:
        """Nobody spoke, for the `count`-th time in a row."""
        self.obeys = obeys
        sentences, out = self._plan.sentences, _Out()
        over = count > max(1, self._plan.limits.reprompts)
        asked = sentences.still_there
        out.texts.append(sentences.goodbye if over or not asked else asked[(count - 1) % len(asked)])
        out.ending = Leave() if over else None
        return self._asking(out, "The caller has said nothing.")

    def returned(self, obeys: bool) -> Move:
        """The caller is back from hold."""
        self.obeys = obeys
        return self._asking(_Out(texts=[self._plan.sentences.welcome_back]), "The caller is back from hold.")

    def unreached(self, name: str, obeys: bool) -> Move:
        """Nobody took the caller, who was to be put through."""
        self.obeys, self._model_waits = obeys, False
        out, transfer = _Out(), self._plan.transfers.get(name)
        said = transfer.unreached[:1] if transfer else ()
        self._say(said or (self._plan.sentences.unreached,), True, out)
        if transfer and transfer.on_failure:
            self._enter(transfer.on_failure, out)
        return self._asking(out, "Nobody took the call. The caller is with you again.")

    def keyed(self, digits: str) -> Move:
        """Keys, which mean the same as with any other responder."""
        self._model_waits = False
        out, key = _Out(), digits.rstrip("#")
        target = self._node.dtmf.get(key, "")
        slot = first_missing(self._node, self._memory)
        spec = with_type(slot, self._node.collect[slot]) if slot else None
        value = (
            (spec.dtmf.get(key) or kinds.keyed(spec, key, self._memory.today, self._reader.month_first))
            if spec
            else None
        )
        if value and self._memory.put(slot, value, 1.0):
            self._go_on(out)
        elif target in self._node.intents:
            self._run(self._node.intents[target].do, out)
        elif target:
            self._enter(target, out)
        elif key == "0" and self._plan.operator:
            self._put_through(self._plan.operator, out)
        else:
            return Move(ask="") if self.obeys else Move((Text(self._reader.manners.bad_key),))
        return self._asking(out, "The caller pressed a key, and the flow went on.")

    def called(self, call: ToolCall) -> Move:
        """The model calls a tool."""
        args = {name: value for name, value in call.args.items() if value not in (None, "")}
        if fault := fault_in_call(self.tools, call.name, args):
            return Move(ok=False, result={"error": fault})
        out = _Out()
        self._model_waits = True
        match call.name:
            case "hang_up":
                return Move(ending=Leave())
            case "transfer":
                return Move(ending=Leave(str(args["to"])))
            case name if name == NOTE:
                return self._noted(args)
            case name if name == CHOOSE:
                for slot, value in args.items():
                    if slot != "intent":
                        self._put(slot, str(value))
                self._run(self._node.intents[str(args["intent"])].do, out)
            case name if name == AGREED:
                if missing := first_missing(self._node, self._memory):
                    return Move(ok=False, result={"error": f"{missing} is not known yet."})
                self._run(self._node.do, out)
            case name if name == MESSAGE and self._message is not None:
                action, self._message = self._message, None
                given = {**self._filled(action.args), "text": str(args["text"])}
                self._use(action.tool, given, self._rest, "", out)
            case name:
                self._free, self._tool = True, name
                return Move(call=ToolCall(call.call_id, name, args))
        return self._told(out)

    def done(self, done: ToolDone) -> Move:
        """The result of the tool of the last move."""
        if self._free:
            self._free = False
            return Move(ok=done.ok, result=done.result)
        out, rest, failed = _Out(), self._rest, self._failed
        self._rest, self._failed = (), ""
        if done.ok:
            self._memory.learn(self._tool, done.result)
            self._run(rest, out)
        elif failed:
            self._enter(failed, out)
        else:
            out.texts.append(self._reader.manners.tool_failed)
            self._run(rest, out)
        return self._told(out)

    # --- slots

    def _put(self, slot: str, value: str) -> bool:
        """As the model wrote it, else as it is said."""
        if self._memory.put(slot, value, 1.0):
            return True
        spec = self._reader.slot(slot)
        read = self._reader.read({slot: spec}, normalise(value), self._memory.today, slot).values.get(slot, "")
        return bool(read) and self._memory.put(slot, read, 1.0)

    def _noted(self, args: Mapping[str, Any]) -> Move:
        refused = [slot for slot, value in args.items() if not self._put(slot, str(value))]
        if refused:
            why = dict.fromkeys(refused, "This is no value for it; ask again.")
            return Move(ok=False, result={"refused": why, "missing": self._missing()}, moved=True)
        out = _Out()
        self._go_on(out)
        return self._told(out)

    def _missing(self) -> list[str]:
        return [s for s, spec in self._node.collect.items() if spec.required and s not in self._memory]

    def _go_on(self, out: _Out) -> None:
        """A form after a value: ask, read back, or act."""
        node = self._node
        if missing := self._missing():
            out.texts += node.collect[missing[0]].ask[:1] or [f"What is the {missing[0].replace('_', ' ')}?"]
        elif node.readback:
            out.texts.append(node.readback)
        else:
            self._run(node.do, out)

    # --- actions

    def _enter(self, name: str, out: _Out) -> None:
        self._name = name
        node = self._node
        self._say(node.say[:1], node.interruptible, out)
        if node.collect and not (node.say and node.examples):
            self._go_on(out)
        elif not (node.collect or node.intents or node.dtmf):
            self._run(node.do, out)

    def _run(self, actions: Sequence[Action], out: _Out) -> None:
        pending = list(actions)
        while pending and out.actions < MOST_ACTIONS:
            out.actions += 1
            if self._act(pending.pop(0), pending, out):
                return

    def _act(self, action: Action, pending: list[Action], out: _Out) -> bool:
        """One action; whether the flow has left or waits."""
        match action:
            case Say(say=texts, interruptible=interruptible):
                self._say(texts[:1], interruptible, out)
            case Forget(forget=names):
                for name in list(self._memory.filled) if "all" in names else names:
                    self._memory.drop(name)
            case Decide(when=when, then=then, otherwise=otherwise):
                pending[:0] = then if self._memory.holds(when) else otherwise
            case Goto(goto=name):
                self._enter(name, out)
                return True
            case UseTool(tool=name, args=args, failed=failed):
                self._use(name, self._filled(args), tuple(pending), failed, out)
                return True
            case TakeMessage():
                self._message, self._rest = action, tuple(pending)
                self._say(action.take_message[:1], True, out)
                return True
            case PutThrough(transfer=name):
                self._put_through(say.render(name, self._memory.raw()), out)
                return True
            case HangUp(hang_up=texts):
                self._say(tuple(filter(None, texts))[:1] or (self._plan.sentences.goodbye,), True, out)
                out.ending = Leave()
                return True
            case _:
                assert_never(action)
        return False

    def _use(self, tool: str, args: Mapping[str, str], rest: tuple[Action, ...], failed: str, out: _Out) -> None:
        self._calls += 1
        self._tool, self._rest, self._failed = tool, rest, failed
        out.call = ToolCall(f"guide-{self._calls}", tool, dict(args))

    def _put_through(self, name: str, out: _Out) -> None:
        if name in self._plan.transfers:
            self._say(self._plan.transfers[name].say[:1], True, out)
            out.ending = Leave(name)
        else:
            self._say((self._reader.manners.giving_up,), True, out)
            out.ending = Leave(self._plan.operator)

    def _filled(self, args: Mapping[str, str]) -> dict[str, str]:
        filled = {name: say.render(text, self._memory.raw()) for name, text in args.items()}
        return {name: text for name, text in filled.items() if text}

    def _say(self, texts: Sequence[str], interruptible: bool, out: _Out) -> None:
        for text in texts:
            rendered = say.render(text, self._memory.spoken())
            if rendered and interruptible:
                out.texts.append(rendered)
            elif rendered:
                out.notices.append(Text(rendered, interruptible=False))

    # --- moves

    def _told(self, out: _Out) -> Move:
        """After a tool: the model that called it is told what to say; else it is asked."""
        if not self._model_waits:
            return self._asking(out, "")
        texts = [say.render(text, self._memory.spoken()) for text in out.texts]
        result = {"say": " ".join(texts)} if texts else {"ok": True}
        return Move(tuple(out.notices), out.call, ending=out.ending, result=result, moved=True)

    def _asking(self, out: _Out, why: str) -> Move:
        """Nobody called a tool: the model is asked to speak."""
        texts = [said for text in out.texts if (said := say.render(text, self._memory.spoken()))]
        move = Move(tuple(out.notices), out.call, ending=out.ending, moved=True)
        if not self.obeys:
            return replace(move, notices=(*move.notices, *(Text(text) for text in texts)))
        if not texts and (out.ending is not None or out.call is not None or move.notices):
            return move
        asked = f'Say now: "{" ".join(texts)}"' if texts else ""
        return replace(move, ask=f"{why} {asked}".strip())
