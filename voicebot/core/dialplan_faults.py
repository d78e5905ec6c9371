"""A fault of a dialplan, and the checks that many parts share: phrases that are heard, texts that are said."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches

from voicebot.core import say
from voicebot.core.call_headers import is_slot
from voicebot.core.grammar import GrammarError, TypeUse, Word
from voicebot.core.grammar import parse as parse_phrase
from voicebot.core.phrases import leaves, may_be_empty
from voicebot.core.plan import Dialplan

Path = tuple[str | int, ...]
SPECIAL = ("caller", "persona", "hours", "opens", "today", "greeting")
"""Slots every text may use: they need no asking."""
MAX_SAY = 600
"""Characters of one text: half a minute of speech."""


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


def slot_hint(name: str, known: Iterable[str]) -> str:
    """… for a slot that there is not."""
    if name.lower().startswith("header_"):
        return "The header X-Customer-Id is written {header_x_customer_id}."
    return did_you_mean(name, known)


def check_phrase(path: Path, text: str, known: Iterable[str]) -> Iterator[Fault]:
    """What is wrong with an example phrase; `known` are the types it may name."""
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


def check_texts(plan: Dialplan, path: Path, said: Iterable[str], slots: set[str]) -> Iterator[Fault]:
    """What is wrong with texts the bot says; `slots` are those they may name."""
    for place, text in enumerate(said):
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
            if is_slot(name) or any(name.startswith(f"{tool}_") for tool in plan.tools):
                continue  # what came with the call, what a tool answered
            yield Fault(where, f"There is no slot {{{name}}}.", slot_hint(name, slots | set(SPECIAL)))
