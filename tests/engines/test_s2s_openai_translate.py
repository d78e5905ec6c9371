"""OpenAI's translation session through the vendor's own client, against a local server of its protocol."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest

from tests.peers.openai_translations import TranslationServer
from voicebot.core.duplex import (
    CallerWords,
    Context,
    Decides,
    DuplexEvent,
    Gone,
    ReplyAudio,
    ReplyBegan,
    ReplyEnded,
    ReplyText,
)
from voicebot.engines.base import EngineConfig
from voicebot.engines.s2s_openai_translate import RATE, OpenAiTranslate, Translation, create
from voicebot.errors import PeerError, UsageError

VOICE = (np.sin(np.arange(RATE // 50) / 5) * 8000).astype("<i2").tobytes()
QUIET = bytes(len(VOICE))
CALL = Context("Interpret.", language="es-ES", target="en-US")


def engine(server: TranslationServer, **options: Any) -> OpenAiTranslate:
    return create(EngineConfig(options={"api_key": "k", "base_url": server.url, **options}))


@asynccontextmanager
async def session(server: TranslationServer, **options: Any) -> AsyncIterator[tuple[Translation, list[DuplexEvent]]]:
    made = engine(server, **options)
    await made.start()
    told: list[DuplexEvent] = []
    try:
        opened = await made.open(CALL)
        running = asyncio.ensure_future(opened.run(told.append))
        yield opened, told
        await opened.close()
        async with asyncio.timeout(5):
            await running
    finally:
        await made.close()


async def until(true: Any) -> None:
    async with asyncio.timeout(5):
        while not true():  # noqa: ASYNC110 - events come from a socket
            await asyncio.sleep(0.01)


async def test_what_is_said_comes_back_in_the_other_language() -> None:
    async with TranslationServer() as server, session(server) as (opened, told):
        for frame in [VOICE] * 40 + [QUIET] * 20:
            opened.push(frame)
        await until(lambda: any(isinstance(event, ReplyEnded) for event in told))
        assert [CallerWords("Buenos días.", final=True), ReplyBegan("reply_1")] == told[:2]
        assert "Good morning." == "".join(each.text for each in told if isinstance(each, ReplyText)).strip()
        assert 500 <= sum(len(each.audio) for each in told if isinstance(each, ReplyAudio)) // (RATE // 500) <= 1700
    assert isinstance(told[-1], Gone)


async def test_it_is_told_the_language_and_gets_pieces_of_a_fifth_of_a_second() -> None:
    async with TranslationServer() as server, session(server, noise_reduction="far_field") as (opened, _):
        for frame in [QUIET] * 40:
            opened.push(frame)
        await until(lambda: len(server.audio) >= RATE * 2 // 5 * 4)
        audio = server.sessions[0]["audio"]
        assert "en" == audio["output"]["language"]
        assert {"model": "gpt-transcribe"} == audio["input"]["transcription"]
        assert {"type": "far_field"} == audio["input"]["noise_reduction"]
        assert {RATE // 5 * 2} == server.sizes
        assert server.paths[0].startswith("/v1/realtime/translations")
        await opened.close()
        await until(server.closed.is_set)


async def test_a_reply_that_was_cut_says_no_more() -> None:
    async with TranslationServer() as server, session(server) as (opened, told):
        for frame in [VOICE] * 40:
            opened.push(frame)
        await until(lambda: any(isinstance(event, ReplyBegan) for event in told))
        opened.cut("reply_1", 0)
        count = len(told)
        await asyncio.sleep(0.2)
        assert [] == [event for event in told[count:] if isinstance(event, ReplyAudio)]


async def test_nobody_decides_the_turns_but_the_engine() -> None:
    async with TranslationServer() as server:
        able = engine(server).abilities
        assert ((Decides.ENGINE,), False) == (able.decides, able.obeys)


async def test_a_connection_that_breaks_is_told_in_one_sentence() -> None:
    async with TranslationServer(drops=True) as server, session(server) as (opened, told):
        for frame in [VOICE] * 20:
            opened.push(frame)
        await until(lambda: any(isinstance(event, Gone) for event in told))
        assert "connection failed" in told[-1].fault  # type: ignore[union-attr]


async def test_a_server_that_refuses_is_told() -> None:
    async with TranslationServer(refuses="unsupported_language") as server:
        made = engine(server)
        await made.start()
        with pytest.raises(PeerError, match=r"refused the session \(unsupported_language\)"):
            await made.open(CALL)
        await made.close()


async def test_a_language_is_needed() -> None:
    async with TranslationServer() as server:
        made = engine(server)
        await made.start()
        with pytest.raises(UsageError, match="say `to` among its options"):
            await made.open(Context(""))
        await made.close()
