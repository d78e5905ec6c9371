"""The turn machine, first as a story, then as properties over random lives of a call."""

from __future__ import annotations

import multiprocessing
import os
import random
from concurrent.futures import ProcessPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.turn_world import OFTEN, SELDOM, Step, live
from voicebot.core import events as ev
from voicebot.core.events import BargeIn, State, Timing
from voicebot.core.timeline import EndReason
from voicebot.core.turns import TurnMachine


def kinds(actions: list[ev.Action]) -> list[str]:
    return [type(a).__name__ for a in actions]


def opened() -> TurnMachine:
    """A machine whose greeting was heard, at 2000 ms."""
    machine = TurnMachine()
    machine.feed(ev.Answered(), 0)
    machine.feed(ev.ReplyAudio(1), 100)
    machine.feed(ev.ReplyDone(1), 120)
    machine.feed(ev.Drained(), 2000)
    return machine


def speaking() -> TurnMachine:
    """A machine that is answering turn 2, at 4000 ms."""
    machine = opened()
    machine.feed(ev.VoiceStarted(), 2500)
    machine.feed(ev.VoiceStopped(3000), 3200)
    machine.feed(ev.WordsHeard("hello there", final=False), 3300)
    machine.feed(ev.Tick(), machine.deadline())
    machine.feed(ev.WordsHeard("hello there", final=True), 3600)
    machine.feed(ev.ReplyAudio(2), 4000)
    return machine


