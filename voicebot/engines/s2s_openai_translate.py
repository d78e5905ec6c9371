"""OpenAI's realtime translation session: speech in any language in, speech of one language out, while it is spoken.

For interpreted calls (`interpret: {by: openai_translate}`). Nobody decides the turns: the model speaks when it has
something to say, some words behind. 24 kHz both ways, in pieces of 200 ms.

Options (`engines.options.openai_translate` of a dialplan):

    to               the language of the output; default: what the interpreted call wants
    model            gpt-realtime-translate
    transcription    the model that writes down what was said: gpt-transcribe; empty for none
    noise_reduction  near_field or far_field; empty for none
    api_key, base_url
"""

from __future__ import annotations

import asyncio
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from voicebot import log
from voicebot.core.conversation import Message
from voicebot.core.dialogue import ToolDone
from voicebot.core.duplex import (
    Abilities,
    AudioFormat,
    CallerWords,
    Coding,
    Context,
    Decides,
    DuplexEvent,
    Gone,
)
from voicebot.core.duplex_stream import Stretches
from voicebot.core.tool_specs import ToolSpec
from voicebot.engines.base import EngineConfig
from voicebot.engines.duplex_outbox import STUCK, Outbox
from voicebot.engines.openai_client import access, known, lack, new_client, peer_error
from voicebot.errors import PeerError, UsageError

DEFAULT_MODEL = "gpt-realtime-translate"
WHO = "The translation engine"
RATE = 24000
BYTES_MS = RATE * 2 // 1000
PIECE_MS = 200
"""What the server works on at once."""
WAITING_MS = 2000
SEND_S = 2.0
LEAVING_S = 0.5
SLICE_BYTES = 100 * BYTES_MS
"""Sound is looked at in slices of this length."""
_OPTIONS = frozenset("api_key base_url to model transcription noise_reduction".split())
_SENTENCE_ENDS = (".", "!", "?", "…")
_log = log.get("s2s_openai_translate")


def check() -> str | None:
    return lack()


def create(config: EngineConfig) -> OpenAiTranslate:
    known(config.options, _OPTIONS, "openai_translate")
    key, base_url = access(config.options, "openai_translate engine")
    return OpenAiTranslate(key, base_url, config)


class OpenAiTranslate:
    """The engine: one client for all calls, a connection for each."""

    abilities = Abilities(
        AudioFormat(Coding.PCM16, RATE), AudioFormat(Coding.PCM16, RATE), (Decides.ENGINE,), obeys=False
    )

    def __init__(self, key: str, base_url: str, config: EngineConfig) -> None:
        self._key, self._base_url, self._options = key, base_url, dict(config.options)
        self._client: Any = None

    async def start(self) -> None:
        """Make the client ready; no connection is opened."""
        self._client = await asyncio.to_thread(new_client, self._key, self._base_url)

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()

    async def open(self, context: Context) -> Translation:
        """Connected, and told the language. `PeerError` when that does not work."""
        connection: Any = None
        try:
            model = str(self._options.get("model") or DEFAULT_MODEL)
            connection = await self._client.realtime.translations.connect(model=model).enter()
            await connection.send({"type": "session.update", "session": self._session(context)})
            while (event := await connection.recv()).type != "session.updated":
                if event.type == "error":
                    raise PeerError(f"{WHO}'s server refused the session ({event.error.code}).")
        except BaseException as error:
            if connection is not None:
                await connection.close()
            if isinstance(error, UsageError | PeerError) or not isinstance(error, Exception):
                raise
            raise peer_error(error, WHO) from None
        return Translation(connection)

    def _session(self, context: Context) -> dict[str, Any]:
        language = str(self._options.get("to") or context.target).partition("-")[0]
        if not language:
            raise UsageError("openai_translate does not know into what to translate: say `to` among its options.")
        transcription = self._options.get("transcription", "gpt-transcribe")
        noise = self._options.get("noise_reduction", "")
        hears = {
            "transcription": {"model": transcription} if transcription else None,
            "noise_reduction": {"type": noise} if noise else None,
        }
        return {"audio": {"input": hears, "output": {"language": language}}}


class Translation:
    """A `DuplexSession`."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._outbox = Outbox(WAITING_MS * BYTES_MS)
        self._stretches = Stretches(RATE)
        self._heard = ""
        """What was said since the last whole sentence."""
        self._closed = False

    async def run(self, tell: Callable[[DuplexEvent], None]) -> None:
        """Returns after `Gone` was told."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._send())
                group.create_task(self._receive(tell))
        except* PeerError as errors:
            for event in self._stretches.end():
                tell(event)
            tell(Gone(str(errors.exceptions[0])))

    def push(self, audio: bytes) -> None:
        self._outbox.audio(audio)

    def cut(self, reply: str, heard_ms: int) -> None:
        """What it still says of this is not told."""
        self._stretches.cut(reply)

    def began(self) -> None:
        """It hears."""

    def respond(self, instructions: str = "") -> None:
        """It speaks when it has something to say."""

    def tell(self, message: Message) -> None:
        """It has no history but what it heard."""

    def tool_done(self, done: ToolDone) -> None:
        """It calls no tools."""

    def configure(self, instructions: str, tools: Sequence[ToolSpec]) -> None:
        """It takes no instructions."""

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            async with asyncio.timeout(LEAVING_S):
                await self._connection.send({"type": "session.close"})
                await self._connection.close()
        except Exception as error:  # whatever state it is in
            _log.info("connection_not_closed", error=type(error).__name__)

    async def _send(self) -> None:
        piece = bytearray()
        while True:
            audio = await self._outbox.next(PIECE_MS * BYTES_MS)
            assert isinstance(audio, bytes)
            piece += audio
            if len(piece) < PIECE_MS * BYTES_MS:
                continue
            event = {"type": "session.input_audio_buffer.append", "audio": b64encode(piece).decode()}
            piece.clear()
            try:
                async with asyncio.timeout(SEND_S):
                    await self._connection.send(event)
            except TimeoutError:
                raise PeerError(STUCK) from None
            except Exception as error:
                raise PeerError(f"{WHO}'s connection failed ({type(error).__name__}).") from None

    async def _receive(self, tell: Callable[[DuplexEvent], None]) -> None:
        while True:
            try:
                event = await self._connection.recv()
            except Exception as error:
                raise PeerError(f"{WHO}'s connection failed ({type(error).__name__}).") from None
            for each in self._events(event):
                tell(each)

    def _events(self, event: Any) -> Iterator[DuplexEvent]:
        match event.type:
            case "session.output_audio.delta":
                audio = b64decode(event.delta)
                for at in range(0, len(audio), SLICE_BYTES):
                    yield from self._stretches.sound(audio[at : at + SLICE_BYTES])
            case "session.output_transcript.delta":
                yield from self._stretches.word(event.delta)
            case "session.input_transcript.delta":
                self._heard += event.delta
                whole = self._heard.rstrip().endswith(_SENTENCE_ENDS)
                yield CallerWords(self._heard.strip(), final=whole)
                self._heard = "" if whole else self._heard
            case "session.closed":
                raise PeerError(f"{WHO}'s server closed the session.")
            case "error":
                raise PeerError(f"{WHO}'s server failed ({event.error.code}).")
            case _:
                pass
