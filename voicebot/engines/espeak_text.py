"""Text on its way into espeak-ng and word times on their way back; pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

PIECE = 300
"""Characters per request: about 20 s of speech, which bounds what one request can occupy."""
_SENTENCE_END = re.compile(r"[.!?…。！？][\"'”’)\]]*\s+|\n+")
_CLAUSE_END = re.compile(r"[,;:–—][\"'”’)\]]*\s+")
_TOKEN = re.compile(r"\s*\S+\s*")


def plain(text: str) -> str:
    """The same number of characters, none of which is a command: espeak reads control characters as embedded
    commands (`\\x01100s` sets the speed) even in plain text."""
    return "".join(" " if unicodedata.category(c) in ("Cc", "Cs", "Cn", "Co") else c for c in text)


def pieces(text: str, most: int = PIECE) -> list[str]:
    """`text` cut where a speaker would breathe, every piece at most `most` characters; they concatenate to it."""
    cut: list[str] = []
    while len(text) > most:
        head = text[:most]
        ends = [m.end() for m in _SENTENCE_END.finditer(head)] or [m.end() for m in _CLAUSE_END.finditer(head)]
        at = (ends[-1] if ends else 0) or head.rfind(" ") + 1 or most
        cut.append(text[:at])
        text = text[at:]
    return [*cut, text] if text or not cut else cut


def pause_ms(text: str) -> int:
    """Silence after a clause: espeak leaves 7 ms after the last sound, a speaker leaves room to think."""
    end = text.rstrip().rstrip("\"'”’)]")[-1:]
    if end in ".!?…。！？":
        return 240
    return 120 if end in ",;:–—" else 30


def has_speech(text: str) -> bool:
    """Whether anything in it can be said at all."""
    return any(c.isalnum() or unicodedata.category(c).startswith("S") for c in text)


@dataclass(frozen=True, slots=True)
class Spelled:
    """A text as it is given to the engine, and where each part of it comes from."""

    text: str
    turns: tuple[tuple[int, int], ...] = ((0, 0),)
    """(position in `text`, position in the source), ascending, where the distance between the two changes."""

    def source(self, position: int) -> int:
        """Where in the source the character at `position` comes from."""
        here, there = max((turn for turn in self.turns if turn[0] <= position), default=(0, 0))
        following = min((turn[1] for turn in self.turns if turn[0] > position), default=None)
        at = there + position - here
        return at if following is None else min(at, max(there, following - 1))


def spelled(text: str, said: Mapping[str, str]) -> Spelled:
    """`text` with the terms of a lexicon spelled as they sound: whole words, whatever the case."""
    if not said:
        return Spelled(text)
    sounds = {term.casefold(): sound for term, sound in said.items()}
    longest_first = sorted(said, key=len, reverse=True)
    pattern = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)", re.IGNORECASE)
    parts: list[str] = []
    turns = [(0, 0)]
    at = length = 0
    for match in pattern.finditer(text):
        sound = sounds.get(match.group().casefold(), match.group())
        parts += [text[at : match.start()], sound]
        length += match.start() - at
        turns.append((length, match.start()))
        length, at = length + len(sound), match.end()
        turns.append((length, at))
    return Spelled("".join(parts) + text[at:], tuple(turns))


class Tokens:
    """Turns word events into `(text, sample)` whose texts concatenate to the source.

    A word runs from its first character up to the next one, so its end need not be known from a later event. A
    token that gets no event of its own (a dash) joins the next one, so it never counts as heard too early.
    """

    def __init__(self, source: str) -> None:
        self._source = source
        self._starts = [m.start() for m in _TOKEN.finditer(source)] or [0]
        self._next = 0
        """Index of the first token not yet given out."""

    def at(self, events: Iterable[tuple[int, int]]) -> list[tuple[str, int]]:
        """Words for (position in the source, sample) events."""
        words = []
        for position, sample in events:
            index = sum(start <= position for start in self._starts[self._next :]) + self._next
            if index > self._next:
                words.append((self._between(self._next, index), sample))
                self._next = index
        return words

    def rest(self) -> str:
        """What no event named; to be said with the last of the audio."""
        text = self._between(self._next, len(self._starts))
        self._next = len(self._starts)
        return text

    def spread(self, samples: int) -> list[tuple[str, int]]:
        """All words, spread over `samples` by length: for an engine that gives no word times."""
        bounds = [0, *self._starts[1:], len(self._source)]
        self._next = len(self._starts)
        total = max(1, len(self._source))
        return [(self._source[a:b], a * samples // total) for a, b in pairwise(bounds)]

    def _between(self, first: int, last: int) -> str:
        bounds = [0, *self._starts[1:], len(self._source)]
        return self._source[bounds[first] : bounds[last]]
