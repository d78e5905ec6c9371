"""What nobody said, and what somebody may have."""

from __future__ import annotations

import pytest

from voicebot.core.hallucinations import why_unlikely


@pytest.mark.parametrize(
    "text",
    [
        "Thanks for watching!",
        "Thank you for watching. Please subscribe to my channel.",
        "Please subscribe.",
        "Subtitles by the Amara.org community",
        "See you in the next video.",
        "www.mooji.org",
        "Sous-titres réalisés par la communauté d'Amara.org",
        "Untertitel im Auftrag des ZDF für funk, 2017",
        "Subtítulos realizados por la comunidad de Amara.org",
    ],
)
def test_lines_of_subtitles_are_nobodys_words(text: str) -> None:
    assert "a line of subtitles" == why_unlikely(text, 5.0)


@pytest.mark.parametrize(
    "text",
    ["", "Thank you.", "I would like to subscribe to your newsletter.", "you", "a large latte with soy milk please",
     "Thanks for calling me back.", "no no no no", "zero zero zero one two two two three"],
)  # fmt: skip
def test_what_callers_say_is_kept(text: str) -> None:
    assert why_unlikely(text, 3.0) is None


def test_going_round_in_circles_is_noticed() -> None:
    assert "the same again and again" == why_unlikely("I'm going to go. " * 10, 30.0)


def test_more_words_than_fit_into_the_time_are_not_believed() -> None:
    assert "more words than there was time for" == why_unlikely("so let us begin with the first chapter of it", 0.4)
    assert why_unlikely("yes", 0.1) is None


def test_the_prompt_is_not_taken_for_an_answer() -> None:
    prompt = "Names and words: Siobhan, Nguyen, latte."
    assert "the prompt" == why_unlikely("names and words, siobhan, nguyen, latte", 4.0, prompt)
    assert why_unlikely("Siobhan Nguyen", 4.0, prompt) is None
