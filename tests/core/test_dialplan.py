"""The dialplan as a whole: which takes a call, its hash, its schema, its hours, its words for the voice."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from voicebot.core import hours, lexicon
from voicebot.core.dialplan import choose, fixed_sentences, json_schema, parse
from voicebot.core.plan import ACTIONS, Dialplan
from voicebot.core.sentences import GREETINGS

FOLDER = Path(__file__).parents[2] / "dialplans"
NIGHT = datetime(2026, 11, 23, 23, 0, tzinfo=UTC)
DAY = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def plan(name: str, takes: str = "", more: str = "") -> Dialplan:
    return parse(f"name: {name}\n{takes}{more}start: a\nnodes:\n  a: {{do: [hang_up]}}\n", f"{name}.yaml")


EXACT = plan("exact", "takes: {numbers: '+12025550100'}\n")
AREA = plan("area", "takes: {numbers: '+1202*'}\n")
ANY = plan("any", "takes: {numbers: '*'}\n")
VIP = plan("vip", "takes: {numbers: '+1202*', callers: '+44*'}\n")
LATE = plan("late", "takes: {numbers: '+1202*', hours: ['mon-sun 18:00-06:00']}\n")
NOTHING = plan("nothing")
ALL = [NOTHING, ANY, AREA, LATE, VIP, EXACT]


@pytest.mark.parametrize(
    ("called", "caller", "now", "name"),
    [
        ("+12025550100", "+1", DAY, "exact"),
        ("+12025550100", "+44", NIGHT, "exact"),
        ("+12025550111", "+1", DAY, "area"),
        ("+12025550111", "+441", DAY, "vip"),
        ("+12025550111", "+1", NIGHT, "late"),
        ("+33", "+1", DAY, "any"),
    ],
)
def test_the_most_specific_dialplan_takes_the_call(called: str, caller: str, now: datetime, name: str) -> None:
    chosen = choose(ALL, called, caller, now)
    assert chosen is not None
    assert name == chosen.name


def test_a_dialplan_that_takes_nothing_in_particular_takes_no_call() -> None:
    assert None is choose([NOTHING, EXACT], "+33", "+1", DAY)


def test_hours_are_those_of_the_dialplans_place() -> None:
    late = plan("late", "takes: {hours: ['mon 09:00-10:00']}\n", "timezone: Asia/Tokyo\n")
    assert None is choose([late], "x", "y", datetime(2026, 11, 23, 9, 30, tzinfo=UTC))
    assert late == choose([late], "x", "y", datetime(2026, 11, 23, 0, 30, tzinfo=UTC))


@pytest.mark.parametrize(
    ("text", "at", "inside"),
    [
        ("mon-fri 08:00-18:00", "2026-11-23T08:00", True),
        ("mon-fri 08:00-18:00", "2026-11-23T18:00", False),
        ("mon-fri 08:00-18:00", "2026-11-22T12:00", False),
        ("fri-mon 08:00-18:00", "2026-11-22T12:00", True),
        ("sat, sun 10:00-24:00", "2026-11-22T23:59", True),
        ("fri 22:00-02:00", "2026-11-28T01:00", True),
        ("fri 22:00-02:00", "2026-11-27T01:00", False),
    ],
)
def test_hours_hold_from_their_start_up_to_their_end(text: str, at: str, inside: bool) -> None:
    assert inside == hours.is_open((text,), datetime.fromisoformat(at))


def test_the_next_opening_is_found_across_the_weekend() -> None:
    friday = datetime(2026, 11, 27, 19, 0)
    assert datetime(2026, 11, 30, 8, 0) == hours.next_opening(("mon-fri 08:00-18:00",), friday)
    assert None is hours.next_opening((), friday)


def test_the_hash_is_of_the_content_not_of_the_layout() -> None:
    one = parse("name: a\nstart: a\nnodes: {a: {do: [hang_up]}}\n", "one.yaml")
    same = parse("# a comment\nstart: a\nname: a\n\nnodes:\n  a:\n    do:\n      - hang_up: ''\n", "two.yaml")
    other = parse("name: b\nstart: a\nnodes: {a: {do: [hang_up]}}\n", "one.yaml")
    assert one.hash == same.hash
    assert one.hash != other.hash


def test_the_schema_knows_every_action_and_the_keys_of_a_node() -> None:
    schema = json_schema()
    text = str(schema)
    for action in ACTIONS:
        assert f"'{action}'" in text
    assert {"say", "intents", "collect", "readback", "dtmf", "do"} <= set(schema["$defs"]["Node"]["properties"])
    assert {"name", "start", "nodes"} == set(schema["required"])
    assert not schema["additionalProperties"]


@pytest.mark.parametrize("name", ["clinic", "coffee", "frontdesk"])
def test_a_shipped_dialplan_is_good_and_greets_within_four_seconds(name: str) -> None:
    shipped = parse((FOLDER / f"{name}.yaml").read_text(), name)
    assert name == shipped.name
    greeting = shipped.nodes[shipped.start].say[0]
    assert len(greeting.split()) <= 12  # about three words a second


def test_fixed_sentences_are_each_once_and_hold_no_slot() -> None:
    found = fixed_sentences(parse((FOLDER / "frontdesk.yaml").read_text(), "frontdesk.yaml"))
    assert len(found) == len(set(found))
    assert not any("{" in text or "[" in text for text in found)
    assert {f"{each}, Harbour and Lane. Who are you calling for?" for each in GREETINGS} <= set(found)
    assert "Thank you for calling. Goodbye." in found


def test_a_sentence_by_name_or_by_itself() -> None:
    sentences = ANY.sentences
    assert sentences.goodbye == sentences.named("goodbye")
    assert sentences.still_there[0] == sentences.named("still_there")
    assert "Any other text." == sentences.named("Any other text.")
    assert "model_config" == sentences.named("model_config")


def test_the_voice_gets_names_as_they_are_said() -> None:
    terms = parse((FOLDER / "frontdesk.yaml").read_text(), "frontdesk.yaml").lexicon
    said = lexicon.for_voice("Putting you through to Siobhan Murphy, not to Nguyens.", terms)
    assert "Putting you through to shiv awn Murphy, not to Nguyens." == said
