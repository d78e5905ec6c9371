"""What the bench says of what is done to a line's audio in front of a recogniser."""

from __future__ import annotations

import pytest

from tests.audio.test_bandwidth import voice
from voicebot.engines import denoise
from voicebot.replay.bench_bandwidth import extension_costs, treatment_costs


def test_every_way_is_told_with_what_it_holds_back_and_none_more_than_a_frame() -> None:
    found = extension_costs(voice(8000).tobytes())
    assert ["off", "classical", "neural"] == [each.name for each in found]
    assert all(0 < each.delay_ms <= 20 for each in found)
    assert 10 == found[-1].delay_ms


def test_what_else_is_done_is_told_with_what_it_holds_back_in_the_beginning_and_later() -> None:
    found = {each.name: each for each in treatment_costs(voice(16000).tobytes())}
    loudness, gaps = found["loudness"], found["lost packets, one of twenty"]
    assert (0, 0) == (gaps.delay_ms, gaps.first_ms)
    assert 0 == loudness.delay_ms < loudness.first_ms < 700
    if denoise.check() is None:
        assert 9 == pytest.approx(found["noise"].delay_ms, abs=10)
