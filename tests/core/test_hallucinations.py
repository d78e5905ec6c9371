"""What is made up is not believed, and what callers say is."""

from __future__ import annotations

import pytest

from voicebot.core.hallucinations import Segment, believed, made_up
from voicebot.core.words import Word


def heard(text: str, no_speech: float = 0.05, log_probability: float = -0.3, ms: int = 3000) -> Segment:
    return Segment(text, 0, ms, no_speech, log_probability)


@pytest.mark.parametrize(
    ("language", "text", "why"),
    [
        ("en-US", " Thanks for watching!", "subtitles"),
        ("en-GB", "Subtitles by the Amara.org community", "subtitles"),
        ("de-DE", "Untertitel der Amara.org-Community", "subtitles"),
        ("de-DE", "Untertitelung des ZDF, 2020", "subtitles"),
        ("fr-FR", "Sous-titres réalisés par la communauté d'Amara.org", "subtitles"),
        ("es-MX", "Subtítulos realizados por la comunidad de Amara.org", "subtitles"),
        ("ru-RU", "Редактор субтитров А.Семкин Корректор А.Егорова", "subtitles"),
        ("zh-CN", "字幕由某某提供", "subtitles"),
        ("en-US", " I'd like to I'd like to I'd like to I'd like to I'd like to", "repetition"),
        ("en-US", "a" + " ha" * 60, "repetition"),
        ("en-US", "   ", "empty"),
    ],
)
def test_what_subtitles_say_and_what_goes_round_in_a_loop_is_made_up(language: str, text: str, why: str) -> None:
    assert why == made_up(heard(text), language)


def test_silence_is_believed_over_an_unlikely_text() -> None:
    assert "no_speech" == made_up(heard("I see.", no_speech=0.9, log_probability=-1.4), "en-US")
    assert None is made_up(heard("I see.", no_speech=0.9, log_probability=-0.2), "en-US")


def test_thank_you_is_believed_where_somebody_speaks() -> None:
    assert None is made_up(heard("Thank you."), "en-US")
    assert "filler" == made_up(heard("Thank you.", no_speech=0.5), "en-US")


def test_nobody_says_forty_words_in_a_second() -> None:
    text = "the quick brown fox jumps over a lazy dog while five boxing wizards judge my vow"
    assert "too_fast" == made_up(heard(text, ms=1000), "en-US")
    assert None is made_up(heard(text, ms=5000), "en-US")


@pytest.mark.parametrize(
    "text",
    [
        "zero zero zero zero one one one",
        "My number is 5 5 5, 0 0 0 0, 5 5 5 5.",
        "no no no no",
        "A large iced mocha with a little bit of milk and two shots, please, and that's all.",
        "I was watching television",
        "bye bye",
    ],
)
def test_what_callers_say_is_believed(text: str) -> None:
    segment = heard(text)
    assert [segment] == believed([segment], "en-US")


def test_credits_after_what_was_said_go_alone() -> None:
    text = "A latte, please. Thanks for watching!"
    words = tuple(Word(word, at * 300, at * 300 + 250, 0.9) for at, word in enumerate(text.split()))
    kept = believed([Segment(text, 0, 3000, 0.1, -0.3, words)], "en-US")
    assert ["A latte, please."] == [each.text for each in kept]
    assert ["A", "latte,", "please."] == [word.text for word in kept[0].words]
