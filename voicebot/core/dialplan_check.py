"""What a schema cannot see: names that lead nowhere, nodes nobody reaches, circles in which nobody listens.

Each check yields `Fault(path, message, hint)`; `core.dialplan` turns paths into lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from voicebot.core import hours, kinds
from voicebot.core.call_headers import cleaned, is_slot, name_of
from voicebot.core.dialplan_faults import Fault, Path, check_phrase, check_texts, did_you_mean
from voicebot.core.dialplan_graph import reach
from voicebot.core.dialplan_nodes import check_node
from voicebot.core.grammar import GrammarError, TypeUse
from voicebot.core.grammar import parse as parse_phrase
from voicebot.core.interpreting import check_interpreting
from voicebot.core.phrases import leaves
from voicebot.core.plan import Dialplan
from voicebot.core.responders import check_responders

MAX_CHOICES = 500
_PATTERN = re.compile(r"(\+?[0-9]{2,15}\*?|[A-Za-z0-9._-]+\*?|\*)$")
_DESTINATION = re.compile(r"(\+[1-9][0-9]{6,14}|sips?:[A-Za-z0-9._+-]+@[A-Za-z0-9.:-]+)$")


def check(plan: Dialplan) -> Iterator[Fault]:
    """Every fault of a dialplan that has the right shape."""
    yield from _general(plan)
    yield from check_responders(plan.engines)
    yield from check_interpreting(plan)
    yield from _headers(plan)
    yield from _types(plan)
    collected = {name for node in plan.nodes.values() for name in node.collect}
    known = {*collected, *plan.types, *kinds.BUILT_IN, *kinds.PARTS}
    slots = collected | (_intent_slots(plan) & known)
    for name, node in plan.nodes.items():
        yield from check_node(plan, ("nodes", name), node, slots, known)
    yield from _transfers(plan, slots)
    yield from _agreeing(plan)
    yield from reach(plan)


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
    if plan.operator and plan.operator not in plan.transfers:
        yield Fault(
            ("operator",), f"There is no transfer {plan.operator!r}.", did_you_mean(plan.operator, plan.transfers)
        )
    for term, entry in plan.lexicon.items():
        if not entry.said and not entry.heard:
            yield Fault(("lexicon", term), f"{term!r} says nothing.", "Give `said` (for the voice) or `heard`.")
        for place, phrase in enumerate(entry.heard):
            yield from check_phrase(("lexicon", term, "heard", place), phrase, {})
    for name in ("one_moment", "sorry", "goodbye", "busy"):
        if not getattr(plan.sentences, name).strip():
            yield Fault(("sentences", name), "This sentence is empty.", "Write what the bot should say.")


def _headers(plan: Dialplan) -> Iterator[Fault]:
    """Headers that choose the dialplan; and tools whose answers would be named like one."""
    seen: dict[str, str] = {}
    for written, patterns in plan.takes.headers.items():
        path: Path = ("takes", "headers", written)
        name = name_of(written)
        if not name:
            yield Fault(path, f"{written!r} is no header that a call brings.", "Write it like X-Queue: sales.")
        elif seen.setdefault(name, written) != written:
            yield Fault(path, f"{written!r} is the same as {seen[name]!r}.", "List the values under one of them.")
        if not patterns:
            yield Fault(path, f"{written!r} has no values.", "Write those it may have; '*' for any.")
        for place, pattern in enumerate(patterns):
            if not pattern or pattern != cleaned(pattern) or "*" in pattern[:-1]:
                hint = "Write a value like sales, the beginning of one and '*', or '*' for any."
                yield Fault((*path, place), f"No header can be {pattern!r}.", hint)
    for tool in plan.tools:
        if tool in ("header", "header_x") or is_slot(tool):
            message = f"What {tool!r} answers is named like a header of the call."
            yield Fault(("tools", tool), message, "Give the tool another name.")


def _transfers(plan: Dialplan, slots: set[str]) -> Iterator[Fault]:
    for name, transfer in plan.transfers.items():
        path: Path = ("transfers", name)
        if not _DESTINATION.match(transfer.to):
            hint = "Write it like +15551234567 or sip:desk@example.org."
            yield Fault((*path, "to"), f"{transfer.to!r} cannot be called.", hint)
        yield from check_texts(plan, (*path, "say"), transfer.say, set())
        yield from check_texts(plan, (*path, "unreached"), transfer.unreached, set())
        yield from check_texts(plan, (*path, "briefing"), transfer.briefing, slots)
        if not transfer.briefing:
            yield Fault((*path, "briefing"), "Nobody takes a call of which nothing is said.", "Write a sentence.")
        if transfer.on_failure and transfer.on_failure not in plan.nodes:
            hint = did_you_mean(transfer.on_failure, plan.nodes)
            yield Fault((*path, "on_failure"), f"There is no node {transfer.on_failure!r}.", hint)


def _types(plan: Dialplan) -> Iterator[Fault]:
    known = (*plan.types, *kinds.BUILT_IN, *kinds.PARTS)
    for name, choices in plan.types.items():
        path: Path = ("types", name)
        if name in kinds.BUILT_IN or name in kinds.PARTS:
            yield Fault(path, f"{name!r} is a built-in type.", "Give yours another name.")
        if is_slot(name):
            yield Fault(path, f"{name!r} is named like a header of the call.", "Give the type another name.")
        if not choices:
            yield Fault(path, f"The type {name!r} has no values.", "List what a caller may say.")
        if len(choices) > MAX_CHOICES:
            yield Fault(path, f"More than {MAX_CHOICES} values.", "A recogniser cannot tell so many apart: split it.")
        if isinstance(choices, Mapping):
            for value, phrases in choices.items():
                if not phrases:
                    yield from check_phrase((*path, value), value.lower(), known)
                for place, phrase in enumerate(phrases):
                    yield from check_phrase((*path, value, place), phrase, known)
        else:
            for place, phrase in enumerate(choices):
                yield from check_phrase((*path, place), phrase, known)
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
