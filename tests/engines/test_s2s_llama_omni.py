"""LLaMA-Omni's client against a local controller, worker and vocoder."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.engines.duplex_caller import Caller, calling, is_a, kinds
from tests.peers.llama_omni import LlamaOmniServer, Says
from voicebot.core.duplex import Context, Decides, Gone, How, ReplyAudio, ReplyBegan, ReplyEnded, ReplyText, deciding
from voicebot.engines import registry, s2s_llama_omni
from voicebot.engines.base import EngineConfig
from voicebot.engines.s2s_llama_omni import LlamaOmniDuplex
from voicebot.errors import PeerError, UsageError


def engine_for(server: LlamaOmniServer, **options: Any) -> LlamaOmniDuplex:
    given: dict[str, Any] = {"licence": "research", "version": server.version, "controller": server.url}
    given["vocoder_url"] = server.url
    if server.version == 2:
        given["utterances"] = "http://127.0.0.1:0"
    return s2s_llama_omni.create(EngineConfig(options=given | options))


@asynccontextmanager
async def call(
    *script: Says, options: dict[str, Any] | None = None, instructions: str = "Be brief.", **knobs: Any
) -> AsyncIterator[tuple[Caller, LlamaOmniServer]]:
    async with LlamaOmniServer(script, **knobs) as server:
        engine = engine_for(server, **(options or {}))
        await engine.start()
        async with calling(engine, Context(instructions), pace=4.0) as caller:
            yield caller, server
        await engine.close()


async def speak(caller: Caller, ms: int = 600) -> None:
    await caller.say(ms // 2)
    caller.session.began()
    await caller.say(ms - ms // 2)
    caller.session.respond()


both = pytest.mark.parametrize("version", [1, 2])


class TestATurn:
    @both
    async def test_the_answer_is_heard_as_it_is_made(self, version: int) -> None:
        async with call(Says("It is open until nine in the evening.", 100), version=version) as (caller, _):
            await speak(caller)
            await caller.until(is_a(ReplyEnded))
            assert "It is open until nine in the evening." == caller.text("reply_1")
            assert (100 * 20 if version == 1 else 100 * 40) == caller.audio_ms("reply_1")
            assert ["ReplyBegan", "ReplyText", "ReplyAudio", "ReplyText"] == kinds(caller.events)[:4]

    @both
    async def test_the_worker_hears_the_turn_with_what_was_before_it_was_noticed(self, version: int) -> None:
        async with call(version=version) as (caller, server):
            await asyncio.sleep(0.5)
            await speak(caller, 800)
            await caller.until(is_a(ReplyEnded))
        assert 800 + 300 == pytest.approx(len(server.heard[0]) / 16, abs=300)

    async def test_a_cough_long_before_does_not_lengthen_the_turn(self) -> None:
        async with call() as (caller, server):
            caller.session.began()
            await asyncio.sleep(1.0)  # four seconds of the call
            await speak(caller, 800)
            await caller.until(is_a(ReplyEnded))
        assert len(server.heard[0]) / 16 < 1600

    async def test_the_prompt_has_the_instructions_and_a_place_for_the_speech(self) -> None:
        async with call(instructions="You sell bread.") as (caller, server):
            caller.session.configure("You sell cake.", ())
            await speak(caller)
            await caller.until(is_a(ReplyEnded))
        prompt = server.requests[0]["prompt"]
        assert "You sell cake.<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n<speech>\n" in prompt
        assert prompt.endswith("<|start_header_id|>assistant<|end_header_id|>\n\n")
        assert "<|eot_id|>" == server.requests[0]["stop"]

    async def test_units_are_vocoded_some_at_a_time_and_the_last_of_them_at_the_end(self) -> None:
        async with call(Says("one two three four", 100), options={"chunk_units": 30}) as (caller, server):
            await speak(caller)
            await caller.until(is_a(ReplyEnded))
        assert list(range(100)) == [unit for each in server.vocoded for unit in each["units"]]
        assert [50, 50] == [len(each["units"]) for each in server.vocoded if each["units"]]
        assert [False, False, True] == [each["finalize"] for each in server.vocoded]
        assert 1 == len({each["session"] for each in server.vocoded})

    async def test_what_it_is_told_to_say_it_cannot(self) -> None:
        async with call() as (caller, server):
            caller.session.respond("Greet the caller.")
            ended = await caller.until(is_a(ReplyEnded))
        assert isinstance(ended, ReplyEnded)
        assert How.FAILED == ended.how
        assert [] == server.requests

    def test_the_turn_is_ours(self) -> None:
        engine = s2s_llama_omni.create(
            EngineConfig(options={"licence": "research", "vocoder_url": "http://127.0.0.1:1"})
        )
        assert Decides.OURS == deciding(Decides.ENGINE, engine.abilities)


class TestHistory:
    async def test_the_second_version_hears_the_last_turns_again_and_what_was_heard_of_its_answers(self) -> None:
        script = Says("One two three four five.", 100), Says("Second."), Says("Third.")
        async with call(*script, version=2) as (caller, server):
            await speak(caller)
            await caller.until(is_a(ReplyEnded, reply="reply_1"))
            caller.session.cut("reply_1", 1700)  # of 4000
            await speak(caller)
            await caller.until(is_a(ReplyEnded, reply="reply_2"))
        assert 3 == len(server.requests[1]["history"])
        first, answer, second = server.requests[1]["history"]
        assert server.requests[0]["history"][0] == first
        assert {"role": "assistant", "content": "One two"} == answer
        assert first["content"]["path"] != second["content"]["path"]

    async def test_older_turns_are_forgotten(self) -> None:
        async with call(version=2, options={"turns": 1}) as (caller, server):
            for number in range(3):
                await speak(caller)
                await caller.until(is_a(ReplyEnded, reply=f"reply_{number + 1}"))
        assert [1, 3, 3] == [len(request["history"]) for request in server.requests]

    async def test_utterances_may_go_by_a_folder_and_are_gone_after_the_call(self, tmp_path: Path) -> None:
        async with call(version=2, options={"utterances": str(tmp_path)}) as (caller, server):
            await speak(caller)
            await caller.until(is_a(ReplyEnded))
            assert 1 == len(os.listdir(tmp_path))
        assert str(tmp_path) in server.requests[0]["history"][0]["content"]["path"]
        assert [] == os.listdir(tmp_path)


class TestCancelling:
    @both
    async def test_a_reply_that_is_cut_is_a_connection_that_is_closed(self, version: int) -> None:
        long = Says(" ".join(["word"] * 100), 2000)
        async with call(long, Says("Sorry."), version=version) as (caller, server):
            await speak(caller)
            await caller.until(is_a(ReplyAudio))
            caller.session.cut("reply_1", 100)
            async with asyncio.timeout(2):
                await server.hung_up.wait()
            told = len([e for e in caller.events if getattr(e, "reply", "") == "reply_1"])
            await speak(caller)
            await caller.until(is_a(ReplyEnded, reply="reply_2"))
            assert told == len([e for e in caller.events if getattr(e, "reply", "") == "reply_1"])
            assert "Sorry." == caller.text("reply_2")

    async def test_a_reply_that_has_not_begun_can_be_dropped(self) -> None:
        async with call(Says("Too early."), Says("In time."), piece_s=0.3) as (caller, server):
            await speak(caller)
            await asyncio.sleep(0.1)
            caller.session.cut("", 0)
            async with asyncio.timeout(2):
                await server.hung_up.wait()
            await speak(caller)
            await caller.until(is_a(ReplyEnded))
            assert "In time." == caller.text()

    async def test_a_call_that_ends_closes_the_connection(self) -> None:
        async with call(Says(" ".join(["word"] * 100), 2000)) as (caller, server):
            await speak(caller)
            await caller.until(is_a(ReplyBegan))
            await caller.session.close()
            async with asyncio.timeout(2):
                await server.hung_up.wait()


class TestFaults:
    @pytest.mark.parametrize(
        ("fault", "why"),
        [
            ("error", "LLaMA-Omni's worker failed (error 1)."),
            ("500", "LLaMA-Omni's worker failed (500)."),
            ("stalls", "LLaMA-Omni's worker fell silent."),
            ("silent", "LLaMA-Omni's worker fell silent."),
            ("breaks", "LLaMA-Omni's worker broke off (RemoteProtocolError)."),
            ("mute", "LLaMA-Omni gave no audio."),
        ],
    )
    async def test_a_reply_that_fails_ends_and_the_next_one_is_another_matter(self, fault: Any, why: str) -> None:
        script = Says("What was I saying.", fault=fault), Says("Here again.")
        async with call(*script, options={"first_s": 0.5, "gap_s": 0.5}) as (caller, _):
            await speak(caller)
            assert ReplyEnded("reply_1", How.FAILED, why) == await caller.until(is_a(ReplyEnded))
            assert 1 == len(caller.of(ReplyBegan))
            await speak(caller)
            await caller.until(is_a(ReplyEnded, reply="reply_2", how=How.DONE))
            assert "Here again." == caller.text("reply_2")
            assert caller.gone is None

    async def test_an_object_that_is_none_costs_nothing_for_the_next_repeats_it(self) -> None:
        async with call(Says("one two three four", 80, fault="garbage")) as (caller, _):
            await speak(caller)
            await caller.until(is_a(ReplyEnded))
            assert "one two three four" == caller.text()
            assert 80 * 20 == caller.audio_ms()

    @pytest.mark.parametrize(
        ("knobs", "why"),
        [
            ({"worker": "http://127.0.0.1:1"}, "LLaMA-Omni's worker cannot be reached."),
            ({"worker": ""}, "LLaMA-Omni's controller has no worker for llama-omni."),
            ({"vocoder_fails": True}, "The vocoder failed (500)."),
        ],
    )
    async def test_where_somebody_is_missing_whom_every_reply_needs_the_engine_is_gone(
        self, knobs: dict[str, Any], why: str
    ) -> None:
        async with call(Says(units=100), **knobs) as (caller, _):
            await speak(caller)
            assert Gone(why) == await caller.until(is_a(Gone))
            assert len(caller.of(ReplyBegan)) == len(caller.of(ReplyEnded))

    async def test_a_controller_without_the_model_is_a_peers_fault_at_once(self) -> None:
        async with LlamaOmniServer(models=("something-else",)) as server:
            engine = engine_for(server, model="llama-omni")
            await engine.start()
            with pytest.raises(PeerError, match="no worker for llama-omni"):
                await engine.open(Context(""))
            await engine.close()

    async def test_a_controller_that_is_not_there_is_a_peers_fault(self) -> None:
        async with LlamaOmniServer() as server:
            engine = engine_for(server, controller="http://127.0.0.1:1")
            await engine.start()
            with pytest.raises(PeerError, match="controller cannot be used"):
                await engine.open(Context(""))
            await engine.close()


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({}, "research only"),
        ({"licence": "research"}, "needs a vocoder"),
        ({"licence": "research", "version": 3}, "1 or 2"),
        ({"licence": "research", "version": 2, "vocoder_url": "http://x"}, "needs utterances"),
        ({"licence": "research", "colour": "red"}, "no option"),
    ],
)
def test_options_that_cannot_be_are_refused_and_the_licence_is_said(options: dict[str, Any], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        s2s_llama_omni.create(EngineConfig(options=options))


async def test_a_text_is_told_before_its_audio() -> None:
    async with call(Says("one two three four", 200)) as (caller, _):
        await speak(caller)
        await caller.until(is_a(ReplyEnded))
        assert isinstance(caller.events[1], ReplyText)


def test_what_is_missing_depends_on_the_dialplan_and_the_licence_is_told() -> None:
    assert registry.check("s2s", "llama_omni", {"vocoder_url": "http://127.0.0.1:1"}) is None
    assert "commercial use is not allowed" in registry.licence("s2s", "llama_omni")
