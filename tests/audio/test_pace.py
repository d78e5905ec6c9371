"""Words placed in a voice without word times."""

from __future__ import annotations

import numpy as np

from voicebot.audio.pace import Pace

RATE = 8000


def voice(ms: int) -> bytes:
    t = np.arange(RATE * ms // 1000) / RATE
    return (8000 * np.sin(2 * np.pi * 300 * t)).astype("<i2").tobytes()


def pause(ms: int) -> bytes:
    return bytes(2 * RATE * ms // 1000)


def placed(text: str, *pieces: bytes, characters_s: float = 15.0) -> list[tuple[str, int]]:
    """(word, millisecond) of everything."""
    pace = Pace(text, RATE, characters_s)
    words = [word for piece in pieces for word in pace.push(piece)] + pace.end()
    return [(word.strip(), at * 1000 // RATE) for word, at in words]


def test_words_of_the_same_length_share_the_voice_evenly() -> None:
    assert [("aaa", 0), ("bbb", 250), ("ccc", 500), ("ddd", 750)] == placed(
        "aaa bbb ccc ddd", voice(1000), characters_s=16
    )


def test_a_pause_belongs_to_no_word() -> None:
    words = placed("aaa bbb", pause(200), voice(400), pause(600), voice(400), pause(100), characters_s=10)
    assert [("aaa", 200), ("bbb", 1200)] == words


def test_when_the_voice_is_slower_than_guessed_the_last_words_fill_what_is_left() -> None:
    words = placed("aaa bbb ccc ddd", *[voice(100)] * 20, characters_s=16)
    assert "ddd" == words[-1][0]
    assert [at for _, at in words] == sorted(at for _, at in words)


def test_when_it_is_faster_every_word_still_comes_within_the_sound() -> None:
    words = placed("aaa bbb ccc ddd", voice(300), characters_s=8)
    assert ["aaa", "bbb", "ccc", "ddd"] == [word for word, _ in words]
    assert words[-1][1] <= 300


def test_the_pace_is_learned_for_the_next_clause() -> None:
    pace = Pace("aaa bbb ccc ddd", RATE, 30.0)
    pace.push(voice(2000))
    pace.end()
    assert 8.0 == pace.characters_s


def test_what_has_not_begun_is_left() -> None:
    pace = Pace("aaa bbb ccc ddd", RATE, 16)
    pace.push(voice(450))
    assert "ccc ddd " == pace.left
