"""A whole conversation with each dialplan that ships, over SIP, on recorded voices; and marks over both carriers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.sip.world import needs_pjsua2
from voicebot.replay import carriers, shipped
from voicebot.replay.carrier import free_port, serving
from voicebot.replay.carriers import CARRIERS, Bed, Found
from voicebot.replay.shipped import SCRIPTS, Whole

ROOT = Path(__file__).parents[2]
pytestmark = [needs_pjsua2, pytest.mark.slow, pytest.mark.timeout(240)]


async def test_whoever_calls_a_dialplan_that_ships_is_served_to_the_end_and_marks_come_back(tmp_path: Path) -> None:
    """One service and one minute for all: four calls over SIP, one over Media Streams."""
    voices, port = shipped.voices(ROOT / "tests/data"), free_port()
    plans = shipped.plans(ROOT / "dialplans") | carriers.plans(tmp_path)
    async with serving(plans, carriers.PROGRAM, sip_port=str(port)) as service:
        bed = Bed(service, port, tmp_path)
        async with asyncio.TaskGroup() as group:
            wholes = group.create_task(shipped.conversations(bed, voices, CARRIERS[:1]))
            found = group.create_task(carriers.echoes(bed, 1))
    served_to_the_end(wholes.result())
    came_back(found.result())


def served_to_the_end(wholes: Sequence[Whole]) -> None:
    assert list(SCRIPTS) == [each.dialplan for each in wholes]
    assert {"bot_hangup"} == {each.ended for each in wholes}
    coffee, clinic, frontdesk = wholes
    [(tool, order)] = coffee.tools
    assert ("order", "iced mocha", "medium") == (tool, order["drink"], order["size"])
    [(tool, appointment)] = clinic.tools
    assert ("appointment", "cancel", "1985-03-12") == (tool, appointment["action"], appointment["birth_date"])
    assert appointment["last_name"].startswith("SMITH")  # on a machine that stalls, a letter more was heard once
    assert "It is cancelled. Get well soon." in clinic.heard
    assert ["message"] == [name for name, _ in frontdesk.tools]
    assert frontdesk.heard.endswith("Thank you. We'll call you back. Goodbye.")
    for each in wholes:
        spoken = [step for step in SCRIPTS[each.dialplan] if not step.keys]
        assert len(spoken) == len(each.voice_to_voice_ms)
        assert each.greeting_ms is not None


def came_back(found: Sequence[Found]) -> None:
    assert list(CARRIERS) == [each.carrier for each in found]
    for each in found:
        assert len(each.mouth_to_ear_ms) == len(each.to_engine_ms) >= 8
        ways = zip(each.mouth_to_ear_ms, each.to_engine_ms, each.from_engine_ms, strict=True)
        assert all(abs(whole - there - back) < 0.01 for whole, there, back in ways)
    sip, streams = found
    assert [0.0] == streams.buffer_ms
    assert sip.buffer_ms[0] >= 10  # PJSIP's, which is told apart
