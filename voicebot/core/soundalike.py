"""How alike two words sound, or two spellings: for finding a name in what a recogniser made of it. English, as
`pronounce` is; for other languages letters decide.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import pairwise

from voicebot.core.pronounce import pronounce

_VOWELS = frozenset("AA AE AH AO AW AY EH ER EY IH IY OW OY UH UW".split())
_NEAR = frozenset(
    frozenset(pair.split())
    for pair in (
        "P B", "T D", "K G", "F V", "S Z", "SH ZH", "CH JH", "TH DH", "M N", "N NG", "L R", "W V", "W HH", "CH SH",
        "S SH", "Z ZH", "TH F", "TH T", "DH D", "JH ZH", "Y JH", "ER R", "B V", "F TH", "P T", "K T", "D B", "G D",
    )
)  # fmt: skip
"""Sounds that are taken for each other, over a telephone more than elsewhere."""
_RHYMES = ("bcdegptvz", "ahjk", "flmnsx", "iyr", "quw", "o")
"""Letters whose names sound alike."""
_TWINS = frozenset(map(frozenset, ("mn", "fs", "bd", "pt", "bv", "dt", "gj", "cz", "sx", "iy", "ak", "jk", "bp", "td")))

Cost = Callable[[str, str], float]
"""Of taking the first for the second, 0..1; an empty one: of leaving the other out."""


def phone_cost(a: str, b: str) -> float:
    """Of phones."""
    if a == b:
        return 0.0
    if not a or not b:
        return 0.5 if (a or b) in _VOWELS or "HH" in (a, b) else 0.8
    if a in _VOWELS and b in _VOWELS:
        return 0.35
    return 0.4 if frozenset((a, b)) in _NEAR else 1.0


def letter_cost(a: str, b: str) -> float:
    """Of letters that were spelled aloud."""
    if a == b:
        return 0.0
    if not a or not b:
        return 0.8
    if frozenset((a, b)) in _TWINS:
        return 0.3
    return 0.5 if any(a in rhyme and b in rhyme for rhyme in _RHYMES) else 1.0


def _plain_cost(a: str, b: str) -> float:
    return float(a != b)


def alike(a: Sequence[str], b: Sequence[str], cost: Cost) -> float:
    """1 for the same, towards 0 for what has nothing in common: one minus the least cost of an edit, for each of the
    longer one's parts (Levenshtein, with costs)."""
    row = [0.0]
    for part in b:
        row.append(row[-1] + cost("", part))
    for mine in a:
        before, row[0] = row[0], row[0] + cost(mine, "")
        for at, part in enumerate(b, 1):
            changed = before + cost(mine, part)
            before, row[at] = row[at], min(row[at] + cost(mine, ""), row[at - 1] + cost("", part), changed)
    return max(0.0, 1 - row[-1] / max(len(a), len(b), 1))


_CLASSES = {
    phone: group
    for group, members in enumerate(("B P F V W", "K G S Z SH ZH CH JH", "T D TH DH", "L R ER", "M N NG"))
    for phone in members.split()
}
"""Consonants that are taken for each other, roughly those of Soundex."""


@lru_cache(maxsize=4096)
def skeleton(text: str) -> frozenset[tuple[int, ...]]:
    """Pairs of neighbouring consonants of a text, by class: texts that sound alike share one. A quick first sieve."""
    classes = [_CLASSES[phone] for phone in phones(text) if phone in _CLASSES]
    return frozenset(pairwise(classes)) or frozenset((each,) for each in classes)


@lru_cache(maxsize=4096)
def phones(text: str) -> tuple[str, ...]:
    """Of all words of a text, run together: where one word ends is what recognisers get wrong first."""
    return tuple(phone for word in text.split() for phone in pronounce(word).split())


def sounds_alike(a: str, b: str) -> float:
    """Of two texts, 0..1: mostly their sound, a little their spelling."""
    if a == b:
        return 1.0
    spelled = alike(a.replace(" ", ""), b.replace(" ", ""), _plain_cost)
    return 0.75 * alike(phones(a), phones(b), phone_cost) + 0.25 * spelled


def spelled_alike(a: str, b: str) -> float:
    """Of two words spelled letter by letter, 0..1."""
    return alike(a, b, letter_cost)
