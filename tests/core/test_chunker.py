"""Clauses for the synthesiser, out of streaming text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebot.core.chunker import Chunker


def chunks(*pieces: str) -> list[str]:
    chunker = Chunker()
    return [c for piece in pieces for c in chunker.push(piece)] + chunker.flush()


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        (("Hello there. How are you?",), ["Hello there. ", "How are you?"]),
        (("Of course, ", "I can do that for you."), ["Of course, I can do that for you."]),
        (("I can do that, ", "give me a second."), ["I can do that, ", "give me a second."]),
        (("Dr. Nguyen is in. ", "Shall I?"), ["Dr. Nguyen is in. ", "Shall I?"]),
        (("It costs 3.50 today. ", "Fine?"), ["It costs 3.50 today. ", "Fine?"]),
        (("First line\nsecond",), ["First line\n", "second"]),
        (("", "  "), []),
    ],
)
def test_clauses_end_where_a_person_would_breathe(pieces: tuple[str, ...], expected: list[str]) -> None:
    assert expected == chunks(*pieces)


def test_a_reply_without_any_stop_is_cut_at_a_space() -> None:
    clauses = chunks("word " * 200)

    assert max(len(c) for c in clauses) <= 300
    assert all(c.endswith(" ") for c in clauses[:-1])


@given(st.lists(st.text(alphabet="ab .,!?\n", max_size=12), max_size=40))
def test_nothing_is_lost_and_nothing_is_added(pieces: list[str]) -> None:
    assert "".join(pieces).strip() == "".join(chunks(*pieces)).strip()
