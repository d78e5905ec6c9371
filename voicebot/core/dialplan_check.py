"""What a schema cannot see: names that lead nowhere, nodes nobody reaches, circles in which nobody listens.

Each check yields `Fault(path, message, hint)`; `core.dialplan` turns paths into lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import assert_never
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from voicebot.core import hours, kinds, say
from voicebot.core.grammar import GrammarError, TypeUse, Word
from voicebot.core.grammar import parse as parse_phrase
from voicebot.core.phrases import leaves, may_be_empty
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

Path = tuple[str | int, ...]
SPECIAL = ("caller", "persona", "hours", "opens", "today", "greeting")
"""Slots every text may use: they need no asking."""
MAX_SAY = 600
"""Characters of one text: half a minute of speech."""
MAX_CHOICES = 500
_PATTERN = re.compile(r"(\+?[0-9]{2,15}\*?|[A-Za-z0-9._-]+\*?|\*)$")
_DESTINATION = re.compile(r"(\+[1-9][0-9]{6,14}|sips?:[A-Za-z0-9._+-]+@[A-Za-z0-9.:-]+)$")
_CONDITION = re.compile(r"(open|closed|(?P<slot>[a-z][a-z0-9_]*)(\s*=\s*(?P<value>.+))?)$")


@dataclass(frozen=True, slots=True)
class Fault:
    path: Path
    message: str
    hint: str


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint: the nearest known word, else all of them."""
    words = sorted(known)
    near = get_close_matches(word, words, 1, 0.6)
    if near:
        return f"Did you mean {near[0]!r}?"
    return f"There is: {', '.join(words[:12])}." if words else "There is none yet: add it first."


def check(plan: Dialplan) -> Iterator[Fault]:
    """Every fault of a dialplan that has the right shape."""
    yield from _general(plan)
    yield from _types(plan)
    collected = {name for node in plan.nodes.values() for name in node.collect}
    known = {*collected, *plan.types, *kinds.BUILT_IN, *kinds.PARTS}
    slots = collected | (_intent_slots(plan) & known)
    for name, node in plan.nodes.items():
        yield from _node(plan, ("nodes", name), node, slots, known)
    yield from _agreeing(plan)
    yield from _reach(plan)


def _agreeing(plan: Dialplan) -> Iterator[Fault]:
    """A slot is one thing in the whole call: the same type in every form that collects it."""
    types: dict[str, str] = {}
    for node_name, node in plan.nodes.items():
        for name, spec in node.collect.items():
            kind = spec.type or name
            if types.setdefault(name, kind) != kind:
                message = f"The slot {name!r} is of type {types[name]!r} in another node."
                yield Fault(("nodes", node_name, "collect", name), message, "Use one type, or another name.")


def _intent_slots(plan: Dialplan) -> set[str]:
    """Types that intents' examples mention fill slots of their own name."""
    found: set[str] = set()
    for node in plan.nodes.values():
        for intent in node.intents.values():
            for phrase in intent.examples:
                try:
                    found |= {leaf.name for leaf in leaves(parse_phrase(phrase)) if isinstance(leaf, TypeUse)}
                except GrammarError:
                    continue
    return found


# --- general -----------------------------------------------------------------------------------------------------


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def _general(plan: Dialplan) -> Iterator[Fault]:
    if not _is_zone(plan.timezone):
        hint = did_you_mean(plan.timezone, available_timezones()) if len(plan.timezone) > 3 else ""
        yield Fault(("timezone",), f"There is no time zone {plan.timezone!r}.", hint or "Write it like Europe/London.")
    for path, spans in ((("hours",), plan.hours), (("takes", "hours"), plan.takes.hours)):
        for place, text in enumerate(spans):
            try:
                hours.parse(text)
            except ValueError as error:
                message, _, hint = str(error).partition(". ")
                yield Fault((*path, place), f"{message}.", hint)
    for key in ("numbers", "callers"):
        for place, pattern in enumerate(getattr(plan.takes, key)):
            if not _PATTERN.match(pattern):
                hint = "Write a number like +15551234567, a SIP user, or the beginning of one and '*'."
                yield Fault(("takes", key, place), f"{pattern!r} is no number and no SIP user.", hint)
    for name, transfer in plan.transfers.items():
        if not _DESTINATION.match(transfer.to):
            hint = "Write it like +15551234567 or sip:desk@example.org."
            yield Fault(("transfers", name, "to"), f"{transfer.to!r} cannot be called.", hint)
        yield from _texts(plan, ("transfers", name, "say"), transfer.say, set())
    if plan.operator and plan.operator not in plan.transfers:
        yield Fault(
            ("operator",), f"There is no transfer {plan.operator!r}.", did_you_mean(plan.operator, plan.transfers)
        )
    for term, entry in plan.lexicon.items():
        if not entry.said and not entry.heard:
            yield Fault(("lexicon", term), f"{term!r} says nothing.", "Give `said` (for the voice) or `heard`.")
        for place, phrase in enumerate(entry.heard):
            yield from _phrase(("lexicon", term, "heard", place), phrase, {})
    for name in ("one_moment", "sorry", "goodbye", "busy"):
        if not getattr(plan.sentences, name).strip():
            yield Fault(("sentences", name), "This sentence is empty.", "Write what the bot should say.")


