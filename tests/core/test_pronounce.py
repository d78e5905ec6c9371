"""Letters to sounds, for words no dictionary has."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebot.core.pronounce import LETTERS, PHONES, pronounce


@pytest.mark.parametrize(
    ("word", "phones"),
    [
        ("pike", "P AY K"),
        ("bmw", "B IY EH M D AH B AH L Y UW"),
        ("24", "T UW F AO R"),
        ("q", "K Y UW"),
        ("smith's", "S M IH TH Z"),
        ("café", "K AE F EY"),
        ("knight", "N AY T"),
    ],
)
def test_a_word_is_read_as_at_first_sight(word: str, phones: str) -> None:
    assert phones == pronounce(word)


@given(st.text(min_size=1, max_size=20))
def test_any_word_gets_known_sounds(word: str) -> None:
    phones = pronounce(word).split()
    assert phones
    assert set(phones) <= PHONES


def test_every_letter_has_a_name() -> None:
    assert set("abcdefghijklmnopqrstuvwxyz") == set(LETTERS)
