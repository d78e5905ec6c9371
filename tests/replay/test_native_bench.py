"""`voicebot measure native`: a call through the whole service, led by an engine on this machine."""

from __future__ import annotations

import asyncio

import pytest

from voicebot.replay.native_bench import added


@pytest.mark.slow
def test_every_turn_of_the_call_is_heard_answered_and_measured() -> None:
    found = asyncio.run(added(2))

    assert 3 == found.turns  # the greeting, too
    assert 0 <= found.in_p50 <= found.in_p95
    assert 0 <= found.out_p50 <= found.out_p95
