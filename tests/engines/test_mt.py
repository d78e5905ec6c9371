"""Text translators: the phrasebook, and a language model that is told to translate; and the recogniser that is none."""

from __future__ import annotations

import pytest

from tests.peers.openai_chat import ChatServer, refuses, says
from voicebot.core.expect import NOTHING
from voicebot.engines import asr_none, mt_openai, mt_phrasebook, registry
from voicebot.engines.base import EngineConfig
from voicebot.errors import PeerError, UsageError

BOOK = {"es-en": {"¡Buenos días!": "good morning"}}


async def said(translator: mt_phrasebook.Phrasebook | mt_openai.OpenAiMt, text: str) -> str:
    return "".join([piece async for piece in translator.translate(text, "es-ES", "en-US")])


async def test_the_phrasebook_knows_its_sentences_however_they_are_written() -> None:
    book = mt_phrasebook.create(EngineConfig(options=BOOK))
    assert ["good morning"] * 2 == [await said(book, text) for text in ("buenos días", "Buenos días.")]


async def test_what_is_not_in_the_phrasebook_is_no_guess() -> None:
    book = mt_phrasebook.create(EngineConfig(options=BOOK))
    with pytest.raises(PeerError, match="has no es-en for 'adiós'"):
        await said(book, "adiós")


@pytest.mark.parametrize(("options", "why"), [({}, "has no sentences"), ({"es-en": "hello"}, "must map sentences")])
def test_a_phrasebook_that_is_none_is_refused(options: dict[str, object], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        mt_phrasebook.create(EngineConfig(options=options))


async def test_a_model_is_asked_for_the_translation_and_nothing_else() -> None:
    async with ChatServer([says("Good ", "morning.")]) as server:
        translator = mt_openai.create(EngineConfig(options={"api_key": "k", "base_url": server.url}))
        await translator.start()
        assert "Good morning." == await said(translator, "buenos días")
        await translator.close()
    system, user = server.requests[0]["messages"]
    assert "from es-ES to en-US" in system["content"]
    assert {"role": "user", "content": "buenos días"} == user


async def test_a_model_that_refuses_is_a_fault_of_the_peer() -> None:
    async with ChatServer([refuses(500)]) as server:
        translator = mt_openai.create(EngineConfig(options={"api_key": "k", "base_url": server.url}))
        with pytest.raises(PeerError):
            await said(translator, "buenos días")
        await translator.close()


def test_translators_are_found_by_name() -> None:
    assert {"openai", "phrasebook"} <= set(registry.names("mt"))


async def test_the_recogniser_that_is_none_ends_every_utterance_with_nothing() -> None:
    ears = asr_none.create(EngineConfig())
    utterance = ears.open(NOTHING)
    utterance.push(bytes(320))
    utterance.finish()
    assert [asr_none.NOTHING_HEARD] == [words async for words in utterance.words()]
    unwanted = ears.open(NOTHING)
    unwanted.cancel()
    assert [] == [words async for words in unwanted.words()]
