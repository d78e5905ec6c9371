"""What LLaMA-Omni's workers are asked and answer."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebot.core import llama_omni
from voicebot.core.llama_omni import Answer, Exchange, Malformed, Piece, Refused, Sampling, heard_of


def objects(prompt: str, *pairs: tuple[str, str]) -> bytes:
    said = [{"text": prompt + text, "unit": unit, "error_code": 0} for text, unit in pairs]
    return b"".join(json.dumps(each).encode() + b"\0" for each in said)


STREAM = objects("P:", ("Hi", ""), ("Hi there", "5 6"), ("Hi there", "5 6 7"))


@given(st.lists(st.integers(0, len(STREAM)), max_size=6))
def test_however_the_bytes_come_what_is_new_is_the_same(cuts: list[int]) -> None:
    answer, found = Answer("P:"), list[object]()
    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(STREAM)], strict=True):
        found += answer.push(STREAM[start:end])
    assert [Piece("Hi", ()), Piece(" there", (5, 6)), Piece("", (7,))] == found


def test_a_text_that_changes_its_beginning_adds_nothing() -> None:
    answer = Answer()
    answer.push(objects("", ("Hello", "1")))
    assert [Piece("", (2,))] == answer.push(objects("", ("Jello", "1 2")))


def test_an_error_is_a_value() -> None:
    assert [Refused(1, "busy")] == Answer().push(b'{"text": "busy", "error_code": 1}\0')


@pytest.mark.parametrize("data", [b"{", b"[]", b"3", b"{}", b'{"text": "a", "unit": "x", "error_code": 0}'])
def test_what_is_no_object_of_theirs_is_a_value_too(data: bytes) -> None:
    (found,) = Answer().push(data + b"\0")
    assert isinstance(found, Malformed)


def test_an_object_without_end_is_not_kept() -> None:
    answer = Answer()
    assert [Malformed("an object without end")] == answer.push(b"x" * (llama_omni.MOST_BYTES + 1))
    assert [Piece("a", ())] == answer.push(objects("", ("a", "")))


def test_the_second_version_is_told_where_every_turn_can_be_heard() -> None:
    past = [Exchange("a.wav", "Hello."), Exchange("b.wav", "")]
    assert [
        {"role": "user", "content": {"path": "a.wav"}},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": {"path": "b.wav"}},
        {"role": "user", "content": {"path": "c.wav"}},
    ] == llama_omni.second_request("m", past, "c.wav", Sampling())["history"]


@pytest.mark.parametrize(
    ("heard_ms", "wanted"), [(0, ""), (400, ""), (500, "One"), (1700, "One two three"), (2000, "One two three four")]
)
def test_what_was_heard_is_whole_words(heard_ms: int, wanted: str) -> None:
    assert wanted == heard_of("One two three four", heard_ms, 2000)
