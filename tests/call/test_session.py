"""A call from answer to end, in virtual time: a real session on a real line of recordings, engines that do as told."""

from __future__ import annotations

import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.call.world import ToneTts, Toolbox, World, silence, tone
from tests.virtual_time import run
from voicebot.carriers.wavline import WavLine
from voicebot.core.dialogue import CallerTurn, Heard, LlmEvent, Opening, Silent, Text, ToolCall, ToolDone
from voicebot.core.dialplan import Dialplan, parse
from voicebot.core.events import Timing
from voicebot.core.timeline import EndReason, decode, latencies
from voicebot.core.turn_log import replay
from voicebot.errors import PeerError

PLAN = """
name: test
description: A dialplan for tests.
start: welcome
nodes:
  welcome:
    say: Hello there.
    do: hang_up
"""


@pytest.fixture
def plan() -> Dialplan:
    return parse(PLAN, "test.yaml")


@pytest.fixture
def world(tmp_path: Path, plan: Dialplan) -> World:
    return World(tmp_path / "call", plan)


HANG_UP = [Text("Bye."), ToolCall("1", "hang_up", {})]


def echoing(turn: CallerTurn) -> list[LlmEvent]:
    """Greets, repeats what it heard, and says goodbye to silence."""
    match turn:
        case Opening():
            return [Text("Hello there.")]
        case Heard(words):
            return [Text(f"You said {words.text or 'nothing'}.")]
        case _:
            return [Text("Goodbye then."), ToolCall("1", "hang_up", {})]


def test_the_caller_is_greeted_heard_answered_and_told_goodbye(world: World) -> None:
    world.brain, world.texts = echoing, ("a large latte",)

    session = run(world.call(tone(1000)))

    assert EndReason.BOT_HANGUP is session.reason
    assert [Opening, Heard, Silent] == [type(t) for t in world.agent.turns]
    assert world.agent.heard == [("Hello there.", True), ("You said a large latte.", True), ("Goodbye then.", True)]


def test_the_recogniser_hears_the_voice_with_some_audio_before_it(world: World) -> None:
    world.brain, world.texts = echoing, ("yes",)

    run(world.call(tone(1000)))

    voice, samples = 8000, world.asr.heard_samples[0]
    pause = world.agent.expectation.pause_ms * 8
    assert voice + 8000 * 0.3 <= samples <= voice + 8000 * 0.4 + pause


def test_the_recording_holds_both_sides_where_they_were_heard(world: World) -> None:
    world.brain, world.texts = echoing, ("yes",)

    run(world.call(tone(1000)))

    with wave.open(str(world.folder / "audio.wav")) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (2, 2, 8000)
        sound = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
    loud = np.abs(sound.reshape(-1, 80, 2).max(axis=1)) > 1000  # 10 ms windows
    caller, bot = np.flatnonzero(loud[:, 0]), np.flatnonzero(loud[:, 1])
    turn = world.of("turn")[0].fields
    assert abs(caller[0] * 10 - turn["start_ms"]) <= 20
    assert abs(caller[-1] * 10 - turn["end_ms"]) <= 30
    assert bot[0] * 10 <= 200, "the greeting comes at once"
    assert not set(caller) & set(bot), "nobody spoke over anybody"


def test_the_timeline_on_disk_is_what_was_shown(world: World) -> None:
    world.brain, world.texts = echoing, ("yes",)

    run(world.call(tone(1000)))

    written = list(decode((world.folder / "timeline.jsonl").read_bytes().splitlines()))
    assert [r.kind for r in world.records] == [r.kind for r in written]
    (latency,) = latencies(written)
    assert world.agent.expectation.pause_ms <= latency.endpoint_ms <= world.agent.expectation.pause_ms + 40
    assert latency.endpoint_ms <= latency.voice_to_voice_ms <= latency.endpoint_ms + 150


