"""An interpreted call as a dialplan has it: the two sides, what each is told at the start, what may be said."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from voicebot.core.dialplan_faults import Fault
from voicebot.core.events import Timing
from voicebot.core.expect import Expectation, Mode
from voicebot.core.plan import Dialplan, Engines, Interpret, Node, Sentences
from voicebot.core.responders import NATIVE

CALLER, CALLEE = "caller", "callee"
ONLY = "interpreted"
FOR_EVER = 10**6
DESTINATION = re.compile(r"(browser|\+[1-9][0-9]{6,14}|sips?:[A-Za-z0-9._+-]+@[A-Za-z0-9.:-]+)$")


@dataclass(frozen=True, slots=True)
class Words:
    """What an interpreter says itself, in one language."""

    notice: str
    """To both, first of all; it is heard to its end."""
    alone: str
    """… to a caller who is translated for nobody else."""
    moment: str
    not_reached: str
    over: str
    """The other side is gone."""
    sorry: str
    trouble: str


_ENGLISH = Words(
    "This call is interpreted. Please speak in short sentences, and wait for the translation.",
    "Speak, and you will hear the translation.",
    "One moment, please.",
    "I'm sorry, nobody answered. Goodbye.",
    "The other side has hung up. Goodbye.",
    "I'm sorry, that could not be translated. Please say it again.",
    "I'm sorry, I cannot interpret just now. Goodbye.",
)
WORDS: Mapping[str, Words] = {
    "en": _ENGLISH,
    "es": Words(
        "Esta llamada se interpreta. Hable en frases cortas y espere la traducción.",
        "Hable, y oirá la traducción.",
        "Un momento, por favor.",
        "Lo siento, nadie contesta. Adiós.",
        "La otra persona ha colgado. Adiós.",
        "Lo siento, no se pudo traducir. Repítalo, por favor.",
        "Lo siento, ahora no puedo interpretar. Adiós.",
    ),
    "de": Words(
        "Dieses Gespräch wird gedolmetscht. Bitte sprechen Sie in kurzen Sätzen und warten Sie die Übersetzung ab.",
        "Sprechen Sie, und Sie hören die Übersetzung.",
        "Einen Moment, bitte.",
        "Es tut mir leid, niemand hat abgenommen. Auf Wiederhören.",
        "Die andere Seite hat aufgelegt. Auf Wiederhören.",
        "Das konnte nicht übersetzt werden. Bitte sagen Sie es noch einmal.",
        "Es tut mir leid, ich kann gerade nicht dolmetschen. Auf Wiederhören.",
    ),
    "fr": Words(
        "Cet appel est interprété. Parlez par phrases courtes et attendez la traduction.",
        "Parlez, et vous entendrez la traduction.",
        "Un instant, s'il vous plaît.",
        "Je suis désolé, personne ne répond. Au revoir.",
        "L'autre personne a raccroché. Au revoir.",
        "Je suis désolé, je n'ai pas pu traduire. Répétez, s'il vous plaît.",
        "Je suis désolé, je ne peux pas interpréter maintenant. Au revoir.",
    ),
}
"""By language; others are told in English."""


def words_for(language: str) -> Words:
    """What is said to somebody who speaks this language."""
    return WORDS.get(language.partition("-")[0], _ENGLISH)


def spec(plan: Dialplan) -> Interpret:
    """What an interpreted call's dialplan says about it; `check_interpreting` has seen that it says something."""
    assert plan.interpret is not None
    return plan.interpret


def notice_for(side: Dialplan) -> str:
    """The first sentence for one side."""
    words = words_for(side.language)
    return words.notice if spec(side).call else words.alone


def sides(plan: Dialplan) -> tuple[Dialplan, Dialplan]:
    """The dialplan as each side's session has it: language, engines, sentences. The second is the other side's."""
    told = spec(plan)
    theirs = told.theirs or plan.engines
    theirs = theirs.model_copy(update={"options": {**plan.engines.options, **theirs.options}})
    one = _side(plan, plan.language, told.to, plan.engines.model_copy(update={"native": told.by}))
    return one, _side(plan, told.to, plan.language, theirs.model_copy(update={"native": told.back or told.by}))


def _side(plan: Dialplan, language: str, other: str, engines: Engines) -> Dialplan:
    """`interpret.to` is the language of whoever is on the other side of this one."""
    words = words_for(language)
    sentences = Sentences(
        one_moment=words.moment, waiting=words.moment, still_here=words.moment, welcome_back=words.notice,
        sorry=words.sorry, trouble=words.trouble, putting_through=words.trouble, still_there=(words.not_reached,),
        goodbye=words.over, busy=words.moment,
    )  # fmt: skip
    changed = {
        "name": plan.name if language == plan.language else f"{plan.name}_other_side",
        "language": language,
        "interpret": spec(plan).model_copy(update={"to": other}),
        "engines": engines.model_copy(update={"responder": NATIVE}),
        "sentences": sentences,
        "operator": "",
        "start": ONLY,
        "nodes": {ONLY: Node(say=(words.notice, words.alone))},  # so that they are spoken before the first call
    }
    return plan.model_copy(update=changed)


def expectation(side: Dialplan) -> Expectation:
    """Anything at all, until a pause; where a phrasebook translates, what is in it."""
    pause_ms, turns = spec(side).pause_ms, side.turns
    book = phrases(side)
    return Expectation(
        f"{side.name}/{side.language}", Mode.CLOSED if book else Mode.FREE, book, quick_ms=pause_ms, pause_ms=pause_ms,
        barge_in=turns.barge_in, min_words=turns.min_words,
    )  # fmt: skip


def phrases(side: Dialplan) -> tuple[str, ...]:
    """The sentences of a phrasebook that this side may say: a small recogniser understands little else."""
    languages = f"{side.language.partition('-')[0]}-{spec(side).to.partition('-')[0]}"
    book = side.engines.options.get("phrasebook", {}).get(languages, {}) if "phrasebook" in spec(side).text else {}
    return tuple(" ".join(re.findall(r"[\w']+", str(text).lower())) for text in book)


def silences_of(plan: Dialplan) -> int:
    """Silences in a row that end a call. Who listens to an interpreted one is silent for as long as the other
    speaks."""
    return FOR_EVER if plan.mode == "interpret" else Timing().silences


def check_interpreting(plan: Dialplan) -> Iterator[Fault]:
    """A mode without its settings, settings without their mode, two sides with one language."""
    if plan.mode == "interpret" and plan.interpret is None:
        yield Fault(("mode",), "It does not say between whom to interpret.", "Add `interpret: {to: en-US}`.")
    if plan.mode != "interpret" and plan.interpret is not None:
        yield Fault(("interpret",), "This is for interpreted calls only.", "Add `mode: interpret`.")
    if plan.interpret is not None and plan.interpret.call and not DESTINATION.match(plan.interpret.call):
        yield Fault(
            ("interpret", "call"), "Nobody can be called there.", "Write +15550100, sip:anna@example.com or browser."
        )
    if plan.interpret is not None and plan.interpret.to == plan.language:
        yield Fault(("interpret", "to"), f"Both sides speak {plan.language}.", "Say what the other side speaks.")
