"""Pronunciations for words a dictionary lacks: a small letter-to-sound fallback for English, in ARPAbet.

It reads a name as a newspaper reader would at first sight, which is enough for a recogniser that only has to
tell it from a few hundred other words; a dialplan that knows better gives the pronunciation itself.
"""

from __future__ import annotations

import re

_VOWEL_PHONES = ("AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW")
_CONSONANTS = (
    "B", "CH", "D", "DH", "F", "G", "HH", "JH", "K", "L", "M", "N", "NG",
    "P", "R", "S", "SH", "T", "TH", "V", "W", "Y", "Z", "ZH",
)  # fmt: skip
PHONES = frozenset(_VOWEL_PHONES + _CONSONANTS)
"""The 39 phones of the CMU dictionary."""

LETTERS = {
    "a": "EY", "b": "B IY", "c": "S IY", "d": "D IY", "e": "IY", "f": "EH F", "g": "JH IY", "h": "EY CH",
    "i": "AY", "j": "JH EY", "k": "K EY", "l": "EH L", "m": "EH M", "n": "EH N", "o": "OW", "p": "P IY",
    "q": "K Y UW", "r": "AA R", "s": "EH S", "t": "T IY", "u": "Y UW", "v": "V IY",
    "w": "D AH B AH L Y UW", "x": "EH K S", "y": "W AY", "z": "Z IY",
}  # fmt: skip
"""How a letter is named; `z` is also said "zed"."""

DIGITS = {
    "0": "Z IH R OW", "1": "W AH N", "2": "T UW", "3": "TH R IY", "4": "F AO R",
    "5": "F AY V", "6": "S IH K S", "7": "S EH V AH N", "8": "EY T", "9": "N AY N",
}  # fmt: skip

# (letters, phones) tried in this order at each place; `$` in the pattern is the word's end.
_RULES: tuple[tuple[str, str], ...] = (
    ("tion", "SH AH N"), ("sion", "ZH AH N"), ("cious", "SH AH S"), ("ture$", "CH ER"), ("ough", "AO"),
    ("augh", "AO"), ("eigh", "EY"), ("igh", "AY"), ("tch", "CH"), ("sch", "SH"), ("dge", "JH"), ("ous$", "AH S"),
    ("eau", "OW"), ("ing$", "IH NG"), ("able$", "AH B AH L"), ("le$", "AH L"), ("ey$", "IY"), ("ies$", "IY Z"),
    ("ie$", "IY"), ("mc", "M AH K"), ("ck", "K"), ("ch", "CH"), ("sh", "SH"), ("th", "TH"), ("ph", "F"),
    ("wh", "W"), ("gh", "G"), ("ng$", "NG"), ("ng", "NG G"), ("kn", "N"), ("wr", "R"), ("qu", "K W"),
    ("oo", "UW"), ("ee", "IY"), ("ea", "IY"), ("ai", "EY"), ("ay", "EY"), ("ei", "AY"), ("oa", "OW"),
    ("oi", "OY"), ("oy", "OY"), ("ou", "AW"), ("ow$", "OW"), ("ow", "AW"), ("au", "AO"), ("aw", "AO"),
    ("ew", "Y UW"), ("ue$", "UW"), ("ar", "AA R"), ("er", "ER"), ("ir", "ER"), ("or", "AO R"), ("ur", "ER"),
    ("bb", "B"), ("cc", "K"), ("dd", "D"), ("ff", "F"), ("gg", "G"), ("ll", "L"), ("mm", "M"), ("nn", "N"),
    ("pp", "P"), ("rr", "R"), ("ss", "S"), ("tt", "T"), ("zz", "Z"), ("ce", "S EH"), ("ci", "S IH"), ("cy", "S IY"),
    ("ge", "JH EH"), ("gi", "JH IH"), ("y$", "IY"), ("a$", "AH"), ("o$", "OW"), ("i$", "IY"), ("u$", "UW"),
    ("es$", "Z"), ("x", "K S"), ("j", "JH"), ("q", "K"), ("y", "Y"), ("w", "W"), ("v", "V"), ("z", "Z"),
    ("b", "B"), ("c", "K"), ("d", "D"), ("f", "F"), ("g", "G"), ("h", "HH"), ("k", "K"), ("l", "L"), ("m", "M"),
    ("n", "N"), ("p", "P"), ("r", "R"), ("s", "S"), ("t", "T"), ("a", "AE"), ("e", "EH"), ("i", "IH"),
    ("o", "AA"), ("u", "AH"),
)  # fmt: skip
_LONG = {"a": "EY", "i": "AY", "o": "OW", "u": "UW", "e": "IY"}
_SILENT_E = re.compile(r"[aeiou][bcdfgklmnpstvz]e$")
_VOWELS = frozenset("aeiouy")


def pronounce(word: str) -> str:
    """Phones of a word, blank-separated. Letters with dots or without a vowel are spelled ("bmw"), digits are
    read one by one; at least one phone always comes back."""
    phones: list[str] = []
    for piece in re.findall(r"[a-z]+(?:'[a-z]+)?|[0-9]", _plain(word)):
        phones += DIGITS[piece].split() if piece.isdigit() else _piece(piece)
    return " ".join(phones) or "AH"


def _plain(word: str) -> str:
    return word.lower().translate(_UNACCENTED)


_UNACCENTED = str.maketrans("àáâãäåçèêëìíîïñòóôõöøùúûüý", "aaaaaaceeeiiiinoooooouuuuy", "") | str.maketrans(
    {"é": "ay", "ß": "ss"}
)


def _piece(letters: str) -> list[str]:
    stem, _, ending = letters.partition("'")
    if len(stem) == 1 or not _VOWELS & set(stem):
        phones = [phone for letter in stem for phone in LETTERS[letter].split()]
    else:
        phones = _read(stem)
    return phones + [phone for letter in ending for phone in ("Z" if letter == "s" else _letter(letter)).split()]


def _letter(letter: str) -> str:
    return next(phones for pattern, phones in _RULES if pattern == letter)


def _read(stem: str) -> list[str]:
    long_vowel = len(stem) - 3 if _SILENT_E.search(stem) else -1
    end = len(stem) - 1 if long_vowel >= 0 else len(stem)
    phones: list[str] = []
    at = 0
    while at < end:
        if at == long_vowel:
            phones.append(_LONG[stem[at]])
            at += 1
            continue
        pattern, sound = _rule_at(stem, at, end)
        phones += sound.split()
        at += len(pattern.rstrip("$"))
    return phones


def _rule_at(stem: str, at: int, end: int) -> tuple[str, str]:
    for pattern, sound in _RULES:
        letters = pattern.rstrip("$")
        if stem.startswith(letters, at, end) and (pattern == letters or at + len(letters) == len(stem)):
            return pattern, sound
    return stem[at], ""
