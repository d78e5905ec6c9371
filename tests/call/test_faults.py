"""Engines that fail in the middle of a call: what the caller hears, and when. In virtual time, by the shape of the
fault; the same faults through the vendors' own clients are in `tests/engines`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.call.guarded_world import ANSWER, GOODBYE, GREETING, GuardedWorld, agent
from tests.call.world import Toolbox, silence, tone
from tests.peers.engines import Ears, Model, Voice
from tests.virtual_time import run
from voicebot.core.dialogue import Heard, Silent, Text, ToolCall
from voicebot.core.timeline import EndReason, decode
from voicebot.errors import PeerError

BOUND_MS = 2000 + 700
"""An answer, a filler or an apology is due two seconds after the turn was taken, which takes up to 700 ms here."""
DEAD_AIR_MS = 8000
REFUSED = PeerError("The server cannot be reached.", retryable=True)
HANG = 60.0


@pytest.fixture
def world(tmp_path: Path) -> GuardedWorld:
    return GuardedWorld(tmp_path / "call")


def survived(world: GuardedWorld) -> None:
    """Somebody was heard within the bound, there was no dead air, and the record is whole."""
    assert world.answered_after_ms() <= BOUND_MS
    assert world.longest_silence_ms() < DEAD_AIR_MS
    written = list(decode((world.folder / "timeline.jsonl").read_bytes().splitlines()))
    assert "call_ended" == written[-1].kind
    assert [r.kind for r in world.records] == [r.kind for r in written]


def twice(fault: list[Any]) -> list[list[Any]]:
    """An engine alone is asked again where its error says that this may help."""
    again = fault == ["end"] or any(isinstance(step, PeerError) and step.retryable for step in fault)
    return [fault, fault] if again else [fault]


# --- the agent

AGENT_FAULTS: dict[str, list[Any]] = {
    "connect refused": [REFUSED],
    "hang after connect": [HANG],
    "429 with a long Retry-After": [PeerError("The language model's server answered 429.", retryable=True)],
    "500": [PeerError("The language model's server answered 500.", retryable=True)],
    "empty reply": [PeerError("The language model said nothing.", retryable=True)],
    "invalid tool call, twice": [PeerError("The model called a tool wrongly twice.")],
    "a library that breaks": [ZeroDivisionError()],
}
CUT_SHORT: dict[str, list[Any]] = {
    "stall in mid-stream": [Text("We open at nine"), HANG],
    "drop in mid-stream": [Text("We open at nine"), PeerError("broke off", retryable=True)],
}


@pytest.mark.parametrize("fault", AGENT_FAULTS.values(), ids=AGENT_FAULTS)
def test_an_agent_that_fails_is_replaced_before_the_caller_notices(world: GuardedWorld, fault: list[Any]) -> None:
    world.llm = (agent(GREETING, fault), Model([ANSWER]))

    session = run(world.call(tone(1000)))

    survived(world)
    assert EndReason.BOT_HANGUP is session.reason
    assert "We open at nine in the morning." in world.said()
    assert ("llm", "first", "second") in world.faults()
    assert "sorry" not in [r.fields["sentence"] for r in world.of("fixed")]


@pytest.mark.parametrize("fault", CUT_SHORT.values(), ids=CUT_SHORT)
def test_an_agent_that_breaks_off_is_continued(world: GuardedWorld, fault: list[Any]) -> None:
    world.llm = (agent(GREETING, fault), Model([[Text(" in the morning.")]]))

    run(world.call(tone(1000)))

    survived(world)
    assert "We open at nine in the morning." in world.said()


@pytest.mark.parametrize("fault", [*AGENT_FAULTS.values(), *CUT_SHORT.values()], ids=[*AGENT_FAULTS, *CUT_SHORT])
def test_an_agent_alone_that_fails_costs_an_apology(world: GuardedWorld, fault: list[Any]) -> None:
    world.llm = (agent(GREETING, *twice(fault)),)

    session = run(world.call(tone(1000)))

    survived(world)
    assert EndReason.BOT_HANGUP is session.reason
    assert "sorry" in [r.fields["sentence"] for r in world.of("fixed")]
    assert "Goodbye then." in world.said()


def test_when_no_agent_ever_answers_the_caller_is_put_through(world: GuardedWorld) -> None:
    world.llm, world.operator = (Model([[REFUSED]] * 20),), "desk"

    session = run(world.call(tone(1000)))

    assert EndReason.ENGINE_FAILED is session.reason
    assert "+15550100" == world.line.transferred_to
    assert world.longest_silence_ms() < DEAD_AIR_MS


def test_an_agent_that_hangs_while_nobody_speaks_is_bridged_before_the_line_seems_dead(world: GuardedWorld) -> None:
    world.llm = (agent(GREETING, ANSWER, [HANG]),)

    run(world.call(tone(1000)))

    assert world.longest_silence_ms() < DEAD_AIR_MS
    assert ["one_moment", "sorry"] == [r.fields["sentence"] for r in world.of("fixed")]


def test_an_endless_reply_can_be_interrupted_at_any_time(world: GuardedWorld) -> None:
    endless = [Text("This is a sentence of many. ")] * 300
    world.llm, world.pace = (Model([endless, ANSWER, GOODBYE]),), "recorded"

    run(world.call(silence(6000) + tone(1500)))

    assert "We open at nine in the morning." in world.said()
    assert [False] == [r.fields["complete"] for r in world.of("said")][:1]


# --- the voice

VOICE_FAULTS: dict[str, list[Any]] = {
    "connect refused": [REFUSED],
    "half-open": [HANG],
    "200 and no audio": ["end"],
    "a library that breaks": [ZeroDivisionError()],
    "stall in the middle": [3, HANG],
    "drop in the middle": [3, PeerError("broke off", retryable=True)],
}


@pytest.mark.parametrize("fault", VOICE_FAULTS.values(), ids=VOICE_FAULTS)
def test_a_voice_that_fails_is_replaced_and_every_word_is_heard_once(world: GuardedWorld, fault: list[Any]) -> None:
    world.tts = (Voice([[], fault]), Voice())

    session = run(world.call(tone(1000)))

    survived(world)
    assert EndReason.BOT_HANGUP is session.reason
    heard = [r.fields["heard"] for r in world.of("said")]
    assert ["Hello there, how can I help you?", "We open at nine in the morning.", "Goodbye then."] == heard
    assert ("tts", "first", "second") in world.faults()


@pytest.mark.parametrize("fault", [VOICE_FAULTS["200 and no audio"], VOICE_FAULTS["half-open"]], ids=["empty", "hang"])
def test_a_voice_alone_that_fails_costs_an_apology(world: GuardedWorld, fault: list[Any]) -> None:
    world.tts = (Voice([[], *twice(fault)]),)

    run(world.call(tone(1000)))

    survived(world)
    assert {"sorry"} <= {r.fields["sentence"] for r in world.of("fixed")}


def test_a_voice_slower_than_speech_does_not_stutter_once_it_is_known(world: GuardedWorld) -> None:
    world.tts = (Voice(pause_s=0.4),)

    run(world.call(tone(1000)))

    survived(world)
    (answer,) = [r for r in world.of("heard_from") if r.fields["turn"] == 2]
    _, bot = world.sound()
    first = answer.ms // 10
    assert bot[first + 2 : first + 7 * 30 - 2].all(), "seven words of 300 ms without a gap"


@pytest.mark.parametrize("rate", [16000, 22050, 24000])
def test_any_rate_of_voice_lasts_as_long_as_it_should(world: GuardedWorld, rate: int) -> None:
    world.tts = (Voice(rate=rate),)

    run(world.call(tone(1000)))

    _, bot = world.sound()
    words = 7 + 7 + 2
    assert words * 300 == pytest.approx(10 * bot.sum(), abs=100)


# --- the ears

EAR_FAULTS: dict[str, list[Any]] = {
    "connect refused": [REFUSED],
    "audio accepted and no words": [HANG],
    "closed in mid-utterance": [0.5, ("broken", "closed")],
    "words that end": [0.5, "end"],
}


@pytest.mark.parametrize("fault", EAR_FAULTS.values(), ids=EAR_FAULTS)
def test_ears_that_fail_are_replaced_and_the_utterance_is_not_lost(world: GuardedWorld, fault: list[Any]) -> None:
    world.asr = (Ears(scripts=[list(fault)]), Ears("when do you open"))

    session = run(world.call(tone(1000)))

    survived(world)
    assert EndReason.BOT_HANGUP is session.reason
    assert ["when do you open"] == [r.fields["text"] for r in world.of("turn")]
    assert ("asr", "first", "second") in world.faults()


@pytest.mark.parametrize("fault", EAR_FAULTS.values(), ids=EAR_FAULTS)
def test_ears_alone_that_fail_leave_a_turn_that_nobody_understood(world: GuardedWorld, fault: list[Any]) -> None:
    world.asr = (Ears("", scripts=[list(fault), list(fault)]),)

    session = run(world.call(tone(1000)))

    survived(world)
    assert EndReason.BOT_HANGUP is session.reason
    assert {("asr", "first")} == {(stage, name) for stage, name, _ in world.faults()}
    turns = world.llm[0].sessions[0].turns
    assert [Heard, Silent] == [type(turn) for turn in turns[1:]]


# --- tools


def test_a_tool_that_hangs_is_bridged(world: GuardedWorld) -> None:
    look = [Text("Let me look. "), ToolCall("7", "find", {})]
    world.llm, world.toolbox = (agent(GREETING, look, ANSWER),), Toolbox(seconds=5.0)

    run(world.call(tone(1000)))

    survived(world)
    assert "Let me look. We open at nine in the morning." in world.said()


def test_a_tool_that_acts_runs_once_when_the_agent_fails_after_it(world: GuardedWorld) -> None:
    book = [Text("I'll note that. "), ToolCall("7", "book", {})]
    world.llm = (agent(GREETING, book, [REFUSED]), Model([[Text("It is noted.")]]))
    world.toolbox = Toolbox(seconds=0.5, acting=frozenset({"book"}))

    run(world.call(tone(1000)))

    survived(world)
    assert ["book"] == world.toolbox.ran
    assert "I'll note that. It is noted." in world.said()