def test_the_turns_of_a_call_can_be_gone_through_again(world: World) -> None:
    world.brain, world.texts = echoing, ("yes",)

    run(world.call(tone(1000)))

    lines = (world.folder / "turns.jsonl").read_bytes().splitlines()
    states = [state for _, _, state, _ in replay(lines, Timing(silence_ms=world.dialplan.limits.silence_s * 1000))]
    changed = [state for before, state in zip(["listening", *states], states, strict=False) if state != before]
    assert [r.fields["state"] for r in world.of("state")] == changed


class TestInterruption:
    LONG = "one two three four five six seven eight nine ten."

    def brain(self, turn: CallerTurn) -> list[LlmEvent]:
        return [Text(self.LONG)] if isinstance(turn, Opening) else HANG_UP

    def test_real_words_cut_the_bot_and_it_remembers_what_was_heard(self, world: World) -> None:
        world.brain, world.texts, world.pace = self.brain, ("no wait a moment",), "recorded"

        run(world.call(silence(1200) + tone(1500)))

        heard, complete = world.agent.heard[0]
        assert not complete
        assert self.LONG.startswith(heard)
        assert 3 <= len(heard.split()) <= 5, "250 ms a word, cut at about 1.2 s"

    def test_a_cough_holds_the_bot_and_it_goes_on_without_losing_a_sample(self, world: World) -> None:
        world.brain, world.texts, world.pace = self.brain, ("",), "recorded"

        run(world.call(silence(1200) + tone(120)))

        assert world.agent.heard[0] == ("one two three four five six seven eight nine ten.", True)
        assert len(world.of("hold")) == 1
        assert len(world.of("resume")) == 1
        with wave.open(str(world.folder / "audio.wav")) as file:
            sound = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
        bot = sound[: 8000 * 6, 1]
        voiced = np.flatnonzero(np.abs(bot.reshape(-1, 80)).max(axis=1) > 1000)
        assert abs(len(voiced) * 10 - 2500) <= 20, "ten words of 250 ms, each sample once"

    def test_a_notice_is_heard_to_its_end(self, world: World) -> None:
        world.brain = lambda turn: (
            [Text("This call is recorded.", interruptible=False)] if isinstance(turn, Opening) else HANG_UP
        )
        world.texts, world.pace = ("no wait",), "recorded"

        run(world.call(silence(300) + tone(1500)))

        assert world.agent.heard[0] == ("This call is recorded.", True)


class TestTrouble:
    def test_a_slow_agent_is_bridged(self, world: World) -> None:
        world.brain = lambda turn: [3.0, Text("At last.")] if isinstance(turn, Opening) else HANG_UP

        run(world.call())

        assert [r.fields["sentence"] for r in world.of("fixed")] == ["one_moment"]
        assert world.agent.heard[0] == ("At last.", True)

    def test_a_silent_synthesiser_ends_in_an_apology_and_a_closed_call(self, world: World) -> None:
        world.tts = ToneTts(fails=True)

        session = run(world.call())

        assert EndReason.ENGINE_FAILED is session.reason
        assert [r.fields["sentence"] for r in world.of("fixed")] == ["sorry", "sorry", "trouble"]

    def test_an_agent_that_breaks_its_contract_costs_an_apology_not_the_call(self, world: World) -> None:
        def broken(turn: CallerTurn) -> list[LlmEvent]:
            if isinstance(turn, Opening):
                raise PeerError("connection refused")
            return [Text("Better now."), ToolCall("1", "hang_up", {})]

        world.brain = broken

        session = run(world.call())

        assert EndReason.BOT_HANGUP is session.reason
        assert "Better now." in [text for text, _ in world.agent.heard]

    def test_our_own_mistake_ends_the_call_with_its_record_closed(self, world: World) -> None:
        def buggy(turn: CallerTurn) -> list[LlmEvent]:
            raise ZeroDivisionError

        world.brain = buggy

        session = run(world.call())

        assert EndReason.ENGINE_FAILED is session.reason
        assert world.records[-1].kind == "call_ended"

    def test_a_call_that_lasts_too_long_is_closed_politely(self, world: World, plan: Dialplan) -> None:
        world.dialplan = plan.model_copy(update={"limits": plan.limits.model_copy(update={"max_call_s": 10})})
        world.brain = lambda turn: [Text("Still here.")]
        world.pace = "recorded"

        session = run(world.call(silence(60_000)))

        assert EndReason.BOT_HANGUP is session.reason
        assert [r.fields["sentence"] for r in world.of("fixed")] == ["goodbye"]


