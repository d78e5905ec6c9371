"""What the bot says: templates with slots, and values in their spoken form.

    A {size} {drink}[, with {milk}]. Is that right?

A bracket is left out when a slot in it is empty; `[with {milk} and {sugar} | with {milk}]` takes the first
alternative whose slots are all filled. Spoken forms are English; digits come in the groups people use.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, time
from functools import lru_cache

from voicebot.core.hours import DAY_NAMES, Span, parse

_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
).split()
_TENS = "  twenty thirty forty fifty sixty seventy eighty ninety".split(" ")
_ORDINALS = {
    "one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth", "nine": "ninth",
    "twelve": "twelfth",
}  # fmt: skip
_MONTHS = "January February March April May June July August September October November December".split()
_PIECE = re.compile(r"\{([^{}]*)\}|([\[\]|])|([^{}\[\]|]+)|([{}])")
_VOWEL_SOUND = re.compile(r"\b([Aa]) (?=(?!one\b|once\b|uni|use|eu)[aeiou]|hour|honest)", re.IGNORECASE)


class TemplateError(ValueError):
    """What is wrong with a text, in one sentence with what to do."""


# --- templates -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Plain:
    text: str


@dataclass(frozen=True, slots=True)
class Value:
    name: str


@dataclass(frozen=True, slots=True)
class Optional:
    """Alternatives, of which the first whose values are all there is said; none, nothing."""

    ways: tuple[tuple[Part, ...], ...]


Part = Plain | Value | Optional


@lru_cache(maxsize=4096)
def template(text: str) -> tuple[Part, ...]:
    """Read a text; `TemplateError` when its brackets or braces do not close."""
    stack: list[list[list[Part]]] = [[[]]]
    for name, mark, plain, brace in _PIECE.findall(text):
        if brace or (not name and not mark and not plain):
            raise TemplateError("A brace stands alone or empty. Write a slot as {name}.")
        if mark == "[":
            stack.append([[]])
        elif mark == "]" and len(stack) == 1:
            raise TemplateError("A ']' that nothing opened. Remove it, or add '['.")
        elif mark == "]":
            ways = stack.pop()
            stack[-1][-1].append(Optional(tuple(tuple(way) for way in ways)))
        elif mark == "|" and len(stack) > 1:
            stack[-1].append([])
        else:
            stack[-1][-1].append(Value(name.strip()) if name else Plain(plain or mark))
    if len(stack) > 1:
        raise TemplateError("A '[' is never closed. Add ']'.")
    return tuple(stack[0][0])


def slots_of(text: str) -> set[str]:
    """Every slot a text names."""
    return set(_names(template(text)))


def _names(parts: tuple[Part, ...]) -> Iterator[str]:
    for part in parts:
        if isinstance(part, Value):
            yield part.name
        elif isinstance(part, Optional):
            for way in part.ways:
                yield from _names(way)


def render(text: str, values: Mapping[str, str]) -> str:
    """The text with its slots filled in by spoken values; a slot outside brackets that is empty leaves no gap."""
    whole = "".join(_rendered(part, values) for part in template(text))
    whole = re.sub(r"\s+", " ", whole)
    whole = re.sub(r"\s+([,.;:!?])", r"\1", whole).strip(" ,;")
    whole = re.sub(r"(?<!\.)\.\.(?!\.)", ".", whole)  # "…at eight a.m.."
    return _VOWEL_SOUND.sub(lambda m: m[1] + "n ", whole)


def _rendered(part: Part, values: Mapping[str, str]) -> str:
    if isinstance(part, Plain):
        return part.text
    if isinstance(part, Value):
        return values.get(part.name, "")
    for way in part.ways:
        if all(values.get(name) for name in _names(way)):
            return "".join(_rendered(each, values) for each in way)
    return ""


# --- spoken forms ----------------------------------------------------------------------------------------------


def number(value: int) -> str:
    """`1205` → `one thousand two hundred and five`."""
    if value < 0:
        return f"minus {number(-value)}"
    if value < 20:
        return _ONES[value]
    if value < 100:
        return _TENS[value // 10] + (f" {_ONES[value % 10]}" if value % 10 else "")
    for size, name in ((1_000_000_000, "billion"), (1_000_000, "million"), (1000, "thousand"), (100, "hundred")):
        if value >= size:
            head, rest = divmod(value, size)
            joint = " and " if 0 < rest < 100 else " "
            return f"{number(head)} {name}" + (f"{joint}{number(rest)}" if rest else "")
    raise AssertionError(value)


def ordinal(value: int) -> str:
    """`23` → `twenty third`."""
    *front, last = number(value).split(" ")
    last = _ORDINALS.get(last) or (last[:-1] + "ieth" if last.endswith("y") else last + "th")
    return " ".join([*front, last])


def money(cents: int, unit: str = "dollar", part: str = "cent") -> str:
    """`1250` → `twelve dollars fifty`; whole amounts without cents, small ones in cents."""
    whole, rest = divmod(cents, 100)
    units = f"{number(whole)} {unit}{'' if whole == 1 else 's'}"
    if not rest:
        return units
    return f"{units} {number(rest)}" if whole else f"{number(rest)} {part}{'' if rest == 1 else 's'}"


def digits(text: str) -> str:
    """`5551234` → `five five five, one two three four`: groups as a telephone number is read."""
    figures = [_ONES[int(c)] for c in text if c.isdigit()]
    grouped: list[str] = []
    for size in _groups(len(figures)):
        grouped.append(" ".join(figures[:size]))
        figures = figures[size:]
    return ", ".join(grouped)


def _groups(count: int) -> list[int]:
    known = {5: [5], 6: [3, 3], 7: [3, 4], 8: [4, 4], 9: [3, 3, 3], 10: [3, 3, 4], 11: [1, 3, 3, 4]}
    if count <= 4:
        return [count]
    if count in known:
        return known[count]
    rest = count % 3
    tail = {0: [3], 1: [4], 2: [3, 2]}[rest]
    return [3] * ((count - sum(tail)) // 3) + tail


def spelled(text: str) -> str:
    """`SMITH` → `S, M, I, T, H`."""
    return ", ".join(c.upper() if c.isalpha() else _ONES[int(c)] for c in text if c.isalpha() or c in "0123456789")


def year(value: int) -> str:
    """As it is said: nineteen eighty five, two thousand and one, twenty twelve."""
    if 2000 <= value < 2010 or value % 1000 == 0:
        return number(value)
    head, rest = divmod(value, 100)
    if rest == 0:
        return f"{number(head)} hundred"
    return f"{number(head)} {'oh ' if rest < 10 else ''}{number(rest)}"


def day(value: date, today: date, with_year: bool = False) -> str:
    """`Tuesday, March third`; `tomorrow, …` when it is; the year when asked for or far away."""
    ahead = (value - today).days
    near = {0: "today, ", 1: "tomorrow, "}.get(ahead, "")
    text = f"{_MONTHS[value.month - 1]} {ordinal(value.day)}"
    if with_year or not -30 < ahead < 330:
        return f"{text}, {year(value.year)}"
    return f"{near}{DAY_NAMES[value.weekday()]}, {text}"


def clock(value: time) -> str:
    """`three thirty p.m.`; `noon`."""
    if value.minute == 0 and value.hour in (0, 12):
        return "noon" if value.hour else "midnight"
    hour = (value.hour - 1) % 12 + 1
    minutes = f" {'oh ' if value.minute < 10 else ''}{number(value.minute)}" if value.minute else ""
    return f"{number(hour)}{minutes} {'a.m.' if value.hour < 12 else 'p.m.'}"


# --- opening hours -----------------------------------------------------------------------------------------------


def opening_hours(hours: tuple[str, ...]) -> str:
    """`Monday to Friday from eight a.m. to six p.m., and Saturday from nine a.m. to noon`."""
    said = [f"{_days(span)} from {_minute(span.start)} to {_minute(span.end)}" for span in map(parse, hours)]
    return ", and ".join([", ".join(said[:-1]), said[-1]] if len(said) > 1 else said) or "at any time"


def _minute(minutes: int) -> str:
    return clock(time(minutes // 60 % 24, minutes % 60))


def _days(span: Span) -> str:
    days = sorted(span.days)
    if len(days) == 7:
        return "every day"
    if len(days) > 2 and days == list(range(days[0], days[-1] + 1)):
        return f"{DAY_NAMES[days[0]]} to {DAY_NAMES[days[-1]]}"
    names = [DAY_NAMES[d] for d in days]
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
