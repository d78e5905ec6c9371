"""Slots out of what was heard: several from one breath, in any order, with corrections.

`Reader` compiles a dialplan's types once. `read` finds every value of a form's slots in an utterance; where
spans collide the longer wins, then the slot that was asked for. "not medium, small" sets small; "no milk" and
"without milk" empty an optional slot.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from difflib import SequenceMatcher
from functools import lru_cache
from typing import Any

from voicebot.core import call_headers, kinds, manners
from voicebot.core import lexicon as names
from voicebot.core.grammar import Choice, Node, Word
from voicebot.core.grammar import parse as parse_phrase
from voicebot.core.phrases import firsts, leaves, longest, write
from voicebot.core.plan import Dialplan, Slot
from voicebot.core.spoken_numbers import ALPHABET, ONES, ORDINALS, TEENS, TENS, letters
from voicebot.core.spoken_times import MONTHS, WEEKDAYS
from voicebot.core.terms import Terms

Form = Mapping[str, Slot]
ARTICLES = frozenset("a an the any some more my with".split())
NEGATIONS = frozenset("not without isn't minus".split())
REMOVALS = (
    ("instead", "of"), ("rather", "than"), ("hold",), ("skip",), ("remove",), ("take", "off"), ("leave", "out"),
    ("take", "out"), ("no", "more"), ("don't", "want"), ("leave", "off"),
)  # fmt: skip
NAME_MARKERS = (
    ("my", "name", "is"), ("the", "name", "is"), ("name", "is"), ("my", "name's"), ("this", "is"), ("i", "am"),
    ("i'm",), ("it's",), ("it", "is"), ("call", "me"), ("name", "of"),
)  # fmt: skip
NAME_WORDS = 4
MAX_MENDED = 2000
"""Words whose mending is remembered."""
MAX_READERS = 32
"""Dialplans whose compiled types are kept for the process."""
_NEVER_MENDED = frozenset((*MONTHS, *WEEKDAYS, *ONES, *TEENS, *TENS, *ORDINALS, *ALPHABET))


@dataclass(frozen=True, slots=True)
class Reading:
    """A value found in the words `start:end`. An empty value empties the slot."""

    slot: str
    value: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Understood:
    """What an utterance says about a form."""

    readings: tuple[Reading, ...]
    """At most one for each slot, in the order heard."""
    refused: tuple[Reading, ...]
    """Values said to be wrong: `not medium`."""
    used: frozenset[int]
    """Indices of the words that this explains."""

    @property
    def values(self) -> dict[str, str]:
        return {reading.slot: reading.value for reading in self.readings}


class Reader:
    """A dialplan's types, compiled: shared by all its calls."""

    def __init__(self, plan: Dialplan) -> None:
        self.plan = plan
        self.manners = manners.of(plan.language)
        self.month_first = plan.language.endswith("-US")
        self._terms = names.heard(plan.lexicon)
        self._spelled = {key.lower(): key for key in plan.lexicon}
        self.choices: dict[str, tuple[tuple[str | None, Node], ...]] = {
            name: tuple(self._values(choices)) for name, choices in plan.types.items()
        }
        """Type to (value, phrase); a value of None is what was said."""
        self.types: dict[str, Node] = {
            name: Choice(tuple(node for _, node in values)) for name, values in self.choices.items()
        }
        self._starts = {
            name: tuple((value, node, firsts(node, self.types)) for value, node in values)
            for name, values in self.choices.items()
        }
        self.slots = _slots(plan)
        self.headers = call_headers.mentioned(plan)
        """Slots of the headers that it mentions."""
        self.kept: dict[tuple[str, ...], Any] = {}
        """What other modules derive from the dialplan once: expectations, classifiers."""
        self.known = frozenset(leaf.text for leaf in self._leaves() if isinstance(leaf, Word)) | _NEVER_MENDED
        self.terms = Terms(plan.lexicon, self.known)
        """The lexicon, to be found in what was heard."""
        self._mended: dict[str, str] = {}

    def _values(self, choices: Sequence[str] | Mapping[str, Sequence[str]]) -> Iterator[tuple[str | None, Node]]:
        if not isinstance(choices, Mapping):
            for phrase in choices:
                yield None, self._phrase(phrase)
            return
        for value, phrases in choices.items():
            for phrase in dict.fromkeys((value.lower(), *phrases)):
                yield value, self._phrase(phrase)

    def _phrase(self, text: str) -> Node:
        return names.widen(parse_phrase(text), self._terms)

    def _leaves(self) -> Iterable[object]:
        for node in self.types.values():
            yield from leaves(node)
        for plan_node in self.plan.nodes.values():
            for intent in plan_node.intents.values():
                for phrase in intent.examples:
                    yield from leaves(self._phrase(phrase))

    def widened(self, phrase: str) -> str:
        """The phrase with every term of the lexicon also in the ways it is heard."""
        return write(self._phrase(phrase))

    def slot(self, name: str) -> Slot:
        """The spec of a slot, by name: collected anywhere, else the type of that name."""
        return self.slots.get(name) or Slot(type=name)

    def mended(self, words: Sequence[str]) -> list[str]:
        """Words that nearly are one of the dialplan's long words (a typing slip, an odd spelling) as that word."""
        return [word if word in self.known or len(word) < 5 else self._nearest(word) for word in words]

    def _nearest(self, word: str) -> str:
        if word not in self._mended:
            if len(self._mended) >= MAX_MENDED:
                self._mended.clear()
            self._mended[word] = self._search(word)
        return self._mended[word]

    def _search(self, word: str) -> str:
        def alike(known: str) -> float:
            matcher = SequenceMatcher(None, word, known)
            return matcher.ratio() if matcher.real_quick_ratio() > 0.84 else 0.0

        best = max((k for k in self.known if len(k) >= 5 and k[0] == word[0]), key=alike, default=word)
        return best if best == word or alike(best) > 0.84 else word

    # --- reading ---------------------------------------------------------------------------------------------

    def read(self, form: Form, words: Sequence[str], today: date, asked: str = "") -> Understood:
        """Everything `words` says about `form`; `asked` is the slot the question was about."""
        fixed = self.mended(words)
        drowned = _drowned(form[asked]) if asked in form else frozenset()
        found = [
            reading
            for name, spec in form.items()
            if name == asked or spec.type not in drowned
            for reading in self._all(name, spec, fixed, words, today, name == asked)
        ]
        order = {name: place for place, name in enumerate(form)}
        found.sort(key=lambda r: (r.start - r.end, r.slot != asked, order[r.slot], -r.start))
        taken: dict[int, Reading] = {}
        for reading in found:
            if not any(index in taken for index in range(reading.start, reading.end)):
                taken.update(dict.fromkeys(range(reading.start, reading.end), reading))
        return self._judged(form, sorted(set(taken.values()), key=lambda r: r.start), fixed)

    def _judged(self, form: Form, found: Sequence[Reading], words: Sequence[str]) -> Understood:
        """Sorts what is wanted from what is refused; the last value of a slot stands."""
        wanted: dict[str, Reading] = {}
        refused: list[Reading] = []
        used: set[int] = set()
        for reading in found:
            before, denied = _denied(words, reading.start)
            used.update(range(reading.start, reading.end))
            if denied == "no" and form[reading.slot].required:
                denied = ""
            if not denied:
                wanted.pop(reading.slot, None)
                wanted[reading.slot] = reading
                continue
            used.update(range(before, reading.start))
            refused.append(reading)
            if denied in ("no", "without") and not form[reading.slot].required:
                wanted.setdefault(reading.slot, Reading(reading.slot, "", before, reading.end))
        return Understood(tuple(wanted.values()), tuple(refused), frozenset(used))

    def _all(
        self, name: str, spec: Slot, words: Sequence[str], raw: Sequence[str], today: date, asked: bool
    ) -> Iterator[Reading]:
        if spec.type == "text":
            if asked and raw:
                yield Reading(name, " ".join(raw), 0, len(raw))
            return
        if spec.type == "name":
            yield from self._names(name, raw, asked)
            return
        at = 0
        while at < len(words):
            value = self._value(spec, words, at, today, asked)
            if value is not None:
                yield Reading(name, value[0], at, value[1])
                at = value[1] if spec.type in kinds.BUILT_IN else at + 1
            else:
                at += 1

    def _value(self, spec: Slot, words: Sequence[str], at: int, today: date, asked: bool) -> tuple[str, int] | None:
        if spec.type == "yesno":
            return self._yesno(words, at) if asked else None
        if spec.type not in self.choices:
            return kinds.spoken(spec, words, at, today, self.month_first, asked)
        best: tuple[str, int] | None = None
        for value, node, starts in self._starts[spec.type]:
            end = longest(node, words, at, self.types) if words[at] in starts else at
            if end > (best[1] if best else at):
                best = (value if value is not None else " ".join(words[at:end]), end)
        return best

    def _yesno(self, words: Sequence[str], at: int) -> tuple[str, int] | None:
        said = self.agreement(words[at:])
        return None if said is None or at else (said, len(words))

    def agreement(self, words: Sequence[str]) -> str | None:
        """`yes`, `no`, or None where neither was said, or both."""
        best: dict[str, tuple[int, int]] = {}
        for answer, phrases in (("yes", self.manners.yes), ("no", self.manners.no)):
            for at in range(len(words)):
                length = said_from(phrases, words, at) - at
                best[answer] = max(best.get(answer, (0, 0)), (length, -at))
        yes, no = best.get("yes", (0, 0)), best.get("no", (0, 0))
        if yes[0] == no[0]:  # "no, yes": take it back; "no" first and alone after it counts as no
            return None if not yes[0] or yes[1] == no[1] else ("no" if no[1] > yes[1] else None)
        return "yes" if yes[0] > no[0] else "no"

    def _names(self, slot: str, words: Sequence[str], asked: bool) -> Iterator[Reading]:
        """Free names are taken only when asked for, or after "my name is"."""
        start = next(
            (at + len(m) for at in range(len(words)) for m in NAME_MARKERS if tuple(words[at : at + len(m)]) == m),
            None,
        )
        if start is None and not asked:
            return
        start = start or 0
        while start < len(words) and words[start] in self.manners.fillers:
            start += 1
        free = start
        while free < len(words) and free - start < NAME_WORDS and self._may_be_name(words, free):
            free += 1
        run = letters(words, free) if free < len(words) else None
        parts = [self._as_term(word) for word in words[start:free]]
        end = free
        if run and len(run[0]) >= 2:
            if parts and SequenceMatcher(None, parts[-1].lower(), run[0].lower()).ratio() > 0.5 and len(parts) > 1:
                parts.pop()  # "john smith, s m i t h": the spelling is the better ear
            elif len(parts) == 1 and SequenceMatcher(None, parts[0].lower(), run[0].lower()).ratio() > 0.5:
                parts.pop()
            parts.append(run[0].title())
            end = run[1]
        if parts:
            yield Reading(slot, " ".join(parts), start, end)

    def _may_be_name(self, words: Sequence[str], at: int) -> bool:
        word = words[at]
        stop = self.manners.fillers | {"yes", "no", "calling", "speaking", "born", "about", "on", "at", "with"}
        return len(word) > 1 and word.replace("'", "").replace("-", "").isalpha() and word not in stop

    def _as_term(self, word: str) -> str:
        if spelled := self._spelled.get(word):
            return spelled
        for key, node in self._terms.items():
            if longest(node, [word], 0, {}) == 1:
                return next(spelled for spelled in self.plan.lexicon if spelled.lower() == key)
        return "-".join(part.capitalize() for part in word.split("-"))

    def valid(self, spec: Slot, value: str) -> bool:
        """Whether `value` belongs to the type of `spec`."""
        if spec.type not in self.choices:
            return kinds.valid(spec, value)
        words = value.split()
        for known, node in self.choices[spec.type]:
            if known == value or (known is None and longest(node, words, 0, self.types) == len(words) > 0):
                return True
        return False


