"""How long a service takes to be there: the middle of several starts, and one in earnest."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.commands.test_serve import DIALPLAN
from voicebot.replay.bench_start import Start, middle, start


def test_the_middle_is_that_of_each_figure() -> None:
    assert Start(2, 5, 8) == middle([Start(1, 5, 9), Start(2, 4, 8), Start(3, 6, 7)])


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="CPU is read from /proc")
async def test_a_start_is_over_when_the_service_says_that_it_is_ready(tmp_path: Path) -> None:
    plan = tmp_path / "waiting.yaml"
    plan.write_text(DIALPLAN)
    found = await start(tmp_path / "data", sip=False, settings={"DIALPLANS": str(plan)})
    assert found.ready_s > 0.3
    assert -1 == found.sip_s
    assert 0.3 < found.cpu_s
    assert (tmp_path / "data" / "cache").is_dir()
