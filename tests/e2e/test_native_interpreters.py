"""Interpreted calls in real time by native engines, against local servers of their protocols."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.call.interpreted_world import OTHER, Interpreted
from tests.call.world import tone
from tests.peers.moshi import MoshiServer, Says
from tests.peers.openai_translations import TranslationServer
from voicebot.engines import s2s_moshi, s2s_openai_translate
from voicebot.engines.base import EngineConfig

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]
NOTICE_MS = 5000
WORDS = {"es-ES": ["hola"], "en-US": []}


def world(folder: Path, monkeypatch: pytest.MonkeyPatch, engine: object) -> Interpreted:
    return Interpreted(folder, monkeypatch, WORDS, "call: '+15550100', by: hosted", natives={"hosted": engine})


async def test_openais_translation_session_interprets_a_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with TranslationServer() as server:
        engine = s2s_openai_translate.create(EngineConfig(options={"api_key": "k", "base_url": server.url}))
        call = world(tmp_path, monkeypatch, engine)
        await call.call([NOTICE_MS, tone(1500), 6000], [NOTICE_MS + 8000])
    assert {"en", "es"} == {session["audio"]["output"]["language"] for session in server.sessions}
    assert [("caller", "Buenos días.", "Good morning.")] == [
        (each["by"], each["source"], each["text"]) for each in call.of("interpreted", OTHER)
    ]
    assert ["Good morning."] == [each["heard"].strip() for each in call.of("said", OTHER) if "Good" in each["text"]]


async def test_a_server_of_moshis_protocol_such_as_hibikis_interprets_a_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with MoshiServer([Says("Good morning.")]) as server:
        engine = s2s_moshi.create(EngineConfig(options={"url": server.url}))
        call = world(tmp_path, monkeypatch, engine)
        await call.call([NOTICE_MS, tone(1500), 7000], [NOTICE_MS + 9000])
    assert 2 == server.calls  # one model hears each side
    assert [("caller", "Good morning.")] == [(each["by"], each["text"]) for each in call.of("interpreted", OTHER)]
    assert ["Good morning."] == [each["heard"].strip() for each in call.of("said", OTHER) if "Good" in each["text"]]
