"""The peer of the load bench: how high it climbs, what is compared, and that its server needs nothing of ours."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.replay.test_load import step
from tests.test_house import rooms_imported
from voicebot.errors import UsageError
from voicebot.replay import load_peer
from voicebot.replay.load_peer import PeerRun

linux = pytest.mark.skipif(sys.platform != "linux", reason="costs are read from /proc")


def test_the_peers_server_needs_nothing_of_ours() -> None:
    assert set() == rooms_imported(load_peer.PROGRAM)


def test_each_is_compared_at_the_most_calls_that_it_holds() -> None:
    ours = [
        step(1, cpu_ms=20, rss_mb=100),
        step(100, cpu_ms=5, rss_mb=200),
        step(120, cpu_ms=4, rss_mb=300, late_p99=90),
    ]
    theirs = [step(4, cpu_ms=60, rss_mb=190), step(8, cpu_ms=50, rss_mb=240), step(12, cpu_ms=40, underruns=1)]
    ratios = load_peer.ratios(ours, theirs)
    assert ratios
    assert (12.5, 0.1, 1 / 15) == pytest.approx((ratios.calls, ratios.cpu, ratios.memory))


def test_nothing_is_compared_with_one_who_holds_nothing() -> None:
    assert load_peer.ratios([step(1)], [step(4, underruns=3)]) is None


def test_what_is_missing_is_one_sentence_before_anything_is_measured(tmp_path: Path) -> None:
    load_peer.check([], tmp_path / "none")
    load_peer.check(["pipecat"], Path(sys.executable))
    with pytest.raises(UsageError, match="make bench-peer"):
        load_peer.check(["pipecat"], tmp_path / "none")
    with pytest.raises(UsageError, match="Nobody knows other"):
        load_peer.check(["pipecat", "other"], Path(sys.executable))


@linux
@pytest.mark.slow
async def test_a_peer_in_a_process_of_its_own_is_called_and_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    root = Path(__file__).parents[2]
    monkeypatch.setattr(load_peer, "PROGRAM", root / "tests" / "peers" / "media_bot.py")
    monkeypatch.setenv("PYTHONPATH", str(root))
    cores = sorted(os.sched_getaffinity(0))
    run = PeerRun("pipecat", Path(sys.executable), 2, 0.0, record=False, cores=cores)
    try:
        version, (found,) = await load_peer.measured(run, lambda _: None, counts=(2,))
    finally:
        os.sched_setaffinity(0, cores)
    assert ("0.0", 2) == (version, found.calls)
    assert found.late_p50 >= 0  # it was heard, and its pace measured
    assert found.rss_mb > 10
