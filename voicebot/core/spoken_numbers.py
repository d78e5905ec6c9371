"""Numbers, digits and letters as callers say them. A reader takes words and a place and answers what it read and
where it ended, or None."""

from __future__ import annotations

import re
from collections.abc import Sequence

ONES = dict(zip("zero one two three four five six seven eight nine".split(), range(10), strict=True))
TEENS = dict(
    zip(
        "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split(),
        range(10, 20),
        strict=True,
    )
)
TENS = dict(zip("twenty thirty forty fifty sixty seventy eighty ninety".split(), range(20, 100, 10), strict=True))
DIGITS = {word: str(value) for word, value in ONES.items()} | {"oh": "0", "o": "0", "nought": "0", "niner": "9"}
TIMES = {"double": 2, "triple": 3, "treble": 3}
_BELOW = {"thousand": 1000, "million": 1_000_000}
_ODD_ORDINALS = {
    "first": 1, "second": 2, "third": 3, "fifth": 5, "eighth": 8, "ninth": 9, "twelfth": 12,
    "twentieth": 20, "thirtieth": 30,
}  # fmt: skip
ORDINALS = {
    **{f"{word}th": value for word, value in (ONES | TEENS).items() if value not in (0, 1, 2, 3, 5, 8, 9, 12)},
    **_ODD_ORDINALS,
}
ALPHABET = dict(
    zip(
        "alpha alfa bravo charlie delta echo foxtrot golf hotel india juliet juliett kilo lima mike november oscar "
        "papa quebec romeo sierra tango uniform victor whiskey xray yankee zulu zebra".split(),
        "aabcdefghijjklmnopqrstuvwxyzz",
        strict=True,
    )
)
PAUSES = frozenset("uh um er erm dash hyphen".split())
_NUMERAL = re.compile(r"\d+$")
_KEYED = re.compile(r"\+?[\d()./-]*\d[\d()./-]*$")
_ORDINAL_NUMERAL = re.compile(r"(\d{1,2})(?:st|nd|rd|th)$")


def below_hundred(words: Sequence[str], at: int) -> tuple[int, int] | None:
    """`forty two`, `twelve`, `7`: value and end."""
    if at >= len(words):
        return None
    word = words[at]
    if "-" in word:
        parts = word.split("-")
        if len(parts) == 2 and parts[0] in TENS and ONES.get(parts[1], 0):
            return TENS[parts[0]] + ONES[parts[1]], at + 1
    if word in TENS:
        unit = ONES.get(words[at + 1], 0) if at + 1 < len(words) else 0
        return (TENS[word] + unit, at + 2) if unit else (TENS[word], at + 1)
    if word in ONES or word in TEENS:
        return (ONES | TEENS)[word], at + 1
    if _NUMERAL.match(word) and len(word) <= 2:
        return int(word), at + 1
    return None


def cardinal(words: Sequence[str], at: int) -> tuple[int, int] | None:
    """`two thousand and five`, `a hundred and twelve`, `1200`: value and end, below a thousand million."""
    if at < len(words) and _NUMERAL.match(words[at]) and len(words[at]) <= 9:
        return int(words[at]), at + 1
    start, total, group, seen = at, 0, 0, False
    while at < len(words):
        word = words[at]
        small = below_hundred(words, at)
        if small and (not seen or group % 100 == 0):
            group, at, seen = group + small[0], small[1], True
        elif word == "hundred" and (group < 10 and seen):
            group, at = group * 100, at + 1
        elif word == "a" and not seen and at + 1 < len(words) and words[at + 1] in ("hundred", "thousand"):
            group, at, seen = 1, at + 1, True
        elif word in _BELOW and seen and 0 < group < 1000 and (total == 0 or total >= 1_000_000 > _BELOW[word]):
            total, group, at = total + group * _BELOW[word], 0, at + 1
        elif word == "and" and seen and (group >= 100 or total) and below_hundred(words, at + 1):
            at += 1
        else:
            break
    return (total + group, at) if seen and at > start else None


def ordinal(words: Sequence[str], at: int) -> tuple[int, int] | None:
    """`twenty first`, `third`, `3rd`: value and end, up to ninety-ninth."""
    if at >= len(words):
        return None
    if words[at] in ORDINALS:
        return ORDINALS[words[at]], at + 1
    if match := _ORDINAL_NUMERAL.match(words[at]):
        return int(match[1]), at + 1
    parts = words[at].split("-") if "-" in words[at] else list(words[at : at + 2])
    if len(parts) == 2 and parts[0] in TENS and ORDINALS.get(parts[1], 10) < 10:
        return TENS[parts[0]] + ORDINALS[parts[1]], at + (1 if "-" in words[at] else 2)
    return None


def digits(words: Sequence[str], at: int) -> tuple[str, int] | None:
    """The longest run of digits: `five five five`, `double two`, `twelve thirty four`, `eight hundred`,
    `555-1234`. Pauses and hesitations inside it are skipped."""
    read, end = "", at
    while at < len(words):
        word, after = words[at], words[at + 1] if at + 1 < len(words) else ""
        if word in TIMES and after in DIGITS:
            read, at = read + DIGITS[after] * TIMES[word], at + 2
        elif word == "plus" and not read and after in DIGITS:
            at += 1
            continue
        elif word in DIGITS and after == "hundred":
            read, at = read + DIGITS[word] + "00", at + 2
        elif word in DIGITS:
            read, at = read + DIGITS[word], at + 1
        elif _KEYED.match(word):
            read, at = read + re.sub(r"\D", "", word), at + 1
        elif small := below_hundred(words, at):
            read, at = read + str(small[0]), small[1]
        elif read and word in PAUSES:
            at += 1
            continue
        else:
            break
        end = at
    return (read, end) if read else None


def letters(words: Sequence[str], at: int) -> tuple[str, int] | None:
    """The longest run of spelled letters, upper case: `s m i t h`, `double l`, `b as in bravo`, `bravo`."""
    read, end = "", at
    while at < len(words):
        word = words[at].replace(".", "")
        after = words[at + 1].replace(".", "") if at + 1 < len(words) else ""
        if word in ("as", "for", "like") and read:
            skip = 2 if after == "in" else 1
            said = words[at + skip] if at + skip < len(words) else ""
            if not said.startswith(read[-1].lower()) or len(said) < 2:
                break
            at, end = at + skip + 1, at + skip + 1
            continue
        if word in TIMES and _letter(after):
            read, at = read + _letter(after) * TIMES[word], at + 2
        elif word == "double" and after in ("you", "u"):
            read, at = read + "W", at + 2
        elif _letter(word) or word in ALPHABET:
            read, at = read + (_letter(word) or ALPHABET[word].upper()), at + 1
        elif read and word in PAUSES:
            at += 1
            continue
        else:
            break
        end = at
    return (read, end) if read else None


def _letter(word: str) -> str:
    return word.upper() if len(word) == 1 and word.isalpha() else ""
