"""The lexicon at work: names and jargon found in what a recogniser made of them, with a confidence.

Every stretch of a few words is compared with every way in which a term may sound (spelled, as the voice says it, as it
is known to be misheard); a name that was spelled aloud is compared letter by letter. What is close, and closer than
any other term, is taken; how close decides how sure the flow may be, so that a doubtful name is asked back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from heapq import nlargest

from voicebot.core.grammar import Choice, Node, Row, TypeUse, normalise
from voicebot.core.grammar import Word as Literal
from voicebot.core.grammar import parse as parse_phrase
from voicebot.core.plan import Term
from voicebot.core.soundalike import phones, skeleton, sounds_alike, spelled_alike
from voicebot.core.words import Word, Words

LIKE = 0.72
"""Alike from which a stretch may be a term."""
SPELLED_LIKE = 0.6
MARGIN = 0.12
"""Ahead of the next term by this much, it is no rival."""
MANY_PAIRS = 4
"""Pairs of consonants in a stretch from which a term must share two of them to be compared at all."""
LEAST_PHONES = 4
"""Shorter terms sound like too many words: they must be heard exactly."""
MOST_WORDS = 4
"""Of a stretch."""
MOST_KEPT = 5000
"""Stretches whose nearest terms are remembered: partial hypotheses say the same again and again."""
MOST_SPELLED = 20
"""Letters of a name that was spelled."""


@dataclass(frozen=True, slots=True)
class Match:
    term: str
    """As the lexicon spells it."""
    start: int
    """It stands for the words `start:end`."""
    end: int
    confidence: float
    """0..1."""


class Terms:
    """A lexicon, compiled. `common`: words that are what they are (the dialplan's own), never taken for a term."""

    def __init__(self, lexicon: Mapping[str, Term], common: Collection[str] = ()) -> None:
        self._forms = {key: _forms(key, term) for key, term in lexicon.items()}
        self._letters = {key: "".join(c for c in key.lower() if c.isalnum()) for key in lexicon}
        self._exact = {
            form: key
            for key, forms in self._forms.items()
            for form in forms
            if form == key.lower() or len(phones(form)) >= LEAST_PHONES
        }
        self._sieve: dict[tuple[int, ...], set[str]] = {}
        for key, forms in self._forms.items():
            for pair in (pair for form in forms for pair in skeleton(form)):
                self._sieve.setdefault(pair, set()).add(key)
        self._near: dict[str, tuple[tuple[float, str], ...]] = {}
        self._common = frozenset(common)

    def find(self, words: Sequence[str]) -> list[Match]:
        """Terms in normalised words, none overlapping, in order; the surest first where two collide."""
        found = [*self._spelled(words), *self._spoken(words)]
        found.sort(key=lambda each: (-each.confidence, each.start - each.end))
        taken: list[Match] = []
        for each in found:
            if all(each.end <= other.start or each.start >= other.end for other in taken):
                taken.append(each)
        return sorted(taken, key=lambda each: each.start)

    def nearest(self, hypotheses: Sequence[str]) -> Match | None:
        """The one term that the hypotheses of a whole utterance are, best first; each later one counts less."""
        best: Match | None = None
        for place, text in enumerate(hypotheses):
            for match in self.find(normalise(text)):
                weighed = replace(match, confidence=match.confidence * 0.95**place)
                if best is None or weighed.confidence > best.confidence:
                    best = weighed
        return best

    def mend(self, words: Words) -> Words:
        """The same hypothesis with its terms as they are spelled, each as sure as it was found and heard."""
        found = self.find(tokens := normalise(words.text))
        nbest = tuple(self._written(text) for text in words.nbest)
        if not found:
            return replace(words, nbest=nbest) if nbest != words.nbest else words
        timed = _timed(words, tokens)
        mended: list[Word] = []
        at = 0
        for match in found:
            mended += timed[at : match.start]
            part = timed[match.start : match.end]
            sure = match.confidence * min(word.confidence for word in part)
            mended.append(Word(match.term.lower(), part[0].start_ms, part[-1].end_ms, sure))
            at = match.end
        mended += timed[at:]
        return replace(words, text=" ".join(word.text for word in mended), words=tuple(mended), nbest=nbest)

    def _written(self, text: str) -> str:
        tokens = normalise(text)
        for match in reversed(self.find(tokens)):
            tokens[match.start : match.end] = [match.term.lower()]
        return " ".join(tokens)

    def _spoken(self, words: Sequence[str]) -> list[Match]:
        found = []
        for start in range(len(words)):
            for end in range(start + 1, min(start + MOST_WORDS, len(words)) + 1):
                stretch = words[start:end]
                text = " ".join(stretch)
                if text in self._exact or not all(word in self._common or len(word) == 1 for word in stretch):
                    found += self._closest(text, start, end)
        return found

    def _closest(self, text: str, start: int, end: int) -> list[Match]:
        if text in self._exact:
            return [Match(self._exact[text], start, end, 1.0)]
        if text not in self._near:
            if len(self._near) >= MOST_KEPT:
                self._near.clear()
            pairs = skeleton(text)
            shared = Counter(key for pair in pairs for key in self._sieve.get(pair, ()))
            rivals = sorted(key for key, count in shared.items() if count > (len(pairs) >= MANY_PAIRS))
            self._near[text] = tuple(nlargest(2, ((self._like(text, self._forms[key]), key) for key in rivals)))
        return _chosen(self._near[text], LIKE, start, end)

    @staticmethod
    def _like(text: str, forms: Sequence[str]) -> float:
        size = len(phones(text))
        fit = [form for form in forms if LEAST_PHONES <= len(phones(form)) and abs(len(phones(form)) - size) <= 3]
        return max((sounds_alike(text, form) for form in fit), default=0.0)

    def _spelled(self, words: Sequence[str]) -> list[Match]:
        """Runs of single letters, and whatever words stand for one."""
        found, start = [], 0
        while start < len(words):
            end = start
            while end < len(words) and len(words[end]) == 1 and end - start < MOST_SPELLED:
                end += 1
            if end - start >= 3:
                said = "".join(words[start:end])
                scores = nlargest(2, ((spelled_alike(said, own), key) for key, own in self._letters.items()))
                found += _chosen(scores, SPELLED_LIKE, start, end)
            start = max(end, start + 1)
        return found


def _chosen(scores: Sequence[tuple[float, str]], least: float, start: int, end: int) -> list[Match]:
    """The best of (alike, term), if it is good enough; less sure where another term is as near."""
    if not scores or scores[0][0] < least:
        return []
    lead = scores[0][0] - scores[1][0] if len(scores) > 1 else 1.0
    return [Match(scores[0][1], start, end, scores[0][0] * (0.5 + 0.5 * min(1.0, lead / MARGIN)))]


def _forms(key: str, term: Term) -> tuple[str, ...]:
    """Every way in which it may come out of a recogniser, as normalised text."""
    texts = [
        key,
        *([term.said] if term.said else []),
        *(t for alias in term.heard for t in _texts(parse_phrase(alias))),
    ]
    return tuple(dict.fromkeys(text for each in texts if (text := " ".join(normalise(each)))))


def _texts(node: Node) -> list[str]:
    """What a phrase of the lexicon says; types have no place in one."""
    match node:
        case Literal(text):
            return [text]
        case Row(parts):
            texts = [""]
            for part in parts:
                texts = [f"{text} {more}".strip() for text in texts for more in _texts(part)][:16]
            return texts
        case Choice(options):
            return [text for option in options for text in _texts(option)]
        case TypeUse():
            return []


def _timed(words: Words, tokens: Sequence[str]) -> list[Word]:
    """A word for each token: the recogniser's own where they fit, else as sure as the utterance and without times."""
    own = [replace(word, text=token) for word in words.words for token in normalise(word.text)]
    if [word.text for word in own] == list(tokens):
        return own
    return [Word(token, 0, 0, words.confidence) for token in tokens]