def _drowned(asked: Slot) -> frozenset[str]:
    """Types that are not looked for while another is asked for: half a phone number is no time of day, and
    "march third" after "when were you born?" is no day to come."""
    match asked.type:
        case "digits" | "phone" | "number":
            return frozenset(("digits", "phone", "number", "date", "time"))
        case "date" if asked.past:
            return frozenset(("digits", "number", "date", "time"))
        case "date":
            return frozenset(("date",))
        case "letters" | "name":
            return frozenset(("letters", "name"))
        case _:
            return frozenset()


def _slots(plan: Dialplan) -> dict[str, Slot]:
    """Every slot that some form collects, its type filled in."""
    found: dict[str, Slot] = {}
    for node in plan.nodes.values():
        for name, spec in node.collect.items():
            found.setdefault(name, with_type(name, spec))
    return found


def with_type(name: str, spec: Slot) -> Slot:
    """A slot without a type has the type it is named after."""
    return spec if spec.type else spec.model_copy(update={"type": name})


_readers: dict[str, Reader] = {}


def reader_of(plan: Dialplan) -> Reader:
    """The reader of a dialplan, compiled once for each content."""
    key = plan.hash
    if key not in _readers:
        while len(_readers) >= MAX_READERS:
            _readers.pop(next(iter(_readers)))
        _readers[key] = Reader(plan)
    return _readers[key]


