"""A recorded call taken again by the whole of today's stack."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.replay.recorded_calls import PLAN, settings, taken, two_nos
from tests.replay.test_rehear import digest, records, turns
from voicebot.core.timeline import EndReason, Record
from voicebot.errors import UsageError
from voicebot.replay.cassette import Cassette, Mode
from voicebot.replay.clock import run
from voicebot.replay.inputs.load import load
from voicebot.replay.recording import CallAudio
from voicebot.replay.rerun import Reran, diverged_ms, rerun


def again(
    recorded: CallAudio, folder: Path, out: str = "again", pace: str = "recorded", plan: str = PLAN, mode: Mode = "auto"
) -> tuple[Reran, list[Record]]:
    world = settings(folder, plan)
    cassette = Cassette(folder / "cassette", mode)
    reran = run(rerun(recorded, world.dialplans / "shop.yaml", world, folder / out, pace, cassette))
    return reran, records(folder / out)


def said(found: list[Record]) -> list[str]:
    return [r.fields["heard"] for r in found if r.kind == "said"]


@pytest.mark.parametrize("pace", ["recorded", "turns"])
def test_a_call_of_ours_is_taken_as_it_was(tmp_path: Path, pace: str) -> None:
    folder = taken(tmp_path, settings(tmp_path))

    reran, found = again(load(folder)[0], tmp_path, pace=pace)

    assert ["no", "no"] == [text for text, _, _ in turns(found)]
    assert said(records(folder)) == said(found)
    assert (None, EndReason.BOT_HANGUP) == (reran.diverged_ms, reran.heard.reason)


def test_with_every_answer_on_the_cassette_the_bytes_are_the_same(tmp_path: Path) -> None:
    recorded = load(taken(tmp_path, settings(tmp_path)))[0]

    again(recorded, tmp_path, "once", mode="recorded")
    again(recorded, tmp_path, "twice", mode="recorded")

    assert digest(tmp_path / "once") == digest(tmp_path / "twice")


def test_the_caller_waits_for_a_bot_that_talks_longer_today(tmp_path: Path) -> None:
    recorded = load(taken(tmp_path, settings(tmp_path)))[0]
    longer = PLAN.replace("Do you want a bag", "Good morning to you, and welcome to our little shop. Do you want a bag")

    reran, found = again(recorded, tmp_path, pace="turns", plan=longer)

    assert reran.diverged_ms == 0, "its first sentence is another one"
    assert "bag with that?" in said(found)[0], "heard to its end"
    assert ["no", "no"] == [text for text, _, _ in turns(found)]


def test_the_first_answer_that_differs_is_where_the_content_is_no_longer_comparable(tmp_path: Path) -> None:
    recorded = load(taken(tmp_path, settings(tmp_path)))[0]
    other = PLAN.replace("Anything else?", "Will that be all?")

    reran, found = again(recorded, tmp_path, plan=other)

    second = next(r.ms for r in found if r.kind == "heard_from" and r.fields["turn"] == 2)
    assert second == reran.diverged_ms


def test_where_nobody_wrote_down_what_the_bot_said_nothing_is_comparable(tmp_path: Path) -> None:
    records = [Record(200, "heard_from", {"turn": 1}), Record(900, "said", {"turn": 1, "text": "Hello.", "heard": ""})]

    assert 200 == diverged_ms(two_nos(), records)


def test_what_is_not_on_the_cassette_and_may_not_be_asked_ends_it_in_one_sentence(tmp_path: Path) -> None:
    recorded = load(taken(tmp_path, settings(tmp_path)))[0]
    other = PLAN.replace("With a bag.", "One bag.").replace("Without a bag.", "No bag then.")

    with pytest.raises(UsageError, match=r"not on the cassette, the first: tts espeak: .*--live"):
        again(recorded, tmp_path, plan=other, mode="recorded")


def test_a_tool_touches_nothing_and_gives_what_it_gave(tmp_path: Path) -> None:
    noting = PLAN + "tools: {bag: {kind: note}}\n"
    noting = noting.replace(
        "[{say: Without a bag.}, {goto: more}]", "[{tool: bag}, {say: Without a bag.}, {goto: more}]"
    )

    _, found = again(two_nos(), tmp_path, plan=noting)

    assert [True] == [r.fields["ok"] for r in found if r.kind == "tool" and "ok" in r.fields]
    assert not list(tmp_path.rglob("notes.jsonl")), "nothing was written for anybody"
