"""The phrase notation of an `Expectation`: parse it, match text against it, sample from it.

    i'd like [a | an] {size} {drink} [with {milk}]      words, [optional], (this | that), {type}

Everything is bounded: a phrase has at most `MAX_CHARS` characters and `MAX_DEPTH` nested brackets, types may
not reach themselves, and no phrase may be longer than `MAX_WORDS` words once its types are filled in. Matching
keeps the set of reachable word positions per node, so it takes time in proportion to grammar × words², never
more, whatever the nesting.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import assert_never

from voicebot.core.expect import Expectation, Mode

MAX_CHARS = 4000
MAX_DEPTH = 12
MAX_WORDS = 120
HESITATIONS = frozenset(("uh", "um", "er", "erm", "hmm", "mm", "ah", "eh"))
"""Sounds that mean "I am not done": never words of a phrase unless the dialplan says so."""

COURTESIES = ("please", "thanks", "thank you")
"""Said after anything."""


class GrammarError(ValueError):
    """A phrase that cannot be read: `at` is the character in `phrase` (0-based) where it went wrong."""

    def __init__(self, message: str, phrase: str, at: int) -> None:
        super().__init__(f"{message}, at character {at + 1} of {phrase!r}.")
        self.message, self.phrase, self.at = message, phrase, at


@dataclass(frozen=True, slots=True)
class Word:
    text: str


@dataclass(frozen=True, slots=True)
class TypeUse:
    name: str


@dataclass(frozen=True, slots=True)
class Row:
    """One part after the other; with none, nothing at all."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """Exactly one of these; `[x]` is the choice between nothing and x."""

    options: tuple[Node, ...]


Node = Word | TypeUse | Row | Choice
NOTHING = Row(())

_TOKEN = re.compile(r"\s*(?:(?P<mark>[\[\]()|])|\{(?P<type>[^{}]*)\}|(?P<word>[^\s\[\](){}|]+)|(?P<bad>[{}]))")
_TYPE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_APOSTROPHES = str.maketrans({"’": "'", "‘": "'", "`": "'"})
_EDGE = '.,;:!?"…'


def normalise(text: str) -> list[str]:
    """Words as this module compares them: lower case, plain apostrophes, no punctuation around them."""
    words = (w.strip(_EDGE) for w in text.lower().translate(_APOSTROPHES).split())
    return [w for w in words if w]


# --- reading ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    """`[ ] ( ) |`, `type`, `word` or `end`."""
    text: str
    at: int


def _tokens(phrase: str) -> Iterator[_Token]:
    position = 0
    while match := _TOKEN.match(phrase, position):
        position = match.end()
        kind = match.lastgroup or ""
        at = match.end() - len(match.group(0).lstrip())
        match kind:
            case "mark":
                yield _Token(match["mark"], match["mark"], at)
            case "type":
                if not _TYPE_NAME.fullmatch(match["type"].strip()):
                    raise GrammarError("A type's name is letters, digits, _ and -", phrase, at)
                yield _Token("type", match["type"].strip(), at)
            case "word":
                for word in normalise(match["word"]):
                    yield _Token("word", word, at)
            case _:
                raise GrammarError(f"A {match['bad']!r} without its partner", phrase, at)
    yield _Token("end", "", len(phrase))


def parse(phrase: str) -> Node:
    """The phrase as a tree. `GrammarError` when it cannot be read."""
    if len(phrase) > MAX_CHARS:
        raise GrammarError(f"A phrase has at most {MAX_CHARS} characters", phrase[:40] + "…", MAX_CHARS)
    tokens = list(_tokens(phrase))
    node, position = _choice(phrase, tokens, 0, 0)
    if tokens[position].kind != "end":
        raise GrammarError(f"A {tokens[position].text!r} that nothing before it opened", phrase, tokens[position].at)
    if node == NOTHING:
        raise GrammarError("An empty phrase", phrase, 0)
    return node


def _choice(phrase: str, tokens: Sequence[_Token], position: int, depth: int) -> tuple[Node, int]:
    """Rows with `|` between them, up to a closing bracket or the end."""
    options: list[Node] = []
    while True:
        row, position = _row(phrase, tokens, position, depth)
        options.append(row)
        if tokens[position].kind != "|":
            break
        position += 1
    if len(options) > 1 and NOTHING in options:
        raise GrammarError("Nothing on one side of `|`", phrase, tokens[position].at)
    return (options[0] if len(options) == 1 else Choice(tuple(options))), position


def _row(phrase: str, tokens: Sequence[_Token], position: int, depth: int) -> tuple[Node, int]:
    parts: list[Node] = []
    while True:
        token = tokens[position]
        match token.kind:
            case "word":
                parts.append(Word(token.text))
                position += 1
            case "type":
                parts.append(TypeUse(token.text))
                position += 1
            case "[" | "(":
                inside, position = _bracket(phrase, tokens, position, depth + 1)
                parts.append(inside)
            case _:
                return (parts[0] if len(parts) == 1 else Row(tuple(parts))), position


def _bracket(phrase: str, tokens: Sequence[_Token], position: int, depth: int) -> tuple[Node, int]:
    opened = tokens[position]
    if depth > MAX_DEPTH:
        raise GrammarError(f"More than {MAX_DEPTH} brackets inside one another", phrase, opened.at)
    inside, position = _choice(phrase, tokens, position + 1, depth)
    wanted = "]" if opened.kind == "[" else ")"
    if tokens[position].kind != wanted:
        raise GrammarError(f"No {wanted!r} closes this {opened.kind!r}", phrase, opened.at)
    if inside == NOTHING:
        raise GrammarError("Nothing between the brackets", phrase, opened.at)
    return (Choice((NOTHING, inside)) if wanted == "]" else inside), position + 1


# --- a whole expectation ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Grammar:
    phrases: tuple[Node, ...]
    types: Mapping[str, Node]
    """Those that the phrases reach."""


@lru_cache(maxsize=256)
def grammar(expectation: Expectation) -> Grammar:
    """Parsed and checked: types known, not circular, no phrase beyond `MAX_WORDS`. `GrammarError` otherwise."""
    sources = dict(expectation.types)
    types: dict[str, Node] = {}
    longest: dict[str, int] = {}

    def enter(name: str, phrase: str, trail: tuple[str, ...]) -> int:
        if name in trail:
            raise GrammarError(f"Type {{{name}}} contains itself", phrase, max(phrase.find(name) - 1, 0))
        if name not in sources:
            raise GrammarError(f"There is no type {{{name}}}", phrase, max(phrase.find(name) - 1, 0))
        if name not in longest:
            if not sources[name]:
                raise GrammarError(f"Type {{{name}}} has no phrases", phrase, max(phrase.find(name) - 1, 0))
            options = [parse(each) for each in sources[name]]
            longest[name] = max(
                measure(node, each, (*trail, name)) for node, each in zip(options, sources[name], strict=True)
            )
            types[name] = options[0] if len(options) == 1 else Choice(tuple(options))
        return longest[name]

    def measure(node: Node, phrase: str, trail: tuple[str, ...]) -> int:
        match node:
            case Word():
                words = 1
            case TypeUse(name):
                words = enter(name, phrase, trail)
            case Row(parts):
                words = sum(measure(part, phrase, trail) for part in parts)
            case Choice(options):
                words = max(measure(option, phrase, trail) for option in options)
            case _:
                assert_never(node)
        if words > MAX_WORDS:
            raise GrammarError(f"It can be longer than {MAX_WORDS} words", phrase, 0)
        return words

    phrases = tuple(parse(phrase) for phrase in expectation.phrases)
    for node, phrase in zip(phrases, expectation.phrases, strict=True):
        measure(node, phrase, ())
    return Grammar(phrases, types)


def vocabulary(expectation: Expectation) -> set[str]:
    """Every word that the phrases can contain."""
    rules = grammar(expectation)
    found: set[str] = set()
    waiting: list[Node] = [*rules.phrases, *rules.types.values()]
    while waiting:
        match waiting.pop():
            case Word(text):
                found.add(text)
            case TypeUse():
                pass
            case Row(nodes) | Choice(nodes):
                waiting.extend(nodes)
    return found


# --- matching -----------------------------------------------------------------------------------------------


class _Matcher:
    """Where a node may end, for every place it may start, over one list of words."""

    def __init__(self, rules: Grammar, words: Sequence[str]) -> None:
        self._rules, self._words = rules, words
        self._known: dict[tuple[Node, int], frozenset[int]] = {}

    def ends(self, node: Node, start: int) -> frozenset[int]:
        match node:
            case Word(text):
                hit = start < len(self._words) and self._words[start] == text
                return frozenset((start + 1,)) if hit else frozenset()
            case TypeUse(name):
                key = (node, start)
                if key not in self._known:
                    self._known[key] = self.ends(self._rules.types[name], start)
                return self._known[key]
            case Row(parts):
                reached = frozenset((start,))
                for part in parts:
                    reached = frozenset(end for at in reached for end in self.ends(part, at))
                    if not reached:
                        break
                return reached
            case Choice(options):
                return frozenset(end for option in options for end in self.ends(option, start))
            case _:
                assert_never(node)

    def any_phrase(self, start: int) -> bool:
        return any(len(self._words) in self.ends(phrase, start) for phrase in self._rules.phrases)


def matches(expectation: Expectation, text: str) -> bool:
    """Whether the text is one of the phrases, exactly."""
    words = normalise(text)
    return len(words) <= MAX_WORDS and _Matcher(grammar(expectation), words).any_phrase(0)


def complete(expectation: Expectation, text: str) -> bool:
    """Whether the caller may well have said it all: the turn can end after `quick_ms`.

    Closed: the text is one of the phrases, courtesies and hesitations aside. Open: its last words are. A
    hesitation at the end ("a large, um") always means more to come.
    """
    words = normalise(text)
    if not words or words[-1] in HESITATIONS or expectation.mode is Mode.FREE or not expectation.phrases:
        return False
    known = vocabulary(expectation)
    words = [w for w in words if w not in HESITATIONS or w in known][-MAX_WORDS:]
    rules = grammar(expectation)
    for candidate in {tuple(words), tuple(_without_courtesy(words))}:
        matcher = _Matcher(rules, candidate)
        starts = range(len(candidate)) if expectation.mode is Mode.OPEN else range(min(1, len(candidate)))
        if any(matcher.any_phrase(start) for start in starts):
            return True
    return False


def _without_courtesy(words: Sequence[str]) -> Sequence[str]:
    for courtesy in COURTESIES:
        tail = courtesy.split()
        if len(words) > len(tail) and list(words[-len(tail) :]) == tail:
            return words[: -len(tail)]
    return words


# --- sampling -----------------------------------------------------------------------------------------------


def sample(expectation: Expectation, count: int, seed: int) -> list[str]:
    """`count` sentences, drawn phrase by phrase and option by option with equal weight; the same for the same
    arguments. A phrase may yield the empty sentence where all of it is optional."""
    rules = grammar(expectation)
    if not rules.phrases:
        return []
    chance = random.Random(seed)
    draws: dict[Node, _Draw] = {}
    phrases = [_draw(phrase, rules, chance.random, draws) for phrase in rules.phrases]
    sentences = []
    for _ in range(count):
        words: list[str] = []
        chance.choice(phrases)(words)
        sentences.append(" ".join(words))
    return sentences


_Draw = Callable[[list[str]], None]
"""Puts the words of one way to say a node behind those that are there."""


def _draw(node: Node, rules: Grammar, chance: Callable[[], float], draws: dict[Node, _Draw]) -> _Draw:
    """What draws from a node; a function each, because ten thousand sentences are drawn from every expectation. `draws`
    are those of types, which many nodes use."""
    match node:
        case Word(text):
            return lambda words: words.append(text)
        case TypeUse(name):
            if node not in draws:
                draws[node] = _draw(rules.types[name], rules, chance, draws)
            return draws[node]
        case Row(parts):
            row = tuple(_draw(part, rules, chance, draws) for part in parts)

            def draw_all(words: list[str]) -> None:
                for draw in row:
                    draw(words)

            return draw_all
        case Choice(options):
            choice, count = tuple(_draw(option, rules, chance, draws) for option in options), len(options)
            return lambda words: choice[int(chance() * count)](words)
        case _:
            assert_never(node)
