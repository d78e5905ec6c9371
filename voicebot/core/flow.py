"""The scripted agent: a dialplan's flow with no model behind it. Pure: a caller's turn in, a `Step` out.

A node is entered: it says something, then listens for an intent, collects a form, or acts at once. Everywhere
"help", "repeat", "start over" and "operator" work, and so do the keys: `*` repeats, `0` reaches the operator,
1 and 2 mean yes and no, digits fill what is made of digits. What was not understood is asked again in other
words, then explained, then given to a person or ended: no question is asked for ever.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import assert_never

from voicebot.core import kinds, say
from voicebot.core.dialogue import CallerTurn, Heard, LlmEvent, Opening, Pressed, Silent, Text, ToolCall, ToolDone
from voicebot.core.expect import Expectation
from voicebot.core.grammar import normalise
from voicebot.core.hearing import hypotheses, understand
from voicebot.core.intents import Classifier, command
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
    Slot,
    TakeMessage,
    UseTool,
)
from voicebot.core.prompts import (
    Change,
    Check,
    CheckIntent,
    Form,
    Menu,
    Message,
    Over,
    Prompts,
    Readback,
    State,
    Tool,
    first_missing,
)
from voicebot.core.slots import Reader, Reading, Understood, with_type
from voicebot.core.spoken_numbers import digits as digit_run
from voicebot.core.words import Words

MAX_ACTIONS = 100
"""Actions and nodes between two turns of the caller."""
DOUBTFUL = 0.4
"""A value surer than this is not asked back (unless the dialplan says always)."""
UNSURE = 0.75
"""A value less sure than this is repeated in passing."""
DESTRUCTIVE = 0.3
"""Commands that undo or end something need a hearing surer than this."""
PARTS = 4
"""Pieces in which a number may be given."""


@dataclass(frozen=True, slots=True)
class Step:
    """What the flow does with a turn."""

    events: tuple[LlmEvent, ...]
    expectation: Expectation
    """What the caller may say next."""
    ended: bool
    """The last event ends the call."""


class Flow:
    """One call. `now`: local time at the dialplan's place. `reader` may be shared by the dialplan's calls."""

    def __init__(self, plan: Dialplan, now: datetime, caller: str = "", reader: Reader | None = None) -> None:
        self.plan = plan
        self.reader = reader or Reader(plan)
        self.memory = Memory(self.reader, now, caller)
        self.node = plan.start
        self.state: State = Menu()
        self._prompts = Prompts(self.reader, self.memory)
        self._home = ""
        self._misses = 0
        self._asked: Counter[str] = Counter()
        self._calls = 0
        self._actions_left = MAX_ACTIONS
        self._out: list[LlmEvent] = []
        self._last: tuple[str, ...] = ()

    @property
    def slots(self) -> Mapping[str, str]:
        """What is known, canonical values."""
        return {slot: filled.value for slot, filled in self.memory.filled.items()}

    @property
    def expectation(self) -> Expectation:
        return self._prompts.expectation(self.node, self.state)

    def feed(self, turn: CallerTurn) -> Step:
        """Answer one turn of the caller. Never raises; says something, calls a tool, or ends the call."""
        self._out, self._actions_left = [], MAX_ACTIONS
        if isinstance(self.state, Over):
            return self._step([ToolCall(self._call_id(), "hang_up", {})])
        match turn:
            case Opening():
                self._enter(self.plan.start)
            case Heard(words):
                self._heard(words)
            case Pressed(digits):
                self._pressed(digits)
            case Silent():
                self._silent()
            case ToolDone():
                self._tool_done(turn)
            case _:
                assert_never(turn)
        if not self._out:
            self._ask()
        return self._step(self._out)

    def _step(self, events: list[LlmEvent]) -> Step:
        texts = tuple(event.text for event in events if isinstance(event, Text))
        self._last = texts or self._last
        spaced = [replace(e, text=e.text + " ") if isinstance(e, Text) and e is not events[-1] else e for e in events]
        return Step(tuple(spaced), self.expectation, isinstance(self.state, Over))

    # --- speaking ------------------------------------------------------------------------------------------------

    def _say(self, text: str, interruptible: bool = True) -> None:
        said = say.render(text, self.memory.spoken())
        if said:
            self._out.append(Text(said, interruptible))

    def _ask(self) -> None:
        self._say(self._prompts.question(self.node, self.state))

    def _call(self, name: str, args: Mapping[str, str]) -> str:
        call_id = self._call_id()
        self._out.append(ToolCall(call_id, name, dict(args)))
        return call_id

    def _call_id(self) -> str:
        self._calls += 1
        return f"flow-{self._calls}"

    # --- nodes and actions ---------------------------------------------------------------------------------------

    def _enter(self, name: str) -> None:
        self.node, self._misses = name, 0
        node = self.plan.nodes[name]
        if node.collect:
            self._home = self._home or name
            self._open_form(node)
            return
        self._say(self._prompts.variant(name, node.say), node.interruptible)
        if node.intents or node.dtmf:
            self._home = self._home or name
            self.state = Menu()
        else:
            self._run(node.do)

    def _open_form(self, node: Node) -> None:
        """An open form's `say` is its question; another's leads in to the first question."""
        missing = first_missing(node, self.memory)
        fresh = not any(slot in self.memory for slot in node.collect)
        if node.examples and fresh and missing and node.say:
            self.state = Form()
            self._say(self._prompts.variant(self.node, node.say), node.interruptible)
        else:
            if not node.examples or not missing:
                self._say(self._prompts.variant(self.node, node.say), node.interruptible)
            self._advance(())

    def _run(self, actions: Sequence[Action]) -> None:
        """Do them in order until one leaves or waits; after the last, listen again."""
        pending = list(actions)
        while pending:
            self._actions_left -= 1
            if self._actions_left < 0:
                self._give_up()
                return
            if self._act(pending.pop(0), pending):
                return
        node = self.plan.nodes[self.node]
        if node.intents and not node.collect or node.dtmf and not node.collect:
            self.state = Menu()
        else:
            self._give_up()

    def _act(self, action: Action, pending: list[Action]) -> bool:
        """One action; whether the flow has left or waits. `pending` are those after it."""
        match action:
            case Say(say=texts, interruptible=interruptible):
                self._say(self._prompts.variant(texts[0] if texts else "", texts), interruptible)
            case Forget(forget=names):
                for name in list(self.memory.filled) if "all" in names else names:
                    self.memory.drop(name)
            case Decide(when=when, then=then, otherwise=otherwise):
                pending[:0] = then if self.memory.holds(when) else otherwise
            case Goto(goto=name):
                self._enter(name)
                return True
            case UseTool(tool=name, args=args, failed=failed):
                call_id = self._call(name, self._filled_args(args))
                self.state = Tool(call_id, name, tuple(pending), failed)
                return True
            case TakeMessage():
                self.state = Message(action, tuple(pending))
                self._ask()
                return True
            case PutThrough(transfer=name):
                self._transfer(say.render(name, self.memory.raw()))
                return True
            case HangUp(hang_up=texts):
                self._hang_up(self._prompts.variant("hang_up", [t for t in texts if t]))
                return True
            case _:
                assert_never(action)
        return False

    def _filled_args(self, args: Mapping[str, str]) -> dict[str, str]:
        """Arguments with their slots filled in; those that come out empty are left out."""
        filled = {name: say.render(text, self.memory.raw()) for name, text in args.items()}
        return {name: text for name, text in filled.items() if text}

    def _transfer(self, name: str) -> None:
        transfer = self.plan.transfers.get(name)
        if transfer is None:
            self._give_up()
            return
        self._say(self._prompts.variant(f"transfer {name}", transfer.say))
        self.state = Tool(self._call("transfer", {"to": name}), "transfer")

    def _hang_up(self, last_words: str = "") -> None:
        self._say(last_words or self.plan.sentences.goodbye)
        self.state = Over()
        self._call("hang_up", {})

    def _give_up(self) -> None:
        """Nobody is kept going in circles: a person, or a polite end."""
        self._say(self.reader.manners.giving_up)
        if self.plan.operator:
            self._transfer(self.plan.operator)
        else:
            self._hang_up()

    def _tool_done(self, turn: ToolDone) -> None:
        state = self.state
        if not isinstance(state, Tool) or turn.call_id != state.call_id:
            return  # an answer to something long forgotten
        if turn.ok:
            self.memory.learn(state.name, turn.result)
        if state.name == "transfer":
            self._hang_up("" if turn.ok else self.reader.manners.tool_failed)
        elif turn.ok:
            self._run(state.rest)
        elif state.failed:
            self._enter(state.failed)
        else:
            self._say(self.reader.manners.tool_failed)
            self._run(state.rest)

    # --- hearing -------------------------------------------------------------------------------------------------

    def _heard(self, words: Words) -> None:
        said = normalise(words.text)
        if isinstance(self.state, Message):
            self._message(words.text)
        elif isinstance(self.state, Tool):
            self._ask()
        elif not any(hypotheses(words)):
            self._miss()
        elif (order := command(self.reader, said)) and self._obey(order, words.confidence):
            pass
        else:
            self._answer(words, said)

    def _answer(self, words: Words, said: list[str]) -> None:
        match self.state:
            case Menu():
                self._menu(words)
            case Form():
                self._fill(self.state, words)
            case Check(slot):
                self._checked(slot, words, said)
            case CheckIntent():
                self._intent_checked(self.state, words, said)
            case Readback():
                self._read_back(words, said)
            case Change():
                self._changed(words, said)
            case Message() | Tool() | Over():
                pass
            case _:
                assert_never(self.state)

    def _obey(self, order: str, sure: float) -> bool:
        """A command that works everywhere; False when it cannot be meant."""
        if order in ("restart", "operator", "goodbye") and sure < DESTRUCTIVE:
            return False
        match order:
            case "help":
                self._say(self._prompts.hint(self.node, self.state) or self.reader.manners.general_help)
                self._ask()
            case "repeat":
                self._repeat()
            case "restart":
                self._say(self.reader.manners.restarted)
                self.memory.filled.clear()
                self._asked.clear()
                self._enter(self._home or self.plan.start)
            case "operator":
                self._operator()
            case _:
                self._hang_up()
        return True

    def _repeat(self) -> None:
        for text in self._last:
            self._out.append(Text(text.strip()))

    def _operator(self) -> None:
        if self.plan.operator:
            self._transfer(self.plan.operator)
        else:
            self._say(self.reader.manners.no_operator)
            self._ask()

    def _miss(self, silent: bool = False) -> None:
        self._misses += 1
        if self._misses > self.plan.limits.reprompts:
            self._give_up()
            return
        for text in self._prompts.again(self.node, self.state, self._misses, silent):
            self._say(text)

    def _silent(self) -> None:
        if isinstance(self.state, Tool):
            self._ask()
        else:
            self._miss(silent=True)

    def _message(self, text: str) -> None:
        state = self.state
        assert isinstance(state, Message)
        args = self._filled_args(state.action.args) | {"text": text.strip() or "(see the recording)"}
        call_id = self._call(state.action.tool, args)
        self.state = Tool(call_id, state.action.tool, state.rest)

    # --- intents -------------------------------------------------------------------------------------------------

    def _menu(self, words: Words) -> None:
        if not self._intended(words):
            self._miss()

    def _intended(self, words: Words) -> bool:
        """Acts on an intent of this node, or asks back; False when none was meant."""
        node = self.plan.nodes[self.node]
        said = hypotheses(words)
        guess = Classifier(self.reader, node.intents).guess(said, self.memory.today) if node.intents else None
        if guess is None:
            return False
        if guess.clear:
            self._intent(guess.intent, said)
        elif node.intents[guess.intent].title:
            self.state = CheckIntent(guess.intent, tuple(said[0]))
            self._ask()
        else:
            return False
        return True

    def _intent(self, name: str, said: Sequence[Sequence[str]]) -> None:
        self._misses = 0
        node = self.plan.nodes[self.node]
        classifier = Classifier(self.reader, node.intents)
        for words in said:
            found = classifier.values(name, words, self.memory.today)
            for reading in found.readings:
                if reading.value:
                    self.memory.put(reading.slot, reading.value, 1.0)
            if found.readings:
                break
        self._run(node.intents[name].do)

    def _intent_checked(self, state: CheckIntent, words: Words, said: list[str]) -> None:
        answer = self.reader.agreement(said)
        if answer == "yes":
            self._intent(state.intent, [state.words])
        elif answer == "no" and len(said) <= 3:
            self.state = Menu()
            self._misses += 1
            if self._misses > self.plan.limits.reprompts:
                self._give_up()
            else:
                self._ask()
        elif not self._intended(words):
            self._miss()

    # --- forms ---------------------------------------------------------------------------------------------------

    def _form(self) -> dict[str, Slot]:
        return {name: with_type(name, spec) for name, spec in self.plan.nodes[self.node].collect.items()}

    def _fill(self, state: Form, words: Words) -> None:
        form, today = self._form(), self.memory.today
        found, sure = understand(self.reader, form, words, today, state.asked)
        if state.heard and state.asked not in found.values:
            joined, joined_sure = understand(self.reader, form, words, today, state.asked, state.heard)
            if state.asked in joined.values:
                found, sure = joined, joined_sure
        changed = self._apply(found, sure)
        if found.readings or found.refused:
            self._misses = 0
            self._advance(changed)
        elif not self._partial(state, words) and not self._intended(words):
            self._miss()

    def _partial(self, state: Form, words: Words) -> bool:
        """Keeps half a number or a birthday without its year, and asks for the rest."""
        said = normalise(words.text)
        heard = (*state.heard, *said)
        kind = with_type(state.asked, self._form()[state.asked]).type if state.asked else ""
        if self._asked[f"{state.asked} part"] >= PARTS:
            return False
        if kind in ("digits", "phone") and digit_run(heard, 0):
            text = self.reader.manners.continue_entry
        elif kind == "date" and any(month in heard for month in kinds.PARTS["month"]):
            text = self.reader.manners.ask_year
        else:
            return False
        self._asked[f"{state.asked} part"] += 1
        self.state = Form(state.asked, heard)
        self._say(text)
        return True

    def _apply(self, found: Understood, sure: Mapping[str, float]) -> tuple[str, ...]:
        """Puts into memory what was found; the slots that changed, in the order heard."""
        changed = []
        denied = {reading.slot: reading.value for reading in found.refused}
        for slot, value in denied.items():
            if self.memory.value(slot) == value and self.memory.drop(slot):
                changed.append(slot)
        for reading in found.readings:
            if self._takes(reading, sure.get(reading.slot, 1.0)):
                changed.append(reading.slot)
        return tuple(dict.fromkeys(changed))

    def _takes(self, reading: Reading, sure: float) -> bool:
        """Whether this changed anything."""
        known = self.memory.filled.get(reading.slot)
        if not reading.value:
            return self.memory.drop(reading.slot)
        if known and known.value == reading.value:
            if sure > known.sure:
                self.memory.filled[reading.slot] = replace(known, sure=sure)
            return False
        self._asked[reading.slot] = 0
        return self.memory.put(reading.slot, reading.value, sure)

    def _advance(self, changed: Sequence[str]) -> None:
        """Go on with the form: confirm what is doubtful, ask for what is missing, read back, act."""
        node = self.plan.nodes[self.node]
        for slot in node.collect:
            if slot in changed and self._needs_check(node, slot):
                self.state = Check(slot)
                self._ask()
                return
        missing = first_missing(node, self.memory)
        if missing:
            self._echo(changed)
            self._ask_for(missing)
        elif node.readback:
            self.state = Readback()
            self._asked["readback"] += 1
            if self._asked["readback"] > 6 + self.plan.limits.reprompts:
                self._give_up()
            else:
                self._ask()
        else:
            self._run(node.do)

    def _needs_check(self, node: Node, slot: str) -> bool:
        filled, mode = self.memory.filled.get(slot), node.collect[slot].confirm
        if filled is None or filled.confirmed or mode == "never":
            return False
        return mode == "always" or (not node.readback and filled.sure < DOUBTFUL)

    def _echo(self, changed: Sequence[str]) -> None:
        """Repeats doubtful values in passing, so that a wrong one is corrected at once."""
        unsure = [s for s in changed if s in self.memory and self.memory.filled[s].sure < UNSURE]
        said = ", ".join(self.memory.said(slot) for slot in unsure if not self.reader.slot(slot).secret)
        if said:
            self._say(self._prompts._with(self.reader.manners.understood, value=said[0].upper() + said[1:]))

    def _ask_for(self, slot: str) -> None:
        self._asked[slot] += 1
        if self._asked[slot] > 4 + self.plan.limits.reprompts:
            self._give_up()
            return
        self.state = Form(slot)
        self._ask()

    # --- yes or no -----------------------------------------------------------------------------------------------

    def _heard_form(self, words: Words, said: list[str]) -> tuple[Understood, dict[str, float], str | None]:
        """What a yes-or-no answer says about the form, and the yes or no in the rest of it."""
        form = {name: spec for name, spec in self._form().items() if spec.type not in ("text", "yesno")}
        found, sure = understand(self.reader, form, words, self.memory.today)
        rest = [word for place, word in enumerate(said) if place not in found.used]
        return found, sure, self.reader.agreement(rest)

    def _checked(self, slot: str, words: Words, said: list[str]) -> None:
        found, sure, answer = self._heard_form(words, said)
        if answer != "yes" and slot not in found.values:
            found, sure = self._correction(slot, words, said) or (found, sure)
        known = self.memory.value(slot)
        changed = self._apply(found, sure)
        self._asked[f"{slot} check"] += 1
        if slot in changed and self._asked[f"{slot} check"] <= 2 + self.plan.limits.reprompts:
            self._misses = 0
            self._advance(changed)
        elif answer == "yes" or (known and found.values.get(slot) == known):
            self._misses = 0
            self.memory.confirm(slot)
            self._advance([s for s in changed if s != slot])
        elif answer == "no" or self._asked[f"{slot} check"] > 4 + self.plan.limits.reprompts:
            self.memory.drop(slot)
            self._ask_for(slot)
        else:
            self._miss()

    def _correction(self, slot: str, words: Words, said: list[str]) -> tuple[Understood, dict[str, float]] | None:
        """ "no, it's …": what follows the no is an answer to the question before."""
        spec = self._form()[slot]
        if spec.type in ("text", "yesno") or not said or said[0] not in ("no", "nope", "not") or len(said) < 2:
            return None
        found = self.reader.read({slot: spec}, said[1:], self.memory.today, slot)
        return (found, {slot: words.confidence}) if found.readings else None

    def _objected(self, said: Sequence[str]) -> bool:
        """ "the size is wrong", "change the size"; not "change the size to large"."""
        return bool(self.reader.manners.objections & set(said)) and "to" not in said and self._named(said)

    def _read_back(self, words: Words, said: list[str]) -> None:
        if self._objected(said):
            return
        found, sure, answer = self._heard_form(words, said)
        changed = self._apply(self._replacing(found, said), sure)
        if changed:
            self._misses = 0
            self._say(self.reader.manners.changed)
            self._advance(changed)
        elif answer == "yes" or (answer is None and found.readings and not found.refused):
            self._misses = 0
            self._run(self.plan.nodes[self.node].do)
        elif not self._named(said) and answer == "no":
            self.state = Change()
            self._ask()
        elif isinstance(self.state, Readback) and not self._intended(words):
            self._miss()

    def _replacing(self, found: Understood, said: Sequence[str]) -> Understood:
        """ "no soy milk" to "…with whole milk" means another milk, not none."""
        refused = {reading.slot: reading for reading in found.refused}
        readings = []
        for reading in found.readings:
            no = refused.get(reading.slot)
            known = self.memory.value(reading.slot)
            if not reading.value and no and known and known != no.value and reading.start == 0 and said[:1] == ["no"]:
                reading = no
            readings.append(reading)
        return replace(found, readings=tuple(readings))

    def _named(self, said: Sequence[str]) -> bool:
        """ "the size is wrong": asks for that slot again."""
        text = f" {' '.join(said)} "
        for slot in self.plan.nodes[self.node].collect:
            if f" {slot.replace('_', ' ')} " in text:
                self._misses = 0
                self._ask_for(slot)
                return True
        return False

    def _changed(self, words: Words, said: list[str]) -> None:
        if self._objected(said):
            return
        found, sure, answer = self._heard_form(words, said)
        changed = self._apply(found, sure)
        if changed or found.readings or answer == "yes" or "nothing" in said:
            self._misses = 0
            if changed:
                self._say(self.reader.manners.changed)
            self._advance(changed)
        elif not self._named(said) and not self._intended(words):
            self._miss()

    # --- keys ----------------------------------------------------------------------------------------------------

    def _pressed(self, keyed: str) -> None:
        digits = keyed.rstrip("#")
        if isinstance(self.state, Message):
            self._message("")
        elif isinstance(self.state, Tool):
            self._ask()
        elif digits == "*":
            self._repeat()
        elif not digits or not self._key(digits.replace("*", "").replace("#", "")):
            if digits == "0" and self.plan.operator:
                self._operator()
            else:
                self._say(self.reader.manners.bad_key)
                self._miss()

    def _key(self, digits: str) -> bool:
        """Whether these keys mean something here."""
        node = self.plan.nodes[self.node]
        match self.state:
            case Check() | CheckIntent() | Readback() if digits in ("1", "2"):
                words = Words(self.reader.manners.answers[0 if digits == "1" else 1], True)
                self._answer(words, normalise(words.text))
                return True
            case Form(asked=slot) if (slot or first_missing(node, self.memory)) and self._keyed_slot(digits, slot):
                return True
            case Menu() | Form() if digits in node.dtmf:
                target = node.dtmf[digits]
                if target in node.intents:
                    self._misses = 0
                    self._run(node.intents[target].do)
                else:
                    self._enter(target)
                return True
            case _:
                return False

    def _keyed_slot(self, digits: str, slot: str) -> bool:
        slot = slot or first_missing(self.plan.nodes[self.node], self.memory)
        spec = self._form()[slot]
        value = spec.dtmf.get(digits) or kinds.keyed(spec, digits, self.memory.today, self.reader.month_first)
        if value is None or not self.memory.put(slot, value, 1.0):
            return False
        self._misses = self._asked[slot] = 0
        self._advance((slot,))
        return True
