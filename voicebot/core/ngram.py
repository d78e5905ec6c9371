"""A small trigram language model from sampled sentences, as ARPA text.

Smoothing is interpolated Kneser-Ney with one discount per order (Kneser & Ney 1995; Chen & Goodman 1999, whose
estimate `n1 / (n1 + 2 n2)` sets the discount), floored so that sampled sentences, which repeat themselves far
more than people do, still leave something for orders of words nobody wrote down.
"""

from __future__ import annotations

import math
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import chain

from voicebot.core.expect import Expectation
from voicebot.core.grammar import grammar, sample, vocabulary

START, STOP = "<s>", "</s>"
_NEVER = -99.0

GREETINGS = ("hi", "hello", "hey", "yes", "yeah", "okay", "good morning")
WISHES = (
    "i'd like", "i would like", "i want", "i'll have", "i will have", "i'll take", "can i get", "can i have",
    "could i get", "could i have", "may i have", "let me get", "let me have", "give me", "get me", "i need",
    "i'd like to get", "i'd like to have", "i'm looking for", "make me", "can you get me", "can you make me",
)  # fmt: skip
CLOSINGS = ("please", "thanks", "thank you")
PAUSES = ("uh", "um")


def spoken(expectation: Expectation, count: int, seed: int = 1) -> list[str]:
    """Sentences as callers say them around the phrases of an open expectation: bare, with a greeting or a wish
    before, a courtesy after, a hesitation within, and now and then only pieces of a phrase in any order. A bare
    answer has only the hesitation."""
    chance = random.Random(seed)
    if expectation.bare:
        return [_hesitate(whole, chance) for whole in sample(expectation, count, seed)]
    rules = grammar(expectation)
    pieces: list[str] = []
    for name in sorted(rules.types):
        piece = Expectation(name=name, mode=expectation.mode, phrases=(f"{{{name}}}",), types=expectation.types)
        pieces += sample(piece, max(1, count // 40), seed)
    sentences = []
    for whole in sample(expectation, count, seed):
        draw = chance.random()
        if pieces and draw < 0.12:
            whole = " ".join(chance.choice(pieces) for _ in range(1 + int(chance.random() * 4)))
        elif draw < 0.35:
            whole = f"{chance.choice(WISHES)} {whole}"
        if chance.random() < 0.08:
            whole = f"{chance.choice(GREETINGS)} {whole}"
        if chance.random() < 0.15:
            whole = f"{whole} {chance.choice(CLOSINGS)}"
        sentences.append(_hesitate(whole, chance))
    return sentences


def manners() -> set[str]:
    """Words that `spoken` may add to those of the phrases."""
    return {word for phrase in (*GREETINGS, *WISHES, *CLOSINGS, *PAUSES) for word in phrase.split()}


def open_vocabulary(expectation: Expectation) -> set[str]:
    """Every word of `language_model(expectation)`."""
    return vocabulary(expectation) | (set(PAUSES) if expectation.bare else manners())


def language_model(expectation: Expectation, count: int = 10_000, seed: int = 1) -> str:
    """ARPA trigram for an open expectation; the same text for the same arguments."""
    return arpa(spoken(expectation, count, seed), open_vocabulary(expectation))


def _hesitate(sentence: str, chance: random.Random) -> str:
    if chance.random() >= 0.10:
        return sentence
    words = sentence.split()
    words.insert(int(chance.random() * (len(words) + 1)), chance.choice(PAUSES))
    return " ".join(words)


# --- estimation ---------------------------------------------------------------------------------------------

_Gram = tuple[str, ...]


def arpa(sentences: Iterable[str], words: Iterable[str] = (), floor: float = 0.5) -> str:
    """Trigram in ARPA format (log10, back-off weights). `words` are in the vocabulary even where no sentence
    has them; `floor` is the least discount, 0..1."""
    counts = _count(sentences)
    vocabulary = sorted({gram[0] for gram in counts[0]} - {START, STOP} | set(words))
    follow_2, follow_3 = _continuations(counts[1]), _continuations(counts[2])
    one = _unigrams(follow_2, vocabulary, floor)
    two, weight_1 = _interpolate(_lower(counts[1], follow_3), {(w,): p for w, p in one.items()}, floor)
    three, weight_2 = _interpolate(counts[2], two, floor)
    return _write(vocabulary, one, two, three, weight_1, weight_2)


def _count(sentences: Iterable[str]) -> tuple[Counter[_Gram], Counter[_Gram], Counter[_Gram]]:
    spoken = [(START, *words, STOP) for words in map(str.split, sentences) if words]
    one, two, three = (
        Counter(chain.from_iterable(zip(*(words[at:] for at in range(order)), strict=False) for words in spoken))
        for order in (1, 2, 3)
    )
    return one, two, three


def _continuations(counts: Counter[_Gram]) -> Counter[_Gram]:
    """How many different words come before each gram: Kneser and Ney's counts for the order below."""
    return Counter(gram[1:] for gram in counts)


def _lower(counts: Counter[_Gram], continuations: Counter[_Gram]) -> Counter[_Gram]:
    """Continuation counts of bigrams; those that begin a sentence have nothing before them: true counts."""
    return Counter({g: c if g[0] == START else max(continuations[g], 1) for g, c in counts.items()})


def _unigrams(continuations: Counter[_Gram], vocabulary: Sequence[str], floor: float) -> dict[str, float]:
    """Continuation probability of every word and of the sentence end, mixed with a uniform one."""
    events = [*vocabulary, STOP]
    total = sum(continuations[(word,)] for word in events)
    if not total:
        return {word: 1 / len(events) for word in events}
    seen = sum(1 for word in events if continuations[(word,)])
    spare = floor * seen / total / len(events)
    return {word: max(continuations[(word,)] - floor, 0) / total + spare for word in events}


def _discount(counts: Counter[_Gram], floor: float) -> float:
    ones, twos = sum(1 for c in counts.values() if c == 1), sum(1 for c in counts.values() if c == 2)
    return max(floor, ones / (ones + 2 * twos) if ones else 0.0)


def _interpolate(
    counts: Counter[_Gram], below: dict[_Gram, float], floor: float
) -> tuple[dict[_Gram, float], dict[_Gram, float]]:
    """(probability of each gram, back-off weight of each context): discounted, the rest from the order below."""
    discount = _discount(counts, floor)
    total: defaultdict[_Gram, int] = defaultdict(int)
    kinds: defaultdict[_Gram, int] = defaultdict(int)
    for gram, times in counts.items():
        total[gram[:-1]] += times
        kinds[gram[:-1]] += 1
    weight = {context: discount * kinds[context] / total[context] for context in total}
    probability = {
        gram: max(times - discount, 0) / total[gram[:-1]] + weight[gram[:-1]] * below[gram[1:]]
        for gram, times in counts.items()
    }
    return probability, weight


def _write(
    vocabulary: Sequence[str],
    one: dict[str, float],
    two: dict[_Gram, float],
    three: dict[_Gram, float],
    weight_1: dict[_Gram, float],
    weight_2: dict[_Gram, float],
) -> str:
    lines = ["\\data\\", f"ngram 1={len(vocabulary) + 2}", f"ngram 2={len(two)}", f"ngram 3={len(three)}", ""]
    lines += ["\\1-grams:", f"{_NEVER:.4f} {START} {_log(weight_1.get((START,), 1.0)):.4f}"]
    lines += [f"{_log(one[w]):.4f} {w} {_log(weight_1.get((w,), 1.0)):.4f}" for w in vocabulary]
    lines += [f"{_log(one[STOP]):.4f} {STOP} 0.0000", "", "\\2-grams:"]
    lines += [f"{_log(p):.4f} {' '.join(gram)} {_log(weight_2.get(gram, 1.0)):.4f}" for gram, p in sorted(two.items())]
    lines += ["", "\\3-grams:"]
    lines += [f"{_log(p):.4f} {' '.join(gram)}" for gram, p in sorted(three.items())]
    return "\n".join([*lines, "", "\\end\\", ""])


def _log(probability: float) -> float:
    return math.log10(probability) if probability > 1e-9 else -9.0
