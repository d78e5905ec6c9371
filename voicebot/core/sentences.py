"""The sentences a dialplan says word for word: synthesised before the first call."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

from voicebot.core import manners, say
from voicebot.core.plan import Action, Decide, Dialplan, HangUp, PutThrough, Say, Slot, TakeMessage
from voicebot.core.say import opening_hours
from voicebot.core.slots import with_type

GREETINGS = ("Good morning", "Good afternoon", "Good evening")


def constants(plan: Dialplan) -> dict[str, str]:
    """Values that are the same on every call."""
    return {"persona": plan.persona.name, "hours": opening_hours(plan.hours)}


def fixed_sentences(plan: Dialplan) -> tuple[str, ...]:
    """Everything said that has no slot in it, as the flow says it, each once."""
    known = constants(plan)
    found: dict[str, None] = {}
    for text in _texts(plan):
        slots = say.slots_of(text)
        if slots <= {*known, "greeting"}:
            for greeting in GREETINGS if "greeting" in slots else ("",):
                found[say.render(text, {**known, "greeting": greeting})] = None
    return tuple(text for text in found if text)


def _texts(plan: Dialplan) -> Iterator[str]:
    s = plan.sentences
    yield from (
        s.one_moment,
        s.waiting,
        s.still_here,
        s.welcome_back,
        s.sorry,
        s.trouble,
        *((s.putting_through,) if plan.operator else ()),
        *s.still_there,
        s.goodbye,
        s.busy,
        *((s.still_trying, s.unreached) if plan.transfers else ()),
    )
    for transfer in plan.transfers.values():
        yield from transfer.unreached
        if transfer.kind == "warm":
            yield from (transfer.briefing[0], s.take_call)
    for node in plan.nodes.values():
        yield from (*node.say, *node.reprompts, node.help, node.readback)
        for name, spec in node.collect.items():
            yield from (*spec.ask, *spec.reprompts)
            yield hint(plan, name, spec)
        for actions in (node.do, *(intent.do for intent in node.intents.values())):
            yield from _said(plan, actions)
    if plan.operator:
        yield from plan.transfers[plan.operator].say
    yield from _manners(plan)


def _said(plan: Dialplan, actions: tuple[Action, ...]) -> Iterator[str]:
    for action in actions:
        match action:
            case Say(say=texts) | HangUp(hang_up=texts) | TakeMessage(take_message=texts):
                yield from texts
            case PutThrough(transfer=name) if name in plan.transfers:
                yield from plan.transfers[name].say
            case PutThrough():
                for transfer in plan.transfers.values():
                    yield from transfer.say
            case Decide(then=then, otherwise=otherwise):
                yield from _said(plan, then)
                yield from _said(plan, otherwise)
            case _:
                pass


def hint(plan: Dialplan, name: str, spec: Slot) -> str:
    """How a slot is explained: its help, then the keys."""
    keys = _keys_hint(manners.of(plan.language), with_type(name, spec))
    return " ".join(filter(None, (spec.help, keys)))


def _keys_hint(own: manners.Manners, spec: Slot) -> str:
    """How to use the keys for a slot; empty where they are of no use or its own help is enough."""
    if spec.dtmf:
        return filled(own.explain_keys, keys=", ".join(f"{key} for {value}" for key, value in spec.dtmf.items()))
    return own.explain_digits if spec.type in ("digits", "phone", "number") and not spec.help else ""


def filled(text: str, **values: str) -> str:
    """A built-in sentence with its own values, which are no slots of the dialplan."""
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", value.translate(_LITERAL))
    return text


_LITERAL = str.maketrans({"[": "(", "]": ")", "{": "(", "}": ")"})
"""What a caller said is never read as a template."""


_SAID = (
    "not_caught explain_yes_no explain_digits general_help giving_up anything_wrong changed continue_entry "
    "restarted message_taken tool_failed bad_key ask_year spell_it key_it_in"
).split()


def _manners(plan: Dialplan) -> Iterator[str]:
    own = manners.of(plan.language)
    operator = ("offer_operator",) if plan.operator else ("no_operator",)
    for field in fields(own):
        if field.name in (*_SAID, *operator):
            value = getattr(own, field.name)
            yield from (value,) if isinstance(value, str) else value