class TestAStory:
    def test_the_bot_opens_the_call(self) -> None:
        assert [ev.StartReply(1, ev.Input.OPENING)] == TurnMachine().feed(ev.Answered(), 0)

    def test_a_heard_greeting_is_committed_and_the_bot_listens(self) -> None:
        machine = TurnMachine()
        machine.feed(ev.Answered(), 0)
        machine.feed(ev.ReplyAudio(1), 100)
        machine.feed(ev.ReplyDone(1), 120)

        assert [ev.CommitHeard(1, complete=True)] == machine.feed(ev.Drained(), 2000)
        assert State.LISTENING is machine.state

    def test_words_that_look_complete_end_the_turn_sooner(self) -> None:
        deadlines = []
        for settled in (True, False):
            machine = opened()
            machine.feed(ev.VoiceStarted(), 2500)
            machine.feed(ev.WordsHeard("a large latte and", final=False, settled=settled), 2900)
            machine.feed(ev.VoiceStopped(3000), 3200)
            deadlines.append(machine.deadline())

        assert [3000 + machine.timing.quick_ms, 3000 + machine.timing.pause_ms] == deadlines

    def test_what_looks_complete_is_prepared_while_the_pause_goes_on(self) -> None:
        machine = opened()
        machine.feed(ev.VoiceStarted(), 2500)
        machine.feed(ev.WordsHeard("a large latte", final=False), 2900)

        assert [ev.FinishEar()] == machine.feed(ev.VoiceStopped(3000), 3200)
        assert [ev.Prepare("a large latte")] == machine.feed(ev.WordsHeard("a large latte", final=True), 3260)
        assert State.DECIDING is machine.state
        assert 3000 + machine.timing.quick_ms == machine.deadline()
        assert ev.StartReply(2, ev.Input.SPOKEN, "a large latte") in machine.feed(ev.Tick(), machine.deadline())

    def test_a_caller_who_goes_on_costs_what_was_prepared_and_no_word(self) -> None:
        machine = opened()
        machine.feed(ev.VoiceStarted(), 2500)
        machine.feed(ev.WordsHeard("a large latte", final=False), 2900)
        machine.feed(ev.VoiceStopped(3000), 3200)
        machine.feed(ev.WordsHeard("a large latte", final=True), 3260)

        assert ev.DropPrepared() in machine.feed(ev.VoiceStarted(), 3300)
        machine.feed(ev.VoiceStopped(3900), 4100)
        machine.feed(ev.Tick(), machine.deadline())
        actions = machine.feed(ev.WordsHeard("with milk", final=True), 4700)
        assert ev.StartReply(2, ev.Input.SPOKEN, "a large latte with milk") in actions

    def test_somebody_else_may_say_how_long_the_pause_must_be(self) -> None:
        machine = opened()
        machine.feed(ev.VoiceStarted(), 2500)
        machine.feed(ev.VoiceStopped(3000), 3200)

        machine.feed(ev.TurnMayEnd(1234), 3210)

        assert 4234 == machine.deadline()

    def test_the_turn_starts_when_the_final_words_are_in(self) -> None:
        machine = opened()
        machine.feed(ev.VoiceStarted(), 2500)
        machine.feed(ev.VoiceStopped(3000), 3200)

        assert [ev.FinishEar()] == machine.feed(ev.Tick(), machine.deadline())
        assert kinds(machine.feed(ev.WordsHeard("a latte", final=True), 3800)) == ["CloseEar", "StartReply"]

    def test_a_recogniser_that_never_answers_does_not_stop_the_turn(self) -> None:
        machine = opened()
        machine.feed(ev.VoiceStarted(), 2500)
        machine.feed(ev.WordsHeard("a latte", final=False), 2900)
        machine.feed(ev.VoiceStopped(3000), 3200)
        machine.feed(ev.Tick(), machine.deadline())

        actions = machine.feed(ev.Tick(), machine.deadline())

        assert ev.StartReply(2, ev.Input.SPOKEN, "a latte") in actions

    def test_a_cough_while_listening_is_no_turn(self) -> None:
        machine = opened()
        machine.feed(ev.VoiceStarted(), 2500)
        machine.feed(ev.VoiceStopped(2700), 2900)
        machine.feed(ev.Tick(), machine.deadline())

        assert [ev.CloseEar()] == machine.feed(ev.WordsHeard("", final=True), 3500)
        assert State.LISTENING is machine.state

    def test_long_speech_that_nobody_understood_is_a_turn_without_words(self) -> None:
        machine = opened()
        machine.feed(ev.VoiceStarted(), 2500)
        machine.feed(ev.VoiceStopped(4500), 4700)
        machine.feed(ev.Tick(), machine.deadline())

        actions = machine.feed(ev.WordsHeard("", final=True), 5500)

        assert ev.StartReply(2, ev.Input.SPOKEN, "") in actions

    def test_a_caller_who_goes_on_while_the_turn_is_closed_keeps_the_first_words(self) -> None:
        machine = opened()
        machine.feed(ev.VoiceStarted(), 2500)
        machine.feed(ev.WordsHeard("a latte", final=False), 2900)
        machine.feed(ev.VoiceStopped(3000), 3200)
        machine.feed(ev.Tick(), machine.deadline())
        machine.feed(ev.VoiceStarted(), 3500)
        machine.feed(ev.WordsHeard("with milk", final=False), 3900)
        machine.feed(ev.VoiceStopped(4000), 4200)
        machine.feed(ev.Tick(), machine.deadline())

        actions = machine.feed(ev.WordsHeard("with milk", final=True), 4800)

        assert ev.StartReply(2, ev.Input.SPOKEN, "a latte with milk") in actions

    def test_silence_is_a_turn_of_its_own_and_counted(self) -> None:
        machine = opened()

        assert [ev.StartReply(2, ev.Input.SILENCE, count=1)] == machine.feed(ev.Tick(), machine.deadline())

    def test_nobody_is_asked_for_ever(self) -> None:
        machine = opened()
        for turn in (2, 3, 4):
            assert ev.StartReply(turn, ev.Input.SILENCE, count=turn - 1) in machine.feed(ev.Tick(), machine.deadline())
            machine.feed(ev.ReplyDone(turn), machine.deadline() - 1)

        assert [ev.SayFixed("goodbye")] == machine.feed(ev.Tick(), machine.deadline())


