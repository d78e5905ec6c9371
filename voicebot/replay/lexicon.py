"""What the lexicon wins: names and jargon right with it and without, on real recordings and on synthesised callers.

* Names spelled by real people: the recogniser hears letters, the lexicon is a directory of all names there.
* Coffee orders by real people, heard with general English, as a recogniser hears that knows nothing of the dialplan:
  drink, size and roast are the terms.
* Names and jargon in sentences, spoken by espeak-ng's voices, heard with general English.

Everything comes over a telephone (8 kHz, μ-law). Without the lexicon a term is right when it stands in the best
hypothesis; with it, when it is the term found. `asked` of those found are unsure enough for the flow to ask back or to
repeat them, right or wrong. Where no term was said, whatever is found is a false alarm.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from voicebot.core.expect import NOTHING, Expectation, Mode
from voicebot.core.forms import UNSURE
from voicebot.core.grammar import normalise
from voicebot.core.plan import Term
from voicebot.core.terms import Match, Terms
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
    expectation: Expectation
    terms: Terms
    said: Callable[[], AsyncIterator[Said]]


async def measure(folder: Path, limit: int = 0, only: str = "", engine: str = "pocketsphinx") -> list[Score]:
    """`limit`: at most this many recordings of each kind (0: all). `UsageError` when there is nothing to measure."""
    options = {"rate": RATE, "general": True} if engine == "pocketsphinx" else {}
    tasks = [task for task in _tasks(recordings(folder), limit) if only in task.name]
    if not tasks:
        raise UsageError(f"Nothing to measure is called {only!r}.")
    asr: Asr = registry.load("asr", engine).create(EngineConfig(options=options))
    await asr.start()
    try:
        await asr.prepare([task.expectation for task in tasks])
        return [await _score(task, asr) for task in tasks]
    finally:
        await asr.close()


async def _score(task: Task, asr: Asr) -> Score:
    counts = dict.fromkeys(("total", "without", "found", "asked", "wrong", "wrong_asked", "empty", "alarms"), 0)
    async for said in task.said():
        pcm = said.pcm if asr.rate == RATE else mixing.resampled(said.pcm, RATE, asr.rate)
        words = await hear(asr, task.expectation, pcm)
        for key, count in judged(task.terms, said.terms, words).items():
            counts[key] += count
    return Score(task.name, **counts)


def judged(terms: Terms, said: Sequence[str], words: Words) -> dict[str, int]:
    """Counts of one utterance."""
    found = _found(terms, words)
    if not said:
        return {"empty": 1, "alarms": int(bool(found))}
    plainly = normalise(words.text)
    sure = {match.term: match.confidence for match in found}
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


def _found(terms: Terms, words: Words) -> list[Match]:
    """In the best hypothesis; where that has none, in the nearest of the others."""
    found = terms.find(normalise(words.text))
    if not found and (other := terms.nearest(words.nbest)):
        return [other]
    return found


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
        Task("names spelled (AN4)", SPELLED, directory, lambda: _recorded(spelled)),
        Task("coffee orders, general English", NOTHING, menu, lambda: _recorded(drinks)),
        Task("names and jargon, synthesised", NOTHING, Terms(JARGON), lambda: _synthesised(limit)),
    ]
    return [task for task in every if task.expectation is not SPELLED or spelled]


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
