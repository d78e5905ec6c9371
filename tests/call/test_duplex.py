"""A native engine leads a call, in virtual time: turns, truth of what was heard, the flow, failures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.call.guarded_world import ANSWER as CASCADE_ANSWER
from tests.call.guarded_world import agent
from tests.call.native_world import NativeWorld
from tests.call.world import silence, tone
from tests.peers.duplex_engine import BROKEN, PCMU, WORD_MS, Engine, Session
from tests.peers.engines import Ears
from tests.virtual_time import run
from voicebot.carriers.base import Digit, Hold
from voicebot.core.dialogue import Heard, Text, ToolCall
from voicebot.core.duplex import (
    Abilities,
    AudioFormat,
    CallerWords,
    Coding,
    Decides,
    Gone,
    How,
    Interrupted,
    Leaving,
    ReplyText,
)
from voicebot.core.timeline import EndReason, decode

GREETING = ["Hello there."]
ANSWER = ["We open at nine in the morning."]
LONG = ["one two three four five six seven eight nine ten eleven twelve"]
DEAD_AIR_MS = 8000


@pytest.fixture
def world(tmp_path: Path) -> NativeWorld:
    return NativeWorld(tmp_path / "call")


def heard(world: NativeWorld) -> list[str]:
    return [r.fields["heard"] for r in world.of("said")]


def whole(world: NativeWorld) -> None:
    """No dead air, and the record is complete."""
    assert world.longest_silence_ms() < DEAD_AIR_MS
    written = list(decode((world.folder / "timeline.jsonl").read_bytes().splitlines()))
    assert "call_ended" == written[-1].kind


class TestTurns:
    def test_the_engine_greets_and_answers_when_our_machine_says_so(self, world: NativeWorld) -> None:
        world.natives = (Engine([GREETING, ANSWER]),)

        run(world.call(tone(1000)))

        (session,) = world.natives[0].sessions
        assert ["Hello there.", "We open at nine in the morning."] == heard(world)[:2]
        assert 'Say now: "Hello there."' in session.asked[0]
        assert "" == session.asked[1]
        whole(world)

    def test_the_headers_of_the_call_are_in_what_the_engine_is_asked_to_say(self, world: NativeWorld) -> None:
        world.plan_text = world.plan_text.replace("say: Hello there.", 'say: "Hello[, {header_x_name}]."')
        world.natives, world.headers = (Engine([GREETING]),), {"x-name": "Ann"}

        run(world.call(silence(1000)))

        assert 'Say now: "Hello, Ann."' in world.natives[0].sessions[0].asked[0]

    def test_caller_audio_goes_to_the_engine_without_a_gap(self, world: NativeWorld) -> None:
        world.natives = (Engine([GREETING, ANSWER]),)

        run(world.call(tone(1000)))

        (session,) = world.natives[0].sessions
        assert abs(world.line.clock_ms() - len(session.heard) // 8) <= 120  # less what it took to connect

    def test_an_interruption_tells_the_engine_how_much_was_heard(self, world: NativeWorld) -> None:
        world.natives = (Engine([GREETING, LONG, ANSWER]),)
        world.pace = "recorded"

        run(world.call(silence(1500) + tone(800), silence(2500) + tone(1500)))

        (session,) = world.natives[0].sessions
        cut = next(r for r in world.of("said") if not r.fields["complete"])
        ((_, heard_ms),) = session.cuts
        began = next(r.ms for r in world.of("heard_from") if r.fields["turn"] == cut.fields["turn"])
        held = next(r.ms for r in world.of("hold"))
        assert abs((held - began) - heard_ms) <= 40
        assert abs(len(cut.fields["heard"].split()) - heard_ms // WORD_MS) <= 1  # by proportion of their letters
        assert LONG[0].startswith(cut.fields["heard"])

    def test_a_cough_goes_on_from_where_it_was(self, world: NativeWorld) -> None:
        world.natives = (Engine([GREETING, LONG]),)
        world.asr = (type(world.asr[0])(scripts=[[], []], says=""),)
        world.pace = "recorded"

        run(world.call(silence(1500) + tone(800), silence(2500) + tone(200)))

        (session,) = world.natives[0].sessions
        assert [] == session.cuts
        assert world.of("resume")

    def test_a_reply_that_ends_after_its_last_sound_was_heard_is_over_at_once(self, world: NativeWorld) -> None:
        world.natives = (Engine([[*GREETING, 1.5, CallerWords("", False)]]),)

        run(world.call())

        assert [True] == [r.fields["complete"] for r in world.of("said")]
        assert world.of("said")[0].ms <= 1700

    def test_a_reply_that_comes_unasked_is_a_turn(self, world: NativeWorld) -> None:
        world.decided_by = "engine"
        world.natives = (Engine([GREETING, ANSWER], later=[(3.0, Session.speak_up)]),)

        run(world.call())

        (session,) = world.natives[0].sessions
        assert ["Hello there.", "We open at nine in the morning."] == heard(world)[:2]
        assert 1 == len(session.asked)

    def test_an_engine_that_decides_answers_before_our_pause_is_over(self, world: NativeWorld) -> None:
        world.decided_by = "both"
        world.natives = (Engine([GREETING, ANSWER], later=[(2.55, Session.speak_up)]),)
        world.pace = "recorded"

        run(world.call(silence(1500) + tone(800)))

        (session,) = world.natives[0].sessions
        (turn,) = world.of("turn")
        assert 1 == len(session.asked)
        assert turn.ms < 2650

    def test_a_second_reply_waits_for_the_end_of_the_first(self, world: NativeWorld) -> None:
        world.decided_by = "engine"
        world.natives = (Engine([LONG, ANSWER], later=[(1.0, Session.speak_up)]),)

        run(world.call())

        assert [*LONG, *ANSWER] == heard(world)[:2]
        assert [] == world.natives[0].sessions[0].cuts

    def test_an_engine_that_gives_the_floor_away_is_told_what_was_heard(self, world: NativeWorld) -> None:
        world.decided_by = "engine"
        world.natives = (Engine([LONG, ANSWER], later=[(1.5, lambda s: s.say(Interrupted()))]),)

        run(world.call())

        (session,) = world.natives[0].sessions
        cut = next(r for r in world.of("said") if not r.fields["complete"])
        ((reply, heard_ms),) = session.cuts
        assert "1.1" == reply
        assert abs(len(cut.fields["heard"].split()) - heard_ms // WORD_MS) <= 1

    def test_half_duplex_makes_the_engine_deaf_while_it_speaks(self, world: NativeWorld) -> None:
        world.duplex = "half"
        world.natives = (Engine([LONG]),)
        world.pace = "recorded"

        run(world.call(silence(1000) + tone(1500)))

        (session,) = world.natives[0].sessions
        assert set(session.heard[800 * 8 : 2500 * 8]) <= {0xFF, 0x7F}
        assert [] == session.cuts

    def test_on_hold_the_engine_hears_silence_and_no_music(self, world: NativeWorld) -> None:
        world.natives = (Engine([LONG]),)
        world.at(1.0, Hold(True))
        world.at(3.0, Hold(False))
        world.pace = "recorded"

        run(world.call(silence(1200) + tone(1500)))

        (session,) = world.natives[0].sessions
        assert set(session.heard[1100 * 8 : 2900 * 8]) <= {0xFF, 0x7F}
        assert abs(world.line.clock_ms() - len(session.heard) // 8) <= 120
        assert "The caller is back from hold." in session.asked[1]
        assert 1 == len(session.cuts)

    def test_a_cough_is_no_part_of_the_next_turn(self, world: NativeWorld) -> None:
        world.natives = (Engine([GREETING, ANSWER]),)
        world.asr = (Ears(says=""),)
        world.pace, world.stays_ms = "recorded", 8000

        run(world.call(silence(1500) + tone(200) + silence(3000) + tone(1000)))

        assert 2 == world.natives[0].sessions[0].begun
        assert 1 == len(world.of("turn"))

    def test_a_pause_within_a_turn_begins_no_other(self, world: NativeWorld) -> None:
        world.natives = (Engine([GREETING, ANSWER]),)
        world.pace = "recorded"

        run(world.call(silence(1500) + tone(800) + silence(400) + tone(800)))

        assert 1 == world.natives[0].sessions[0].begun
        assert 1 == len(world.of("turn"))

    def test_where_the_dialplan_is_strict_nobody_interrupts(self, world: NativeWorld) -> None:
        world.plan_text = world.plan_text.replace("turns: {", "turns: {barge_in: strict, ")
        world.natives = (Engine([LONG]),)
        world.pace = "recorded"

        run(world.call(silence(1000) + tone(1500)))

        assert [] == world.natives[0].sessions[0].cuts
        assert [] == world.of("hold")

    def test_an_engine_that_cannot_do_what_is_wanted_does_what_it_can(self, world: NativeWorld) -> None:
        able = Abilities(PCMU, PCMU, (Decides.ENGINE,), obeys=False)
        world.natives = (Engine([ANSWER], able, later=[(3.0, Session.speak_up)]),)

        run(world.call())

        (session,) = world.natives[0].sessions
        assert [] == session.asked
        assert ["Hello there.", *ANSWER] == heard(world)[:2]  # the greeting in the dialplan's own voice
        assert Decides.ENGINE is session.context.decides

    def test_an_engine_that_takes_turns_only_is_told_when_one_is_over(self, world: NativeWorld) -> None:
        world.natives = (Engine([ANSWER], Abilities(PCMU, PCMU, (Decides.OURS,), obeys=False)),)

        run(world.call(tone(1000)))

        assert [""] == world.natives[0].sessions[0].asked
        assert ["Hello there.", *ANSWER] == heard(world)[:2]

    @pytest.mark.parametrize("rate", [16000, 24000])
    def test_audio_is_converted_once_to_what_the_engine_declares(self, world: NativeWorld, rate: int) -> None:
        format = AudioFormat(Coding.PCM16, rate)
        world.natives = (Engine([GREETING], Abilities(format, PCMU)),)

        run(world.call(tone(1000)))

        (session,) = world.natives[0].sessions
        assert abs(world.line.clock_ms() - len(session.heard) // 2 * 1000 // rate) <= 120

    def test_what_the_engine_understood_is_the_callers_turn(self, world: NativeWorld) -> None:
        words = [CallerWords("a large latte", True), *ANSWER]
        world.natives = (Engine([GREETING, words]),)

        run(world.call(tone(1000)))

        assert "a large latte" in [p.turn.words.text for p in world.agent.past if hasattr(p.turn, "words")]

    def test_what_it_understood_before_the_turn_was_taken_is_that_turns(self, world: NativeWorld) -> None:
        world.decided_by = "engine"
        words = CallerWords("a large latte", True)
        later = [(2.4, lambda s: s.say(words)), (2.5, Session.speak_up)]
        world.natives = (Engine([GREETING, ANSWER], later=later),)
        world.pace = "recorded"

        run(world.call(silence(1500) + tone(800)))

        assert ["a large latte"] == [p.turn.words.text for p in world.agent.past if isinstance(p.turn, Heard)]


class TestFlow:
    def test_the_flow_goes_on_by_tool_calls_to_its_end(self, world: NativeWorld) -> None:
        world.natives = (
            Engine(
                [
                    GREETING,
                    [ToolCall("1", "choose", {"intent": "order"})],
                    ["Which size?"],
                    [ToolCall("2", "note_answers", {"size": "large"})],
                    ["Your large coffee comes. Goodbye."],
                ]
            ),
        )

        session = run(world.call(tone(1000), tone(800)))

        (engine,) = world.natives[0].sessions
        assert EndReason.BOT_HANGUP is session.reason
        assert ["order"] == world.toolbox.ran
        assert {"say": "Which size? Small or large?"} == dict(engine.results[0].result)
        assert {"say": "Your large coffee comes. Goodbye."} == dict(engine.results[-1].result)
        assert "'order'" in engine.configured[1][0]
        assert {"choose"} == {t.name for t in engine.context.tools} - {"transfer", "hang_up"}
        assert {"note_answers"} == {t.name for t in engine.configured[1][1]} - {"transfer", "hang_up"}
        whole(world)

    def test_a_transfer_says_its_sentence_and_goes(self, world: NativeWorld) -> None:
        call = ToolCall("1", "choose", {"intent": "person"})
        world.natives = (Engine([GREETING, [call], ["I'm putting you through."]]),)

        session = run(world.call(tone(1000)))

        assert EndReason.TRANSFER is session.reason
        assert "+15550100" == world.line.transferred_to
        assert "I'm putting you through." in world.said()

    def test_a_key_does_what_it_does_with_any_responder(self, world: NativeWorld) -> None:
        world.plan_text = world.plan_text.replace(
            "    say: Hello there.\n", "    say: Hello there.\n    dtmf: {1: person}\n"
        )
        world.natives = (Engine([GREETING, ["I'm putting you through."]]),)
        world.at(2.0, Digit("1"))

        session = run(world.call())

        (engine,) = world.natives[0].sessions
        assert EndReason.TRANSFER is session.reason
        assert ["[The caller pressed 1 on the keypad.]"] == [m.text for m in engine.told]
        assert "I'm putting you through." in engine.asked[1]

    def test_a_value_that_is_none_goes_back_to_the_engine(self, world: NativeWorld) -> None:
        wrong = ToolCall("1", "choose", {"intent": "fly to the moon"})
        world.natives = (Engine([GREETING, [wrong], ["I can take an order."]]),)

        run(world.call(tone(1000)))

        (result,) = world.natives[0].sessions[0].results
        assert not result.ok
        assert "must be one of: order, person" in result.result["error"]

    def test_a_notice_is_played_word_for_word_and_the_engine_is_told(self, world: NativeWorld) -> None:
        world.plan_text = world.plan_text.replace(
            "say: Hello there.", "say: This call is recorded.\n    interruptible: false"
        )
        world.natives = (Engine(),)

        run(world.call())

        (session,) = world.natives[0].sessions
        assert ["This call is recorded."] == [m.text for m in session.told]
        assert "This call is recorded." == heard(world)[0]
        assert 'Say now: "This' not in " ".join(session.asked)


FAULTS: dict[str, list[Any]] = {
    "says nothing": [60.0],
    "stalls in its reply": ["We open at", 60.0],
    "breaks off": ["We open at", BROKEN],
    "breaks before it speaks": [BROKEN],
    "gives up": [ReplyText("x", ""), How.FAILED],
    "is gone": [Gone("The server closed the connection (1006).")],
    "a library that breaks": [ZeroDivisionError()],
}


class TestFailures:
    @pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
    def test_the_cascade_goes_on_after_one_short_sentence(self, world: NativeWorld, fault: list[Any]) -> None:
        world.natives = (Engine([GREETING, fault]),)
        world.llm = (agent([Text(" nine in the morning.")]),)

        session = run(world.call(tone(1000)))

        (then,) = world.of("responder")
        assert "cascade" == then.fields["name"]
        assert then.ms - next(r.ms for r in world.of("turn")) <= 2000
        assert world.answered_after_ms() <= 2000 + 800
        assert "nine in the morning." in world.said()
        assert world.natives[0].sessions[0].closed
        assert session.reason in (EndReason.CALLER_HANGUP, EndReason.BOT_HANGUP)
        whole(world)

    def test_the_cascade_knows_what_was_heard(self, world: NativeWorld) -> None:
        world.natives = (Engine([GREETING, ["We open at", BROKEN]]),)
        world.llm = (agent([Text(" nine.")]),)

        run(world.call(tone(1000)))

        opened = next(s for s in world.llm[0].sessions if s.past is not None)
        assert opened.past is not None
        assert ["Hello there. "] == [p.said for p in opened.past]
        assert "We open at " == opened.begun

    def test_a_session_whose_time_is_over_is_followed_by_another(self, world: NativeWorld) -> None:
        gone = Gone("The server closed the connection (1001).", expected=True)
        world.natives = (Engine([GREETING, ANSWER, ANSWER], later=[(6.5, lambda s: s.say(gone))]),)

        run(world.call(tone(1000), silence(3000) + tone(1000)))

        first, second = world.natives[0].sessions
        assert [] == world.of("responder")
        told = [(m.role, m.text.strip()) for m in second.context.history]
        assert ("assistant", "We open at nine in the morning.") in told
        assert 3 == len([text for text in heard(world) if text])
        assert first.closed

    def test_a_session_that_says_that_it_leaves_is_replaced_in_a_quiet_moment(self, world: NativeWorld) -> None:
        world.natives = (Engine([GREETING, LONG, ANSWER], later=[(6.0, lambda s: s.say(Leaving(50_000)))]),)
        world.pace, world.stays_ms = "recorded", 10_000

        run(world.call(silence(3000) + tone(1000), silence(8000) + tone(1000)))

        assert 2 == len(world.natives[0].sessions)
        assert [*GREETING, *LONG, *ANSWER] == heard(world)[:3]

    def test_between_turns_the_next_engine_takes_over_without_a_word(self, world: NativeWorld) -> None:
        world.natives = (Engine([GREETING], later=[(1.5, lambda s: s.say(Gone("broke")))]), Engine([ANSWER]))

        run(world.call(silence(2000) + tone(1000)))

        assert [*GREETING, *ANSWER] == heard(world)[:2]
        assert [] == world.of("responder")
        assert ("s2s", "first", "second") in world.faults()

    def test_an_engine_that_is_left_alone_costs_nothing(self, world: NativeWorld) -> None:
        world.natives = (Engine(),)
        world.llm = (agent([Text("Hello from the cascade.")], CASCADE_ANSWER),)
        world.before = lambda member: [member.breaker.failed(1_000_000) for _ in range(2)]

        run(world.call(tone(1000)))

        assert [] == world.natives[0].sessions
        assert "Hello from the cascade." == heard(world)[0]

    def test_an_engine_that_cannot_be_opened_costs_one_sentence(self, world: NativeWorld) -> None:
        world.natives = (Engine(opens=[BROKEN]),)
        world.llm = (agent([Text("Hello from the cascade.")], CASCADE_ANSWER),)

        run(world.call(tone(1000)))

        assert "Hello from the cascade." in world.said()
        whole(world)