def _types(plan: Dialplan) -> Iterator[Fault]:
    known = (*plan.types, *kinds.BUILT_IN, *kinds.PARTS)
    for name, choices in plan.types.items():
        path: Path = ("types", name)
        if name in kinds.BUILT_IN or name in kinds.PARTS:
            yield Fault(path, f"{name!r} is a built-in type.", "Give yours another name.")
        if not choices:
            yield Fault(path, f"The type {name!r} has no values.", "List what a caller may say.")
        if len(choices) > MAX_CHOICES:
            yield Fault(path, f"More than {MAX_CHOICES} values.", "A recogniser cannot tell so many apart: split it.")
        if isinstance(choices, Mapping):
            for value, phrases in choices.items():
                if not phrases:
                    yield from _phrase((*path, value), value.lower(), known)
                for place, phrase in enumerate(phrases):
                    yield from _phrase((*path, value, place), phrase, known)
        else:
            for place, phrase in enumerate(choices):
                yield from _phrase((*path, place), phrase, known)
        if name in (seen := _reached(plan, name)):
            yield Fault(path, f"The type {name!r} contains itself ({' → '.join(seen)}).", "Break the circle.")


def _mentions(plan: Dialplan, name: str) -> set[str]:
    choices = plan.types.get(name, ())
    phrases = [p for v in choices.values() for p in v] if isinstance(choices, Mapping) else choices
    found: set[str] = set()
    for phrase in phrases:
        try:
            found |= {leaf.name for leaf in leaves(parse_phrase(phrase)) if isinstance(leaf, TypeUse)}
        except GrammarError:
            continue
    return found


def _reached(plan: Dialplan, name: str) -> list[str]:
    found: list[str] = []
    waiting = sorted(_mentions(plan, name))
    while waiting:
        each = waiting.pop(0)
        if each not in found:
            found.append(each)
            waiting += sorted(_mentions(plan, each))
    return found


def _phrase(path: Path, text: str, known: Iterable[str]) -> Iterator[Fault]:
    try:
        node = parse_phrase(text)
    except GrammarError as error:
        yield Fault(path, str(error), "Use words, [optional], (this | that) and {type}.")
        return
    if may_be_empty(node):
        yield Fault(path, f"All of {text!r} is optional.", "Leave at least one word outside [ ].")
    for leaf in leaves(node):
        match leaf:
            case TypeUse(name) if name not in known:
                yield Fault(path, f"There is no type {{{name}}}.", did_you_mean(name, known))
            case Word(word) if re.search(r"\d", word):
                yield Fault(path, f"{word!r} has digits.", "Write it as it is said, in words.")
            case _:
                pass


def _texts(plan: Dialplan, path: Path, texts: Iterable[str], slots: set[str]) -> Iterator[Fault]:
    for place, text in enumerate(texts):
        where = (*path, place)
        if not text.strip():
            yield Fault(where, "This text is empty.", "Write what the bot should say, or remove it.")
        if len(text) > MAX_SAY:
            yield Fault(where, f"{len(text)} characters are more than anybody listens to.", f"At most {MAX_SAY}.")
        try:
            unknown = say.slots_of(text) - slots - set(SPECIAL)
        except say.TemplateError as error:
            message, _, hint = str(error).partition(". ")
            yield Fault(where, f"{message}.", hint)
            continue
        for name in sorted(unknown):
            if any(name.startswith(f"{tool}_") for tool in plan.tools):
                continue  # what a tool answered
            yield Fault(where, f"There is no slot {{{name}}}.", did_you_mean(name, slots | set(SPECIAL)))


# --- nodes -------------------------------------------------------------------------------------------------------


