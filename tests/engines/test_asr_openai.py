"""The recogniser and the real client against local servers: a Realtime transcription session, and HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import exp
from typing import Any

import numpy as np
import pytest

from tests.peers import openai_audio
from tests.peers.openai_audio import AudioServer, Reply, samples, streams, writes
from tests.peers.openai_chat import Drop, Stall
from tests.peers.openai_realtime import RealtimeServer, Take
from voicebot.audio.g711 import ulaw_encode
from voicebot.core.expect import Expectation, Mode
from voicebot.core.words import Words
from voicebot.engines import asr_openai, openai_transcription
from voicebot.engines.asr_openai import OpenAiAsr
from voicebot.engines.base import EngineConfig
from voicebot.errors import PeerError, UsageError

NAMES = Expectation("test", Mode.OPEN, ("anything",), hints=("Siobhan", "Nguyen"))


def voice(ms: int) -> bytes:
    t = np.arange(8 * ms) / 8000
    return (8000 * np.sin(2 * np.pi * 300 * t)).astype("<i2").tobytes()


@asynccontextmanager
async def realtime(
    *takes: Take, knobs: dict[str, Any] | None = None, **options: Any
) -> AsyncIterator[tuple[OpenAiAsr, RealtimeServer]]:
    async with RealtimeServer(takes, **(knobs or {})) as server:
        given = {"api_key": "sk-test", "base_url": server.url, "transport": "realtime"} | options
        asr = asr_openai.create(EngineConfig("en-US", options=given))
        await asr.start()
        yield asr, server
        await asr.close()


@asynccontextmanager
async def http(*replies: Reply, **options: Any) -> AsyncIterator[tuple[OpenAiAsr, AudioServer]]:
    async with AudioServer(replies) as server:
        given = {"api_key": "sk-test", "base_url": server.url} | options
        asr = asr_openai.create(EngineConfig("en-US", options=given))
        await asr.start()
        yield asr, server
        await asr.close()


async def listen(ears: Any, pcm: bytes, expectation: Expectation = NAMES) -> list[Words]:
    """One utterance, pushed 20 ms at a time."""
    utterance = ears.open(expectation)

    async def push() -> None:
        for at in range(0, len(pcm), 320):
            utterance.push(pcm[at : at + 320])
            await asyncio.sleep(0)
        utterance.finish()

    async with asyncio.timeout(10):
        _, heard = await asyncio.gather(push(), _all(utterance))
    return heard


async def _all(utterance: Any) -> list[Words]:
    return [words async for words in utterance.words()]


class TestRealtime:
    async def test_the_session_takes_telephone_audio_and_leaves_the_end_of_turn_to_us(self) -> None:
        async with realtime(Take("a latte")) as (asr, server):
            await listen(asr, voice(500))
        assert {"type": "audio/pcmu"} == server.sessions[0]["audio"]["input"]["format"]
        assert server.sessions[0]["audio"]["input"]["turn_detection"] is None
        wanted = {"model": "gpt-transcribe", "language": "en", "keywords": ["Siobhan", "Nguyen"]}
        assert wanted == server.sessions[0]["audio"]["input"]["transcription"]
        assert "Bearer sk-test" == server.headers[0]["authorization"]

    async def test_what_is_said_arrives_to_the_sample(self) -> None:
        async with realtime(Take("a latte")) as (asr, server):
            await listen(asr, voice(1234))
        assert [ulaw_encode(voice(1234))] == server.audio

    async def test_deltas_are_partials_and_the_transcript_is_the_final(self) -> None:
        async with realtime(Take("a large latte", logprob=-0.5), model="gpt-4o-transcribe") as (asr, _):
            heard = await listen(asr, voice(900))
        assert ["a", "a large", "a large latte", "a large latte"] == [w.text for w in heard]
        assert [False, False, False, True] == [w.final for w in heard]
        assert exp(-0.5) == pytest.approx(heard[-1].confidence)

    async def test_a_model_that_writes_while_the_caller_speaks_is_heard_while_the_caller_speaks(self) -> None:
        async with realtime(Take("a large latte", while_speaking=True)) as (asr, _), asyncio.TaskGroup() as group:
            utterance = asr.open(NAMES)
            found: asyncio.Queue[Words] = asyncio.Queue()

            async def read() -> None:
                async for words in utterance.words():
                    await found.put(words)

            group.create_task(read())
            utterance.push(voice(700))
            assert Words("a", False) == await found.get()
            utterance.push(voice(700))
            utterance.finish()
            while not (words := await found.get()).final:
                pass
        assert "a large latte" == words.text

    async def test_a_call_has_one_connection_and_it_is_there_before_the_caller_speaks(self) -> None:
        async with realtime(Take("one"), Take("two")) as (asr, server):
            line = asr.for_call()
            await line.warm()
            assert 1 == server.connections
            assert ["one", "two"] == [(await listen(line, voice(500)))[-1].text for _ in range(2)]
            await line.close()
        assert 1 == server.connections

    async def test_no_connection_is_left_open(self) -> None:
        async with realtime(Take("one"), Take("two"), Take("three", drop_after_ms=100)) as (asr, server):
            await listen(asr, voice(500))
            line = asr.for_call()
            await listen(line, voice(500))
            assert 1 == server.up
            await line.close()
            with pytest.raises(PeerError):
                await listen(line, voice(500))
            await asyncio.sleep(0.05)
            assert 0 == server.up

    async def test_other_hints_are_told_before_the_audio(self) -> None:
        async with realtime(Take("one"), Take("two"), model="gpt-4o-transcribe", prompt="A clinic.") as (asr, server):
            line = asr.for_call()
            await listen(line, voice(500))
            await listen(line, voice(500), Expectation("other", Mode.OPEN, (), hints=("Aoife",)))
            await line.close()
        prompts = [s["audio"]["input"]["transcription"]["prompt"] for s in server.sessions]
        assert ["A clinic. Siobhan, Nguyen", "A clinic. Aoife"] == prompts

    async def test_too_little_audio_is_nothing_and_is_not_sent_for_an_answer(self) -> None:
        async with realtime(Take("no"), Take("two")) as (asr, server):
            line = asr.for_call()
            assert [Words("", True, 0.0)] == await listen(line, voice(60))
            assert "two" == (await listen(line, voice(500)))[-1].text
            await line.close()
        assert [4000] == [len(audio) for audio in server.audio]

    async def test_what_nobody_said_is_not_believed(self) -> None:
        async with realtime(Take("Thanks for watching!")) as (asr, _):
            assert Words("", True, 0.0) == (await listen(asr, voice(900)))[-1]

    async def test_an_utterance_nobody_wants_leaves_nothing_behind_for_the_next(self) -> None:
        async with realtime(Take("stale", after_s=0.2), Take("fresh", after_s=0.4)) as (asr, server):
            line = asr.for_call()
            await line.warm()
            for finished in (False, True):
                async with asyncio.TaskGroup() as group:
                    utterance = line.open(NAMES)
                    reading = group.create_task(_all(utterance))
                    utterance.push(voice(500))
                    if finished:
                        utterance.finish()
                    await asyncio.sleep(0.05)
                    utterance.cancel()
                assert [] == reading.result()
            assert "" == (await listen(line, voice(500)))[-1].text, "the script has ended"
            await line.close()
        assert (1, 1) == (server.connections, server.cleared)

    async def test_a_connection_that_was_closed_in_the_silence_is_opened_again_and_nothing_is_lost(self) -> None:
        async with realtime(Take("one"), Take("two")) as (asr, server):
            line = asr.for_call()
            await listen(line, voice(500))
            await server.hang_up(1001, "Your session hit the maximum duration of 60 minutes.")
            assert "two" == (await listen(line, voice(700)))[-1].text
            await line.close()
        assert (2, 5600) == (server.connections, len(server.audio[1]))

    async def test_so_is_a_warm_one_that_was_closed_while_the_bot_greeted(self) -> None:
        async with realtime(Take("one")) as (asr, server):
            line = asr.for_call()
            await line.warm()
            await server.hang_up(1011)
            assert "one" == (await listen(line, voice(500)))[-1].text
            await line.close()

    async def test_a_connection_that_breaks_in_the_middle_is_told(self) -> None:
        async with realtime(Take("one", drop_after_ms=300)) as (asr, _):
            with pytest.raises(PeerError, match="was closed") as told:
                await listen(asr, voice(2000))
        assert told.value.retryable

    @pytest.mark.parametrize(
        ("take", "why"),
        [(Take(fault="fails"), "audio_unintelligible"), (Take(fault="error"), "server_error")],
    )
    async def test_what_the_server_cannot_do_is_told(self, take: Take, why: str) -> None:
        async with realtime(take) as (asr, _):
            with pytest.raises(PeerError, match=why):
                await listen(asr, voice(500))

    async def test_a_transcript_that_never_comes_is_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(openai_transcription, "FINAL_S", 0.2)
        async with realtime(Take(fault="hangs")) as (asr, _):
            with pytest.raises(PeerError, match="in time"):
                await listen(asr, voice(500))

    @pytest.mark.parametrize(
        ("knobs", "why"), [({"mute": True}, "in time"), ({"refuses": "invalid_api_key"}, "invalid_api_key")]
    )
    async def test_a_session_that_does_not_come_about_is_told(
        self, knobs: dict[str, Any], why: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(openai_transcription, "CONNECT_S", 0.3)
        async with realtime(knobs=knobs) as (asr, _):
            with pytest.raises(PeerError, match=why):
                await asr.for_call().warm()

    async def test_nobody_there_is_told(self) -> None:
        options = {"base_url": "http://127.0.0.1:9/v1", "transport": "realtime"}
        asr = asr_openai.create(EngineConfig(options=options))
        await asr.start()
        with pytest.raises(PeerError, match="cannot be reached"):
            await asr.for_call().warm()
        await asr.close()


class TestHttp:
    async def test_the_utterance_is_sent_whole_with_its_hints(self) -> None:
        async with http(writes("a latte"), model="whisper-1") as (asr, server):
            heard = await listen(asr, voice(900))
        assert Words("a latte", True) == heard[-1]
        (request,) = server.requests
        assert (7200, 8000) == samples(request)
        assert ("whisper-1", "en", "Siobhan, Nguyen") == (request["model"], request["language"], request["prompt"])

    async def test_keywords_go_to_the_models_that_take_them(self) -> None:
        async with http(writes("a latte")) as (asr, server):
            await listen(asr, voice(900))
        assert ["Siobhan", "Nguyen"] == server.requests[0]["keywords[]"]

    async def test_a_server_that_streams_is_heard_as_it_writes(self) -> None:
        async with http(streams("a ", "large ", "latte")) as (asr, _):
            heard = await listen(asr, voice(900))
        assert ["a", "a large", "a large latte", "a large latte", "a large latte"] == [w.text for w in heard]
        assert [True] == [w.final for w in heard if w.final]

    async def test_an_utterance_too_short_is_not_sent(self) -> None:
        async with http() as (asr, server):
            assert [Words("", True, 0.0)] == await listen(asr, voice(80))
        assert [] == server.requests

    async def test_an_utterance_nobody_wants_is_not_sent(self) -> None:
        async with http() as (asr, server), asyncio.TaskGroup() as group:
            utterance = asr.open(NAMES)
            reading = group.create_task(_all(utterance))
            utterance.push(voice(500))
            utterance.cancel()
        assert ([], []) == (reading.result(), server.requests)

    @pytest.mark.parametrize(
        ("reply", "why"),
        [
            (openai_audio.refuses(500), "answered 500"),
            (Reply(before=30), "in time"),
            (streams("a ", Stall(30)), "fell silent"),
            (streams("a ", Drop()), "broke off"),
            (Reply((b"<html>",), content_type="application/json"), "no JSON"),
        ],
        ids=["500", "hang", "stall", "drop", "no json"],
    )
    async def test_a_server_that_fails_is_told(self, reply: Reply, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(asr_openai, "GIVE_UP_S", 1.0)
        async with http(reply, reply) as (asr, _):
            with pytest.raises(PeerError, match=why):
                await listen(asr, voice(500))


def test_the_transport_follows_the_server() -> None:
    def transport(**options: Any) -> str:
        return asr_openai.create(EngineConfig(options=options))._transport

    assert ("realtime", "http") == (transport(api_key="x"), transport(base_url="http://127.0.0.1:9/v1"))


def test_wrong_options_say_which_there_are() -> None:
    with pytest.raises(UsageError, match="realtime or http"):
        asr_openai.create(EngineConfig(options={"api_key": "x", "transport": "pigeon"}))