@lru_cache(maxsize=64)
def _compiled(phrases: tuple[str, ...]) -> tuple[tuple[Node, frozenset[str]], ...]:
    """Built-in phrases with the words they begin with; there are a handful of such lists."""
    return tuple((node, firsts(node, {})) for node in map(parse_phrase, phrases))


def said_from(phrases: tuple[str, ...], words: Sequence[str], at: int) -> int:
    """Where the longest of these phrases ends that begins at `at`; `at` when none does."""
    nodes = [node for node, starts in _compiled(phrases) if words[at] in starts]
    return max((longest(node, words, at, {}) for node in nodes), default=at)


def _denied(words: Sequence[str], start: int) -> tuple[int, str]:
    """Where the denial before `start` begins, and its kind: `not` (wrong value), `without`, `no`, or empty."""
    if start and words[start - 1] == "no":
        return start - 1, "no"
    at = start
    while at and words[at - 1] in ARTICLES:
        at -= 1
    if at and words[at - 1] in NEGATIONS:
        return at - 1, "without" if words[at - 1] in ("without", "minus") else "not"
    for removal in REMOVALS:
        if tuple(words[max(at - len(removal), 0) : at]) == removal:
            return at - len(removal), "not" if removal[-1] in ("of", "than") else "without"
    return start, ""
