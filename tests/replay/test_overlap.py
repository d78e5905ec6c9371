"""What `make bench` says of overlapping stages: the stages really run, and overlapping them is quicker."""

from __future__ import annotations

import pytest

from voicebot.replay.overlap import first_audio


@pytest.mark.slow
async def test_overlapping_stages_answer_sooner_than_stages_in_a_row() -> None:
    found = await first_audio(1)
    assert found.overlapped_ms < found.one_after_the_other_ms
    assert found.overlapped_ms >= 250 + 120, "nothing is faster than the server's first token and first audio"
