"""From a dialplan to what the recogniser should expect, one `Expectation` for every state of the flow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from voicebot.core import kinds
from voicebot.core.expect import Expectation, Mode
from voicebot.core.grammar import TypeUse, normalise
from voicebot.core.grammar import parse as parse_phrase
from voicebot.core.phrases import leaves, write
from voicebot.core.plan import Action, Decide, Dialplan, Node, Slot, TakeMessage
from voicebot.core.slots import Reader, reader_of, with_type

YES_NO_MS = (250, 450)
DIGITS_MS = (450, 1200)
DICTATED_MS = (700, 1500)
"""Who says something in their own words thinks between sentences."""
OPEN_MS = (350, 700)
SPELLED_MS = (600, 1100)
CORRECTIONS = ("[no] [actually] [make it | make that | i said | i meant] [a | an | with] {%s} [please | instead]",)
SHORT_DIGITS = 6
"""Digits up to which a grammar is quick enough."""
MAX_PAIRED = 6
"""Slots of a form up to which corrections of two at once are expected too."""


def expectations(plan: Dialplan) -> tuple[Expectation, ...]:
    """Every expectation the flow can reach: what a recogniser prepares when the dialplan loads."""
    reader = reader_of(plan)
    found: dict[str, Expectation] = {}
    for name, node in plan.nodes.items():
        for each in _of_node(reader, name, node):
            found.setdefault(each.name, each)
    return tuple(found.values())


def _of_node(reader: Reader, name: str, node: Node) -> Iterator[Expectation]:
    if node.collect:
        if node.examples:
            yield expected(reader, "form", name)
        for slot, spec in node.collect.items():
            if spec.ask or node.readback:  # after a read-back, any slot may be asked for again
                yield expected(reader, "asking", name, slot)
            if spec.confirm == "always" or (spec.confirm == "auto" and not node.readback):
                yield expected(reader, "checking", name, slot)
        if node.readback:
            yield expected(reader, "reading_back", name)
            yield expected(reader, "changing", name)
    elif node.intents or node.dtmf:
        yield expected(reader, "menu", name)
    if any(intent.title for intent in node.intents.values()):
        yield expected(reader, "checking", name)
    if any(_takes_message(actions) for actions in (node.do, *(intent.do for intent in node.intents.values()))):
        yield expected(reader, "message", name)


def _takes_message(actions: tuple[Action, ...]) -> bool:
    return any(
        isinstance(a, TakeMessage)
        or (isinstance(a, Decide) and (_takes_message(a.then) or _takes_message(a.otherwise)))
        for a in actions
    )


# --- one for each state ------------------------------------------------------------------------------------------


def expected(reader: Reader, what: str, name: str, slot: str = "") -> Expectation:
    """One of the expectations below by the name of its function, made once for each dialplan."""
    key = ("expectation", what, name, slot)
    if key not in reader.kept:
        simple = {"menu": menu, "form": form, "reading_back": reading_back, "changing": changing, "message": message}
        slotted = {"asking": asking, "checking": checking}
        made = simple[what](reader, name) if what in simple else slotted[what](reader, name, slot)
        reader.kept[key] = made
    found: Expectation = reader.kept[key]
    return found


def menu(reader: Reader, name: str) -> Expectation:
    """One of the node's intents."""
    node = reader.plan.nodes[name]
    phrases = [phrase for intent in node.intents.values() for phrase in intent.examples]
    return _made(reader, name, name, Mode.OPEN, [*phrases, *_commands(reader)], OPEN_MS, keys=1)


def form(reader: Reader, name: str) -> Expectation:
    """An open form: several slots in one breath, or a single one."""
    node = reader.plan.nodes[name]
    singles = _folded(phrase for slot in node.collect for phrase in _single(reader, slot))
    intents = [phrase for intent in node.intents.values() for phrase in intent.examples]
    first = next((spec for spec in node.collect.values() if spec.required), None)
    keys = 1 if node.dtmf or (first and first.dtmf) else 0
    phrases = [*node.examples, *singles, *intents, *_short_commands(reader)]
    return _made(reader, name, name, Mode.OPEN, phrases, OPEN_MS, keys=keys)


