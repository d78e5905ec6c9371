"""The simulated caller: what he answers, whose words he uses, and what comes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from voicebot.core import dialplan
from voicebot.core.dialplan import Dialplan
from voicebot.core.expect import Expectation
from voicebot.core.prompts import Change, Check, Form, Readback, State
from voicebot.core.words import Word, Words
from voicebot.replay import mixing
from voicebot.replay.dialogues import PATIENCE, Take, answer, cut, order
from voicebot.replay.spoken_tasks import Recording

ROOT = Path(__file__).parent.parent
SLOTS = {"coffeeDrink": "iced mocha", "sugarAmount": "a bit of sugar"}
ORDER = Recording(ROOT / "data/coffee/iced_mocha.flac", "commands_s2i", "", "", {"slots": SLOTS})
WANTED = {"drink": "iced mocha", "size": "small", "sugar": "a bit of sugar"}


@pytest.fixture(scope="module")
def coffee() -> Dialplan:
    file = ROOT.parent / "dialplans" / "coffee.yaml"
    return dialplan.parse(file.read_text("utf-8"), str(file))


@pytest.mark.parametrize(
    ("pieces", "state", "known"),
    [
        (("small",), Form("size"), {"drink": "mocha"}),
        (("iced mocha",), Form(), {}),
        (("no",), Form("milk"), {}),
        (("yes",), Readback(), WANTED),
        (("yes",), Readback(), {**WANTED, "sugar": "some sugar"}),
        (("no", "iced mocha"), Readback(), {**WANTED, "drink": "mocha"}),
        (("iced mocha",), Change(), {**WANTED, "drink": "mocha"}),
        (("no", "soy milk"), Change(), {**WANTED, "milk": "some soy milk"}),
        (("yes",), Check("size"), WANTED),
        (("no", "small"), Check("size"), {"size": "large"}),
    ],
)
def test_a_caller_answers_what_he_is_asked(pieces: tuple[str, ...], state: State, known: Mapping[str, str]) -> None:
    assert pieces == answer(state, known, WANTED)


async def test_values_are_cut_out_where_their_words_are() -> None:
    said = ("iced", "mocha", "with", "a", "bit", "of", "sugar")
    words = tuple(Word(text, 100 * at, 100 * at + 100, 1.0) for at, text in enumerate(said))

    async def hear(recording: Recording) -> Words:
        return Words(" ".join(said), True, 1.0, words)

    yes = Recording(ORDER.file, "read_an4", "", "yes", {})
    takes = await cut([yes], [ORDER], hear)

    assert {"yes": [Take(yes)], "iced mocha": [Take(ORDER, 0, 200)], "sugar": [Take(ORDER, 600, 700)]} == takes
    assert (60 + 100 + 60) * 8 == len(takes["sugar"][0].sound())


class Caller:
    """Whose every word is heard, but for the order, which is heard as `misheard`."""

    order = ORDER

    def __init__(self, misheard: str) -> None:
        self.text = misheard

    async def say(self, pieces: Sequence[str], turn: int) -> mixing.Sound:
        self.text = " ".join(pieces)
        return np.zeros(8, np.float32)

    async def listen(self, expectation: Expectation, sound: mixing.Sound) -> Words:
        return Words(self.text, True)


@pytest.mark.parametrize(
    ("misheard", "turns"),
    [
        ("a small iced mocha with a bit of sugar", 2),
        ("an iced mocha with a bit of sugar", 3),
        ("a large mocha with a bit of sugar", 4),
        ("a small double shot iced mocha with sugar", 3),
        ("a small iced mocha", 4),  # "no sugar" may mean none: it takes a second word
    ],
)
async def test_what_is_read_back_wrong_is_put_right(coffee: Dialplan, misheard: str, turns: int) -> None:
    caller = Caller(misheard)
    outcome = await order(coffee, WANTED, caller, caller.listen)  # type: ignore[arg-type]
    assert outcome.right, outcome
    assert turns == outcome.turns


async def test_a_caller_who_is_never_understood_gives_up_without_an_order(coffee: Dialplan) -> None:
    async def deaf(expectation: Expectation, sound: mixing.Sound) -> Words:
        return Words("", True, 0.0)

    outcome = await order(coffee, WANTED, Caller(""), deaf)  # type: ignore[arg-type]
    assert not outcome.right
    assert {} == outcome.written
    assert outcome.turns <= PATIENCE
