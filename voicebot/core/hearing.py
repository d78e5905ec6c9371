"""How sure we may be of what was heard: word confidences, and what the other hypotheses say."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from voicebot.core.grammar import normalise
from voicebot.core.slots import Form, Reader, Understood
from voicebot.core.words import Words

HYPOTHESES = 5
RESCUED = 0.6
"""Confidence of what only a lesser hypothesis says, in proportion."""


def hypotheses(words: Words) -> list[list[str]]:
    """What may have been said, best first, at most `HYPOTHESES`; the first may be empty."""
    texts = dict.fromkeys(" ".join(normalise(text)) for text in (words.text, *words.nbest[:HYPOTHESES]))
    return [text.split() for text in texts][:HYPOTHESES]


def confidence(words: Words, start: int, end: int) -> float:
    """Of the words `start:end` of the normalised text: their least, where the recogniser gave one for each word;
    else of the utterance."""
    tokens = [(token, word.confidence) for word in words.words for token in normalise(word.text)]
    if [token for token, _ in tokens] != normalise(words.text) or start >= end:
        return words.confidence
    return min(value for _, value in tokens[start:end])


def understand(
    reader: Reader, form: Form, words: Words, today: date, asked: str = "", before: Sequence[str] = ()
) -> tuple[Understood, dict[str, float]]:
    """What an utterance says about a form, and how sure each value is, 0..1. `before`: words of a turn that was
    not complete. When the best hypothesis says nothing, a lesser one may. What sounds like a term of the lexicon is
    that term, as surely as it sounds like it."""
    words = reader.terms.mend(words)
    said = [[*before, *each] for each in hypotheses(words)]
    found = [reader.read(form, each, today, asked) for each in said]
    useful = next((place for place, each in enumerate(found) if each.readings or each.refused), 0)
    best = found[useful]
    sure = {}
    for reading in best.readings:
        own = confidence(words, reading.start - len(before), reading.end - len(before)) if useful == 0 else RESCUED
        others = [each.values.get(reading.slot) == reading.value for each in found[useful + 1 :]]
        agreeing = (1 + sum(others)) / (1 + len(others))
        sure[reading.slot] = own * (0.5 + 0.5 * agreeing)
    return best, sure
