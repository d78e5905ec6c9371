"""The voice and the real client against a local server that streams speech as OpenAI's does."""

from __future__ import annotations

import io
import struct
import wave
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.peers.openai_audio import AudioServer, Reply, refuses, speaks, tone
from tests.peers.openai_chat import Drop, Stall
from voicebot.call.prompts import PromptCache
from voicebot.core.tone import PLAIN, Manner
from voicebot.engines import tts_openai
from voicebot.engines.base import EngineConfig, Speech
from voicebot.engines.tts_openai import OpenAiTts, Shape
from voicebot.errors import PeerError, UsageError

Dial = Callable[..., Any]


@pytest.fixture
def dial() -> Dial:
    """`async with dial(replies, **options) as (voice, server)`"""

    @asynccontextmanager
    async def opened(replies: Sequence[Reply] = (), **options: Any) -> AsyncIterator[tuple[OpenAiTts, AudioServer]]:
        async with AudioServer(replies) as server:
            defaults = {"api_key": "sk-test", "base_url": server.url, "first_s": 0.3, "gap_s": 0.3}
            voice = tts_openai.create(EngineConfig(options=defaults | options))
            await voice.start()
            yield voice, server
            await voice.close()

    return opened


async def say(voice: OpenAiTts, *clauses: str) -> list[Speech]:
    async def texts() -> AsyncIterator[str]:
        for clause in clauses:
            yield clause

    return [speech async for speech in voice.speak(texts())]


def whole(speeches: Sequence[Speech]) -> tuple[bytes, str]:
    return b"".join(s.pcm for s in speeches), "".join(w.text for s in speeches for w in s.words).strip()


def wav(pcm: bytes, rate: int, channels: int = 1) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(channels)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(pcm)
    return file.getvalue()


async def test_a_clause_is_a_request_and_its_audio_comes_as_it_is_sent(dial: Dial) -> None:
    pcm = tone(600)
    async with dial([speaks(pcm[:9600], pcm[9600:])], instructions="Calmly.", voice="coral") as (voice, server):
        heard, words = whole(await say(voice, "Good morning."))
    assert (pcm, "Good morning.") == (heard, words)
    (request,) = server.requests
    wanted = {"model": "gpt-4o-mini-tts", "voice": "coral", "input": "Good morning.", "response_format": "pcm"}
    assert wanted | {"path": "/v1/audio/speech", "instructions": "Calmly."} == request
    assert ["Bearer sk-test"] == server.authorizations


@pytest.mark.parametrize(
    ("options", "manner", "asked"),
    [
        ({}, PLAIN, {}),
        ({}, Manner(1.1), {"instructions": "Speak a little faster than usual."}),
        ({}, Manner(1.02), {}),
        ({"instructions": "Warmly."}, Manner(0.9, "Speak calmly."),
         {"instructions": "Warmly. Speak calmly. Speak a little more slowly than usual."}),
        ({"speed": 1.5}, Manner(0.9), {"speed": 1.35, "instructions": "Speak a little more slowly than usual."}),
    ],
)  # fmt: skip
async def test_a_manner_is_asked_for_and_the_text_is_the_same(
    dial: Dial, options: dict[str, Any], manner: Manner, asked: dict[str, Any]
) -> None:
    async with dial([speaks(tone(100))], **options) as (voice, server):

        async def one() -> AsyncIterator[str]:
            yield "Good morning."

        assert [speech async for speech in voice.speak(one(), manner)]
    (request,) = server.requests
    assert "Good morning." == request["input"]
    assert asked == {name: value for name, value in request.items() if name in ("instructions", "speed")}


async def test_the_first_piece_is_there_before_the_last_is_sent(dial: Dial) -> None:
    async with dial([speaks(tone(100), Stall(30))], gap_s=30) as (voice, _):

        async def one() -> AsyncIterator[str]:
            yield "Good morning."

        speeches = voice.speak(one())
        assert tone(100) == (await anext(speeches)).pcm
        await speeches.aclose()


async def test_closing_early_hangs_up_on_the_server(dial: Dial) -> None:
    async with dial([speaks(tone(100), Stall(30))], gap_s=30) as (voice, server):

        async def one() -> AsyncIterator[str]:
            yield "Good morning."

        speeches = voice.speak(one())
        await anext(speeches)
        await speeches.aclose()
        await server.hung_up.wait()


async def test_samples_cut_in_half_between_two_pieces_are_put_together(dial: Dial) -> None:
    pcm = tone(100)
    pieces = [pcm[:1], pcm[1:4], pcm[4:333], *(bytes([b]) for b in pcm[333:340]), pcm[340:]]
    async with dial([speaks(*pieces)]) as (voice, _):
        speeches = await say(voice, "Hi.")
    assert pcm == whole(speeches)[0]
    assert {0} == {len(s.pcm) % 2 for s in speeches}


async def test_a_wav_header_is_not_played_and_its_rate_is_believed(dial: Dial) -> None:
    file = wav(tone(300, 16000), 16000)
    async with dial([speaks(file[:10], file[10:50], file[50:], content_type="audio/wav")]) as (voice, _):
        speeches = await say(voice, "Hi.")
    assert tone(300, 16000) == whole(speeches)[0]
    assert {16000} == {s.rate for s in speeches}


