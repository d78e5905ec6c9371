"""Collecting a form: fill, correct, confirm, read back. Functions over one call's `Talk`; each answers with an
`Outcome` and leaves it to `core.flow` to act on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import Enum, auto

from voicebot.core import kinds
from voicebot.core.grammar import normalise
from voicebot.core.hearing import understand
from voicebot.core.plan import Node
from voicebot.core.prompts import Change, Check, Form, Readback, first_missing
from voicebot.core.sentences import filled
from voicebot.core.slots import Reading, Understood
from voicebot.core.spoken_numbers import digits as digit_run
from voicebot.core.talk import Talk
from voicebot.core.words import Words

DOUBTFUL = 0.4
"""A value surer than this is not asked back (unless the dialplan says always)."""
UNSURE = 0.75
"""A value less sure than this is repeated in passing."""
PIECES = 4
"""Pieces in which a number may be given."""
READBACKS = 6
"""Times, over the reprompts, that a form may be changed and read back."""


class Outcome(Enum):
    WAIT = auto()
    """Something was said; the caller is next."""
    COMPLETE = auto()
    """The form is full and agreed: do what the node says."""
    MISSED = auto()
    """Nothing in this was about the form."""


Sure = Mapping[str, float]
"""Slot to how surely its value was heard, 0..1."""


def opened(talk: Talk) -> Outcome:
    """A form is entered. The `say` of an open form (one with examples) is its question; another's leads in to
    the first question."""
    node = talk.node
    missing = first_missing(node, talk.memory)
    fresh = not any(slot in talk.memory for slot in node.collect)
    if node.examples and missing and fresh and node.say:
        talk.state = Form()
        talk.say_next(talk.node_name, node.say, node.interruptible)
        return Outcome.WAIT
    if not node.examples:
        talk.say_next(talk.node_name, node.say, node.interruptible)
    return advance(talk, ())


def advance(talk: Talk, changed: Sequence[str]) -> Outcome:
    """Go on with the form: confirm what is doubtful, ask for what is missing, read back."""
    node = talk.node
    for slot in node.collect:
        if slot in changed and _needs_check(talk, node, slot):
            talk.state = Check(slot)
            talk.ask()
            return Outcome.WAIT
    missing = first_missing(node, talk.memory)
    if missing:
        _echo(talk, changed)
        ask_for(talk, missing)
        return Outcome.WAIT
    if not node.readback:
        return Outcome.COMPLETE
    talk.state = Readback()
    talk.asked["readback"] += 1
    if talk.asked["readback"] > READBACKS + talk.plan.limits.reprompts:
        talk.give_up()
    else:
        talk.ask()
    return Outcome.WAIT


def _needs_check(talk: Talk, node: Node, slot: str) -> bool:
    known, mode = talk.memory.filled.get(slot), node.collect[slot].confirm
    if known is None or known.confirmed or mode == "never":
        return False
    return mode == "always" or (not node.readback and known.sure < DOUBTFUL)


def _echo(talk: Talk, changed: Sequence[str]) -> None:
    """Repeats doubtful values in passing, so that a wrong one is corrected at once."""
    memory = talk.memory
    unsure = [s for s in changed if s in memory and memory.filled[s].sure < UNSURE and not talk.reader.slot(s).secret]
    if said := ", ".join(memory.said(slot) for slot in unsure):
        talk.say(filled(talk.reader.manners.understood, value=said[0].upper() + said[1:]))


def ask_for(talk: Talk, slot: str, text: str = "") -> None:
    """Ask for one slot, in its own words unless there is a `text`; give up when it was asked for too often."""
    talk.asked[slot] += 1
    if talk.asked[slot] > 4 + talk.plan.limits.reprompts:
        talk.give_up()
        return
    talk.state = Form(slot)
    if text:
        talk.say(text)
    else:
        talk.ask()


# --- hearing -----------------------------------------------------------------------------------------------------


def fill(talk: Talk, state: Form, words: Words) -> Outcome:
    """The caller answered the form's question."""
    form, today = talk.form(), talk.memory.today
    found, sure = understand(talk.reader, form, words, today, state.asked)
    if state.heard and state.asked not in found.values:
        joined, joined_sure = understand(talk.reader, form, words, today, state.asked, state.heard)
        if state.asked in joined.values:
            found, sure = joined, joined_sure
    if found.readings or found.refused:
        talk.misses = 0
        return advance(talk, apply(talk, found, sure))
    return Outcome.WAIT if _keep_piece(talk, state, words) else Outcome.MISSED


