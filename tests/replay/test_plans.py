"""Which dialplan a recorded call is replayed with."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.replay.recorded_calls import PLAN, call, channel, settings
from voicebot.core.timeline import Record
from voicebot.errors import UsageError
from voicebot.replay.plans import plan_of

TAKEN = call(channel(1), None, Record(0, "call_started", {"dialplan": "shop"}))


def test_the_one_that_the_call_was_taken_with_or_the_one_that_is_wanted(tmp_path: Path) -> None:
    world = settings(tmp_path)
    (tmp_path / "plans" / "other.yaml").write_text(PLAN.replace("name: shop", 'name: "other"'))

    assert "shop" == plan_of(TAKEN, world)[0].name  # type: ignore[index]
    assert ("other", tmp_path / "plans/other.yaml") == (
        (found := plan_of(TAKEN, world, "other"))[0].name,  # type: ignore[index]
        found[1],  # type: ignore[index]
    )
    assert "other" == plan_of(TAKEN, world, str(tmp_path / "plans/other.yaml"))[0].name  # type: ignore[index]


def test_a_recording_of_another_system_has_none(tmp_path: Path) -> None:
    assert None is plan_of(call(channel(1), None), settings(tmp_path))


@pytest.mark.parametrize(
    ("wanted", "why"),
    [("nobody", "There is no dialplan 'nobody'"), ("no.yaml", "cannot be read"), ("", "say --dialplan")],
)
def test_one_that_is_not_there_is_told_in_one_sentence(tmp_path: Path, wanted: str, why: str) -> None:
    world = settings(tmp_path, PLAN.replace("name: shop", "name: market"))

    with pytest.raises(UsageError, match=why):
        plan_of(TAKEN, world, wanted)


def test_where_there_are_no_dialplans_at_all_that_is_told(tmp_path: Path) -> None:
    world = settings(tmp_path).model_copy(update={"dialplans": tmp_path / "nowhere.yaml"})

    with pytest.raises(UsageError, match="cannot be read"):
        plan_of(TAKEN, world)
