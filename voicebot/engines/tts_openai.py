"""Speech from OpenAI, or from any server with its `POST /v1/audio/speech` (Kokoro, speaches, vLLM …), streamed as PCM.

The audio is played as it comes; where its words lie is told from the sound (`audio.pace`). Servers differ, so what they
send is looked at: a WAV header in the stream says its own rate, samples may be cut in half between two pieces, and what
is no PCM at all (an MP3, a page of JSON) is refused rather than played.

Options (`engines.options.tts_openai` of a dialplan; the service fills in the first three from its settings):

    api_key, base_url, model
    voice             one of the server's; default `alloy`
    instructions      how to speak, for models that take it
    speed             0.25–4, for models that take it
    rate              of the PCM that the server sends, 24000 at OpenAI; a WAV header or the content type goes over it
    extra_body        a table merged into every request, for what only one server knows
    first_s, gap_s    deadlines: first audio (1.5), each piece after it (1.5)
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import struct
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any

import orjson

from voicebot.audio.pace import USUAL, Pace
from voicebot.core.tone import PLAIN, Manner
from voicebot.engines.base import EngineConfig, Speech, SpokenWord
from voicebot.engines.guard import Patience
from voicebot.engines.openai_client import access, ask, known, lack, new_client, next_bytes, warm
from voicebot.errors import PeerError, UsageError

DEFAULT_MODEL, DEFAULT_VOICE, RATE = "gpt-4o-mini-tts", "alloy", 24000
FORMAT = 1
"""Changes whenever the same text would sound different."""
MOST_HEADER_BYTES = 4096
FOREIGN = (b"ID3", b"OggS", b"fLaC", b'{"', b"<!")
"""How files begin that are no PCM."""
WHO = "The voice"
NOTICED = 0.05
"""Of a pace, so much is worth telling."""
_OPTIONS = frozenset("api_key base_url model voice instructions speed rate extra_body first_s gap_s".split())


def check() -> str | None:
    """None when it can run here, else what it needs."""
    return lack()


def create(config: EngineConfig) -> OpenAiTts:
    """`UsageError` for an unknown option, or when neither key nor base URL is set."""
    known(config.options, _OPTIONS, "The voice openai")
    key, base_url = access(config.options, "voice openai")
    voice = config.voice or str(config.options.get("voice") or DEFAULT_VOICE)
    return OpenAiTts({**config.options, "api_key": key, "base_url": base_url}, voice)


class OpenAiTts:
    """The synthesiser, one client for all calls."""

    def __init__(self, options: Mapping[str, Any], voice: str) -> None:
        self._key, self._base_url = str(options.get("api_key", "")), str(options.get("base_url", ""))
        self._request: dict[str, Any] = {
            "model": str(options.get("model") or DEFAULT_MODEL),
            "voice": voice,
            "response_format": "pcm",
        }
        for name in ("instructions", "speed", "extra_body"):
            if name in options:
                self._request[name] = options[name]
        self._rate = int(options.get("rate", RATE))
        if not 8000 <= self._rate <= 48000:
            raise UsageError(f"A rate must be from 8000 to 48000, not {self._rate}.")
        self._first_s, self._gap_s = float(options.get("first_s", 1.5)), float(options.get("gap_s", 1.5))
        self.patience = Patience(self._first_s + 0.1, self._gap_s + 0.1, 60.0)
        named = orjson.dumps([FORMAT, self._base_url, self._rate, self._request], option=orjson.OPT_SORT_KEYS)
        self.voice_id = f"openai/{self._request['model']}/{voice}/{hashlib.sha256(named).hexdigest()[:12]}"
        self._client: Any = None
        self._characters_s = USUAL

    async def start(self) -> None:
        """Make the client ready; no request is sent, so a wrong key shows with the first sentence."""
        self._client = await asyncio.to_thread(self._open)

    def _open(self) -> Any:
        client = new_client(self._key, self._base_url)
        _ = client.audio.speech  # imported when it is first touched
        return client

    async def warm(self) -> None:
        """Have a connection open. `PeerError` when there is none to be had."""
        await warm(self._client, WHO)

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()

    async def speak(self, clauses: AsyncIterator[str], manner: Manner = PLAIN) -> AsyncGenerator[Speech, None]:
        """Speech at the server's rate, a request for each clause. The manner goes into the instructions, and into the
        speed where the operator has set one (not every model takes it). `PeerError` when the server refuses, stalls,
        breaks off, or sends no audio."""
        async for clause in clauses:
            if any(c.isalnum() for c in clause):
                async with aclosing(self._clause(clause, manner)) as speeches:
                    async for speech in speeches:
                        yield speech

    async def _clause(self, text: str, manner: Manner) -> AsyncGenerator[Speech, None]:
        pace: Pace | None = None
        given = rate = 0
        async with aclosing(self._pcm(text, manner)) as pieces:
            async for rate, pcm in pieces:
                pace = pace or Pace(text, rate, self._characters_s)
                words = [SpokenWord(word, at - given) for word, at in pace.push(pcm)]
                given += len(pcm) // 2
                yield Speech(pcm, rate, tuple(words))
        if pace is None:
            raise PeerError(f"{WHO} gave no audio.", retryable=True)
        yield Speech(b"", rate, tuple(SpokenWord(word, at - given) for word, at in pace.end()))
        self._characters_s = (self._characters_s + pace.characters_s) / 2

    async def _pcm(self, text: str, manner: Manner) -> AsyncGenerator[tuple[int, bytes], None]:
        """(rate, whole samples) as they come."""
        loop, request = asyncio.get_running_loop(), in_manner(self._request, manner)
        shape = Shape(self._rate)
        due = loop.time() + self._first_s
        speech = self._client.audio.speech.with_streaming_response
        response = await ask(lambda: speech.create(input=text.strip(), **request), due, WHO)
        try:
            shape.told(response.headers.get("content-type", ""))
            async with aclosing(response.iter_bytes()) as chunks:
                while (chunk := await next_bytes(chunks, due, WHO)) is not None:
                    if pcm := shape.push(chunk):
                        yield shape.rate, pcm
                        due = loop.time() + self._gap_s
            if pcm := shape.end():
                yield shape.rate, pcm
        finally:
            await response.close()


def in_manner(request: dict[str, Any], manner: Manner) -> dict[str, Any]:
    """The request, changed so that it asks for this manner."""
    if manner == PLAIN:
        return request
    told = [request.get("instructions", ""), manner.style]
    if abs(manner.pace - 1) >= NOTICED:
        told.append(
            "Speak a little faster than usual." if manner.pace > 1 else "Speak a little more slowly than usual."
        )
    instructions = " ".join(each for each in told if each)
    changed = request | ({"instructions": instructions} if instructions else {})
    if "speed" in request:
        changed["speed"] = round(min(4.0, max(0.25, request["speed"] * manner.pace)), 2)
    return changed


class Shape:
    """What a server sends, as whole samples of PCM at the rate that they have."""

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self._begun = False
        self._rest = b""

    def told(self, content_type: str) -> None:
        """`PeerError` for a type that is no PCM."""
        kind, _, parameters = content_type.lower().partition(";")
        if kind.startswith(("audio/mp", "audio/ogg", "audio/opus", "audio/flac", "audio/aac", "text/")):
            raise PeerError(f"{WHO}'s server sent {kind}, not PCM.")
        if found := re.search(r"\brate=(\d+)", parameters):
            self._set_rate(int(found[1]))

    def push(self, chunk: bytes) -> bytes:
        """The samples that are whole now; none until the header, if there is one, is through."""
        self._rest += chunk
        if not self._begun and not self._begin():
            return b""
        whole = len(self._rest) // 2 * 2
        pcm, self._rest = self._rest[:whole], self._rest[whole:]
        return pcm

    def end(self) -> bytes:
        """What was too short to be looked at; half a sample is dropped."""
        self._begun = True
        return self.push(b"")

    def _begin(self) -> bool:
        """Look at how it begins. Whether there has been enough to see."""
        head = self._rest
        if len(head) < 4:
            return False
        if head.startswith(FOREIGN):
            raise PeerError(f"{WHO}'s server sent something that is no PCM.")
        if head.startswith(b"RIFF"):
            at = head.find(b"data")
            if at < 0 or len(head) < at + 8:
                if len(head) > MOST_HEADER_BYTES:
                    raise PeerError(f"{WHO}'s server sent a WAV file without data.")
                return False
            self._wav(head[:at])
            self._rest = head[at + 8 :]
        self._begun = True
        return True

    def _wav(self, header: bytes) -> None:
        """16 bit mono, or it cannot be played as it comes."""
        at = header.find(b"fmt ")
        if at < 0 or len(header) < at + 24:
            raise PeerError(f"{WHO}'s server sent a WAV file that cannot be read.")
        kind, channels, rate = struct.unpack_from("<HHI", header, at + 8)
        (bits,) = struct.unpack_from("<H", header, at + 22)
        if kind not in (1, 0xFFFE) or channels != 1 or bits != 16:
            raise PeerError(f"{WHO}'s server sent a WAV file of {channels} channels and {bits} bits.")
        self._set_rate(rate)

    def _set_rate(self, rate: int) -> None:
        if not 8000 <= rate <= 48000:
            raise PeerError(f"{WHO}'s server sends audio of {rate} Hz.")
        self.rate = rate
