"""How a caller speaks reaches the agent, the voice and the record, as far as the dialplan wants it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.audio.voices import syllables
from tests.call.test_session import PLAN, echoing
from tests.call.world import World
from tests.virtual_time import run
from voicebot.core.dialogue import Heard
from voicebot.core.dialplan import parse
from voicebot.core.tone import FASTEST, PLAIN

USUAL, HURRIED = syllables(10, 230), syllables(16, 150)


def called(folder: Path, tone: str) -> World:
    world = World(folder / "call", parse(f"{PLAN}\ntone: {tone}\n", "test.yaml"))
    world.brain, world.texts = echoing, ("one", "two", "three")
    run(world.call(USUAL, USUAL, HURRIED))
    return world


def tones_told(world: World) -> list[str]:
    return [turn.tone for turn in world.agent.turns if isinstance(turn, Heard)]


def test_the_agent_is_told_what_stands_out_where_the_dialplan_wants_it(tmp_path: Path) -> None:
    assert ["", "", "hurried"] == tones_told(called(tmp_path, "{to_agent: true}"))


def test_by_default_only_the_voice_follows(tmp_path: Path) -> None:
    world = called(tmp_path, "{}")
    assert ["", "", ""] == tones_told(world)
    greeting, first, *_, last, _ = world.tts.manners
    assert PLAIN == greeting
    assert first.pace < PLAIN.pace < last.pace <= FASTEST


def test_a_dialplan_can_leave_the_voice_as_it_is(tmp_path: Path) -> None:
    assert {PLAIN} == set(called(tmp_path, "{to_voice: false}").tts.manners)


def test_the_record_has_how_each_turn_was_said(tmp_path: Path) -> None:
    tones = [record.fields["tone"] for record in called(tmp_path, "{to_voice: false}").of("turn")]
    assert [0, 1, 2] == [tone["turns"] for tone in tones]
    assert pytest.approx(230 / 150, abs=0.25) == tones[-1]["pace"]
