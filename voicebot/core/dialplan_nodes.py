"""Checks of nodes, their intents and slots, and every action: names that are none, things that are never done."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import assert_never

from voicebot.core import kinds
from voicebot.core.call_headers import is_slot
from voicebot.core.dialplan_faults import SPECIAL, Fault, Path, check_phrase, check_texts, did_you_mean, slot_hint
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

_CONDITION = re.compile(r"(open|closed|(?P<slot>[a-z][a-z0-9_]*)(\s*=\s*(?P<value>.+))?)$")


def check_node(plan: Dialplan, path: Path, node: Node, slots: set[str], known: set[str]) -> Iterator[Fault]:
    """`slots` are those of the whole dialplan, `known` the types that phrases may name."""
    yield from check_texts(plan, (*path, "say"), node.say, slots)
    yield from check_texts(plan, (*path, "reprompts"), node.reprompts, slots)
    yield from check_texts(plan, (*path, "help"), filter(None, [node.help]), slots)
    yield from check_texts(plan, (*path, "readback"), filter(None, [node.readback]), slots)
    for place, phrase in enumerate(node.examples):
        yield from check_phrase((*path, "examples", place), phrase, known)
    for name, spec in node.collect.items():
        yield from _slot(plan, (*path, "collect", name), name, spec, slots)
    yield from _intents(plan, path, node, slots, known)
    for key, target in node.dtmf.items():
        if not re.fullmatch(r"[0-9*#]", key):
            yield Fault((*path, "dtmf", key), f"{key!r} is no key.", "Use one of 0 to 9.")
        if target not in node.intents and target not in plan.nodes:
            hint = did_you_mean(target, {*node.intents, *plan.nodes})
            yield Fault((*path, "dtmf", key), f"There is no intent and no node {target!r}.", hint)
    if node.readback and not node.collect:
        yield Fault((*path, "readback"), "There is nothing to read back.", "Add `collect`, or say it with `say`.")
    if node.examples and not node.collect:
        yield Fault((*path, "examples"), "Examples without `collect`.", "Put them into an intent, or add `collect`.")
    if node.collect or not (node.intents or node.dtmf):
        if not node.do:
            hint = "Add `do` with a `goto`, `transfer` or `hang_up`."
            yield Fault(path, "This node leads nowhere.", hint)
        elif not _leaves(node.do):
            yield Fault(
                (*path, "do"), "This does not lead on to anything.", "End it with a `goto`, `transfer` or `hang_up`."
            )
    elif node.do:
        yield Fault((*path, "do"), "This is never done: the node waits for its intents.", "Move it into the intents.")
    yield from _actions(plan, (*path, "do"), node.do, slots)


def _intents(plan: Dialplan, path: Path, node: Node, slots: set[str], known: Iterable[str]) -> Iterator[Fault]:
    seen: dict[str, str] = {}
    for name, intent in node.intents.items():
        where: Path = (*path, "intents", name)
        if not intent.examples:
            yield Fault((*where, "examples"), "An intent without examples.", "Write how callers say it.")
        for place, phrase in enumerate(intent.examples):
            yield from check_phrase((*where, "examples", place), phrase, known)
            other = seen.setdefault(" ".join(phrase.lower().split()), name)
            if other != name:
                hint = "Keep it with one of them."
                yield Fault((*where, "examples", place), f"The intent {other!r} has the same phrase.", hint)
        yield from _actions(plan, (*where, "do"), intent.do, slots)


def _slot(plan: Dialplan, path: Path, name: str, spec: Slot, slots: set[str]) -> Iterator[Fault]:
    kind = spec.type or name
    known = {*plan.types, *kinds.BUILT_IN}
    if kind not in known:
        yield Fault((*path, "type"), f"There is no type {kind!r}.", did_you_mean(kind, known))
    if name in SPECIAL or is_slot(name):
        yield Fault(path, f"{name!r} is built in.", "Give the slot another name.")
    if kind != name and name in {*known, *kinds.PARTS}:
        yield Fault(path, f"The slot is named like the type {name!r} and has another.", "Rename the slot.")
    if spec.required and not spec.ask:
        yield Fault(path, "A required slot that is never asked for.", "Add `ask`.")
    if (spec.length or spec.min is not None or spec.max is not None) and kind not in ("digits", "phone", "number"):
        yield Fault(path, f"`length`, `min` and `max` mean nothing to {kind!r}.", "They are for digits, phone, number.")
    if spec.min is not None and spec.max is not None and spec.min > spec.max:
        yield Fault((*path, "min"), f"`min` {spec.min} is more than `max` {spec.max}.", "Swap them.")
    if spec.past and kind != "date":
        yield Fault((*path, "past"), f"`past` means nothing to {kind!r}.", "It is for dates.")
    for key, value in ("ask", spec.ask), ("reprompts", spec.reprompts), ("help", tuple(filter(None, [spec.help]))):
        yield from check_texts(plan, (*path, key), value, slots)
    choices = plan.types.get(kind)
    for key, chosen in spec.dtmf.items():
        if not re.fullmatch(r"[1-9]", key):
            yield Fault((*path, "dtmf", key), f"{key!r} is no key for a choice.", "Use 1 to 9.")
        if choices is None:
            yield Fault((*path, "dtmf", key), f"{kind!r} is keyed in as it is.", "Remove `dtmf`; it is for choices.")
        elif chosen not in choices:
            yield Fault((*path, "dtmf", key), f"{chosen!r} is no value of {kind!r}.", did_you_mean(chosen, choices))


# --- actions -----------------------------------------------------------------------------------------------------


def _leaves(actions: tuple[Action, ...]) -> bool:
    """Whether the last action surely leaves the node."""
    match actions[-1] if actions else None:
        case Goto() | PutThrough() | HangUp():
            return True
        case Decide(then=then, otherwise=otherwise):
            return _leaves(then) and _leaves(otherwise)
        case _:
            return False


def _actions(plan: Dialplan, path: Path, actions: tuple[Action, ...], slots: set[str]) -> Iterator[Fault]:
    for place, action in enumerate(actions):
        where = (*path, place)
        yield from _action(plan, where, action, slots)
        if place + 1 < len(actions) and _leaves((action,)):
            yield Fault(
                (*path, place + 1), "This is never done: the action before it leaves.", "Move it up, or remove it."
            )
            break


def _action(plan: Dialplan, path: Path, action: Action, slots: set[str]) -> Iterator[Fault]:
    match action:
        case Say(say=texts):
            yield from check_texts(plan, (*path, "say"), texts, slots)
        case Goto(goto=target):
            yield from _target(plan, (*path, "goto"), target)
        case UseTool(tool=name, args=args, failed=failed):
            yield from _tool(plan, path, name, args, slots)
            if failed:
                yield from _target(plan, (*path, "failed"), failed)
        case PutThrough(transfer=name):
            yield from _transfer(plan, (*path, "transfer"), name)
        case HangUp(hang_up=texts):
            yield from check_texts(plan, (*path, "hang_up"), filter(None, texts), slots)
        case TakeMessage(take_message=texts, tool=name, args=args):
            yield from check_texts(plan, (*path, "take_message"), texts, slots)
            yield from _tool(plan, path, name, {**args, "text": "message"}, slots)
        case Forget(forget=names):
            for name in names:
                if name not in {*slots, "all"}:
                    yield Fault((*path, "forget"), f"There is no slot {name!r}.", did_you_mean(name, {*slots, "all"}))
        case Decide(when=when, then=then, otherwise=otherwise):
            yield from _condition(plan, (*path, "if"), when, slots)
            yield from _actions(plan, (*path, "then"), then, slots)
            yield from _actions(plan, (*path, "else"), otherwise, slots)
        case _:
            assert_never(action)


def _target(plan: Dialplan, path: Path, name: str) -> Iterator[Fault]:
    if name not in plan.nodes:
        yield Fault(path, f"There is no node {name!r}.", did_you_mean(name, plan.nodes))


def _tool(plan: Dialplan, path: Path, name: str, args: Mapping[str, str], slots: set[str]) -> Iterator[Fault]:
    tool = plan.tools.get(name)
    if tool is None:
        yield Fault((*path, "tool"), f"There is no tool {name!r}.", did_you_mean(name, plan.tools))
        return
    for arg, text in args.items():
        if tool.args and arg not in tool.args:
            yield Fault((*path, "args", arg), f"The tool {name!r} takes no {arg!r}.", did_you_mean(arg, tool.args))
        yield from check_texts(plan, (*path, "args", arg), (text,), slots)
        enum = tool.args[arg].enum if arg in tool.args else ()
        if enum and "{" not in text and text not in enum:
            yield Fault((*path, "args", arg), f"{arg!r} cannot be {text!r}.", did_you_mean(text, enum))
    for arg, spec in tool.args.items():
        if spec.required and arg not in args:
            yield Fault((*path, "args"), f"The tool {name!r} needs {arg!r}.", f"Add `{arg}: …`.")


def _transfer(plan: Dialplan, path: Path, name: str) -> Iterator[Fault]:
    """By name, or by a slot whose every value is one."""
    slot = re.fullmatch(r"\{([a-z0-9_]+)\}", name)
    if slot is None:
        if name not in plan.transfers:
            yield Fault(path, f"There is no transfer {name!r}.", did_you_mean(name, plan.transfers))
        return
    specs = [node.collect[slot[1]] for node in plan.nodes.values() if slot[1] in node.collect]
    kind = (specs[0].type if specs else "") or slot[1]
    choices = plan.types.get(kind)
    if not isinstance(choices, Mapping):
        hint = "Use a slot whose type maps the name of a transfer to what callers say."
        yield Fault(path, f"{name} is no choice of transfers.", hint)
        return
    for value in choices:
        if value not in plan.transfers:
            hint = did_you_mean(value, plan.transfers)
            yield Fault(path, f"{name} may be {value!r}, which is no transfer.", hint)


def _condition(plan: Dialplan, path: Path, text: str, slots: set[str]) -> Iterator[Fault]:
    match = _CONDITION.match(text.strip())
    if match is None:
        yield Fault(path, f"{text!r} is no condition.", "Write open, closed, a slot, or slot = value.")
    elif text in ("open", "closed") and not plan.hours:
        yield Fault(path, f"{text!r} needs to know the hours.", "Add `hours` at the top.")
    elif match["slot"] and match["slot"] not in slots and not is_slot(match["slot"]):
        yield Fault(path, f"There is no slot {match['slot']!r}.", slot_hint(match["slot"], {*slots, "open", "closed"}))