def _node(plan: Dialplan, path: Path, node: Node, slots: set[str], known: set[str]) -> Iterator[Fault]:
    yield from _texts(plan, (*path, "say"), node.say, slots)
    yield from _texts(plan, (*path, "reprompts"), node.reprompts, slots)
    yield from _texts(plan, (*path, "help"), filter(None, [node.help]), slots)
    yield from _texts(plan, (*path, "readback"), filter(None, [node.readback]), slots)
    for place, phrase in enumerate(node.examples):
        yield from _phrase((*path, "examples", place), phrase, known)
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
            yield from _phrase((*where, "examples", place), phrase, known)
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
    if name in SPECIAL:
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
        yield from _texts(plan, (*path, key), value, slots)
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
            yield from _texts(plan, (*path, "say"), texts, slots)
        case Goto(goto=target):
            yield from _target(plan, (*path, "goto"), target)
        case UseTool(tool=name, args=args, failed=failed):
            yield from _tool(plan, path, name, args, slots)
            if failed:
                yield from _target(plan, (*path, "failed"), failed)
        case PutThrough(transfer=name):
            yield from _transfer(plan, (*path, "transfer"), name)
        case HangUp(hang_up=texts):
            yield from _texts(plan, (*path, "hang_up"), filter(None, texts), slots)
        case TakeMessage(take_message=texts, tool=name, args=args):
            yield from _texts(plan, (*path, "take_message"), texts, slots)
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
        yield from _texts(plan, (*path, "args", arg), (text,), slots)
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
    elif match["slot"] and match["slot"] not in slots:
        yield Fault(
            path, f"There is no slot {match['slot']!r}.", did_you_mean(match["slot"], {*slots, "open", "closed"})
        )


# --- the graph ---------------------------------------------------------------------------------------------------


def targets(actions: tuple[Action, ...]) -> Iterator[str]:
    """Every node these actions may go to."""
    for action in actions:
        match action:
            case Goto(goto=name):
                yield name
            case UseTool(failed=name) if name:
                yield name
            case Decide(then=then, otherwise=otherwise):
                yield from targets(then)
                yield from targets(otherwise)
            case _:
                pass


def edges(node: Node) -> Iterator[tuple[str, str]]:
    """(why, node): every way out of a node."""
    for name, intent in node.intents.items():
        for target in targets(intent.do):
            yield name, target
    for key, target in node.dtmf.items():
        if target not in node.intents:
            yield key, target
    for target in targets(node.do):
        yield "", target


def _reach(plan: Dialplan) -> Iterator[Fault]:
    if plan.start not in plan.nodes:
        yield Fault(("start",), f"There is no node {plan.start!r}.", did_you_mean(plan.start, plan.nodes))
        return
    seen, waiting = {plan.start}, [plan.start]
    while waiting:
        for _, target in edges(plan.nodes[waiting.pop()]):
            if target in plan.nodes and target not in seen:
                seen.add(target)
                waiting.append(target)
    for name in plan.nodes:
        if name not in seen:
            yield Fault(("nodes", name), f"Nothing leads to the node {name!r}.", "Add a `goto`, or remove it.")
    yield from _circles(plan)


def _circles(plan: Dialplan) -> Iterator[Fault]:
    """Circles of nodes that speak and never listen. Depth first, without recursion: 10,000 nodes are fine."""
    silent = {n: node for n, node in plan.nodes.items() if not (node.collect or node.intents or node.dtmf)}
    after = {name: [t for t in targets(_until_input(node.do)) if t in silent] for name, node in silent.items()}
    done: set[str] = set()
    for start in silent:
        trail: list[str] = []
        stack: list[tuple[str, int]] = [(start, 0)] if start not in done else []
        while stack:
            name, place = stack.pop()
            if place == 0:
                trail.append(name)
            if place < len(after[name]):
                stack.append((name, place + 1))
                target = after[name][place]
                if target in trail:
                    circle = " → ".join([*trail[trail.index(target) :], target])
                    yield Fault(
                        ("nodes", name), f"A circle in which nobody listens: {circle}.", "Let one of them listen."
                    )
                    return
                if target not in done:
                    stack.append((target, 0))
            else:
                done.add(trail.pop())


def _until_input(actions: tuple[Action, ...]) -> tuple[Action, ...]:
    """The actions up to one at which the caller speaks."""
    for place, action in enumerate(actions):
        if isinstance(action, TakeMessage):
            return actions[:place]
    return actions
