"""A language model's text as a person would say it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebot.core.spoken import Speakable, speakable


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("We open at nine.", "We open at nine."),
        ("It's **very** _good_, `really`.", "It's very good, really."),
        ("## Hours\n- Monday\n* Tuesday", " Hours\n Monday\n Tuesday"),
        ("See [our page](https://x.example.com/a).", "See our page."),
        ("Go to https://www.hill-clinic.com/book/.", "Go to hill dash clinic dot com slash book."),
        ("hill.org, please", "hill dot org, please"),
        ("Write to ann.lee@hill.co.uk!", "Write to ann dot lee at hill dot co dot uk!"),
        ("That's $12.50, or €5.", "That's twelve dollars fifty, or five euros."),
        ("$1,200 (10%)", "one thousand two hundred dollars (ten percent)"),
        ("3.5% of 12,500", "three point five percent of twelve thousand five hundred"),
        ("On 2026-11-24 at 14:30.", "On November twenty fourth, twenty twenty six at two thirty p.m."),
        ("at 9:30 or 9:30am or 9pm", "at nine thirty or nine thirty a.m. or nine p.m."),
        ("Call 555-1234", "Call five five five, one two three four"),
        ("+15551234567", "one, five five five, one two three, four five six seven"),
        ("tea & cake, e.g. scones 🙂", "tea and cake, for example scones "),
        ("room 12, 2 of 3, 1999", "room 12, 2 of 3, 1999"),
        ("2026-13-45 25:99 99am", "2026-13-45 25:99 99am"),
    ],
)
def test_written_is_said(written: str, said: str) -> None:
    assert said == speakable(written)


def test_a_text_without_spaces_is_not_held_back() -> None:
    assert 200 == len(Speakable(english=False).push("語" * 250))


def test_in_another_language_only_what_cannot_be_said_goes() -> None:
    assert "Das kostet 12,50 € & mehr" == speakable("Das **kostet** 12,50 € & mehr", english=False)


PLAIN = st.lists(st.text("abcdefghijklmnopqrstuvwxyz'", min_size=1, max_size=120), max_size=12).map(" ".join)
WILD = st.text() | st.lists(
    st.sampled_from(["$", "1", ",", "000", ".", "50", "%", "@", "http://", "a.com", "[x](", ")", "*", "-", ":", "pm",
                     " ", "\n", "#", "²", "٣", "2026-02-30", "🙂"]), max_size=20,
).map("".join)  # fmt: skip


@given(PLAIN)
def test_plain_words_stay_as_they_are(text: str) -> None:
    assert text == speakable(text)


@given(WILD, st.booleans())
def test_nothing_makes_it_fail_and_no_markdown_is_left(text: str, english: bool) -> None:
    said = speakable(text, english)
    assert "](" not in said or "](" in text
    assert "🙂" not in said


@given(st.lists(WILD | PLAIN, max_size=8), st.booleans())
def test_a_stream_says_the_same_as_the_whole(pieces: list[str], english: bool) -> None:
    stream = Speakable(english)
    assert speakable("".join(pieces), english) == "".join(map(stream.push, pieces)) + stream.flush()
