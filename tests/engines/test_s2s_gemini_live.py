"""The engine and Google's own client against a local Live server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.engines.duplex_caller import Caller, calling, is_a, kinds
from tests.peers.gemini_live import Answer, GeminiServer
from voicebot.core.conversation import Message
from voicebot.core.dialogue import ToolCall, ToolDone
from voicebot.core.duplex import (
    CallerStarted,
    CallerStopped,
    CallerWords,
    CallsCancelled,
    Context,
    Decides,
    Gone,
    How,
    Interrupted,
    Leaving,
    ReplyAudio,
    ReplyBegan,
    ReplyCalls,
    ReplyEnded,
)
from voicebot.core.tool_specs import ToolSpec
from voicebot.engines import gemini_link, s2s_gemini_live
from voicebot.engines.base import EngineConfig
from voicebot.engines.s2s_gemini_live import GeminiDuplex
from voicebot.errors import PeerError, UsageError

LOOKUP = ToolSpec("lookup", "Looks up.", {"type": "object", "properties": {"q": {"type": "string"}}, "required": []})
OURS = Context("Be brief.", (LOOKUP,), decides=Decides.OURS)
THEIRS = Context("Be brief.", (LOOKUP,), decides=Decides.ENGINE)
DEADLINE = (1011, "Deadline expired before operation could complete.")


def engine_for(server: GeminiServer, **options: Any) -> GeminiDuplex:
    given = {"api_key": "AIzaTest", "base_url": server.url, "ca_file": server.ca_file} | options
    return s2s_gemini_live.create(EngineConfig(options=given))


@asynccontextmanager
async def call(
    *script: Answer, context: Context = OURS, options: dict[str, Any] | None = None, **knobs: Any
) -> AsyncIterator[tuple[Caller, GeminiServer]]:
    async with GeminiServer(script, **knobs) as server:
        engine = engine_for(server, **(options or {}))
        await engine.start()
        async with calling(engine, context, pace=4.0) as caller:
            yield caller, server
        await engine.close()


async def speak(caller: Caller, ms: int = 600) -> None:
    """A turn, as the call tells it: its beginning is noticed late, and its end."""
    await caller.say(ms // 2)
    caller.session.began()
    await caller.say(ms - ms // 2)
    caller.session.respond()


class TestATurn:
    async def test_the_reply_has_its_words_and_all_of_its_audio(self) -> None:
        async with call(Answer("It is open until nine.", 900, heard="when do you close")) as (caller, _):
            await speak(caller)
            await caller.until(is_a(ReplyEnded))
            assert ["ReplyBegan", "ReplyAudio", "ReplyText"] == kinds(caller.events)[1:4]
            assert "It is open until nine." == caller.text("reply_1")
            assert 900 == caller.audio_ms("reply_1")
            await caller.until(is_a(CallerWords, text="when do you close", final=True))

    async def test_the_server_is_told_the_turn_with_what_came_before_it_was_noticed(self) -> None:
        async with call(Answer()) as (caller, server):
            await caller.say(2000)  # a voice that nobody takes for one: not sent
            await speak(caller, 600)
            await caller.until(is_a(ReplyEnded))
        assert 700 + 300 == pytest.approx(len(server.turns[0]) / 32, abs=120)

    async def test_what_is_between_turns_is_not_sent(self) -> None:
        async with call(Answer(), Answer()) as (caller, server):
            for _ in range(2):
                await speak(caller, 400)
                await caller.until(is_a(ReplyEnded, reply=f"reply_{len(server.turns) or 1}"))
                await asyncio.sleep(0.4)
        assert 2 == len(server.turns)
        assert max(map(len, server.turns)) < 32 * 1200

    async def test_the_settings_say_audio_transcripts_tools_and_whose_turns_they_are(self) -> None:
        options = {"voice": "Kore", "temperature": 0.5}
        async with call(options=options) as (_, server):
            (setup,) = server.setups
        assert "models/gemini-3.8-live" == setup["model"]
        assert {"automaticActivityDetection": {"disabled": True}} == {
            "automaticActivityDetection": setup["realtimeInputConfig"]["automaticActivityDetection"]
        }
        assert {"inputAudioTranscription", "outputAudioTranscription"} <= set(setup)
        assert "BLOCKING" == setup["tools"][0]["functionDeclarations"][0]["behavior"]
        assert "Kore" in json.dumps(setup["generationConfig"]["speechConfig"])
        assert "slidingWindow" in setup["contextWindowCompression"]
        assert "AIzaTest" == server.headers[0]["x-goog-api-key"]

    async def test_instructions_make_a_reply_without_a_caller(self) -> None:
        async with call(Answer("Rosa's bakery, hello!")) as (caller, server):
            caller.session.respond("Greet the caller.")
            await caller.until(is_a(ReplyEnded))
            assert "Rosa's bakery, hello!" == caller.text()
        assert ["Greet the caller."] == server.said
        assert [b""] == server.turns

    async def test_a_transcript_that_comes_after_the_answer_is_still_of_that_utterance(self) -> None:
        async with call(Answer("Yes.", heard="are you open", heard_late=True), Answer("No.")) as (caller, _):
            await speak(caller)
            words = await caller.until(is_a(CallerWords, text="are you open"))
        assert isinstance(words, CallerWords)
        assert "utterance_1" == words.utterance

    async def test_a_turn_without_an_answer_is_a_reply_that_failed(self) -> None:
        async with call(Answer(reason="PROHIBITED_INPUT_CONTENT")) as (caller, _):
            await speak(caller)
            ended = await caller.until(is_a(ReplyEnded))
        assert ReplyEnded("reply_1", How.FAILED, "The model gave it up (prohibited_input_content).") == ended

    async def test_a_turn_of_nothing_at_all_is_a_reply_that_failed(self) -> None:
        async with call(Answer(text="")) as (caller, _):
            await speak(caller)
            ended = await caller.until(is_a(ReplyEnded))
        assert ReplyEnded("reply_1", How.FAILED, "The model gave no answer.") == ended

    async def test_new_instructions_and_tools_hold_from_here_on(self) -> None:
        async with call() as (caller, server):
            caller.session.configure("Take the order.", [LOOKUP])
            await asyncio.sleep(0.2)
        (update,) = server.updates
        assert "Take the order." == update["systemInstruction"]["parts"][0]["text"]
        assert "lookup" in json.dumps(update["tools"])


class TestInterruption:
    async def test_a_cut_takes_the_floor_with_all_that_the_caller_said_meanwhile(self) -> None:
        async with call(Answer("A very long story", 3000), Answer("Sorry."), playback=1.0) as (caller, server):
            await speak(caller)
            await caller.until(is_a(ReplyAudio))
            await caller.say(300)
            caller.session.began()
            await caller.say(300)
            assert 0 == server.interrupted
            caller.session.cut("reply_1", 250)
            await caller.say(200)
            caller.session.respond()
            await caller.until(is_a(ReplyEnded, reply="reply_2"))
            assert "Sorry." == caller.text("reply_2")
        assert 1 == server.interrupted
        assert 800 <= len(server.turns[1]) / 32 <= 1600

    async def test_a_cough_interrupts_nothing(self) -> None:
        async with call(Answer("A story", 900)) as (caller, server):
            await speak(caller)
            await caller.until(is_a(ReplyAudio))
            await caller.say(100)
            caller.session.began()
            ended = await caller.until(is_a(ReplyEnded))
            await asyncio.sleep(0.5)
        assert ReplyEnded("reply_1") == ended
        assert 0 == server.interrupted
        assert 1 == len(server.turns)

    async def test_a_cut_for_another_reason_ends_what_the_model_says(self) -> None:
        async with call(Answer("A story", 3000), playback=1.0) as (caller, server):
            await speak(caller)
            await caller.until(is_a(ReplyAudio))
            caller.session.cut("reply_1", 100)
            told = len(caller.of(ReplyAudio))
            await asyncio.sleep(0.3)
            assert told == len(caller.of(ReplyAudio))
        assert 1 == server.interrupted
        assert "cut off" in json.dumps(server.history)

    async def test_an_answer_that_has_not_begun_when_the_caller_goes_on_is_not_told(self) -> None:
        async with call(Answer("Too early.", after_s=0.3), Answer("To all of it.")) as (caller, server):
            await speak(caller)
            caller.session.cut("", 0)
            await asyncio.sleep(0.5)
            assert [] == caller.of(ReplyBegan)
            await speak(caller)
            await caller.until(is_a(ReplyEnded))
            assert "To all of it." == caller.text()
        assert 2 == len(server.turns)

    async def test_an_answer_that_was_not_wanted_and_never_came_mutes_none_after_it(self) -> None:
        async with call(Answer(never=True), Answer("Yes.")) as (caller, _):
            await speak(caller)
            caller.session.cut("", 0)
            await speak(caller)
            await caller.until(is_a(ReplyEnded))
            assert "Yes." == caller.text()

    @pytest.mark.parametrize("stale", [False, True])
    async def test_where_the_engine_decides_its_interruption_is_told(self, stale: bool) -> None:
        script = Answer("A story", 3000), Answer("Yes?")
        async with call(*script, context=THEIRS, playback=1.0, stale=stale) as (caller, _):
            await caller.say(500)
            await caller.until(is_a(ReplyAudio))
            await caller.say(500)
            await caller.until(is_a(Interrupted))
            caller.session.cut("reply_1", 300)
            await caller.until(is_a(ReplyEnded, reply="reply_2"))
            assert "Yes?" == caller.text("reply_2")
            assert 600 == caller.audio_ms("reply_2")
            at = caller.events.index(Interrupted())
            assert [] == [e for e in caller.events[at + 2 :] if getattr(e, "reply", "") == "reply_1"]
            assert 2 == len(caller.of(CallerStarted)) == len(caller.of(CallerStopped))

    async def test_their_detection_is_set_as_the_options_say(self) -> None:
        options = {"start_sensitivity": "low", "end_sensitivity": "high", "prefix_ms": 20, "silence_ms": 400}
        async with call(context=THEIRS, options=options) as (_, server):
            detection = server.setups[0]["realtimeInputConfig"]["automaticActivityDetection"]
        assert {
            "startOfSpeechSensitivity": "START_SENSITIVITY_LOW",
            "endOfSpeechSensitivity": "END_SENSITIVITY_HIGH",
            "prefixPaddingMs": 20,
            "silenceDurationMs": 400,
        } == detection

    async def test_where_the_engine_decides_the_caller_can_still_be_said_to_have_finished(self) -> None:
        async with call(Answer("Yes."), context=THEIRS) as (caller, _):
            await caller.say(200)
            caller.session.respond()
            await caller.until(is_a(ReplyEnded))

    async def test_a_beginning_and_the_callers_place_are_of_the_pushed_audio(self) -> None:
        async with call(Answer("Yes."), context=THEIRS) as (caller, _):
            await asyncio.sleep(0.25)  # a second of the call
            await caller.say(400)
            started = await caller.until(is_a(CallerStarted))
        assert isinstance(started, CallerStarted)
        assert 1000 == pytest.approx(started.at_ms, abs=500)


class TestTools:
    CALL = Answer(tools=(("lookup", {"q": "rye"}),))

    async def test_a_tool_that_blocks_ends_a_reply_and_its_result_begins_another(self) -> None:
        async with call(self.CALL, Answer("There is rye.")) as (caller, server):
            await speak(caller)
            asked = await caller.until(is_a(ReplyCalls))
            assert isinstance(asked, ReplyCalls)
            assert ToolCall(asked.call.call_id, "lookup", {"q": "rye"}) == asked.call
            caller.session.tool_done(ToolDone(asked.call.call_id, True, {"stock": 3}))
            await caller.until(is_a(ReplyEnded, reply="reply_2"))
            assert "There is rye." == caller.text("reply_2")
        assert [{"id": asked.call.call_id, "name": "lookup", "response": {"output": {"stock": 3}}}] == server.responses

    async def test_results_of_several_go_together_in_any_order(self) -> None:
        two = Answer(tools=(("lookup", {"q": "a"}), ("lookup", {"q": "b"})))
        async with call(two, Answer("Both.")) as (caller, server):
            await speak(caller)
            await caller.until(lambda _: len(caller.of(ReplyCalls)) == 2)
            for asked in reversed(caller.of(ReplyCalls)):
                caller.session.tool_done(ToolDone(asked.call.call_id, False, {"error": "no"}))
                await asyncio.sleep(0.05)
            await caller.until(is_a(ReplyEnded, reply="reply_2"))
        assert ["error", "error"] == [next(iter(each["response"])) for each in server.responses]

    @pytest.mark.parametrize("scheduling", ["when_idle", "interrupt"])
    async def test_a_tool_that_does_not_block_lets_the_model_talk_on(self, scheduling: str) -> None:
        script = Answer(tools=(("lookup", {}),), meanwhile="One moment please.", ms=900), Answer("There is rye.")
        options = {"tools": "non_blocking", "scheduling": scheduling}
        async with call(*script, options=options) as (caller, server):
            await speak(caller)
            asked = await caller.until(is_a(ReplyCalls))
            assert isinstance(asked, ReplyCalls)
            await asyncio.sleep(0.1)
            caller.session.tool_done(ToolDone(asked.call.call_id, True, {}))
            await caller.until(is_a(ReplyEnded, reply="reply_2"))
            assert ("One moment please.", "There is rye.") == (caller.text("reply_1"), caller.text("reply_2"))
        assert scheduling.upper() == server.responses[0]["scheduling"]

    async def test_a_tool_of_a_reply_that_was_cut_is_not_answered(self) -> None:
        async with call(self.CALL, Answer("Yes?")) as (caller, server):
            await speak(caller)
            asked = await caller.until(is_a(ReplyCalls))
            assert isinstance(asked, ReplyCalls)
            caller.session.cut(asked.reply, 0)
            caller.session.tool_done(ToolDone(asked.call.call_id, True, {}))
            await speak(caller)
            await caller.until(is_a(ReplyEnded, reply="reply_2"))
        assert [] == server.responses

    async def test_calls_that_the_caller_talks_over_are_cancelled_and_their_results_unwanted(self) -> None:
        async with call(self.CALL, Answer("Yes?")) as (caller, server):
            await speak(caller)
            asked = await caller.until(is_a(ReplyCalls))
            assert isinstance(asked, ReplyCalls)
            await speak(caller)
            assert CallsCancelled((asked.call.call_id,)) == await caller.until(is_a(CallsCancelled))
            caller.session.tool_done(ToolDone(asked.call.call_id, True, {}))
            await caller.until(is_a(ReplyEnded, reply="reply_2"))
        assert [] == server.responses


class TestHistory:
    HISTORY = (
        Message("user", "Rye, please."),
        Message("assistant", "Let me see.", (ToolCall("c1", "lookup", {"q": "rye"}),)),
        Message("tool", '{"stock": 3}', call_id="c1"),
        Message("assistant", "There is—"),
    )

    async def test_a_session_in_mid_call_begins_with_what_was_heard(self) -> None:
        context = Context("Be brief.", history=self.HISTORY)
        async with call(Answer("Go on."), context=context) as (caller, server):
            await speak(caller)
            await caller.until(is_a(ReplyEnded))
        assert ["user", "model", "user", "model"] == [content["role"] for content in server.history]
        assert '(Result of lookup: {"stock": 3})' == server.history[2]["parts"][0]["text"]
        assert server.setups[0]["historyConfig"]["initialHistoryInClientContent"]

    async def test_what_others_said_is_told_when_the_model_is_silent(self) -> None:
        async with call(Answer("A story", 1500), playback=1.0) as (caller, server):
            await speak(caller)
            await caller.until(is_a(ReplyAudio))
            caller.session.tell(Message("user", "(The caller pressed 4.)"))
            await asyncio.sleep(0.2)
            assert [] == server.history
            await asyncio.sleep(2.0)
        assert "(The caller pressed 4.)" == server.history[0]["parts"][0]["text"]
        assert 0 == server.interrupted


class TestRotation:
    async def test_a_server_that_goes_is_followed_by_another_connection_of_the_same_session(self) -> None:
        script = Answer("One."), Answer("Two.")
        async with call(*script, go_away=(1, "30s")) as (caller, server):
            await speak(caller)
            await caller.until(is_a(ReplyEnded))
            await _until(lambda: len(server.setups) == 2 and server.up == 1)
            await speak(caller)
            await caller.until(is_a(ReplyEnded, reply="reply_2"))
            assert "Two." == caller.text("reply_2")
            assert [] == caller.of(Leaving) == caller.of(Gone)
        assert "handle_1" == server.setups[1]["sessionResumption"]["handle"]

    async def test_the_instructions_of_now_go_with_it(self) -> None:
        async with call(Answer("One."), go_away=(1, "30s")) as (caller, server):
            caller.session.configure("Now take the order.", ())
            await speak(caller)
            await _until(lambda: len(server.setups) == 2)
        assert "Now take the order." in json.dumps(server.setups[1]["systemInstruction"])

    async def test_it_waits_for_the_callers_turn_to_end_and_its_answer(self) -> None:
        async with call(Answer("One."), Answer("Two."), Answer("Three."), go_away=(2, "30s")) as (caller, server):
            await speak(caller)
            await caller.until(is_a(ReplyEnded))
            caller.session.respond("Say two.")
            caller.session.began()
            await caller.until(is_a(ReplyEnded, reply="reply_2"))
            caller.session.respond()
            await caller.until(is_a(ReplyEnded, reply="reply_3"))
            await _until(lambda: len(server.setups) == 2)

    async def test_where_the_session_cannot_be_resumed_the_call_is_told_to_open_another(self) -> None:
        async with call(Answer("One."), go_away=(1, "9.5s"), resumable=False) as (caller, _):
            await speak(caller)
            assert Leaving(9500) == await caller.until(is_a(Leaving))

    async def test_a_resumption_that_is_refused_leaves_the_old_connection_and_tells(self) -> None:
        script = Answer("One."), Answer("Two.")
        async with call(*script, go_away=(1, "30s"), refuses_resumed=(1007, "no")) as (caller, _):
            await speak(caller)
            await caller.until(is_a(Leaving))
            await speak(caller)
            await caller.until(is_a(ReplyEnded, reply="reply_2"))

    async def test_a_deadline_without_a_warning_is_resumed_in_silence(self) -> None:
        async with call(Answer("One."), Answer("Two.")) as (caller, server):
            await speak(caller)
            await caller.until(is_a(ReplyEnded))
            await _until(lambda: server.done == 1)
            await server.hang_up(*DEADLINE)
            await _until(lambda: len(server.setups) == 2)
            await speak(caller)
            await caller.until(is_a(ReplyEnded, reply="reply_2"))
            assert caller.gone is None

    @pytest.mark.parametrize("when", ["speech", "turn"])
    async def test_a_connection_that_breaks_while_the_caller_speaks_costs_no_word(self, when: str) -> None:
        async with call(Answer("One."), Answer("Two.")) as (caller, server):
            await speak(caller)
            await caller.until(is_a(ReplyEnded))
            await _until(lambda: server.done == 1)
            server.drops = when  # type: ignore[assignment]
            server.drop_code = (1006, "")
            await speak(caller, 800)
            await caller.until(is_a(ReplyEnded, reply="reply_2"))
            assert "Two." == caller.text("reply_2")
        assert 800 <= len(server.turns[-1]) / 32 <= 1600


class TestFaults:
    @pytest.mark.parametrize(
        ("code", "expected"),
        [((1011, "Internal error."), False), ((1006, ""), False), (DEADLINE, True), ((1001, "Going away."), True)],
    )
    async def test_a_connection_that_breaks_in_a_reply_is_gone(self, code: tuple[int, str], expected: bool) -> None:
        async with call(Answer("I was about to say", 2000), drops="reply", drop_code=code) as (caller, _):
            await speak(caller)
            gone = await caller.until(is_a(Gone))
            assert How.FAILED == caller.of(ReplyEnded)[0].how
        assert Gone(f"Gemini's server closed the connection ({code[0]}).", expected) == gone

    async def test_a_deadline_whose_resumption_is_refused_is_a_life_that_was_over(self) -> None:
        async with call(Answer("One."), refuses_resumed=(1007, "no")) as (caller, server):
            await speak(caller)
            await caller.until(is_a(ReplyEnded))
            await _until(lambda: server.done == 1)
            await server.hang_up(*DEADLINE)
            gone = await caller.until(is_a(Gone))
        assert isinstance(gone, Gone)
        assert gone.expected

    async def test_messages_that_cannot_be_understood_cost_no_more_than_themselves(self) -> None:
        odd = [
            b"{no json",
            "[]",
            '{"serverContent": 3}',
            '{"fromTheFuture": {"a": 1}}',
            '{"error": {"code": 13}}',
            "{}",
        ]
        odd.append('{"serverContent": {"modelTurn": {"parts": [{"inlineData": {"data": "!!"}}]}}}')
        async with call(Answer("Still here."), odd=odd) as (caller, _):
            await speak(caller)
            await caller.until(is_a(ReplyEnded))
            assert caller.gone is None
        assert "Still here." == caller.text()

    async def test_a_server_of_nonsense_is_given_up(self) -> None:
        async with call(odd=["{no json"] * 30) as (caller, _):
            gone = await caller.until(is_a(Gone))
        assert Gone("Gemini's server sends nothing that can be understood.") == gone

    @pytest.mark.parametrize(
        ("knobs", "why"),
        [
            ({"refuses": (1008, "API key not valid.")}, "refused the session"),
            ({"refuses": (1007, "Invalid argument.")}, "refused the session"),
            ({"mute": True}, "did not answer in time"),
            ({"deaf": True}, "did not answer in time"),
        ],
    )
    async def test_a_session_that_is_not_to_be_had_says_why(self, knobs: dict[str, Any], why: str) -> None:
        async with GeminiServer(**knobs) as server:
            engine = engine_for(server)
            await engine.start()
            began_s = asyncio.get_running_loop().time()
            with pytest.raises(PeerError, match=why):
                await engine.open(OURS)
            assert asyncio.get_running_loop().time() - began_s < 2.0  # a deadline, not a speed
            await _until(lambda: server.up == 0)

    async def test_a_server_that_is_not_there_is_a_peers_fault(self) -> None:
        async with GeminiServer() as server:
            engine = engine_for(server, base_url="https://127.0.0.1:1")
            await engine.start()
            with pytest.raises(PeerError, match="cannot be reached"):
                await engine.open(OURS)

    async def test_a_call_that_ends_leaves_no_connection(self) -> None:
        async with call(Answer("A story", 2000)) as (caller, server):
            await speak(caller)
            await caller.until(is_a(ReplyBegan))
        await asyncio.sleep(0.1)
        assert 0 == server.up


@pytest.mark.parametrize(
    "options",
    [{"api_key": "k", "pitch": 1}, {"api_key": "k", "tools": "maybe"}, {"api_key": "k", "end_sensitivity": 3}],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        s2s_gemini_live.create(EngineConfig(options=options))


def test_without_a_key_there_is_no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GEMINI_API_KEY", "GOOGLE_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    assert "Set GEMINI_API_KEY" in (s2s_gemini_live.check() or "")
    assert s2s_gemini_live.check_for({"api_key": "k"}) is None
    with pytest.raises(UsageError, match="no key"):
        s2s_gemini_live.create(EngineConfig())


async def _until(true: Any, seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110 - of a server, which tells nobody
            await asyncio.sleep(0.01)


def test_an_interpreters_session_is_told_into_what_to_translate() -> None:
    config = gemini_link.settings(gemini_link.Manner(), Context("Interpret.", target="en-US"), "")
    assert {"target_language_code": "en-US"} == config["translation_config"]
    assert "translation_config" not in gemini_link.settings(gemini_link.Manner(), Context("Answer."), "")
