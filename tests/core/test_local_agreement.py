"""Streaming by agreement: what two hypotheses say alike stands, and no hypothesis can make it grow without bound."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from voicebot.core.local_agreement import MOST_MS, LocalAgreement
from voicebot.core.words import Word

WORD_MS = 400


def spoken(text: str, from_ms: int = 0) -> list[Word]:
    return [
        Word(word, from_ms + at * WORD_MS, from_ms + at * WORD_MS + 350, 0.9) for at, word in enumerate(text.split())
    ]


def said(words: tuple[Word, ...]) -> str:
    return " ".join(word.text for word in words)


def test_a_word_is_stable_when_two_hypotheses_agree_on_it() -> None:
    agreement = LocalAgreement()
    assert not agreement.push(spoken("a large ice"), 1000)
    assert agreement.push(spoken("a large iced mocha"), 1700)
    assert "a large" == said(agreement.stable)
    assert agreement.push(spoken("a large iced mocha please"), 2100)
    assert "a large iced mocha" == said(agreement.stable)


def test_case_and_punctuation_are_no_disagreement() -> None:
    agreement = LocalAgreement()
    agreement.push(spoken("Hello."), 500)
    agreement.push(spoken("hello, there"), 900)
    assert "hello," == said(agreement.stable)


def test_the_last_hypothesis_may_put_right_what_was_agreed_on() -> None:
    agreement = LocalAgreement()
    agreement.push(spoken("I scream"), 1000)
    agreement.push(spoken("I scream"), 1000)
    assert "I scream" == said(agreement.stable)
    assert "Ice cream" == said(agreement.final(spoken("Ice cream")))


def test_of_a_long_speech_only_the_end_is_heard_again() -> None:
    text = "one two three four. five six seven eight. " * 10
    truth = spoken(text)
    agreement = LocalAgreement()
    for end_ms in range(1000, len(truth) * WORD_MS + 1, 1000):
        agreement.push([w for w in truth if agreement.cut_ms <= w.start_ms and w.end_ms <= end_ms], end_ms)
    assert agreement.cut_ms > 0
    assert text.split() == [w.text for w in agreement.final([w for w in truth if w.start_ms >= agreement.cut_ms])]


words = st.builds(
    lambda text, start, length: Word(text, start, start + length, 0.5),
    st.sampled_from(["a", "b", "no", "yes.", "Um,"]),
    st.integers(0, 90_000),
    st.integers(0, 3000),
)
hypotheses = st.lists(
    st.tuples(st.integers(0, 4000), st.lists(words, max_size=12).map(lambda ws: sorted(ws, key=lambda w: w.start_ms)))
)


@given(hypotheses)
def test_whatever_a_recogniser_says_what_is_stable_only_grows_and_the_audio_kept_is_bounded(
    steps: list[tuple[int, list[Word]]],
) -> None:
    agreement, end_ms = LocalAgreement(), 0
    for step_ms, heard in steps:
        end_ms += step_ms
        before, cut_ms = agreement.stable, agreement.cut_ms
        grew = agreement.push(heard, end_ms)
        assert before == agreement.stable[: len(before)]
        assert not grew or len(agreement.stable) > len(before)
        assert cut_ms <= agreement.cut_ms <= end_ms
        assert end_ms - agreement.cut_ms <= MOST_MS


@given(st.lists(st.sampled_from("yes no a large small latte two".split()), max_size=120), st.integers(300, 2000))
def test_a_recogniser_that_hears_well_streams_what_was_said(text: list[str], step_ms: int) -> None:
    truth = spoken(" ".join(text))
    agreement = LocalAgreement()
    for end_ms in range(step_ms, len(truth) * WORD_MS + step_ms, step_ms):
        agreement.push([w for w in truth if agreement.cut_ms <= w.start_ms and w.end_ms <= end_ms], end_ms)
        assert text[: len(agreement.stable)] == [w.text for w in agreement.stable]
    assert text == [w.text for w in agreement.final([w for w in truth if w.start_ms >= agreement.cut_ms])]
