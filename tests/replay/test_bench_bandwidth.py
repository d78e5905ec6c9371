"""What the bench says of bandwidth extension."""

from __future__ import annotations

from tests.audio.test_bandwidth import voice
from voicebot.replay.bench_bandwidth import extension_costs


def test_every_way_is_told_with_what_it_holds_back_and_none_more_than_a_frame() -> None:
    found = extension_costs(voice(8000).tobytes())
    assert ["off", "classical", "neural"] == [each.mode for each in found]
    assert all(0 < each.delay_ms <= 20 for each in found)
    assert 10 == found[-1].delay_ms
