"""What is measured on real voices: what may be said in a task, and when it was understood.

Every expectation is written from what may be said there (a menu, ten digits, spelled names and numbers), never
from the recordings.
"""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from voicebot.core.dialplan import Dialplan
from voicebot.core.expect import Expectation, Mode
from voicebot.core.expectations import expectations
from voicebot.core.slots import Reader, with_type
from voicebot.core.words import Words
from voicebot.errors import UsageError


@dataclass(frozen=True, slots=True)
class Recording:
    file: Path
    category: str
    speaker: str
    transcript: str
    labels: Mapping[str, Any]
    seconds: float = 0.0
    licence: str = ""
    rate: int = 0


Score = Callable[[Recording, Words], Mapping[str, tuple[int, int]]]
"""(right, total) by unit, for one recording."""


@dataclass(frozen=True, slots=True)
class Task:
    name: str
    expectation: Expectation
    recordings: Sequence[Recording]
    score: Score


# --- what may be said ---------------------------------------------------------------------------------------

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
LETTERS = tuple("abcdefghijklmnopqrstuvwxyz")
_TEENS = ("ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen")
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")

ONE_DIGIT = Expectation("measure/digit", Mode.CLOSED, ("{digit}",), (("digit", DIGITS),))
ONE_LETTER = Expectation("measure/letter", Mode.CLOSED, ("{letter}",), (("letter", LETTERS),))
SPELLED_AND_NUMBERS = Expectation(
    "measure/spelled",
    Mode.OPEN,
    (
        "{command}",
        "[(enter | erase | rubout)] {number} [{number} [{number}]]",
        "(enter | erase | rubout) {code}",
        "{code}",
        "{name}",
        "{name}",
        "{name}",
    ),
    (
        ("command", ("yes", "no", "help", "start", "stop", "go", "repeat", "enter", "erase", "rubout")),
        ("letter", LETTERS),
        ("digit", (*DIGITS, "oh")),
        ("letters", ("{letter} [{letter} [{letter} [{letter}]]]",)),
        ("digits", ("{digit} [{digit} [{digit} [{digit}]]]",)),
        ("name", ("{letter} {letter} {letter} [{letters} [{letters}]]",)),
        ("code", ("{letters} {digits}", "{digits} [{letter}]")),
        ("teen", _TEENS),
        ("tens", _TENS),
        ("below_hundred", ("{digit}", "{teen}", "{tens} [{digit}]")),
        ("hundreds", ("{digit} hundred [[and] {below_hundred}]",)),
        ("number", ("{below_hundred}", "{hundreds}", "{digit} thousand [{below_hundred}]")),
    ),
)  # fmt: skip


# --- right or wrong -----------------------------------------------------------------------------------------


def exact(recording: Recording, words: Words) -> Mapping[str, tuple[int, int]]:
    return {"utterances": (int(words.text == recording.transcript), 1)}


def by_word(recording: Recording, words: Words) -> Mapping[str, tuple[int, int]]:
    """Words right, as one minus the word error rate (never below zero), and whole sentences right."""
    wanted, heard = recording.transcript.split(), words.text.split()
    wrong = min(edits(wanted, heard), len(wanted))
    return {"words": (len(wanted) - wrong, len(wanted)), "sentences": (int(not wrong), 1)}


def edits(wanted: Sequence[str], heard: Sequence[str]) -> int:
    """Least number of substitutions, insertions and deletions that make one of the other."""
    row = list(range(len(heard) + 1))
    for i, want in enumerate(wanted, 1):
        before, row[0] = row[0], i
        for j, word in enumerate(heard, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (want != word))
    return row[-1]


_LABELS = {
    "coffeeDrink": "drink",
    "size": "size",
    "numberOfShots": "shots",
    "roast": "roast",
    "milkAmount": "milk",
    "sugarAmount": "sugar",
}
_AMOUNTS = ("a little bit of ", "a bit of ", "a lot of ", "lots of ", "some ")


def ordered(recording: Recording) -> dict[str, str]:
    """What was said in a recorded order, by the dialplan's slots."""
    return {_LABELS[k]: " ".join(str(v).split()) for k, v in recording.labels["slots"].items()}


def plain(value: str) -> str:
    """Without "a bit of": milk or no milk is the order, how much is its finish."""
    for amount in _AMOUNTS:
        value = value.removeprefix(amount)
    return value


class CoffeeScore:
    """A whole order is right when every slot that was said was understood and none was invented."""

    def __init__(self, plan: Dialplan) -> None:
        self._reader = Reader(plan)
        node = next(node for node in plan.nodes.values() if node.collect)
        self._form = {name: with_type(name, slot) for name, slot in node.collect.items()}

    def __call__(self, recording: Recording, words: Words) -> Mapping[str, tuple[int, int]]:
        said = ordered(recording)
        heard = self._reader.read(self._form, words.text.split(), date(2026, 1, 1)).values
        plain_said = {k: plain(v) for k, v in said.items()}
        plain_heard = {k: plain(v) for k, v in heard.items()}
        return {
            "orders": (int(plain_said == plain_heard), 1),
            "orders, amounts too": (int(said == heard), 1),
            "slots": (sum(plain_heard.get(k) == v for k, v in plain_said.items()), len(said)),
            "slots invented": (len(set(heard) - set(said)), len(heard)),
        }


# --- the recordings -----------------------------------------------------------------------------------------


def recordings(folder: Path) -> list[Recording]:
    """The folder's manifest. `UsageError` when there is none."""
    manifest = folder / "MANIFEST.csv"
    try:
        with manifest.open(newline="", encoding="utf-8") as file:
            return [
                Recording(
                    folder / row["path"],
                    row["category"],
                    row.get("speaker", ""),
                    row.get("transcript", ""),
                    json.loads(row.get("labels") or "{}"),
                    float(row.get("duration_s") or 0),
                    row.get("licence", ""),
                    int(float(row.get("sample_rate") or 0)),
                )
                for row in csv.DictReader(file)
            ]
    except (OSError, KeyError, ValueError) as error:
        raise UsageError(
            f"{manifest} cannot be read ({error!r}). It needs the columns path, category, transcript."
        ) from None


def tasks(found: Sequence[Recording], coffee: Dialplan, limit: int = 0, seed: int = 1) -> list[Task]:
    """What can be measured on these recordings; at most `limit` of each, drawn evenly (0: all)."""
    order = next(each for each in expectations(coffee) if each.mode is Mode.OPEN)

    def drawn(*categories: str, said: Sequence[str] = ()) -> Sequence[Recording]:
        fit = [r for r in found if r.category in categories and (not said or r.transcript in said)]
        return random.Random(seed).sample(fit, limit) if 0 < limit < len(fit) else fit

    every = [
        Task("coffee orders", order, drawn("commands_s2i"), CoffeeScore(coffee)),
        Task("single digits (fsdd)", ONE_DIGIT, drawn("digits_fsdd"), exact),
        Task("single digits (moonshine)", ONE_DIGIT, drawn("alphanumeric_moonshine", said=DIGITS), exact),
        Task("single letters", ONE_LETTER, drawn("alphanumeric_moonshine", said=LETTERS), exact),
        Task("spelling and numbers (AN4)", SPELLED_AND_NUMBERS, drawn("read_an4"), by_word),
    ]
    return [task for task in every if task.recordings]