class TestInterruption:
    def test_voice_over_the_bot_holds_playout_at_once(self) -> None:
        assert [ev.HoldPlayout(), ev.OpenEar()] == speaking().feed(ev.VoiceStarted(), 5000)

    def test_a_cough_resumes_where_it_was_held(self) -> None:
        machine = speaking()
        machine.feed(ev.VoiceStarted(), 5000)
        machine.feed(ev.VoiceStopped(5150), 5300)

        assert [ev.CloseEar(), ev.ResumePlayout()] == machine.feed(ev.WordsHeard("", final=True, real=False), 5350)
        assert State.SPEAKING is machine.state

    def test_a_backchannel_resumes_too(self) -> None:
        machine = speaking()
        machine.feed(ev.VoiceStarted(), 5000)
        machine.feed(ev.VoiceStopped(5200), 5300)

        assert ev.ResumePlayout() in machine.feed(ev.WordsHeard("uh-huh", final=True, real=False), 5350)

    def test_real_words_take_the_floor_and_commit_what_was_heard(self) -> None:
        machine = speaking()
        machine.feed(ev.VoiceStarted(), 5000)

        actions = machine.feed(ev.WordsHeard("no wait", final=False, real=True), 5200)

        assert [ev.CancelReply(2), ev.DropPlayout(), ev.CommitHeard(2, complete=False)] == actions
        assert State.HEARING is machine.state

    def test_voice_that_lasts_takes_the_floor_without_words(self) -> None:
        machine = speaking()
        machine.feed(ev.VoiceStarted(), 5000)

        assert [] == machine.feed(ev.Speech(machine.timing.insist_ms - 1), 5400)
        assert ev.DropPlayout() in machine.feed(ev.Speech(machine.timing.insist_ms), 5500)
        assert State.HEARING is machine.state

    def test_a_string_of_listening_sounds_may_be_twice_as_long(self) -> None:
        machine = speaking()
        machine.feed(ev.VoiceStarted(), 5000)
        machine.feed(ev.WordsHeard("yeah okay", final=False, real=False, go_on=True), 5300)

        assert [] == machine.feed(ev.Speech(machine.timing.insist_ms), 5500)
        assert ev.DropPlayout() in machine.feed(ev.Speech(2 * machine.timing.insist_ms), 6000)

    def test_a_voice_without_evidence_holds_the_bot_for_a_moment_only(self) -> None:
        machine = speaking()
        machine.feed(ev.VoiceStarted(), 5000)

        assert [ev.ResumePlayout()] == machine.feed(ev.Tick(), 5000 + machine.timing.hold_ms)
        assert ev.DropPlayout() in machine.feed(ev.WordsHeard("no wait", final=False, real=True), 7000)

    def test_a_cough_while_the_bot_thinks_costs_no_answer(self) -> None:
        machine = opened()
        machine.feed(ev.Key("1", complete=True), 3000)

        assert [ev.HoldPlayout(), ev.OpenEar()] == machine.feed(ev.VoiceStarted(), 3100)
        machine.feed(ev.ReplyAudio(2), 3150)
        machine.feed(ev.VoiceStopped(3250), 3450)
        actions = machine.feed(ev.WordsHeard("", final=True, real=False), 3500)

        assert [ev.CloseEar(), ev.ResumePlayout()] == actions
        assert State.SPEAKING is machine.state

    def test_a_reply_that_fails_while_the_bot_holds_is_apologised_for_aloud(self) -> None:
        machine = speaking()
        machine.feed(ev.VoiceStarted(), 5000)

        actions = machine.feed(ev.ReplyFailed(2, "llm"), 5100)

        assert [ev.CancelReply(2), ev.ResumePlayout(), ev.SayFixed("sorry")] == actions

    def test_strict_turns_are_not_interrupted_but_by_keys(self) -> None:
        machine = speaking()
        machine.feed(ev.Retime(Timing(barge_in=BargeIn.STRICT)), 4900)

        assert [] == machine.feed(ev.VoiceStarted(), 5000)
        assert [] == machine.feed(ev.Speech(3000), 8000)
        assert ev.DropPlayout() in machine.feed(ev.Key("1", complete=True), 8100)

    def test_with_keywords_the_bot_speaks_on_until_it_hears_one(self) -> None:
        machine = speaking()
        machine.feed(ev.Retime(Timing(barge_in=BargeIn.KEYWORDS)), 4900)

        assert [ev.OpenEar()] == machine.feed(ev.VoiceStarted(), 5000)
        assert [] == machine.feed(ev.WordsHeard("what was", final=False, real=False), 5300)
        assert State.SPEAKING is machine.state
        assert ev.DropPlayout() in machine.feed(ev.WordsHeard("what was please stop", final=False, real=True), 5600)

    def test_a_notice_is_not_interrupted(self) -> None:
        machine = speaking()

        assert machine.feed(ev.VoiceStarted(may_interrupt=False), 5000) == []
        assert State.SPEAKING is machine.state

    def test_who_spoke_through_a_notice_is_heard_when_it_ends(self) -> None:
        machine = speaking()
        machine.feed(ev.VoiceStarted(may_interrupt=False), 5000)
        machine.feed(ev.ReplyDone(2), 5100)

        assert [ev.CommitHeard(2, complete=True), ev.OpenEar()] == machine.feed(ev.Drained(), 5500)

    def test_a_key_cuts_speech_even_of_a_notice(self) -> None:
        machine = speaking()

        assert kinds(machine.feed(ev.Key("1", complete=True), 5000)) == [
            "CancelReply",
            "DropPlayout",
            "CommitHeard",
            "StartReply",
        ]

    def test_a_goodbye_is_heard_to_its_end(self) -> None:
        machine = speaking()
        machine.feed(ev.ReplyDone(2, EndReason.BOT_HANGUP), 4100)

        assert machine.feed(ev.VoiceStarted(), 4500) == []
        assert [ev.CommitHeard(2, complete=True), ev.EndCall(EndReason.BOT_HANGUP)] == machine.feed(ev.Drained(), 6000)


