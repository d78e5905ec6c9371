"""Moshi's client against a small server of the same protocol; `test_moshi_server.py` has Kyutai's own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest

from tests.engines.duplex_caller import Caller, calling, is_a, kinds
from tests.peers.moshi import METADATA, MoshiServer, Says
from voicebot.core.duplex import Context, Decides, Gone, ReplyAudio, ReplyBegan, ReplyEnded, deciding
from voicebot.engines import s2s_moshi
from voicebot.engines.base import EngineConfig
from voicebot.errors import PeerError, UsageError

RUST = b"\x00" + (1).to_bytes(4, "little") + (7).to_bytes(4, "little")


@asynccontextmanager
async def call(*script: Says, pace: float = 2.0, **knobs: Any) -> AsyncIterator[tuple[Caller, MoshiServer]]:
    async with MoshiServer(script, **knobs) as server:
        engine = s2s_moshi.create(EngineConfig(options={"url": server.url}))
        await engine.start()
        async with calling(engine, pace=pace) as caller:
            yield caller, server


async def test_what_the_model_says_after_the_caller_is_a_reply_with_its_words() -> None:
    async with call(Says("How are you today?", ms=960)) as (caller, _):
        await caller.say(600)
        ended = await caller.until(is_a(ReplyEnded))
    assert ReplyEnded("reply_1") == ended
    assert "How are you today?" == caller.text()
    assert ["ReplyBegan", "ReplyAudio", "ReplyText"] == kinds(caller.events)[:3]
    assert 960 <= caller.audio_ms() <= 960 + 1000 + 160


async def test_between_replies_nothing_is_given_though_audio_never_ends() -> None:
    async with call(Says("One.", ms=400), Says("Two.", ms=400)) as (caller, _):
        for reply in ("reply_1", "reply_2"):
            await caller.say(300)
            await caller.until(is_a(ReplyEnded, reply=reply))
        given = len(caller.of(ReplyAudio))
        await asyncio.sleep(0.3)
        assert given == len(caller.of(ReplyAudio))
    assert ("One.", "Two.") == (caller.text("reply_1"), caller.text("reply_2"))


async def test_it_may_speak_first() -> None:
    async with call(opening=Says("Hello!", ms=400)) as (caller, _):
        await caller.until(is_a(ReplyEnded))
    assert "Hello!" == caller.text()


@pytest.mark.parametrize("handshake", [b"\x00", RUST], ids=["python", "rust"])
async def test_both_servers_handshakes_are_understood(handshake: bytes) -> None:
    async with call(handshake=handshake, opening=Says("Hi.", ms=240)) as (caller, _):
        await caller.until(is_a(ReplyBegan))


async def test_messages_of_other_kinds_and_of_none_are_passed_over() -> None:
    odd = [b"\x06", METADATA, b"\x03\x00", b"\x04{", b"\x2a?", b"", b"\x00", b"\x03\x09"]
    async with call(extra=odd, opening=Says("Still here.", ms=400)) as (caller, _):
        await caller.until(is_a(ReplyEnded))
        assert caller.gone is None
    assert "Still here." == caller.text()


async def test_the_caller_arrives_at_24_khz_without_a_gap() -> None:
    async with call(pace=4.0) as (caller, server):
        await caller.say(1000)
        await asyncio.sleep(0.3)
        heard = np.concatenate(server.heard)
    loud = np.flatnonzero(np.abs(heard) > 0.05)
    assert 1000 == pytest.approx((loud[-1] - loud[0]) / 24, abs=15)
    spectrum = np.abs(np.fft.rfft(heard[loud[0] : loud[0] + 12000]))
    assert 300 == pytest.approx(np.argmax(spectrum) * 2, abs=4)


async def test_of_a_reply_that_was_cut_nothing_more_is_told_and_the_answer_is_another_one() -> None:
    async with call(Says("Now listen to this long story.", ms=4000), Says("Sorry.", ms=400)) as (caller, _):
        await caller.say(300)
        await caller.until(is_a(ReplyAudio))
        await asyncio.sleep(0.3)
        caller.session.cut("reply_1", 200)
        told = len(caller.events)
        await asyncio.sleep(0.2)
        assert told == len(caller.events)
        await caller.say(400)
        await caller.until(is_a(ReplyEnded, reply="reply_2"))
    assert "Sorry." == caller.text("reply_2")
    assert [] == [event for event in caller.events[told:] if getattr(event, "reply", "") == "reply_1"]


async def test_a_piece_of_audio_that_is_no_opus_costs_no_more_than_itself() -> None:
    async with call(Says("All well.", ms=800), fault="garbage", fault_at=20) as (caller, _):
        await caller.say(400)
        await caller.until(is_a(ReplyEnded))
        assert caller.gone is None
    assert "All well." == caller.text()
    assert caller.audio_ms() > 800


@pytest.mark.parametrize(
    ("knobs", "why"),
    [
        ({"fault": "silent"}, "Moshi is 2.0 s behind the caller."),
        ({"fault": "slow"}, "Moshi is 2.0 s behind the caller."),
        ({"fault": "error"}, "Moshi's server failed (out of memory)."),
        ({"fault": "drop"}, "Moshi's server closed the connection (1011)."),
        ({"fault": "drop", "close_code": 1000}, "Moshi's server closed the connection (1000)."),
        ({"fault": "drop", "close_code": 1006}, "Moshi's server closed the connection (1006)."),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else "",
)
async def test_a_server_that_fails_is_gone_and_the_reply_ends(knobs: dict[str, Any], why: str) -> None:
    async with call(pace=4.0, opening=Says("I was about to", ms=800), **knobs) as (caller, _):
        assert Gone(why) == await caller.until(is_a(Gone))
    assert len(caller.of(ReplyBegan)) == len(caller.of(ReplyEnded)) == 1


async def test_a_server_that_reads_nothing_is_given_up() -> None:
    async with MoshiServer(deaf=True) as server:
        engine = s2s_moshi.create(EngineConfig(options={"url": server.url}))
        with pytest.raises(PeerError, match="busy with another call"):
            await engine.open(Context(""))


async def test_a_server_that_is_busy_says_so_by_not_greeting() -> None:
    async with MoshiServer(handshake=None) as server:
        engine = s2s_moshi.create(EngineConfig(options={"url": server.url}))
        with pytest.raises(PeerError, match="busy with another call"):
            await engine.open(Context(""))
        await asyncio.sleep(0.1)
        assert 0 == server.up


async def test_a_server_that_is_not_there_is_a_peers_fault() -> None:
    engine = s2s_moshi.create(EngineConfig(options={"url": "ws://127.0.0.1:1/api/chat"}))
    with pytest.raises(PeerError, match="cannot be reached"):
        await engine.open(Context(""))


async def test_a_refusal_is_told_in_the_servers_words() -> None:
    async with MoshiServer(handshake=b"\x05no free slot") as server:
        engine = s2s_moshi.create(EngineConfig(options={"url": server.url}))
        with pytest.raises(PeerError, match="no free slot"):
            await engine.open(Context(""))


async def test_a_call_that_ends_leaves_no_connection() -> None:
    async with call() as (caller, server):
        await caller.say(200)
    await asyncio.sleep(0.1)
    assert 0 == server.up


def test_it_decides_by_itself_whose_turn_it_is() -> None:
    assert Decides.ENGINE == deciding(Decides.OURS, s2s_moshi.MoshiDuplex.abilities)


@pytest.mark.parametrize("options", [{"url": "http://here"}, {"voice": "x"}])
def test_options_that_cannot_be_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        s2s_moshi.create(EngineConfig(options=options))
