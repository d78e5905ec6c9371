"""What the bot makes of how a turn was said."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebot.core.tone import FASTEST, PLAIN, SLOWEST, Manner, Mirror, tag


@dataclass(frozen=True)
class Turn:
    rate: float = 4.3
    pace: float = 1.0
    level_db: float = 0.0
    pitch_st: float = 0.0
    pauses: int = 0
    drawn: int = 0
    speech_ms: int = 2000
    turns: int = 3


@pytest.mark.parametrize(
    ("turn", "told"),
    [
        (Turn(), ""),
        (Turn(pace=1.3), "hurried"),
        (Turn(rate=6.0), "hurried"),
        (Turn(pace=0.7), "slow"),
        (Turn(level_db=7.0), "louder than before"),
        (Turn(level_db=7.0, pitch_st=4.0), "as if with a raised voice"),
        (Turn(level_db=-8.0), "quieter than before"),
        (Turn(pauses=2), "hesitant"),
        (Turn(pauses=1, drawn=1, pace=0.7), "slow, hesitant"),
    ],
)
def test_only_what_stands_out_is_told(turn: Turn, told: str) -> None:
    assert told == tag(turn)


@pytest.mark.parametrize("turn", [Turn(pace=1.4, turns=1), Turn(pace=1.4, speech_ms=500), Turn(level_db=20.0, turns=0)])
def test_what_rests_on_too_little_is_not_told(turn: Turn) -> None:
    assert "" == tag(turn)


def test_the_voice_follows_the_callers_pace_a_little() -> None:
    paces = []
    for rate in (2.0, 3.4, 4.3, 5.2, 8.0):
        mirror = Mirror()
        mirror.heard(Turn(rate=rate))
        paces.append(mirror.manner.pace)
    assert [SLOWEST, 0.91, 1.0, 1.08, FASTEST] == paces


def test_a_single_word_changes_nothing_and_a_raised_voice_is_met_with_calm() -> None:
    mirror = Mirror()
    assert PLAIN == mirror.manner
    mirror.heard(Turn(rate=8.0, speech_ms=400))
    assert PLAIN == mirror.manner
    mirror.heard(Turn(speech_ms=400, level_db=9.0, pitch_st=5.0))
    assert Manner(1.0, "The caller has raised their voice: speak calmly.") == mirror.manner
    mirror.heard(Turn(speech_ms=400))
    assert PLAIN == mirror.manner


@given(st.lists(st.tuples(st.floats(0, 30), st.integers(0, 60_000)), max_size=20))
def test_the_pace_never_leaves_what_sounds_natural(turns: list[tuple[float, int]]) -> None:
    mirror = Mirror()
    for rate, speech_ms in turns:
        mirror.heard(replace(Turn(), rate=rate, speech_ms=speech_ms))
        assert SLOWEST <= mirror.manner.pace <= FASTEST