def asking(reader: Reader, name: str, slot: str) -> Expectation:
    """One slot was asked for; the rest of the form may come along."""
    node = reader.plan.nodes[name]
    spec = with_type(slot, node.collect[slot])
    where = f"{name}/{slot}"
    match spec.type:
        case "text":
            return Expectation(f"{reader.plan.name}/{where}", Mode.FREE, (), hints=_hints(reader), secret=spec.secret,
                               quick_ms=DICTATED_MS[0], pause_ms=DICTATED_MS[1])  # fmt: skip
        case "yesno":
            phrases = [*reader.manners.yes, *reader.manners.no, *_short_commands(reader)]
            return _made(reader, name, where, Mode.OPEN, phrases, YES_NO_MS, keys=1, secret=spec.secret)
        case "digits" | "phone" | "number":
            long = spec.type == "phone" or kinds.bounds(spec)[1] > SHORT_DIGITS
            mode, wait = Mode.OPEN if long and spec.type != "number" else Mode.CLOSED, DIGITS_MS
            phrases = [*_single(reader, slot), *_short_commands(reader)]
        case "date" | "time" | "letters" | "name":  # many ways to say it: a trigram is quicker than a grammar
            mode, wait = Mode.OPEN, SPELLED_MS if spec.type in ("letters", "name") else DIGITS_MS
            phrases = [*_single(reader, slot), *_short_commands(reader)]
        case _:
            mode, wait = Mode.OPEN, OPEN_MS
            phrases = [*_single(reader, slot), *_corrections(node, only=slot), *node.examples, *_short_commands(reader)]
    return _made(reader, name, where, mode, phrases, wait, keys=kinds.keys(spec), secret=spec.secret)


def checking(reader: Reader, name: str, slot: str) -> Expectation:
    """Yes or no to one value (or, with no slot, to an intent); a correction counts too."""
    node = reader.plan.nodes[name]
    secret = bool(slot) and node.collect[slot].secret
    corrections = [pattern % slot for pattern in CORRECTIONS] if slot and _sayable(reader, slot) else []
    phrases = [*reader.manners.yes, *reader.manners.no, *corrections, *_commands(reader)]
    where = f"{name}/{slot}?" if slot else f"{name}/intent?"
    return _made(reader, name, where, Mode.OPEN, phrases, YES_NO_MS, keys=1, secret=secret)


def reading_back(reader: Reader, name: str) -> Expectation:
    """Yes, no, or what to change: too many ways for a grammar, so a trigram, in which yes and no are frequent."""
    node = reader.plan.nodes[name]
    phrases = [*reader.manners.yes, *reader.manners.no, *_corrections(node), *_short_commands(reader)]
    return _made(reader, name, f"{name}/readback", Mode.OPEN, phrases, YES_NO_MS, keys=1)


def changing(reader: Reader, name: str) -> Expectation:
    """What to change, after a bare "no"."""
    node = reader.plan.nodes[name]
    named = [f"[change] the {slot.replace('_', ' ')} [please | to {{{slot}}}]" for slot in node.collect
             if _sayable(reader, slot)]  # fmt: skip
    singles = [phrase for slot in node.collect for phrase in _single(reader, slot)]
    phrases = [*_corrections(node), *named, *singles, *node.examples, "nothing", *_short_commands(reader)]
    return _made(reader, name, f"{name}/change", Mode.OPEN, phrases, OPEN_MS)


def message(reader: Reader, name: str) -> Expectation:
    """Free speech, to be written down."""
    return Expectation(f"{reader.plan.name}/{name}/message", Mode.FREE, (), hints=_hints(reader),
                       quick_ms=1500, pause_ms=2000)  # fmt: skip


# --- phrases -----------------------------------------------------------------------------------------------------


def _commands(reader: Reader) -> list[str]:
    """As one phrase: where sentences are sampled from the phrases, commands are to be rare among them."""
    m = reader.manners
    return _folded((*m.help, *m.repeat, *m.restart, *m.wait, *m.hello, *(m.operator if reader.plan.operator else ())))


def _short_commands(reader: Reader) -> list[str]:
    """A word or two for each command, for open forms: there every further word costs accuracy."""
    m = reader.manners
    groups = (m.help, m.repeat, m.restart, *((m.operator,) if reader.plan.operator else ()))
    return _folded(group[0] for group in groups)


def _folded(phrases: Iterable[str]) -> list[str]:
    """Several phrases as one choice."""
    return [f"({' | '.join(phrases)})"] if (phrases := tuple(phrases)) else []


def _sayable(reader: Reader, slot: str) -> bool:
    kind = reader.slot(slot).type
    return kind not in ("text", "yesno") and (kind != "name" or bool(_names(reader)))


