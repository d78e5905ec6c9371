"""Personal data in what was said: found by what it looks like, and by what the call's tools were given.

Masked is too much rather than too little: numbers of three digits and more, spelled or spoken; spelled words; what
follows "my name is"; addresses of e-mail; the words that the dialplan's slots of a personal type were filled with, and
the words that somebody names.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from voicebot.core.dialplan import Dialplan
from voicebot.core.grammar import normalise
from voicebot.core.spoken_numbers import ALPHABET, DIGITS, TEENS, TENS, TIMES
from voicebot.core.timeline import Record

MASK = "•••"
RUN = 3
"""So many spoken digits or letters in a row are a number or a spelled word."""
PERSONAL = frozenset({"name", "phone", "letters", "digits"})
"""Types of slots whose values are personal. A `date` is when it lies in the past: a birthday."""
_NUMBER = re.compile(r"\d(?:[\s().+/-]*\d){2,}")
_EMAIL = re.compile(r"\S+@\S+|\b\w+(?: dot \w+)? at \w+ dot \w+\b", re.I)
_NAMED = re.compile(r"(\b(?:name is|name's|names|call me|speaking with)\s+)((?:[\w'’-]+\s*){1,3})", re.I)
_WORD = re.compile(r"[\w'’-]+")
_PIECES = frozenset({*DIGITS, *TEENS, *TENS, *TIMES, *ALPHABET, "hundred", "dash", "hyphen"})


def personal_words(records: Iterable[Record], plan: Dialplan | None) -> frozenset[str]:
    """Words of the values that tools were given for slots of a personal type."""
    slots = personal_slots(plan)
    words: set[str] = set()
    for record in records:
        if record.kind == "tool":
            args: Mapping[str, Any] = record.fields.get("args") or {}
            for name, value in args.items():
                if name in slots:
                    words.update(word for word in normalise(str(value)) if len(word) > 1)
    return frozenset(words)


def personal_slots(plan: Dialplan | None) -> frozenset[str]:
    """Names of the dialplan's slots that hold something personal."""
    if plan is None:
        return PERSONAL
    every = ((name, spec) for node in plan.nodes.values() for name, spec in node.collect.items())
    return frozenset(
        name for name, spec in every if spec.secret or spec.past or (spec.type or name) in PERSONAL
    )  # fmt: skip


def masked(text: str, words: Collection[str] = ()) -> str:
    """`text` with a mask for each stretch that is personal. `words` are in small letters."""
    hidden = _NUMBER.sub(MASK, _EMAIL.sub(MASK, text))
    hidden = _NAMED.sub(lambda found: f"{found[1]}{MASK} ", hidden)
    hidden = _joined(_runs_masked(hidden, words))
    return hidden.strip() if MASK in hidden else text


def _runs_masked(text: str, words: Collection[str]) -> str:
    """Single words, and runs of digits and letters."""
    found = list(_WORD.finditer(text))
    hide = [match[0].lower().strip("'’-") in words for match in found]
    start = 0
    for at in range(len(found) + 1):
        if at < len(found) and _is_piece(found[at][0]):
            continue
        if at - start >= RUN:
            hide[start:at] = [True] * (at - start)
        start = at + 1
    made, last = [], 0
    for match, gone in zip(found, hide, strict=True):
        made += [text[last : match.start()], MASK if gone else match[0]]
        last = match.end()
    return "".join([*made, text[last:]])


def _is_piece(word: str) -> bool:
    word = word.lower()
    return word in _PIECES or len(word) == 1 or word.isdigit()


def _joined(text: str) -> str:
    """One mask for several in a row."""
    return re.sub(rf"{MASK}(?:[\s,.;-]+{MASK})+", MASK, text)


def masked_fields(fields: Mapping[str, Any], words: Collection[str], slots: Collection[str]) -> dict[str, Any]:
    """A record's fields: texts as `masked` has them, values of personal slots wholly, runs of keys wholly."""
    return {name: _value(name, value, words, slots) for name, value in fields.items()}


def _value(name: str, value: Any, words: Collection[str], slots: Collection[str]) -> Any:
    match value:
        case str() if name in slots:
            return MASK if value else value
        case str():
            return masked(value, words)
        case Mapping():
            return masked_fields(value, words, slots)
        case list() | tuple():
            return [_value(name, each, words, slots) for each in value]
        case _:
            return value


def same_but_masked(then: Sequence[str], today: Sequence[str]) -> bool:
    """Whether two texts, as words, are the same where the first one is not masked."""
    pattern = r"(?:\S+ )*?".join(re.escape("".join(f"{word} " for word in part)) for part in _parts(then))
    return re.fullmatch(pattern, "".join(f"{word} " for word in today)) is not None


def _parts(words: Sequence[str]) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    for word in words:
        if MASK in word:
            parts.append([])
        else:
            parts[-1].append(word)
    return parts