def test_a_fax_is_not_talked_to_for_long(world: World) -> None:
    t = np.arange(8 * 3000) / 8000
    answering = (8000 * np.sin(2 * np.pi * 2100 * t)).astype("<i2").tobytes()
    world.brain = lambda turn: [Text("Hello there, how can I help you today?")]
    world.pace = "recorded"

    session = run(world.call(silence(500) + answering + silence(20_000)))

    assert EndReason.BOT_HANGUP is session.reason
    assert ["a fax or a modem calls"] == [r.fields["text"] for r in world.of("note")]
    assert world.records[-1].ms < 8000


class TestTools:
    def brain(self, turn: CallerTurn) -> list[LlmEvent]:
        match turn:
            case Heard():
                return [Text("Let me look. "), ToolCall("7", "book", {"day": "monday"})]
            case ToolDone(_, ok, result):
                return [Text(f"Done, {result['done']}." if ok else "That failed.")]
            case Opening():
                return [Text("Hello.")]
            case _:
                return [ToolCall("1", "hang_up", {})]

    def test_the_result_of_a_tool_is_spoken_in_the_same_turn(self, world: World) -> None:
        world.brain, world.texts = self.brain, ("monday please",)

        run(world.call(tone(900)))

        assert world.agent.heard[1] == ("Let me look. Done, book.", True)

    def test_a_tool_that_acts_runs_once_even_if_the_caller_goes_on_talking(self, world: World) -> None:
        world.brain, world.texts = self.brain, ("monday please", "and hurry")
        world.toolbox = Toolbox(seconds=3.0, acting=frozenset({"book"}))
        world.pace = "recorded"

        run(world.call(silence(1500) + tone(900) + silence(1800) + tone(900)))

        assert world.toolbox.ran[0] == "book"
        assert len(world.toolbox.ran) <= 2, "once for each time the agent asked"


class TestLastResort:
    def test_an_agent_that_breaks_off_is_heard_as_far_as_it_got(self, world: World) -> None:
        def breaks(turn: CallerTurn) -> Sequence[LlmEvent | Exception]:
            if isinstance(turn, Opening):
                return [Text("Our opening hours are"), PeerError("dropped")]
            return HANG_UP

        world.brain = breaks

        run(world.call())

        assert world.agent.heard[0] == ("Our opening hours are", False)
        assert ["sorry"] == [r.fields["sentence"] for r in world.of("fixed")]

    def test_with_an_operator_the_caller_is_put_through_instead_of_sent_away(self, world: World) -> None:
        world.dialplan = parse(PLAN + "transfers: {desk: {to: '+15550100'}}\noperator: desk\n", "test.yaml")
        world.tts = ToneTts(fails=True)

        session = run(world.call())

        assert ["sorry", "sorry", "putting_through"] == [r.fields["sentence"] for r in world.of("fixed")]
        assert [("desk", True)] == [(r.fields["to"], r.fields["ok"]) for r in world.of("transfer")]
        assert EndReason.ENGINE_FAILED is session.reason

    def test_a_caller_who_cannot_be_put_through_hears_so(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        async def refuses(*_: object) -> None:
            raise PeerError("busy")

        monkeypatch.setattr(WavLine, "transfer", refuses)
        world.dialplan = parse(PLAN + "transfers: {desk: {to: '+15550100'}}\noperator: desk\n", "test.yaml")
        world.tts = ToneTts(fails=True)

        session = run(world.call())

        assert ["putting_through", "trouble"] == [r.fields["sentence"] for r in world.of("fixed")][-2:]
        ended = world.records[-1]
        assert ended.ms - world.of("fixed")[-1].ms >= 250 * len(world.dialplan.sentences.trouble.split())
        assert EndReason.ENGINE_FAILED is session.reason