async def test_a_rate_in_the_content_type_is_believed(dial: Dial) -> None:
    async with dial([speaks(tone(100, 22050), content_type="audio/pcm; rate=22050")]) as (voice, _):
        assert {22050} == {s.rate for s in await say(voice, "Hi.")}


async def test_another_rate_is_an_option(dial: Dial) -> None:
    async with dial([speaks(tone(100, 22050))], rate=22050) as (voice, _):
        assert {22050} == {s.rate for s in await say(voice, "Hi.")}


@pytest.mark.parametrize(
    "reply",
    [
        speaks(b"ID3\x04" + bytes(2000)),
        speaks(b'{"error": "no voice"}'),
        speaks(b"anything", content_type="audio/mpeg"),
        speaks(wav(bytes(4000), 24000, channels=2)),
        speaks(b"RIFF" + bytes(5000)),
    ],
    ids=["mp3", "json", "audio/mpeg", "stereo", "no data"],
)
async def test_what_is_no_pcm_is_refused_and_never_played(dial: Dial, reply: Reply) -> None:
    async with dial([reply]) as (voice, _):
        with pytest.raises(PeerError, match="sent"):
            await say(voice, "Hi.")


async def test_an_answer_without_audio_is_a_failure(dial: Dial) -> None:
    async with dial([speaks(), speaks(b"\x00")]) as (voice, _):
        for _ in range(2):
            with pytest.raises(PeerError, match="no audio"):
                await say(voice, "Hi.")


async def test_nothing_to_say_is_no_request(dial: Dial) -> None:
    async with dial() as (voice, server):
        assert [] == await say(voice, " — ")
    assert [] == server.requests


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (Reply(before=30), "did not answer in time"),
        (speaks(Stall(30)), "fell silent"),
        (speaks(tone(100), Stall(30)), "fell silent"),
        (speaks(tone(100), Drop()), "broke off"),
        (refuses(401), "answered 401"),
        (refuses(429, retry_after="20"), "answered 429"),
    ],
    ids=["hang", "head then nothing", "stall", "drop", "401", "429"],
)
async def test_a_server_that_fails_is_told_within_its_deadline(dial: Dial, reply: Reply, why: str) -> None:
    async with dial([reply]) as (voice, server):
        with pytest.raises(PeerError, match=why):
            await say(voice, "Hi.")
        assert 1 == len(server.requests)


async def test_a_refused_connection_is_a_failure() -> None:
    voice = tts_openai.create(EngineConfig(options={"base_url": "http://127.0.0.1:9/v1"}))
    await voice.start()
    with pytest.raises(PeerError, match="cannot be reached"):
        await say(voice, "Hi.")
    await voice.close()


async def test_a_server_that_says_when_is_asked_once_more(dial: Dial) -> None:
    async with dial([refuses(503, retry_after="0.05"), speaks(tone(100))]) as (voice, _):
        assert tone(100) == whole(await say(voice, "Hi."))[0]


async def test_words_lie_where_the_sound_is(dial: Dial) -> None:
    pcm = tone(400) + bytes(2 * 24000) + tone(400)
    async with dial([speaks(pcm)]) as (voice, _):
        speeches = await say(voice, "aaaaa bbbbb")
    at, places = 0, {}
    for speech in speeches:
        places |= {word.text.strip(): (at + word.at) * 1000 // 24000 for word in speech.words}
        at += len(speech.pcm) // 2
    assert {"aaaaa": 0, "bbbbb": 1400} == {word: round(ms, -1) for word, ms in places.items()}


async def test_fixed_sentences_are_kept_by_model_voice_and_server(dial: Dial, tmp_path: Path) -> None:
    usual = {"base_url": "http://127.0.0.1:8/v1"}
    other = ({"voice": "coral"}, {"model": "kokoro"}, {"speed": 1.2}, {"base_url": "http://127.0.0.1:9/v1"}, usual)
    assert 5 == len({tts_openai.create(EngineConfig(options=usual | each)).voice_id for each in other})
    async with dial() as (voice, server):
        cache = PromptCache(tmp_path)
        await cache.prepare(voice, ["One moment, please."])
        again = PromptCache(tmp_path)
        await again.prepare(voice, ["One moment, please."])
        prompt = again.get(voice.voice_id, "One moment, please.")
    assert 1 == len(server.requests)
    assert prompt is not None
    assert (900, 3) == (round(prompt.ms, -1), len(prompt.words))


def test_wrong_options_say_which_there_are() -> None:
    with pytest.raises(UsageError, match="no option 'speeed'"):
        tts_openai.create(EngineConfig(options={"api_key": "x", "speeed": 1}))
    with pytest.raises(UsageError, match="from 8000 to 48000"):
        tts_openai.create(EngineConfig(options={"api_key": "x", "rate": 44}))


def test_a_header_in_small_pieces_is_understood_all_the_same() -> None:
    shape, file = Shape(24000), wav(tone(50, 16000), 16000)
    pcm = b"".join(shape.push(bytes([b])) for b in file) + shape.end()
    assert (tone(50, 16000), 16000) == (pcm, shape.rate)


def test_a_streaming_servers_header_with_no_length_is_understood() -> None:
    shape = Shape(24000)
    header = b"RIFF" + b"\xff" * 4 + b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 22050, 44100, 2, 16)
    assert tone(20, 22050) == shape.push(header + b"data" + b"\xff" * 4 + tone(20, 22050))
    assert 22050 == shape.rate
