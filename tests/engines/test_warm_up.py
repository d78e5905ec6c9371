"""A call that rings warms its engines up: the first sentence finds its connection open."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.peers.http1 import Models
from tests.peers.openai_audio import AudioServer
from tests.peers.openai_chat import ChatServer, says
from voicebot.core import dialplan as dp
from voicebot.core.dialogue import Heard
from voicebot.core.words import Words
from voicebot.engines import llm_openai, tts_openai
from voicebot.engines.base import AgentContext, EngineConfig
from voicebot.engines.guard import Member, Watch, warm_up

PLAN = dp.parse(Path("dialplans/coffee.yaml").read_text("utf-8"), "coffee.yaml")


def config(url: str) -> EngineConfig:
    return EngineConfig(options={"api_key": "sk-test", "base_url": url})


async def said_by_voice(url: str) -> None:
    voice = tts_openai.create(config(url))
    await voice.start()
    await voice.warm()

    async def clauses() -> AsyncIterator[str]:
        yield "Good morning."
        yield "How are you?"

    assert [speech async for speech in voice.speak(clauses())]
    await voice.close()


async def test_the_voice_speaks_over_the_connection_that_was_warmed() -> None:
    async with AudioServer() as server:
        await said_by_voice(server.url)
        assert (1, 1, 2) == (server.connections, server.models.asked, len(server.requests))


async def test_the_agent_answers_over_the_connection_that_was_warmed() -> None:
    async with ChatServer([says("Yes."), says("No.")]) as server:
        agent = llm_openai.create(config(server.url))
        await agent.start()
        await agent.warm()
        call = agent.open(AgentContext(PLAN, "+15550123", "+15550000", "2026-11-23T09:30:00+00:00"))
        for asked in ("Are you open?", "Are you closed?"):
            assert [event async for event in call.reply(Heard(Words(asked, final=True)))]
        await agent.close()
        assert (1, 1, 2) == (server.connections, server.models.asked, len(server.requests))


async def faults_of(url: str) -> list[str]:
    """What the call's record is told of a voice that warms up there."""
    told: list[str] = []

    def tell(**fields: Any) -> None:
        told.append(fields["fault"])

    watch = Watch()
    watch.tell = tell
    voice = tts_openai.create(config(url))
    await voice.start()
    await warm_up("tts", Member("openai", voice), voice, watch)
    await voice.close()
    return told


@pytest.mark.parametrize(
    ("status", "faults"), [(200, []), (404, []), (500, []), (401, ["The voice's server answered 401."])]
)
async def test_a_key_that_is_not_taken_is_known_before_the_first_sentence(status: int, faults: list[str]) -> None:
    async with AudioServer(models=Models(status)) as server:
        assert faults == await faults_of(server.url)


async def test_a_server_that_is_not_there_is_known_before_the_first_sentence() -> None:
    async with AudioServer() as server:
        url = server.url
    assert ["The voice's server cannot be reached."] == await faults_of(url)


async def test_an_engine_with_nothing_to_warm_is_left_alone() -> None:
    await warm_up("tts", Member("plain", object()), object(), Watch())
