"""Sentences in two languages for training without recordings: small, but with what makes translation more than looking
up words: agreement of number and gender, and adjectives on the other side of the noun."""

from __future__ import annotations

import random
from collections.abc import Sequence

from voicebot.errors import UsageError

Sentence = tuple[str, str]
"""Source and target text, as a synthesiser reads it."""

_NUMBERS = [
    ("un", "one"), ("dos", "two"), ("tres", "three"), ("cuatro", "four"), ("cinco", "five"), ("seis", "six"),
    ("siete", "seven"), ("ocho", "eight"), ("nueve", "nine"),
]  # fmt: skip
_VERBS = [("quiero", "I want"), ("necesito", "I need"), ("tengo", "I have"), ("vendo", "I sell")]
_NOUNS = [
    ("libro", "libros", "m", "book"), ("mesa", "mesas", "f", "table"), ("coche", "coches", "m", "car"),
    ("puerta", "puertas", "f", "door"), ("perro", "perros", "m", "dog"), ("silla", "sillas", "f", "chair"),
    ("boleto", "boletos", "m", "ticket"), ("camisa", "camisas", "f", "shirt"),
]  # fmt: skip
_ADJECTIVES = [
    ("roj", "red"),
    ("negr", "black"),
    ("blanc", "white"),
    ("nuev", "new"),
    ("viej", "old"),
    ("barat", "cheap"),
]
_PHRASES = [
    ("buenos días", "good morning"), ("muchas gracias", "thank you very much"), ("por favor", "please"),
    ("hasta mañana", "see you tomorrow"), ("no entiendo", "I don't understand"), ("un momento", "one moment"),
    ("cuánto cuesta", "how much is it"), ("está bien", "all right"),
]  # fmt: skip
HELD_OUT = 300
_ORDER = 7
"""Seed of what is held out: every training leaves out the same."""


def corpus(languages: str) -> tuple[list[Sentence], list[Sentence]]:
    """(to learn from, held out) for `es-en`. `UsageError` for languages there are no sentences for."""
    if languages != "es-en":
        raise UsageError(
            f"There are no made-up sentences for {languages!r}; there are for es-en. Bring pairs of your own."
        )
    wishes = [
        _wish(verb, number, noun, adjective)
        for verb in _VERBS for number in _NUMBERS for noun in _NOUNS for adjective in _ADJECTIVES
    ]  # fmt: skip
    held = set(random.Random(_ORDER).sample(wishes, HELD_OUT))
    return [*[each for each in wishes if each not in held]], sorted(held)


def lesson(learnt: Sequence[Sentence], chance: random.Random) -> Sentence:
    """One sentence to learn from: a wish out of `learnt`, some digits, or a phrase."""
    kind = chance.random()
    if kind < 0.1:
        return chance.choice(_PHRASES)
    if kind < 0.4:
        digits = [chance.choice(_NUMBERS) for _ in range(chance.randint(1, 3))]
        spanish = [source if source != "un" else "uno" for source, _ in digits]
        return " ".join(spanish), " ".join(target for _, target in digits)
    return chance.choice(learnt)


def _wish(verb: Sentence, number: Sentence, noun: tuple[str, str, str, str], adjective: Sentence) -> Sentence:
    one, many, gender, english = noun
    plural = number[0] != "un"
    ending = ("o" if gender == "m" else "a") + ("s" if plural else "")
    count = number[0] if plural or gender == "m" else "una"
    source = f"{verb[0]} {count} {many if plural else one} {adjective[0]}{ending}"
    return source, f"{verb[1]} {number[1]} {adjective[1]} {english}{'s' if plural else ''}"