def _keep_piece(talk: Talk, state: Form, words: Words) -> bool:
    """Keeps half a number, or a birthday without its year, and asks for the rest."""
    if not state.asked or talk.asked[f"{state.asked} piece"] >= PIECES:
        return False
    heard = (*state.heard, *normalise(words.text))
    kind = talk.form()[state.asked].type
    if kind in ("digits", "phone") and any(digit_run(heard, at) for at in range(len(heard))):
        text = talk.reader.manners.continue_entry
    elif kind == "date" and any(month in heard for month in kinds.PARTS["month"]):
        text = talk.reader.manners.ask_year
    else:
        return False
    talk.asked[f"{state.asked} piece"] += 1
    talk.state = Form(state.asked, heard)
    talk.say(text)
    return True


def apply(talk: Talk, found: Understood, sure: Sure) -> tuple[str, ...]:
    """Puts into memory what was found; the slots that changed, in the order heard."""
    changed = [r.slot for r in found.refused if talk.memory.value(r.slot) == r.value and talk.memory.drop(r.slot)]
    changed += [r.slot for r in found.readings if _takes(talk, r, sure.get(r.slot, 1.0))]
    return tuple(dict.fromkeys(changed))


def _takes(talk: Talk, reading: Reading, sure: float) -> bool:
    """Whether this changed anything."""
    memory = talk.memory
    known = memory.filled.get(reading.slot)
    if not reading.value:
        return memory.drop(reading.slot)
    if known and known.value == reading.value:
        memory.filled[reading.slot] = replace(known, sure=max(sure, known.sure))
        return False
    talk.asked[reading.slot] = talk.asked[f"{reading.slot} piece"] = 0
    return memory.put(reading.slot, reading.value, sure)


# --- yes or no ---------------------------------------------------------------------------------------------------


def _heard(talk: Talk, words: Words) -> tuple[Understood, Sure, str | None]:
    """What a yes-or-no answer says about the form, and the yes or no in the rest of it."""
    form = {name: spec for name, spec in talk.form().items() if spec.type not in ("text", "yesno")}
    found, sure = understand(talk.reader, form, words, talk.memory.today)
    rest = [word for place, word in enumerate(normalise(words.text)) if place not in found.used]
    return found, sure, talk.reader.agreement(rest)


def checked(talk: Talk, slot: str, words: Words) -> Outcome:
    """An answer to "I heard …, is that right?"."""
    found, sure, answer = _heard(talk, words)
    if answer != "yes" and slot not in found.values:
        found, sure = _after_no(talk, slot, words) or (found, sure)
    known, tries = talk.memory.value(slot), f"{slot} check"
    changed = apply(talk, found, sure)
    talk.asked[tries] += 1
    worn_out = talk.asked[tries] > 3 + talk.plan.limits.reprompts
    if slot in changed and not worn_out:
        talk.misses = 0
        return advance(talk, changed)
    if answer == "yes" or (known and found.values.get(slot) == known):
        talk.misses = 0
        talk.memory.confirm(slot)
        return advance(talk, [each for each in changed if each != slot])
    if answer == "no" or worn_out:
        talk.memory.drop(slot)
        ask_for(talk, slot, _surer_way(talk, slot))
        return Outcome.WAIT
    return Outcome.MISSED


