"""Which intent was meant: weighted word overlap with the examples, over the recogniser's best hypotheses.

A word weighs by how few of the node's intents use it (inverse document frequency), words like "please" a tenth.
Types count as one word: "transfer me to nguyen" is `transfer me to {person}`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from voicebot.core.grammar import TypeUse
from voicebot.core.grammar import parse as parse_phrase
from voicebot.core.phrases import leaves, spellings
from voicebot.core.plan import Intent, Slot
from voicebot.core.slots import Reader, Understood, said_from

CLEAR = 0.55
"""Score from which an intent is taken as said."""
POSSIBLE = 0.33
"""Score from which it is worth asking back."""
MARGIN = 0.08
"""How far the next intent must be behind."""
FILLER_WEIGHT = 0.1
SPELLINGS = 120
_COMMANDS = ("help", "repeat", "restart", "operator", "goodbye", "wait", "hello")


@dataclass(frozen=True, slots=True)
class Guess:
    intent: str
    score: float
    """0..1: 1 is an example word for word."""
    clear: bool
    """Good enough to act on without asking back."""


class Classifier:
    """The intents of one node."""

    def __init__(self, reader: Reader, intents: Mapping[str, Intent]) -> None:
        self._reader = reader
        self._examples: list[tuple[str, frozenset[str]]] = []
        self.slots: dict[str, frozenset[str]] = {}
        """Intent to the types its examples mention."""
        for name, intent in intents.items():
            nodes = [parse_phrase(phrase) for phrase in intent.examples]
            self.slots[name] = frozenset(
                leaf.name for node in nodes for leaf in leaves(node) if isinstance(leaf, TypeUse)
            )
            ways = {frozenset(way) for node in nodes for way in spellings(node, SPELLINGS)}
            self._examples += [(name, way) for way in sorted(ways, key=sorted)]
        self._weights = self._weigh(len(intents))

    def _weigh(self, count: int) -> dict[str, float]:
        users: Counter[str] = Counter()
        for _, words in {(name, word) for name, way in self._examples for word in way}:
            users[words] += 1
        fillers = self._reader.manners.fillers
        return {
            word: math.log(1 + count / n) * (FILLER_WEIGHT if word in fillers else 1.0) for word, n in users.items()
        }

    def guess(self, hypotheses: Sequence[Sequence[str]], today: date) -> Guess | None:
        """The likeliest intent; later hypotheses count a little less. None when nothing fits."""
        best: dict[str, float] = {}
        for place, words in enumerate(hypotheses):
            for name, score in self._scores(words, today).items():
                best[name] = max(best.get(name, 0.0), score * (1 - 0.06 * place))
        ranked = sorted(best.items(), key=lambda pair: -pair[1])
        if not ranked or ranked[0][1] < POSSIBLE:
            return None
        ahead = ranked[0][1] - (ranked[1][1] if len(ranked) > 1 else 0.0)
        return Guess(ranked[0][0], ranked[0][1], ranked[0][1] >= CLEAR and ahead >= MARGIN)

    def _scores(self, words: Sequence[str], today: date) -> dict[str, float]:
        heard = frozenset(self._folded(self._reader.mended(words), today))
        total = sum(self._weight(word) for word in heard)
        scores: dict[str, float] = {}
        for name, way in self._examples:
            shared = sum(self._weights[word] for word in way & heard)
            if shared:
                own = sum(self._weights[word] for word in way)
                scores[name] = max(scores.get(name, 0.0), shared / math.sqrt(own * total))
        return scores

    def _weight(self, word: str) -> float:
        if word in self._weights:
            return self._weights[word]
        return 0.05 if word in self._reader.manners.fillers else 0.35

    def _folded(self, words: Sequence[str], today: date) -> list[str]:
        """Words with every value of a mentioned type as `{type}`."""
        mentioned = sorted(frozenset().union(*self.slots.values())) if self.slots else []
        found = self._reader.read({name: self._reader.slot(name) for name in mentioned}, words, today)
        starts = {reading.start: reading for reading in found.readings}
        folded: list[str] = []
        at = 0
        while at < len(words):
            reading = starts.get(at)
            folded.append(f"{{{reading.slot}}}" if reading else words[at])
            at = max(reading.end if reading else at + 1, at + 1)
        return folded

    def values(self, intent: str, words: Sequence[str], today: date) -> Understood:
        """Slots that came along with an intent."""
        form: dict[str, Slot] = {name: self._reader.slot(name) for name in sorted(self.slots[intent])}
        return self._reader.read(form, words, today)


def classifier(reader: Reader, node: str) -> Classifier:
    """That of a node, made once for each dialplan."""
    key = ("classifier", node)
    if key not in reader.kept:
        reader.kept[key] = Classifier(reader, reader.plan.nodes[node].intents)
    made: Classifier = reader.kept[key]
    return made


def command(reader: Reader, words: Sequence[str]) -> str | None:
    """Which of `help repeat restart operator goodbye wait hello` the whole utterance is, little words aside."""
    for name in _COMMANDS:
        phrases: tuple[str, ...] = getattr(reader.manners, name)
        if _is_all(phrases, words, reader.manners.fillers):
            return name
    return None


def _is_all(phrases: tuple[str, ...], words: Sequence[str], fillers: Iterable[str]) -> bool:
    fillers = frozenset(fillers)
    for start in range(len(words)):
        end = said_from(phrases, words, start)
        if end > start and all(word in fillers for word in words[end:]):
            return True
        if words[start] not in fillers:
            return False
    return False
