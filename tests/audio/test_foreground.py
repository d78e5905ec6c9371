"""The caller's voice, told from what else is on the line."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from voicebot.audio.foreground import Foreground
from voicebot.audio.voice import Offset, Onset

FRAME = 160


def sound(dbfs: float, seed: int) -> bytes:
    scale = 32768 * 10 ** (dbfs / 20)
    return np.random.default_rng(seed).normal(0, scale, FRAME).clip(-32768, 32767).astype("<i2").tobytes()


class Line:
    """Plays sounds to a `Foreground`, with a detector that takes them for speech from their second frame on."""

    def __init__(self) -> None:
        self.foreground, self.frame = Foreground(), 0
        self.found: list[tuple[type, int]] = []
        self.loud = False

    def plays(self, dbfs: float, frames: int, over_bot: bool = False, own: bool = False) -> Line:
        for _ in range(frames):
            at, before, self.loud = self.frame * FRAME, self.loud, dbfs > -70
            edge = self.foreground.push(sound(dbfs, self.frame), at, self.loud, self.loud and before, over_bot, own)
            if edge:
                self.found.append((type(edge), edge.at // FRAME))
            self.frame += 1
        return self


def test_a_caller_begins_and_ends_where_the_sound_did() -> None:
    line = Line().plays(-90, 10).plays(-26, 50).plays(-90, 20)

    assert [(Onset, 10), (Offset, 60)] == line.found


def test_a_murmur_over_the_bot_is_nobody_but_is_heard_while_it_listens() -> None:
    assert [] == Line().plays(-50, 100, over_bot=True).found
    assert Onset is Line().plays(-50, 100).found[0][0]


def test_a_television_far_below_the_caller_is_no_caller() -> None:
    line = Line().plays(-22, 100).plays(-90, 20)
    assert [Onset, Offset] == [kind for kind, _ in line.found]

    line.plays(-50, 200)

    assert 2 == len(line.found)


def test_a_caller_over_a_television_is_found_when_they_begin_and_lost_when_they_stop() -> None:
    line = Line().plays(-22, 100).plays(-90, 20)
    line.found.clear()

    line.plays(-45, 100, over_bot=True).plays(-22, 50, over_bot=True).plays(-45, 100, over_bot=True)

    (_, began), (_, ended) = line.found
    assert 220 <= began <= 221
    assert 269 <= ended <= 277


def test_a_television_holds_the_bot_once_and_a_caller_still_does() -> None:
    line = Line().plays(-38, 20, over_bot=True).plays(-90, 20)
    assert 2 == len(line.found)
    line.foreground.nobody()

    line.plays(-38, 50, over_bot=True).plays(-90, 20)
    assert 2 == len(line.found)
    line.plays(-26, 50, over_bot=True)
    assert 3 == len(line.found)


def test_our_own_echo_is_never_the_caller() -> None:
    assert [] == Line().plays(-26, 100, over_bot=True, own=True).found


def test_speech_is_counted_and_what_comes_and_goes_does_not_add_up() -> None:
    assert 500 <= Line().plays(-26, 26, over_bot=True).foreground.speech_ms <= 520
    murmur = Line()
    for _ in range(100):
        murmur.plays(-38, 3, over_bot=True).plays(-60, 8, over_bot=True)
    assert murmur.foreground.speech_ms < 200


def test_a_short_word_stands_out_and_a_murmur_does_not() -> None:
    word = Line().plays(-90, 10).plays(-26, 14, over_bot=True).plays(-90, 20)
    murmur = Line().plays(-90, 10)
    for _ in range(10):
        murmur.plays(-38, 4, over_bot=True).plays(-60, 6, over_bot=True)

    assert word.foreground.stands_out
    assert not murmur.foreground.stands_out


@given(st.lists(st.tuples(st.integers(-80, -10), st.integers(1, 30), st.booleans(), st.booleans()), max_size=30))
def test_beginnings_and_ends_take_turns(stretches: list[tuple[int, int, bool, bool]]) -> None:
    line = Line()
    for dbfs, frames, over_bot, own in stretches:
        line.plays(dbfs, frames, over_bot, own)

    kinds = [kind for kind, _ in line.found]
    assert [Onset, Offset] * (len(kinds) // 2) + [Onset] * (len(kinds) % 2) == kinds
    assert sorted(at for _, at in line.found) == [at for _, at in line.found]
