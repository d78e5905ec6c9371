"""Words: what was heard against what was said, with jiwer, after one documented normalisation.

Lower case; contractions written out; punctuation off; numbers as words (`42` is "forty two", `4 20` "four twenty");
fillers off. Terms are looked for as whole words after the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

import jiwer

from voicebot.core.say import number
from voicebot.replay.recording import Said
from voicebot.replay.verdict import Aligned, Side

FILLERS = frozenset("uh um uhm er erm eh ah hm hmm mm mhm äh ähm euh".split())
ALIKE = 0.9
SAME = 0.98
LEAST_LETTERS = 6
"""Of what can be a repetition: "yes" twice is none."""
_HELLO = re.compile(
    r"^(?:(?:hello|hallo|hola|allô|allo|pronto)[ ?!,.]*)+$"
    r"|are you (?:still )?there|can you hear me|is any(?:body|one) there",
    re.I,
)
_CONTRACTED = jiwer.ExpandCommonEnglishContractions()
_DIGITS = re.compile(r"\d+")
_TERM = re.compile(r"\b[A-Z][\w'-]*|\b\d[\d.,]*\b")


def normalised(text: str) -> list[str]:
    """The words that are compared."""
    text = _CONTRACTED(text.lower().replace("’", "'"))
    text = _DIGITS.sub(lambda digits: f" {_spoken(digits[0])} ", text)
    words = re.sub(r"[^\w']+", " ", text.replace("_", " ")).split()
    return [word for each in words if (word := each.strip("'")) and word not in FILLERS]


def _spoken(digits: str) -> str:
    """A number as a person says it; a long one, or one that begins with nought, digit by digit."""
    if len(digits) > 6 or digits.startswith("0"):
        return " ".join(number(int(digit)) for digit in digits)
    return number(int(digits)).replace(" and ", " ")


@dataclass(frozen=True, slots=True)
class Errors:
    """Of one side."""

    wer: float
    cer: float
    words: int
    """Of the reference."""
    aligned: tuple[Aligned, ...]


def errors(reference: Sequence[Said], heard: Sequence[Said], side: Side | None) -> Errors | None:
    """Everything that was said against everything that was heard, in order. None where the reference has no words."""
    truth = [word for said in reference for word in normalised(said.text)]
    found = [(word, said.start_ms) for said in heard for word in normalised(said.text)]
    if not truth:
        return None
    hypothesis = " ".join(word for word, _ in found)
    measured = jiwer.process_words(" ".join(truth), hypothesis)
    aligned: list[Aligned] = []
    for chunk in measured.alignments[0]:
        for step in range(max(chunk.ref_end_idx - chunk.ref_start_idx, chunk.hyp_end_idx - chunk.hyp_start_idx)):
            at, place = chunk.hyp_start_idx + step, chunk.ref_start_idx + step
            word = truth[place] if place < chunk.ref_end_idx else ""
            other, ms = (
                found[at] if at < chunk.hyp_end_idx else ("", found[min(at, len(found) - 1)][1] if found else None)
            )
            kind = _KINDS[chunk.type]
            aligned.append(Aligned(side, kind, word, other, ms))
    characters = jiwer.process_characters(" ".join(truth), hypothesis)
    return Errors(100 * measured.wer, 100 * characters.cer, len(truth), tuple(aligned))


_KINDS: dict[str, Literal["same", "wrong", "missing", "extra"]] = {
    "equal": "same",
    "substitute": "wrong",
    "delete": "missing",
    "insert": "extra",
}


def terms(reference: Iterable[Said]) -> list[str]:
    """Names and numbers of a reference: capitals within sentences, digits."""
    found: list[str] = []
    for said in reference:
        for sentence in re.split(r"(?<=[.!?])\s+", said.text):
            for match in _TERM.finditer(sentence):
                if (match.start() > 0 or match[0][0].isdigit()) and match[0] != "I" and not match[0].startswith("I'"):
                    found.append(match[0])
    return found


def terms_heard(wanted: Sequence[str], heard: Iterable[Said]) -> int:
    """How many of the terms are among what was heard; a term that was said twice has to be heard twice."""
    text = f" {' '.join(word for said in heard for word in normalised(said.text))} "
    count = 0
    for term in wanted:
        words = f" {' '.join(normalised(term))} "
        if words.strip() and words in text:
            count += 1
            text = text.replace(words, " ", 1)
    return count


def asks_whether_anybody_is_there(text: str) -> bool:
    """“Hello?”, “are you there?”."""
    return bool(_HELLO.search(text.strip()))


def says_again(before: str, now: str) -> bool:
    """Whether a caller says again what they said: nearly so, or all of it and more, or a part."""
    one, two = normalised(before), normalised(now)
    if min(len(" ".join(one)), len(" ".join(two))) < LEAST_LETTERS:
        return False
    few, many = sorted((one, two), key=len)
    return _alike(one, two) >= ALIKE or (len(few) > 1 and set(few) <= set(many))


def same_sentence(before: str, now: str) -> bool:
    """Whether the bot's sentence is the one before: one with another value in it is not."""
    one, two = normalised(before), normalised(now)
    return len(" ".join(one)) >= LEAST_LETTERS and _alike(one, two) >= SAME


def _alike(one: list[str], two: list[str]) -> float:
    return SequenceMatcher(None, " ".join(one), " ".join(two), autojunk=False).ratio()


def unheard(text: str, heard: str) -> int:
    """Words of `text` that come after what was heard of it."""
    return max(0, len(normalised(text)) - len(normalised(heard)))
