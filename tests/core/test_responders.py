"""Which responder leads a call."""

from __future__ import annotations

from collections import Counter

import pytest

from voicebot.core.dialplan import parse
from voicebot.core.plan import Engines
from voicebot.core.responders import chosen
from voicebot.errors import DialplanError

PLAN = """
name: t
start: a
nodes: {a: {say: Hello., do: hang_up}}
engines: {responder: %s, native: [moshi, gemini_live]}
"""


@pytest.mark.parametrize(
    ("responder", "leads"), [("cascade", "cascade"), ("native", "moshi"), ("gemini_live", "gemini_live")]
)
def test_a_dialplan_names_its_responder(responder: str, leads: str) -> None:
    assert leads == chosen(parse(PLAN % responder, "t.yaml").engines, "20260101-000000-aaaa")


def test_calls_are_split_by_weight_and_each_always_the_same_way() -> None:
    engines = Engines(responder={"cascade": 3, "native": 1}, native=("moshi",))
    calls = [f"20260101-000000-{n:08x}" for n in range(4000)]

    first, again = [chosen(engines, call) for call in calls], [chosen(engines, call) for call in calls]

    assert first == again
    assert 0.22 < Counter(first)["moshi"] / 4000 < 0.28


def test_a_weight_of_nothing_is_nobodys() -> None:
    engines = Engines(responder={"cascade": 0, "native": 1}, native=("moshi",))
    assert {"moshi"} == {chosen(engines, str(n)) for n in range(100)}


@pytest.mark.parametrize(
    ("responder", "fault"),
    [
        ("natvie", "There is no responder 'natvie'."),
        ("{cascade: 1, opera: 1}", "There is no responder 'opera'."),
        ("{cascade: 0, native: 0}", "No responder has a weight."),
    ],
)
def test_a_responder_that_is_none_is_a_fault(responder: str, fault: str) -> None:
    with pytest.raises(DialplanError, match=fault):
        parse(PLAN % responder, "t.yaml")