def _surer_way(talk: Talk, slot: str) -> str:
    """How to give what was heard wrongly: the same question would be misheard again. Empty where there is none."""
    match talk.form()[slot].type:
        case "name":
            return talk.reader.manners.spell_it
        case "digits" | "phone":
            return talk.reader.manners.key_it_in
        case _:
            return ""


def _after_no(talk: Talk, slot: str, words: Words) -> tuple[Understood, Sure] | None:
    """ "no, it's …": what follows the no answers the question before."""
    spec, said = talk.form()[slot], normalise(words.text)
    if spec.type in ("text", "yesno") or len(said) < 2 or said[0] not in ("no", "nope", "not"):
        return None
    found = talk.reader.read({slot: spec}, said[1:], talk.memory.today, slot)
    return (found, {slot: words.confidence}) if found.readings else None


def read_back(talk: Talk, words: Words) -> Outcome:
    """An answer to the read-back: yes, no, or a change at once."""
    said = normalise(words.text)
    if _objected(talk, said):
        return Outcome.WAIT
    found, sure, answer = _heard(talk, words)
    if changed := apply(talk, _replacing(talk, found, said), sure):
        talk.misses = 0
        talk.say(talk.reader.manners.changed)
        return advance(talk, changed)
    if answer == "yes" or (answer is None and found.readings and not found.refused):
        talk.misses = 0
        return Outcome.COMPLETE
    if _named(talk, said):
        return Outcome.WAIT
    if answer == "no":
        talk.state = Change()
        talk.ask()
        return Outcome.WAIT
    return Outcome.MISSED


def changed(talk: Talk, words: Words) -> Outcome:
    """An answer to "what should I change?"."""
    said = normalise(words.text)
    if _objected(talk, said):
        return Outcome.WAIT
    found, sure, answer = _heard(talk, words)
    slots = apply(talk, found, sure)
    if slots or found.readings or answer == "yes" or "nothing" in said:
        talk.misses = 0
        if slots:
            talk.say(talk.reader.manners.changed)
        return advance(talk, slots)
    return Outcome.WAIT if _named(talk, said) else Outcome.MISSED


def _replacing(talk: Talk, found: Understood, said: Sequence[str]) -> Understood:
    """ "no, soy milk" to "…with whole milk", or to no milk at all, means soy milk; "no milk" means none."""
    refused = {reading.slot: reading for reading in found.refused}
    readings = []
    for reading in found.readings:
        no, known = refused.get(reading.slot), talk.memory.value(reading.slot)
        other = no and no.value not in (known, reading.slot) and reading.start == 0 and said[:1] == ["no"]
        readings.append(no if no and other and not reading.value else reading)
    return replace(found, readings=tuple(readings))


def _objected(talk: Talk, said: Sequence[str]) -> bool:
    """ "the size is wrong", "change the size"; not "change the size to large"."""
    return bool(talk.reader.manners.objections & set(said)) and "to" not in said and _named(talk, said)


def _named(talk: Talk, said: Sequence[str]) -> bool:
    """Asks again for a slot that is mentioned by its name."""
    text = f" {' '.join(said)} "
    for slot in talk.node.collect:
        if f" {slot.replace('_', ' ')} " in text:
            talk.misses = 0
            ask_for(talk, slot)
            return True
    return False


# --- keys --------------------------------------------------------------------------------------------------------


def keyed(talk: Talk, state: Form, digits: str) -> Outcome:
    """Digits for the slot that was asked for, or the first that is missing."""
    slot = state.asked or first_missing(talk.node, talk.memory)
    if not slot:
        return Outcome.MISSED
    spec = talk.form()[slot]
    value = spec.dtmf.get(digits) or kinds.keyed(spec, digits, talk.memory.today, talk.reader.month_first)
    if value is None or not talk.memory.put(slot, value, 1.0):
        return Outcome.MISSED
    talk.misses = talk.asked[slot] = 0
    return advance(talk, (slot,))
