"""The Realtime engine through the vendor's own client, against a server that speaks the protocol and misbehaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest

from tests.peers.openai_voice import WORD_MS, Say, VoiceServer
from voicebot.core.conversation import Message
from voicebot.core.dialogue import ToolCall, ToolDone
from voicebot.core.duplex import (
    CallerStarted,
    CallerStopped,
    CallerWords,
    Context,
    Decides,
    DuplexEvent,
    Gone,
    How,
    Interrupted,
    ReplyAudio,
    ReplyBegan,
    ReplyCalls,
    ReplyEnded,
    ReplyText,
)
from voicebot.core.tool_specs import ToolSpec
from voicebot.engines.base import EngineConfig
from voicebot.engines.openai_speech import RealtimeSpeech
from voicebot.engines.s2s_openai_realtime import create
from voicebot.errors import PeerError, UsageError

TOOL = ToolSpec("order", "An order.", {"type": "object", "properties": {}, "required": []})
VOICE = np.random.default_rng(1).integers(0, 127, 160).astype(np.uint8).tobytes()
QUIET = b"\xff" * 160


class Call:
    """A session that runs, and all that it said."""

    def __init__(self, session: RealtimeSpeech) -> None:
        self.session = session
        self.events: list[DuplexEvent] = []
        self._news = asyncio.Event()

    def take(self, event: DuplexEvent) -> None:
        self.events.append(event)
        self._news.set()

    async def until(self, there: Callable[[list[DuplexEvent]], Any], seconds: float = 5.0) -> None:
        async with asyncio.timeout(seconds):
            while not there(self.events):
                self._news.clear()
                await self._news.wait()

    async def until_ended(self, count: int = 1) -> None:
        await self.until(lambda events: len([e for e in events if isinstance(e, ReplyEnded)]) >= count)

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    def text(self) -> str:
        return "".join(event.text for event in self.of(ReplyText)).strip()

    def audio_ms(self) -> int:
        return sum(len(event.audio) for event in self.of(ReplyAudio)) // 8

    def hear(self, voice_ms: int, quiet_ms: int = 0) -> None:
        for _ in range(voice_ms // 20):
            self.session.push(VOICE)
        for _ in range(quiet_ms // 20):
            self.session.push(QUIET)


@asynccontextmanager
async def calling(
    server: VoiceServer, decides: Decides = Decides.OURS, options: dict[str, Any] | None = None, **context: Any
) -> AsyncIterator[Call]:
    engine = create(EngineConfig(options={"base_url": server.url, "api_key": "x", **(options or {})}))
    await engine.start()
    told = Context("Be brief.", (TOOL,), decides=decides, **context)
    call = Call(await engine.open(told))
    async with asyncio.TaskGroup() as group:
        running = group.create_task(call.session.run(call.take))
        yield call
        await call.session.close()
        running.cancel()
    await engine.close()


def ran(test: Callable[[], Any]) -> None:
    asyncio.run(test())


def test_mu_law_goes_both_ways_and_our_machine_decides() -> None:
    async def test() -> None:
        async with VoiceServer([Say("hello there caller")], hears=["a large latte"]) as server:
            async with calling(server) as call:
                call.hear(0, 300)
                call.session.began()
                call.hear(500)
                call.session.respond()
                await call.until_ended()

            (session,) = server.sessions
            assert {"type": "audio/pcmu"} == session["audio"]["input"]["format"] == session["audio"]["output"]["format"]
            assert session["audio"]["input"]["turn_detection"] is None
            assert "order" == session["tools"][0]["name"]
            assert QUIET * 15 + VOICE * 25 == bytes(server.audio)  # with what was before the voice was found
            assert "hello there caller" == call.text()
            assert 3 * WORD_MS == call.audio_ms()
            assert ["a large latte"] == [words.text for words in call.of(CallerWords) if words.final]
            assert [] == server.errors

    ran(test)


def test_a_server_that_takes_no_g711_gets_pcm_at_its_rate() -> None:
    async def test() -> None:
        async with VoiceServer([Say("hello there")]) as server:
            async with calling(server, options={"format": "pcm16", "rate": 24000}) as call:
                call.session.respond("Speak.")
                await call.until_ended()
                call.session.cut(call.of(ReplyBegan)[0].reply, 200)
                await asyncio.sleep(0.1)

            format = {"type": "audio/pcm", "rate": 24000}
            assert format == server.sessions[0]["audio"]["input"]["format"]
            assert 2 * WORD_MS * 48 == sum(len(event.audio) for event in call.of(ReplyAudio))
            assert [200] == [ms for _, ms in server.truncated]

    ran(test)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"silence_ms": 300, "idle_ms": 8000}, {"silence_duration_ms": 300, "idle_timeout_ms": 8000}),
        ({"turn_detection": "semantic", "eagerness": "low"}, {"type": "semantic_vad", "eagerness": "low"}),
    ],
    ids=["server", "semantic"],
)
def test_how_it_detects_turns_is_an_option(options: dict[str, Any], expected: dict[str, Any]) -> None:
    async def test() -> None:
        async with VoiceServer() as server:
            async with calling(server, Decides.BOTH, options):
                pass

            detection = server.sessions[0]["audio"]["input"]["turn_detection"]
            assert expected == {name: detection[name] for name in expected}
            assert (True, False) == (detection["create_response"], detection["interrupt_response"])

    ran(test)


def test_a_turn_after_a_cough_begins_a_little_before_its_voice_too() -> None:
    async def test() -> None:
        async with VoiceServer([Say("yes")]) as server:
            async with calling(server) as call:
                call.session.began()
                call.hear(200, 1000)
                await asyncio.sleep(0.1)
                before = len(server.audio)
                call.session.began()
                call.hear(400)
                call.session.respond()
                await call.until_ended()

            assert QUIET * 35 + VOICE * 20 == bytes(server.audio)[before:]

    ran(test)


def test_between_turns_nothing_is_sent_where_we_decide() -> None:
    async def test() -> None:
        async with VoiceServer() as server:
            async with calling(server) as call:
                call.hear(0, 2000)
                await asyncio.sleep(0.05)

            assert b"" == bytes(server.audio)

    ran(test)


@pytest.mark.parametrize("item_first", [True, False], ids=["item done first", "output done first"])
def test_the_server_decides_and_speaks_by_itself(item_first: bool) -> None:
    async def test() -> None:
        async with VoiceServer([Say("hello", (("order", {"size": "large"}),))], item_done_first=item_first) as server:
            async with calling(server, Decides.ENGINE) as call:
                call.hear(400, 700)
                await call.until_ended()

            detection = server.sessions[0]["audio"]["input"]["turn_detection"]
            assert ("server_vad", True, True) == (
                detection["type"],
                detection["create_response"],
                detection["interrupt_response"],
            )
            kinds = [type(event) for event in call.events if not isinstance(event, CallerWords)]
            assert [CallerStarted, Interrupted, CallerStopped, ReplyBegan] == kinds[:4]
            assert [ToolCall] == [type(event.call) for event in call.of(ReplyCalls)]
            assert {"size": "large"} == call.of(ReplyCalls)[0].call.args

    ran(test)


def test_after_the_result_of_a_tool_it_goes_on() -> None:
    async def test() -> None:
        async with VoiceServer([Say("", (("order", {}),)), Say("it is done")]) as server:
            async with calling(server) as call:
                call.session.respond("Say something.")
                await call.until(lambda events: any(isinstance(e, ReplyCalls) for e in events))
                (asked,) = call.of(ReplyCalls)
                call.session.tool_done(ToolDone(asked.call.call_id, True, {"say": "it is done"}))
                await call.until_ended(2)

            assert "it is done" == call.text()
            assert "function_call_output" == server.items[0]["type"]
            assert "Be brief.\n\nSay something." == server.created[0]["instructions"]
            assert [] == server.errors  # never a `response.create` while a response is active

    ran(test)


def test_a_cut_cancels_and_truncates_at_what_was_heard() -> None:
    async def test() -> None:
        async with VoiceServer([Say("one two three four five six seven eight", fault="late"), Say("yes")]) as server:
            server.pace = 4.0
            async with calling(server) as call:
                call.session.respond("Count.")
                await call.until(lambda _: call.audio_ms() >= 400)
                (began,) = call.of(ReplyBegan)
                call.session.cut(began.reply, 250)
                had = call.audio_ms()
                call.session.respond("Go on.")
                await call.until_ended()

            assert [250] == [ms for _, ms in server.truncated]
            assert [began.reply] == server.cancelled
            assert had + WORD_MS == call.audio_ms()  # nothing that came late
            assert "yes" == call.text().split()[-1]
            assert [] == server.errors

    ran(test)


def test_what_was_made_to_its_end_is_truncated_and_not_cancelled() -> None:
    async def test() -> None:
        async with VoiceServer([Say("one two three four")]) as server:
            async with calling(server) as call:
                call.session.respond("Count.")
                await call.until_ended()
                call.session.cut(call.of(ReplyBegan)[0].reply, 5000)
                call.session.cut(call.of(ReplyBegan)[0].reply, 300)
                await asyncio.sleep(0.05)
                assert [] == server.truncated  # all of it was heard, as far as the server has audio

            assert [] == server.cancelled
            assert [] == server.errors

    ran(test)


def test_an_orphan_of_a_race_is_cancelled_and_never_heard() -> None:
    async def test() -> None:
        async with VoiceServer([Say("one two three four five six", fault="orphan")]) as server:
            server.pace = 2.0
            async with calling(server) as call:
                call.session.respond("Count.")
                await call.until(lambda _: call.audio_ms() >= 200)
                call.session.cut(call.of(ReplyBegan)[0].reply, 100)
                await asyncio.sleep(0.3)

            assert 1 == len(call.of(ReplyBegan))
            assert 2 == len(server.cancelled)

    ran(test)


def test_a_reply_that_was_asked_for_and_is_not_wanted_is_not_told() -> None:
    async def test() -> None:
        async with VoiceServer([Say("never heard")]) as server:
            async with calling(server) as call:
                call.session.respond("Say it.")
                call.session.cut("", 0)
                await asyncio.sleep(0.3)

            assert [] == call.of(ReplyBegan)
            assert 1 == len(server.cancelled)

    ran(test)


@pytest.mark.parametrize(
    ("fault", "how"),
    [("fail", How.FAILED), ("incomplete", How.FAILED), ("filtered", How.FAILED), ("refuse", How.FAILED)],
)
def test_a_reply_that_fails_says_so_and_the_session_lives_on(fault: Any, how: How) -> None:
    async def test() -> None:
        async with VoiceServer([Say("x", fault=fault), Say("better")]) as server:
            async with calling(server) as call:
                call.session.respond("Speak.")
                await call.until_ended()
                call.session.respond("Speak.")
                await call.until_ended(2)

            assert [how, How.DONE] == [event.how for event in call.of(ReplyEnded)]
            assert "better" == call.text()

    ran(test)


@pytest.mark.parametrize(
    ("fault", "expected"), [("drop", False), ("close", False), ("expire", True)], ids=["1006", "1011", "60 minutes"]
)
def test_a_connection_that_ends_is_gone_even_where_the_client_calls_it_ok(fault: Any, expected: bool) -> None:
    async def test() -> None:
        async with VoiceServer([Say("one two three four", fault=fault)]) as server, calling(server) as call:
            call.session.respond("Count.")
            await call.until(lambda events: any(isinstance(e, Gone) for e in events))

            assert [expected] == [event.expected for event in call.of(Gone)]

    ran(test)


@pytest.mark.parametrize("fault", ["limits", "garbage", "errors"])
def test_what_means_nothing_costs_nothing(fault: Any) -> None:
    async def test() -> None:
        async with VoiceServer([Say("hello there", fault=fault)]) as server, calling(server) as call:
            call.session.respond("Speak.")
            await call.until_ended()

            assert "hello there" == call.text()
            assert [] == call.of(Gone)

    ran(test)


def test_a_session_begins_with_what_was_said_and_heard() -> None:
    async def test() -> None:
        past = (
            Message("user", "a latte"),
            Message("assistant", "Small or —", (ToolCall("1", "order", {}),)),
            Message("tool", "{}", call_id="1"),
        )
        async with VoiceServer() as server:
            async with calling(server, history=past):
                await asyncio.sleep(0.1)

            kinds = ["message", "message", "function_call", "function_call_output"]
            assert kinds == [item["type"] for item in server.items]
            assert "output_text" == server.items[1]["content"][0]["type"]

    ran(test)


def test_another_step_of_the_flow_is_a_patch_of_the_session() -> None:
    async def test() -> None:
        async with VoiceServer() as server:
            async with calling(server) as call:
                call.session.configure("Ask for the size.", ())
                await asyncio.sleep(0.1)

            assert {"type": "realtime", "instructions": "Ask for the size.", "tools": []} == server.sessions[1]

    ran(test)


def test_a_server_that_refuses_is_a_peer_error() -> None:
    async def test() -> None:
        async with VoiceServer(refuses="invalid_api_key") as server:
            with pytest.raises(PeerError, match="invalid_api_key"):
                async with calling(server):
                    pass

    ran(test)


def test_an_option_that_there_is_not_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="no option 'colour'"):
        create(EngineConfig(options={"api_key": "x", "colour": "blue"}))
