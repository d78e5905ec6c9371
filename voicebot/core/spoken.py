"""What a language model writes, as a person would say it: no markdown, no links, no figures that a voice trips over.

Works word by word, so that it can stand in a stream. Plain words pass untouched; plain numbers, too, which every
synthesiser reads well. What is said in words is English; for other languages only what cannot be said at all goes.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from datetime import date, time

from voicebot.core import say

_TOKEN = re.compile(r"(\s+)")
_PARTS = re.compile(r"""([("'“‘¿¡]*)(.*?)([)"'”’.,;:!?…]*)""", re.DOTALL)
_EMPHASIS = re.compile(r"[*`~]+|(?<!\w)_+|_+(?!\w)")
_LINK = re.compile(r"\]\([^)\s]*\)")
_BULLETS = frozenset(("-", "*", "+", "•", "–", "#", "##", "###", "####", ">", "---", "***"))
_TLD = r"(?:com|org|net|edu|gov|info|io|co|uk|us|eu|de|fr|es|it|nl|ca|au|health|app|dev)"
_HOST = rf"(?:[a-z0-9-]+\.)+{_TLD}"
_SYMBOLS = {".": "dot", "/": "slash", "-": "dash", "_": "underscore", "@": "at", "?": "question mark", "=": "equals",
            "&": "and", "#": "hash", "+": "plus", "%": "percent", ":": "colon", "~": "tilde"}  # fmt: skip
_CURRENCIES = {"$": ("dollar", "cent"), "€": ("euro", "cent"), "£": ("pound", "penny")}
_SHORT = {
    "&": "and",
    "e.g.": "for example",
    "i.e.": "that is",
    "w/": "with",
    "+": "plus",
    "=": "equals",
    "%": "percent",
}
LONGEST_WORD = 100
MOST_FIGURES = 12
"""Digits of an amount beyond which nobody would say it as a number."""


def speakable(text: str, english: bool = True) -> str:
    """The whole of a text at once."""
    stream = Speakable(english)
    return stream.push(text) + stream.flush()


class Speakable:
    """The same for a text that comes in pieces: what is put out trails by the word that is not complete yet."""

    def __init__(self, english: bool = True) -> None:
        self._english = english
        self._word = ""
        self._line_start = True

    def push(self, text: str) -> str:
        """What can be said now."""
        *whole, self._word = _TOKEN.split(self._word + text)
        said = "".join(map(self._said, whole))
        while len(self._word) >= LONGEST_WORD:  # a language without spaces: what is held back must not grow
            said += self._said(self._word[:LONGEST_WORD])
            self._word = self._word[LONGEST_WORD:]
        return said

    def flush(self) -> str:
        """The rest, at the end of the text; ready for another one."""
        rest, self._word = self._word, ""
        said = self._said(rest)
        self._line_start = True
        return said

    def _said(self, token: str) -> str:
        if len(token) > LONGEST_WORD and not token.isspace():
            return self._said(token[:LONGEST_WORD]) + self._said(token[LONGEST_WORD:])
        if not token or token.isspace():
            self._line_start = self._line_start or "\n" in token
            return token
        if self._line_start and token in _BULLETS:
            return ""
        self._line_start = False
        return _word(token, self._english)


def _word(token: str, english: bool) -> str:
    token = _LINK.sub("", token).lstrip("[")
    token = "".join(c for c in token if unicodedata.category(c) not in ("So", "Sk", "Cs", "Co", "Cn", "Cc"))
    token = token.replace("\ufe0f", "").replace("\u200d", "")
    if not english:
        return _EMPHASIS.sub("", token)
    if token in _SHORT:
        return _SHORT[token]
    plain = token if "@" in token or "://" in token else _EMPHASIS.sub("", token)
    match = _PARTS.fullmatch(plain.removesuffix("]"))
    if match is None:
        return plain
    before, core, after = match.groups()
    for pattern, spoken in _KINDS:
        if found := pattern.fullmatch(core):
            said = spoken(found)
            return before + said + (after[1:] if said.endswith(".") and after.startswith(".") else after)
    return before + core + after


# --- one function for each kind of word -------------------------------------------------------------------------------


def _spelled(text: str) -> str:
    """An address, its signs by name."""
    return " ".join("".join(f" {_SYMBOLS[c]} " if c in _SYMBOLS else c for c in text).split())


def _url(match: re.Match[str]) -> str:
    return _spelled(re.sub(r"^(?:https?://)?(?:www\.)?", "", match[0], flags=re.IGNORECASE).rstrip("/"))


def _address(match: re.Match[str]) -> str:
    return _spelled(match[0])


def _money(match: re.Match[str]) -> str:
    whole, part = match[2].replace(",", ""), (match[3] or "")
    unit, cent = _CURRENCIES[match[1]]
    return match[0] if len(whole) > MOST_FIGURES else say.money(int(whole) * 100 + int(part or 0), unit, cent)


def _percent(match: re.Match[str]) -> str:
    return f"{_decimal(match[1], match[2])} percent"


def _decimal(whole: str, part: str | None) -> str:
    if len(whole) > MOST_FIGURES:
        return f"{whole}.{part}" if part else whole
    said = say.number(int(whole))
    return f"{said} point {' '.join(say.number(int(c)) for c in part)}" if part else said


def _grouped(match: re.Match[str]) -> str:
    """`12,500`"""
    plain = match[0].replace(",", "")
    return match[0] if len(plain) > MOST_FIGURES else say.number(int(plain))


def _phone(match: re.Match[str]) -> str:
    return say.digits(match[0])


def _date(match: re.Match[str]) -> str:
    try:
        value = date(int(match[1]), int(match[2]), int(match[3]))
    except ValueError:
        return match[0]
    return f"{value:%B} {say.ordinal(value.day)}, {say.year(value.year)}"


def _time(match: re.Match[str]) -> str:
    hour, minute, half = int(match[1]), int(match[2] or 0), (match[3] or "").lower().replace(".", "")
    if hour > 23 or minute > 59 or (half and not 1 <= hour <= 12):
        return match[0]
    if half:
        hour = hour % 12 + (12 if half == "pm" else 0)
    said = say.clock(time(hour, minute))
    afternoon_or_clear = half or hour > 12 or hour == 0
    return said if afternoon_or_clear else re.sub(r" [ap]\.m\.$", "", said)


def _time_on_the_hour(match: re.Match[str]) -> str:
    """`9am`"""
    hour = int(match[1])
    if not 1 <= hour <= 12:
        return match[0]
    return say.clock(time(hour % 12 + (12 if match[2].lower() == "p" else 0)))


_KINDS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...] = (
    (re.compile(r"https?://\S+", re.I), _url),
    (re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"), _address),
    (re.compile(rf"(?:www\.)?{_HOST}(?:/\S*)?", re.I), _url),
    (re.compile(r"([$€£])([0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.([0-9]{2}))?"), _money),
    (re.compile(r"([0-9]+)(?:\.([0-9]+))?%"), _percent),
    (re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})"), _date),
    (re.compile(r"([0-9]{1,2}):([0-9]{2})\s?([ap]\.?m\.?)?", re.I), _time),
    (re.compile(r"([0-9]{1,2})([ap])\.?m\.?", re.I), _time_on_the_hour),
    (re.compile(r"[0-9]{1,3}(?:,[0-9]{3})+"), _grouped),
    (re.compile(r"\+?[0-9]{7,15}|\+?(?:[0-9]{1,4}[-.]){1,4}[0-9]{4}"), _phone),
)