def _single(reader: Reader, slot: str) -> list[str]:
    """A slot alone, as an answer."""
    spec = reader.slot(slot)
    match spec.type:
        case "yesno":
            return []
        case "text":
            return []
        case "name":
            named = [f"[it's | my name is | this is] {{{slot}}}"] if _names(reader) else []
            spelled = " ".join(["{letter}"] * 2 + ["[{letter}]"] * 10)
            return [*named, spelled, "my name is " + spelled]
        case "date" | "time":
            return [f"{{{slot}}} [please]"]
        case "digits" | "phone" | "number" | "letters":
            return [f"[it's | that's] {{{slot}}}"]
        case _:
            return [
                f"{{{slot}}} [please]",
                f"[i'd like | i want | i'll have | make it | just] [a | an | the] {{{slot}}}",
            ]


def _corrections(node: Node, only: str = "") -> list[str]:
    """`no, make it {size}`, and two at once where a form is small."""
    slots = [s for s, spec in node.collect.items() if with_type(s, spec).type not in ("text", "yesno", "name")]
    singles = [pattern % slot for slot in ([only] if only else slots) for pattern in CORRECTIONS]
    if only or len(slots) > MAX_PAIRED:
        return singles
    pairs = [f"[no] [make it] [a | an] {{{a}}} [and | with] {{{b}}}" for a in slots for b in slots
             if a != b and node.collect[a].type not in kinds.BUILT_IN]  # fmt: skip
    removals = [f"(no | without) {{{slot}}}" for slot in slots if not node.collect[slot].required]
    return [*singles, *pairs, *removals]


def _names(reader: Reader) -> list[str]:
    """Names a caller may give, as phrases."""
    return [" ".join(normalise(name)) for name in reader.plan.lexicon]


def _hints(reader: Reader) -> tuple[str, ...]:
    return tuple(reader.plan.lexicon)


def _made(
    reader: Reader,
    name: str,
    where: str,
    mode: Mode,
    phrases: Iterable[str],
    wait_ms: tuple[int, int],
    keys: int = 0,
    secret: bool = False,
) -> Expectation:
    node = reader.plan.nodes[name]
    kept = tuple(dict.fromkeys(reader.widened(phrase) for phrase in phrases))
    return Expectation(
        name=f"{reader.plan.name}/{where}",
        mode=mode,
        phrases=tuple(p for p in kept if _known(reader, node, p)),
        types=tuple(sorted(_types(reader, node, kept).items())),
        hints=_hints(reader),
        quick_ms=wait_ms[0],
        pause_ms=wait_ms[1],
        bare=wait_ms != OPEN_MS,
        keys=keys,
        secret=secret,
        barge_in=node.barge_in or reader.plan.turns.barge_in,
        min_words=node.min_words or reader.plan.turns.min_words,
    )


def _mentioned(phrases: Iterable[str]) -> set[str]:
    return {leaf.name for phrase in phrases for leaf in leaves(parse_phrase(phrase)) if isinstance(leaf, TypeUse)}


def _known(reader: Reader, node: Node, phrase: str) -> bool:
    """A phrase about something that cannot be written as phrases (free names, free text) is left out."""
    return all(_phrases_of(reader, node, name) for name in _mentioned([phrase]))


def _types(reader: Reader, node: Node, phrases: Iterable[str]) -> Mapping[str, tuple[str, ...]]:
    """Every type that `phrases` reach, with its phrases."""
    found: dict[str, tuple[str, ...]] = {}
    waiting = sorted(_mentioned(phrases))
    while waiting:
        name = waiting.pop()
        if name not in found and (own := _phrases_of(reader, node, name)):
            found[name] = own
            waiting += sorted(_mentioned(own))
    return found


def _phrases_of(reader: Reader, node: Node, name: str) -> tuple[str, ...]:
    """Phrases of what `{name}` stands for: a slot of this node, any slot, a type, a part."""
    if name in kinds.PARTS:
        return kinds.PARTS[name]
    spec: Slot = with_type(name, node.collect[name]) if name in node.collect else reader.slot(name)
    if spec.type in reader.choices:
        return tuple(write(phrase) for _, phrase in reader.choices[spec.type])
    if spec.type == "name":
        return tuple(reader.widened(each) for each in _names(reader))
    return kinds.phrases(spec)