class TestHold:
    def test_on_hold_the_bot_is_silent_and_asks_nobody_anything(self) -> None:
        machine = speaking()

        actions = machine.feed(ev.PutOnHold(), 5000)
        assert [ev.CancelReply(2), ev.DropPlayout(), ev.CommitHeard(2, complete=False)] == actions
        for _ in range(10):
            assert [] == machine.feed(ev.Tick(), machine.deadline())
            assert [] == machine.feed(ev.VoiceStarted(), machine.deadline() - 1)
            machine.feed(ev.VoiceStopped(machine.deadline() - 1), machine.deadline() - 1)
        assert State.AWAY is machine.state

    def test_back_from_hold_the_conversation_goes_on(self) -> None:
        machine = speaking()
        machine.feed(ev.PutOnHold(), 5000)

        assert [ev.StartReply(3, ev.Input.RETURN)] == machine.feed(ev.TakenBack(), 90_000)

    def test_who_never_comes_back_is_gone(self) -> None:
        machine = speaking()
        machine.feed(ev.PutOnHold(), 5000)
        while machine.state is State.AWAY:
            actions = machine.feed(ev.Tick(), machine.deadline())

        assert [ev.EndCall(EndReason.CALLER_HANGUP)] == actions


class TestNativeEngines:
    def test_a_reply_that_nobody_asked_for_becomes_a_turn(self) -> None:
        machine = opened()

        assert [ev.StartReply(2, ev.Input.UNASKED)] == machine.feed(ev.EngineSpeaks(), 3000)
        assert State.THINKING is machine.state

    def test_an_engine_may_be_quicker_to_find_that_the_caller_has_finished(self) -> None:
        machine = opened()
        machine.feed(ev.VoiceStarted(), 2500)
        machine.feed(ev.WordsHeard("a large latte", final=False), 2900)
        machine.feed(ev.VoiceStopped(3000), 3200)

        assert ev.StartReply(2, ev.Input.SPOKEN, "a large latte") in machine.feed(ev.EngineSpeaks(), 3250)

    def test_another_reply_waits_until_this_one_was_heard(self) -> None:
        machine = speaking()

        assert [] == machine.feed(ev.EngineSpeaks(), 4500)
        machine.feed(ev.ReplyDone(2), 4600)
        assert [ev.CommitHeard(2, True), ev.StartReply(3, ev.Input.UNASKED)] == machine.feed(ev.Drained(), 6000)

    def test_an_engine_that_yields_ends_its_reply_at_once(self) -> None:
        machine = speaking()

        actions = machine.feed(ev.EngineYields(), 4500)

        assert ["CancelReply", "DropPlayout", "CommitHeard"] == kinds(actions)
        assert State.LISTENING is machine.state

    def test_it_cannot_yield_a_notice(self) -> None:
        machine = speaking()

        assert [] == machine.feed(ev.EngineYields(may_interrupt=False), 4500)
        assert State.SPEAKING is machine.state

    def test_while_the_bot_thinks_a_voice_that_only_the_engine_hears_costs_no_answer(self) -> None:
        machine = opened()
        machine.feed(ev.Key("1", complete=True), 3000)

        assert [] == machine.feed(ev.EngineYields(), 3100)
        assert State.THINKING is machine.state


def transferring() -> TurnMachine:
    """A machine that is putting the caller through, since 6000 ms."""
    machine = speaking()
    machine.feed(ev.ReplyDone(2, EndReason.TRANSFER, "desk"), 4100)
    assert [ev.CommitHeard(2, complete=True), ev.Transfer("desk")] == machine.feed(ev.Drained(), 6000)
    return machine


