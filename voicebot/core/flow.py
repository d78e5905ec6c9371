"""The scripted agent: a dialplan's flow with no model behind it. Pure: a caller's turn in, a `Step` out.

A node is entered: it says something, then listens for an intent, collects a form, or acts at once. Everywhere
"help", "repeat", "start over" and "operator" work, and so do the keys: `*` repeats, `0` reaches the operator,
1 and 2 mean yes and no, digits fill what is made of digits. What was not understood is asked again in other
words, then explained, then given to a person or ended: no question is asked for ever.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from voicebot.core import forms, say
from voicebot.core.call_headers import NONE
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
from voicebot.core.expect import Expectation
from voicebot.core.forms import Outcome
from voicebot.core.grammar import normalise
from voicebot.core.hearing import hypotheses
from voicebot.core.intents import classifier, command
from voicebot.core.plan import (
    Action,
    Decide,
    Dialplan,
    Forget,
    Goto,
    HangUp,
    PutThrough,
    Say,
    TakeMessage,
    UseTool,
)
from voicebot.core.prompts import Change, Check, CheckIntent, Form, Menu, Message, Over, Readback, State, Tool
from voicebot.core.slots import reader_of
from voicebot.core.talk import Talk
from voicebot.core.words import Words

DESTRUCTIVE = 0.3
"""Commands that undo or end something need a hearing surer than this."""


PATIENCE = 2
"""Silences that a caller who asked for a moment may take."""


@dataclass(frozen=True, slots=True)
class Step:
    """What the flow does with a turn."""

    events: tuple[LlmEvent, ...]
    expectation: Expectation
    """What the caller may say next."""
    ended: bool
    """The last event ends the call."""


class Flow:
    """One call. `now`: local time at the dialplan's place; `caller`: number or SIP user; `headers`: by name, as
    `call_headers.kept` gives them."""

    def __init__(self, plan: Dialplan, now: datetime, caller: str = "", headers: Mapping[str, str] = NONE) -> None:
        self._talk = Talk(reader_of(plan), now, caller, headers)

    @property
    def node(self) -> str:
        return self._talk.node_name

    @property
    def state(self) -> State:
        return self._talk.state

    @property
    def slots(self) -> Mapping[str, str]:
        """What is known, canonical values."""
        return {slot: filled.value for slot, filled in self._talk.memory.filled.items()}

    @property
    def expectation(self) -> Expectation:
        return self._talk.prompts.expectation(self._talk.node_name, self._talk.state)

    def feed(self, turn: CallerTurn) -> Step:
        """Answer one turn of the caller. Never raises; says something, calls a tool, or ends the call."""
        talk = self._talk
        talk.begin()
        if isinstance(talk.state, Over):
            talk.call("hang_up", {})
        else:
            self._turn(turn)
        if not talk.out:
            talk.ask()
        if not talk.out:
            talk.say(talk.reader.manners.general_help)
        return Step(talk.finish(), self.expectation, isinstance(talk.state, Over))

    def _turn(self, turn: CallerTurn) -> None:
        match turn:
            case Opening():
                self._enter(self._talk.plan.start)
            case Heard(words):
                self._heard(words)
            case Pressed(digits):
                self._pressed(digits)
            case Silent():
                self._silent()
            case Returned():
                self._talk.say(self._talk.plan.sentences.welcome_back)
                self._talk.ask()
            case Unasked():
                self._talk.ask()
            case Unreached(to):
                if node := self._talk.nobody_took(to):
                    self._enter(node)
            case ToolDone():
                self._tool_done(turn)
            case _:
                assert_never(turn)

    # --- nodes and actions ---------------------------------------------------------------------------------------

    def _enter(self, name: str) -> None:
        talk = self._talk
        talk.node_name, talk.misses = name, 0
        node = talk.node
        if node.collect or node.intents or node.dtmf:
            talk.home = talk.home or name
        if node.collect:
            talk.asked["readback"] = 0
            self._then(forms.opened(talk))
            return
        talk.say_next(name, node.say, node.interruptible)
        if node.intents or node.dtmf:
            talk.state = Menu()
        else:
            self._run(node.do)

    def _run(self, actions: Sequence[Action]) -> None:
        """Do them in order until one leaves or waits; after the last, a menu listens again and a form goes on."""
        talk = self._talk
        pending = list(actions)
        while pending:
            if not talk.may_act():
                talk.give_up()
                return
            if self._act(pending.pop(0), pending):
                return
        if talk.node.collect and talk.may_act():
            self._then(forms.advance(talk, ()))
        elif talk.node.intents or talk.node.dtmf:
            talk.state = Menu()
        else:
            talk.give_up()

    def _act(self, action: Action, pending: list[Action]) -> bool:
        """One action; whether the flow has left or waits. `pending` are those after it."""
        talk = self._talk
        match action:
            case Say(say=texts, interruptible=interruptible):
                talk.say_next("/".join(texts), texts, interruptible)
            case Forget(forget=names):
                for name in list(talk.memory.filled) if "all" in names else names:
                    talk.memory.drop(name)
            case Decide(when=when, then=then, otherwise=otherwise):
                pending[:0] = then if talk.memory.holds(when) else otherwise
            case Goto(goto=name):
                self._enter(name)
                return True
            case UseTool(tool=name, args=args, failed=failed):
                talk.state = Tool(talk.call(name, self._filled(args)), name, tuple(pending), failed)
                return True
            case TakeMessage():
                talk.state = Message(action, tuple(pending))
                talk.ask()
                return True
            case PutThrough(transfer=name):
                talk.transfer(say.render(name, talk.memory.raw()))
                return True
            case HangUp(hang_up=texts):
                talk.hang_up(talk.prompts.variant("hang_up", [text for text in texts if text]))
                return True
            case _:
                assert_never(action)
        return False

    def _filled(self, args: Mapping[str, str]) -> dict[str, str]:
        """Arguments with their slots filled in; those that come out empty are left out."""
        filled = {name: say.render(text, self._talk.memory.raw()) for name, text in args.items()}
        return {name: text for name, text in filled.items() if text}

    def _tool_done(self, turn: ToolDone) -> None:
        talk, state = self._talk, self._talk.state
        if not isinstance(state, Tool) or turn.call_id != state.call_id:
            return  # an answer to something long forgotten
        if state.name == "transfer":
            talk.hang_up("" if turn.ok else talk.reader.manners.tool_failed)
        elif turn.ok:
            talk.memory.learn(state.name, turn.result)
            self._run(state.rest)
        elif state.failed:
            self._enter(state.failed)
        else:
            talk.say(talk.reader.manners.tool_failed)
            self._run(state.rest)

    # --- hearing -------------------------------------------------------------------------------------------------

    def _heard(self, words: Words) -> None:
        talk, said = self._talk, normalise(words.text)
        talk.patience = 0
        if isinstance(talk.state, Message):
            self._message(talk.state, words.text)
        elif isinstance(talk.state, Tool):
            talk.ask()
        elif not any(hypotheses(words)):
            talk.miss()
        elif (order := command(talk.reader, said)) and self._obeys(order, words.confidence):
            self._obey(order)
        else:
            self._answer(words)

    def _answer(self, words: Words) -> None:
        talk = self._talk
        match talk.state:
            case Menu():
                self._then(Outcome.MISSED, words)
            case Form():
                self._then(forms.fill(talk, talk.state, words), words)
            case Check(slot):
                self._then(forms.checked(talk, slot, words), words)
            case CheckIntent():
                self._intent_checked(talk.state, words)
            case Readback():
                self._then(forms.read_back(talk, words), words)
            case Change():
                self._then(forms.changed(talk, words), words)
            case Message() | Tool() | Over():
                pass  # dealt with before
            case _:
                assert_never(talk.state)

    def _then(self, outcome: Outcome, words: Words | None = None) -> None:
        """Go on after a form; words that were not about it may be an intent."""
        match outcome:
            case Outcome.WAIT:
                pass
            case Outcome.COMPLETE:
                self._run(self._talk.node.do)
            case Outcome.MISSED:
                if words is None or not self._intended(words):
                    self._talk.miss()
            case _:
                assert_never(outcome)

    @staticmethod
    def _obeys(order: str, sure: float) -> bool:
        return order in ("help", "repeat", "wait", "hello") or sure >= DESTRUCTIVE

    def _obey(self, order: str) -> None:
        """A command that works everywhere."""
        talk = self._talk
        talk = self._talk
        match order:
            case "help":
                talk.help()
            case "repeat":
                talk.repeat()
            case "restart":
                talk.say(talk.reader.manners.restarted)
                talk.memory.filled.clear()
                talk.asked.clear()
                self._enter(talk.home or talk.plan.start)
            case "operator":
                talk.operator()
            case "wait":
                talk.patience = PATIENCE
                talk.say(talk.plan.sentences.waiting)
            case "hello":
                talk.ask()
            case _:
                talk.hang_up()

    def _silent(self) -> None:
        if isinstance(self._talk.state, Tool):
            self._talk.ask()
        elif self._talk.patience:
            self._talk.patience -= 1
            self._talk.say(self._talk.plan.sentences.still_here)
        else:
            self._talk.miss(silent=True)

    def _message(self, state: Message, text: str) -> None:
        args = {**self._filled(state.action.args), "text": text.strip() or "(see the recording)"}
        call_id = self._talk.call(state.action.tool, args)
        self._talk.state = Tool(call_id, state.action.tool, state.rest)

    # --- intents -------------------------------------------------------------------------------------------------

    def _intended(self, words: Words) -> bool:
        """Acts on an intent of this node, or asks back; False when none was meant."""
        talk, node, said = self._talk, self._talk.node, hypotheses(words)
        guess = classifier(talk.reader, talk.node_name).guess(said, talk.memory.today) if node.intents else None
        if guess is None:
            return False
        if guess.clear:
            self._intent(guess.intent, said)
        elif node.intents[guess.intent].title:
            talk.state = CheckIntent(guess.intent, tuple(said[0]))
            talk.ask()
        else:
            return False
        return True

    def _intent(self, name: str, said: Sequence[Sequence[str]]) -> None:
        """Takes the slots that came along, then does what the intent says."""
        talk = self._talk
        talk.misses = 0
        for words in said:
            found = classifier(talk.reader, talk.node_name).values(name, words, talk.memory.today)
            for reading in found.readings:
                if reading.value:
                    talk.memory.put(reading.slot, reading.value, 1.0)
            if found.readings:
                break
        self._run(talk.node.intents[name].do)

    def _intent_checked(self, state: CheckIntent, words: Words) -> None:
        talk, said = self._talk, normalise(words.text)
        answer = talk.reader.agreement(said)
        if answer == "yes":
            self._intent(state.intent, [state.words])
        elif answer == "no" and len(said) <= 3:
            talk.state = Menu()
            talk.miss()
        else:
            self._then(Outcome.MISSED, words)

    # --- keys ----------------------------------------------------------------------------------------------------

    def _pressed(self, pressed: str) -> None:
        talk = self._talk
        digits = pressed.rstrip("#")
        if isinstance(talk.state, Message):
            self._message(talk.state, "")
        elif isinstance(talk.state, Tool):
            talk.ask()
        elif digits == "*":
            talk.repeat()
        elif digits and self._key(digits):
            pass
        elif digits == "0" and talk.plan.operator:
            talk.operator()
        else:
            talk.say(talk.reader.manners.bad_key)
            talk.miss()

    def _key(self, digits: str) -> bool:
        """Whether these keys mean something here."""
        talk = self._talk
        match talk.state:
            case Check() | CheckIntent() | Readback() if digits in ("1", "2"):
                self._answer(Words(talk.reader.manners.answers[int(digits) - 1], True))
                return True
            case Form() as state if (outcome := forms.keyed(talk, state, digits)) is not Outcome.MISSED:
                self._then(outcome)
                return True
            case Menu() | Form() if digits in talk.node.dtmf:
                target = talk.node.dtmf[digits]
                talk.misses = 0
                if target in talk.node.intents:
                    self._run(talk.node.intents[target].do)
                else:
                    self._enter(target)
                return True
            case _:
                return False
