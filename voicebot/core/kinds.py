"""The built-in slot types: what they accept by voice, by key, and how they are written as phrases.

Values are texts in one canonical form: `yes`/`no`, digits, a number, an ISO date, `HH:MM`, a name, capital
letters, a choice's value, free text. `valid` says whether a text is one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, time

from voicebot.core import spoken_numbers as numbers
from voicebot.core import spoken_times as moments
from voicebot.core.plan import Slot

BUILT_IN = ("yesno", "digits", "number", "date", "time", "phone", "name", "letters", "text")
PHONE_DIGITS = (7, 15)
_DIGIT_WORDS = "zero | oh | one | two | three | four | five | six | seven | eight | nine"
_ONES = "one | two | three | four | five | six | seven | eight | nine"
_TEENS = " | ".join(numbers.TEENS)
_TENS = " | ".join(numbers.TENS)
_ORDINAL = "(first | second | third | fourth | fifth | sixth | seventh | eighth | ninth)"
_ORDINAL_TEENS = (
    "tenth | eleventh | twelfth | thirteenth | fourteenth | fifteenth | sixteenth | seventeenth | eighteenth | "
    "nineteenth"
)
_HOURS = "one | two | three | four | five | six | seven | eight | nine | ten | eleven | twelve"

PARTS: dict[str, tuple[str, ...]] = {
    "digit": (f"({_DIGIT_WORDS})",),
    "letter": tuple("abcdefghijklmnopqrstuvwxyz"),
    "below_hundred": (f"({_ONES} | {_TEENS})", f"({_TENS}) [{_ONES}]"),
    "day_of_month": (
        f"{_ORDINAL}",
        f"({_ORDINAL_TEENS} | twentieth | thirtieth)",
        f"(twenty {_ORDINAL} | thirty first)",
    ),
    "month": tuple(moments.MONTHS),
    "weekday": tuple(moments.WEEKDAYS),
    "year": (
        f"(nineteen | twenty) (({_TENS}) [{_ONES}] | {_TEENS} | oh ({_ONES}))",
        f"two thousand [[and] ({_ONES} | {_TEENS})]",
    ),
    "hour": (f"({_HOURS})",),
}
"""Phrases that the built-in types are made of; names a dialplan may not use for its own types."""


def bounds(spec: Slot) -> tuple[int, int]:
    """Fewest and most digits of a `digits` or `phone` slot."""
    if spec.length:
        return spec.length, spec.length
    least, most = PHONE_DIGITS if spec.type == "phone" else (1, 32)
    return spec.min or least, spec.max or most


def phrases(spec: Slot) -> tuple[str, ...]:
    """How a built-in type is said, in terms of `PARTS`; empty for `name` and `text`, which are open."""
    match spec.type:
        case "digits" | "phone":
            least, most = bounds(spec)
            most = min(most, 16)
            least = min(least, most)
            return (" ".join(["{digit}"] * least + ["[{digit}]"] * min(most - least, 8)), *_doubled(spec, least))
        case "letters":
            return (" ".join(["{letter}"] * 2 + ["[{letter}]"] * 10),)
        case "number":
            return ("{below_hundred}", "zero") if (spec.max or 99) < 100 else _LARGE
        case "date" if spec.past:
            return (
                "[the] {day_of_month} [of] {month} {year}",
                "{month} [the] {day_of_month} {year}",
            )
        case "date":
            return (
                "[next | this | on] {weekday}",
                "{weekday} next week",
                "(today | tomorrow | the day after tomorrow)",
                "[on] [{weekday}] [the] {day_of_month} of {month}",
                "[on] [{weekday}] {month} [the] {day_of_month}",
            )
        case "time":
            return (
                "[at] {hour} [o'clock] [in the (morning | afternoon | evening) | a m | p m]",
                "[at] {hour} (ten | fifteen | twenty | thirty | forty | forty five | fifty) [a m | p m]",
                "[at] (half | [a] quarter | ten | twenty) past {hour}",
                "[at] ([a] quarter | ten | twenty) to {hour}",
                "[at] (noon | midday)",
            )
        case _:
            return ()


_LARGE = (
    "{below_hundred}",
    "({digit} | a) hundred [and {below_hundred}]",
    "{below_hundred} thousand [[and] {below_hundred}]",
    "zero",
)


def _doubled(spec: Slot, least: int) -> tuple[str, ...]:
    """One "double five" or "triple five", anywhere; as phrases of their own, to keep the lengths right."""
    if spec.type != "phone" or least < 4:
        return ()
    pair, three = "(double {digit} | {digit})", "(triple {digit} | {digit})"
    return (" ".join([pair] * (least - 1)), " ".join([three] * (least - 2)))


def valid(spec: Slot, value: str) -> bool:
    """Whether `value` is one that the built-in type of `spec` may hold."""
    match spec.type:
        case "yesno":
            return value in ("yes", "no")
        case "digits" | "phone":
            least, most = bounds(spec)
            return bool(re.fullmatch(r"[0-9]+", value)) and least <= len(value) <= most
        case "number":
            return bool(re.fullmatch(r"[0-9]{1,12}", value)) and (
                (spec.min or 0) <= int(value) <= (10**12 if spec.max is None else spec.max)
            )
        case "date":
            try:
                return date.fromisoformat(value).isoformat() == value
            except ValueError:
                return False
        case "time":
            return bool(re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", value))
        case "letters":
            return bool(value) and value.isalpha() and value == value.upper()
        case "name" | "text":
            return bool(value.strip())
        case _:
            return False


def keyed(spec: Slot, digits: str, today: date, month_first: bool) -> str | None:
    """The value that these keys enter, None when they enter none. Dates are MMDD or DDMM, with a year of four
    digits for birthdays; times HHMM."""
    if not re.fullmatch(r"[0-9]+", digits):
        return None
    match spec.type:
        case "yesno":
            return {"1": "yes", "2": "no"}.get(digits)
        case "digits" | "phone":
            return digits if valid(spec, digits) else None
        case "number":
            return str(int(digits)) if valid(spec, str(int(digits))) else None
        case "date":
            return _keyed_date(spec, digits, today, month_first)
        case "time":
            text = digits.rjust(4, "0") if len(digits) in (3, 4) else digits.rjust(2, "0") + "00"
            text = f"{text[:2]}:{text[2:]}"
            return text if valid(spec, text) else None
        case _:
            return None


def _keyed_date(spec: Slot, digits: str, today: date, month_first: bool) -> str | None:
    if len(digits) not in (4, 8):
        return None
    written = "/".join(filter(None, (digits[:2], digits[2:4], digits[4:])))
    found = moments.dates([written], 0, today, spec.past, month_first)
    return found[0].isoformat() if found else None


def keys(spec: Slot) -> int:
    """Keyed digits that complete an entry; 0 when only `#` or a pause does."""
    match spec.type:
        case "yesno":
            return 1
        case "digits" | "phone":
            least, most = bounds(spec)
            return most if least == most else 0
        case "date":
            return 8 if spec.past else 4
        case "time":
            return 4
        case _:
            return 1 if spec.dtmf else 0


def spoken(
    spec: Slot, words: Sequence[str], at: int, today: date, month_first: bool, asked: bool
) -> tuple[str, int] | None:
    """The value of a built-in type at `words[at:]` and where it ends. Unless it was `asked` for, only what
    cannot be anything else counts: a whole phone number, a date, `at three`, but no lone `three`."""
    match spec.type:
        case "digits" | "phone":
            run = numbers.digits(words, at)
            return run if run and valid(spec, run[0]) else None
        case "number":
            count = numbers.cardinal(words, at) if asked else None
            return (str(count[0]), count[1]) if count and valid(spec, str(count[0])) else None
        case "date":
            found = moments.dates(words, at, today, spec.past, month_first)
            return (found[0].isoformat(), found[1]) if found else None
        case "time":
            clock: tuple[time, int] | None = moments.times(words, at, asked)
            return (clock[0].strftime("%H:%M"), clock[1]) if clock else None
        case "letters":
            run = numbers.letters(words, at)
            return run if run and (len(run[0]) >= 3 or asked) else None
        case _:
            return None