class TestTransfer:
    def test_the_call_goes_on_until_somebody_has_taken_the_caller(self) -> None:
        machine = transferring()

        assert State.TRANSFERRING is machine.state
        assert [ev.EndCall(EndReason.TRANSFER)] == machine.feed(ev.PutThrough(), 9000)

    def test_who_waits_hears_a_word_now_and_then_but_not_for_ever(self) -> None:
        machine, company = transferring(), 0
        while [ev.SayFixed("still_trying")] == (actions := machine.feed(ev.Tick(), machine.deadline())):
            company += 1

        assert company >= 10
        assert [ev.DropTransfer(), ev.StartReply(3, ev.Input.UNREACHED, "desk")] == actions

    def test_a_transfer_that_fails_gives_the_caller_back_to_the_bot(self) -> None:
        machine = transferring()

        assert [ev.StartReply(3, ev.Input.UNREACHED, "desk")] == machine.feed(ev.TransferFailed("busy"), 9000)
        machine.feed(ev.ReplyAudio(3), 9100)
        machine.feed(ev.ReplyDone(3), 9200)
        machine.feed(ev.Drained(), 11_000)
        assert State.LISTENING is machine.state

    def test_a_caller_who_hangs_up_meanwhile_ends_it(self) -> None:
        actions = transferring().feed(ev.Gone(EndReason.CALLER_HANGUP), 8000)

        assert [ev.DropTransfer(), ev.EndCall(EndReason.CALLER_HANGUP)] == actions

    def test_a_telephone_that_holds_us_to_call_the_other_side_is_told_nothing(self) -> None:
        machine = transferring()
        machine.feed(ev.PutOnHold(), 7000)

        assert [] == machine.feed(ev.Tick(), machine.deadline())
        assert [] == machine.feed(ev.TransferFailed("busy"), 20_000)
        assert [ev.StartReply(3, ev.Input.UNREACHED, "desk")] == machine.feed(ev.TakenBack(), 25_000)

    def test_those_who_talk_to_each_other_are_left_alone(self) -> None:
        machine = transferring()

        assert [ev.DropPlayout()] == machine.feed(ev.Joined(), 8000)
        for _ in range(20):
            assert [] == machine.feed(ev.Tick(), machine.deadline())
        assert [] == machine.feed(ev.VoiceStarted(), machine.deadline() - 1)
        assert [ev.EndCall(EndReason.TRANSFER)] == machine.feed(ev.PutThrough(), 900_000)

    def test_a_caller_who_hangs_up_on_whom_they_were_put_through_to_was_put_through(self) -> None:
        machine = transferring()
        machine.feed(ev.Joined(), 8000)

        actions = machine.feed(ev.Gone(EndReason.CALLER_HANGUP), 60_000)

        assert [ev.DropTransfer(), ev.EndCall(EndReason.TRANSFER)] == actions

    def test_a_line_that_ends_because_the_carrier_has_taken_the_caller_ends_the_transfer_well(self) -> None:
        assert [ev.EndCall(EndReason.TRANSFER)] == transferring().feed(ev.Gone(EndReason.TRANSFER), 8000)

    def test_the_service_may_end_a_call_that_is_being_put_through(self) -> None:
        actions = transferring().feed(ev.Close(EndReason.DRAINED, "goodbye"), 8000)

        assert [ev.DropTransfer(), ev.SayFixed("goodbye")] == actions

    def test_a_caller_whom_the_carrier_gives_back_is_told_so(self) -> None:
        machine = TurnMachine()

        assert [ev.StartReply(1, ev.Input.UNREACHED, "desk")] == machine.feed(ev.Answered(unreached="desk"), 0)


