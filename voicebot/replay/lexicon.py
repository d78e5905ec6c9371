"""What the lexicon wins: names and jargon right with it and without, on real recordings and on synthesised callers.

* Names spelled by real people: the recogniser hears letters, the lexicon is a directory of all names there.
* Coffee orders by real people, heard with general English, as a recogniser hears that knows nothing of the dialplan:
  drink, size and roast are the terms.
* Names and jargon in sentences, spoken by espeak-ng's voices, heard by a recogniser that expects these sentences: once
  with the names as they are spelled, once with the ways in which the lexicon says they are said and heard.

Everything comes over a telephone (8 kHz, μ-law). Without the lexicon a term is right when it stands in the best
hypothesis; with it, when it is the term found. `asked` of those found are unsure enough for the flow to ask back or to
repeat them, right or wrong. Where no term was said, whatever is found is a false alarm.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from voicebot.core import lexicon
from voicebot.core.expect import NOTHING, Expectation, Mode
from voicebot.core.forms import UNSURE
from voicebot.core.grammar import Word, normalise
from voicebot.core.hearing import confidence
from voicebot.core.phrases import write
from voicebot.core.plan import Term
from voicebot.core.terms import Terms
from voicebot.core.words import Words
from voicebot.engines import registry
from voicebot.engines.base import Asr, EngineConfig, Tts
from voicebot.errors import UsageError
from voicebot.replay import mixing
from voicebot.replay.spoken_tasks import LETTERS, Recording, recordings
from voicebot.replay.understanding import hear

RATE = 8000
SPELLED = Expectation(
    "measure/name",
    Mode.OPEN,
    (" ".join(["{letter}"] * 3 + ["[{letter}]"] * 9),),
    (("letter", LETTERS),),
    bare=True,
)
JARGON = {
    "Nguyen": Term(said="win", heard=("new yen",)),
    "Siobhan": Term(said="shi vawn"),
    "Szymanski": Term(said="shi man ski"),
    "Okonkwo": Term(said="oh conk woe"),
    "Xavier": Term(said="zay vee er"),
    "Kowalczyk": Term(said="ko val chick"),
    "Caoimhe": Term(said="kee va"),
    "Oyelaran": Term(said="oh yay la ran"),
    "Vandersloot": Term(),
    "Bhattacharya": Term(said="butta charia"),
    "Metformin": Term(),
    "Amoxicillin": Term(),
    "Atorvastatin": Term(),
    "Lisinopril": Term(),
    "Kubernetes": Term(said="koober netties"),
    "Grafana": Term(),
    "Terraform": Term(),
    "Deductible": Term(),
    "Orthodontist": Term(),
    "Endocrinology": Term(),
}
CARRIERS = ("I would like to speak to {} please", "my question is about {} again")
EMPTY_TALK = (
    "I would like to speak to somebody please",
    "it is about my last bill",
    "can I come a little later tomorrow afternoon",
    "the printer in the kitchen does not work",
    "what time do you open on the weekend",
)
VOICES = ("en-us", "en-us+m3", "en-gb+f2")
COFFEE_SLOTS = ("coffeeDrink", "size", "roast")


@dataclass(frozen=True, slots=True)
class Said:
    """One utterance: its terms (none: anything found is a false alarm), and its sound, int16 LE at `RATE`."""

    terms: tuple[str, ...]
    pcm: bytes


@dataclass(frozen=True, slots=True)
class Score:
    task: str
    total: int
    """Terms said."""
    without: int
    """Right in the best hypothesis as it is."""
    found: int
    """Right with the lexicon."""
    asked: int
    """Right with the lexicon, and unsure: asked back or repeated."""
    wrong: int
    """Another term found than was said, and believed."""
    wrong_asked: int
    """… and unsure."""
    empty: int
    """Utterances without a term."""
    alarms: int
    """Of those, with one found."""


@dataclass(frozen=True, slots=True)
class Task:
    name: str
    plain: Expectation
    """What the recogniser expects without a lexicon; `NOTHING`: it hears general English."""
    biased: Expectation
    """… and with it."""
    terms: Terms
    said: Callable[[], AsyncIterator[Said]]


async def measure(folder: Path, limit: int = 0, only: str = "", engine: str = "pocketsphinx") -> list[Score]:
    """`limit`: at most this many recordings of each kind (0: all). `UsageError` when there is nothing to measure."""
    tasks = [task for task in _tasks(recordings(folder), limit) if only in task.name]
    if not tasks:
        raise UsageError(f"Nothing to measure is called {only!r}.")
    return [await _run(task, engine) for task in tasks]


async def _run(task: Task, engine: str) -> Score:
    options = {"rate": RATE, "general": task.plain is NOTHING} if engine == "pocketsphinx" else {}
    asr: Asr = registry.load("asr", engine).create(EngineConfig(options=options))
    await asr.start()
    try:
        await asr.prepare([task.plain, task.biased])
        return await _score(task, asr)
    finally:
        await asr.close()


async def _score(task: Task, asr: Asr) -> Score:
    counts = dict.fromkeys(("total", "without", "found", "asked", "wrong", "wrong_asked", "empty", "alarms"), 0)
    async for said in task.said():
        pcm = said.pcm if asr.rate == RATE else mixing.resampled(said.pcm, RATE, asr.rate)
        plain = await hear(asr, task.plain, pcm)
        biased = plain if task.biased is task.plain else await hear(asr, task.biased, pcm)
        for key, count in judged(task.terms, said.terms, plain, biased).items():
            counts[key] += count
    return Score(task.name, **counts)


def judged(terms: Terms, said: Sequence[str], plain: Words, biased: Words) -> dict[str, int]:
    """Counts of one utterance, as it was heard without the lexicon and with it."""
    sure = _found(terms, biased)
    if not said:
        return {"empty": 1, "alarms": int(bool(sure))}
    plainly = normalise(plain.text)
    right = [term for term in said if term in sure]
    wrong = [term for term in sure if term not in said]
    return {
        "total": len(said),
        "without": sum(_stands(term, plainly) for term in said),
        "found": len(right),
        "asked": sum(sure[term] < UNSURE for term in right),
        "wrong": sum(sure[term] >= UNSURE for term in wrong),
        "wrong_asked": sum(sure[term] < UNSURE for term in wrong),
    }


def _found(terms: Terms, words: Words) -> dict[str, float]:
    """Term → how sure the flow may be of it: as sure as it is alike and was heard. In the best hypothesis; where that
    has none, in the nearest of the others."""
    found = terms.find(normalise(words.text))
    if not found and (other := terms.nearest(words.nbest)):
        return {other.term: other.confidence * words.confidence}
    return {each.term: each.confidence * confidence(words, each.start, each.end) for each in found}


def _stands(term: str, words: Sequence[str]) -> bool:
    wanted = normalise(term)
    spelled = "".join(word for word in words if len(word) == 1)
    return f" {' '.join(wanted)} " in f" {' '.join(words)} " or spelled == "".join(wanted)


# --- what is said ---------------------------------------------------------------------------------------------


def _tasks(found: Sequence[Recording], limit: int) -> list[Task]:
    names = [r for r in found if r.category == "read_an4" and _is_name(r.transcript)]
    others = [r for r in found if r.category == "read_an4" and r.transcript and not _has_letters(r.transcript)]
    orders = [r for r in found if r.category == "commands_s2i"]
    directory = Terms({_name(r): Term() for r in names})
    menu = Terms({term: Term() for r in orders for term in _ordered(r)})
    spelled = [*((r, (_name(r),)) for r in names[: limit or None]), *((r, ()) for r in others[: limit or None])]
    drinks = [(r, _ordered(r)) for r in orders[: limit or None]]
    every = [
        Task("names spelled (AN4)", SPELLED, SPELLED, directory, lambda: _recorded(spelled)),
        Task("coffee orders, general English", NOTHING, NOTHING, menu, lambda: _recorded(drinks)),
        Task("names and jargon, synthesised", *_expected(), Terms(JARGON), lambda: _synthesised(limit)),
    ]
    kept = {every[0].name: spelled, every[1].name: drinks}
    return [task for task in every if kept.get(task.name, True)]


def _expected() -> tuple[Expectation, Expectation]:
    """The sentences of the synthesised callers, without the lexicon and with it."""
    phrases = tuple([each.format("{who}").lower() for each in CARRIERS] * 4 + [each.lower() for each in EMPTY_TALK])
    ways = lexicon.heard(JARGON)
    plain = tuple(name.lower() for name in JARGON)
    said = tuple(write(lexicon.widen(Word(name), ways)) for name in plain)
    return (
        Expectation("measure/plain", Mode.OPEN, phrases, (("who", plain),)),
        Expectation("measure/lexicon", Mode.OPEN, phrases, (("who", said),)),
    )


def _is_name(text: str) -> bool:
    words = text.split()
    return len(words) >= 3 and all(len(word) == 1 for word in words)


def _has_letters(text: str) -> bool:
    return any(len(word) == 1 for word in text.split())


def _name(recording: Recording) -> str:
    return recording.transcript.replace(" ", "").title()


def _ordered(recording: Recording) -> tuple[str, ...]:
    slots = recording.labels.get("slots", {})
    return tuple(str(slots[name]).strip() for name in COFFEE_SLOTS if name in slots)


async def _recorded(said: Sequence[tuple[Recording, tuple[str, ...]]]) -> AsyncIterator[Said]:
    for number, (recording, terms) in enumerate(said):
        sound = await asyncio.to_thread(mixing.read, recording.file, RATE)
        yield Said(terms, mixing.telephone(mixing.edged(sound, RATE, number)))


async def _synthesised(limit: int) -> AsyncIterator[Said]:
    texts: list[tuple[tuple[str, ...], str]] = [((), text) for text in EMPTY_TALK]
    for carrier in CARRIERS:
        texts += [((name,), carrier.format(term.said or name)) for name, term in JARGON.items()]
    for voice in VOICES:
        tts: Tts = registry.load("tts", "espeak").create(EngineConfig(voice=voice))
        await tts.start()
        try:
            for number, (terms, text) in enumerate(texts[: limit or None]):
                yield Said(terms, await _spoken(tts, text, number))
        finally:
            await tts.close()


async def _spoken(tts: Tts, text: str, seed: int) -> bytes:
    async def once() -> AsyncIterator[str]:
        yield text

    pcm = b"".join([speech.pcm async for speech in tts.speak(once())])
    return mixing.telephone(mixing.edged(mixing.sound_of(pcm, RATE, RATE), RATE, seed))