class TestTrouble:
    def test_thinking_long_is_bridged_once(self) -> None:
        machine = opened()
        machine.feed(ev.Key("1", complete=True), 3000)

        assert [ev.SayFixed("one_moment")] == machine.feed(ev.Tick(), machine.deadline())

    def test_a_reply_that_never_comes_is_apologised_for(self) -> None:
        machine = opened()
        machine.feed(ev.Key("1", complete=True), 3000)
        machine.feed(ev.Tick(), machine.deadline())

        assert [ev.CancelReply(2), ev.SayFixed("sorry")] == machine.feed(ev.Tick(), machine.deadline())

    def test_three_strikes_end_the_call_politely(self) -> None:
        machine = opened()
        for at_ms in (3000, 4000):
            machine.feed(ev.Key("1", complete=True), at_ms)
            machine.feed(ev.ReplyFailed(machine.turn, "llm"), at_ms)
            machine.feed(ev.Drained(), at_ms + 500)
        machine.feed(ev.Key("1", complete=True), 5000)

        assert ev.SayFixed("trouble") in machine.feed(ev.ReplyFailed(machine.turn, "llm"), 5000)
        assert ev.EndCall(EndReason.ENGINE_FAILED) in machine.feed(ev.Drained(), 8000)

    def test_where_there_is_an_operator_three_strikes_put_the_caller_through(self) -> None:
        machine = TurnMachine()
        machine.feed(ev.Answered("desk"), 0)
        for at_ms in (1000, 2000):
            machine.feed(ev.ReplyFailed(machine.turn, "llm"), at_ms)
            machine.feed(ev.Drained(), at_ms + 300)
            machine.feed(ev.Key("1", complete=True), at_ms + 500)

        assert ev.SayFixed("putting_through") in machine.feed(ev.ReplyFailed(machine.turn, "llm"), 3000)
        assert [ev.Transfer("desk")] == machine.feed(ev.Drained(), 5000)
        assert [ev.SayFixed("trouble")] == machine.feed(ev.TransferFailed("busy"), 9000), "there is no way back"
        assert [ev.EndCall(EndReason.ENGINE_FAILED)] == machine.feed(ev.Drained(), 12_000)

    def test_hold_music_is_asked_again_like_silence_but_not_for_ever(self) -> None:
        machine = opened()
        machine.feed(ev.VoiceStarted(), 2500)
        for turn in (2, 3, 4):
            assert ev.StartReply(turn, ev.Input.SPOKEN, "") in machine.feed(ev.Tick(), machine.deadline())
            machine.feed(ev.ReplyDone(turn), machine.deadline() - 1)
            assert State.HEARING is machine.state

        assert ev.SayFixed("goodbye") in machine.feed(ev.Tick(), machine.deadline())

    def test_what_the_table_does_not_know_is_counted(self) -> None:
        machine = opened()
        machine.feed(ev.ReplyAudio(7), 3000)

        assert dict(machine.ignored) == {"listening/ReplyAudio": 1}


# --- properties -----------------------------------------------------------------------------------------------

STEPS = st.lists(
    st.tuples(st.sampled_from(OFTEN) | st.sampled_from(SELDOM), st.integers(0, 9000)),
    max_size=60,
)
LIVES = 1_000_000


@given(STEPS)
@settings(max_examples=400, deadline=None)
def test_whatever_happens_what_must_be_true_is(steps: list[Step]) -> None:
    live(steps)  # the world asserts at every step


@given(STEPS)
@settings(max_examples=200, deadline=None)
def test_a_hang_up_from_anywhere_ends_the_call_with_one_clean_up(steps: list[Step]) -> None:
    world = live(steps)

    world.feed(ev.Gone(EndReason.CALLER_HANGUP))
    world.feed(ev.Gone(EndReason.CALLER_HANGUP))

    assert State.ENDED is world.machine.state
    assert world.ended == 1
    assert set() == world.open_turns


@given(STEPS)
@settings(max_examples=200, deadline=None)
def test_the_same_events_give_the_same_actions(steps: list[Step]) -> None:
    world = live([s for s in steps if s[0] != "backwards"])
    again = TurnMachine(Timing())

    actions = [a for event, at_ms in world.log for a in again.feed(event, at_ms)]

    assert sorted(map(repr, world.seen)) == sorted(map(repr, actions))


def lives(seed: int, count: int) -> int:
    """Random lives, most of them short; the steps of one that fails."""
    chance = random.Random(seed)
    for _ in range(count):
        length = min(60, 2 + int(chance.expovariate(1 / 10)))
        steps = [
            (chance.choice(OFTEN if chance.random() < 0.8 else SELDOM), int(chance.random() ** 3 * 9000))
            for _ in range(length)
        ]
        try:
            live(steps).feed(ev.Gone(EndReason.CALLER_HANGUP))
        except Exception as broken:
            raise AssertionError(f"{broken!r} after {steps}") from broken
    return count


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_million_lives() -> None:
    workers = os.cpu_count() or 1
    each = 5000
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        lived = sum(pool.map(lives, range(LIVES // each), [each] * (LIVES // each)))
    assert LIVES == lived
