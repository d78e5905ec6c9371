"""Speech to text by OpenAI, or by any server with its API.

Two transports. `realtime`: a transcription session over a WebSocket, one for each call, opened while the call rings and
greets; audio goes as telephone μ-law while the caller speaks, and our own end of turn closes an utterance
(see `openai_transcription`). `http`: the whole utterance at its end, for servers that have nothing else; the
transcript is streamed where the server can.

Options (`engines.options.asr_openai` of a dialplan; the service fills in the first three from its settings):

    api_key, base_url, model
    transport         `realtime`, the default for OpenAI itself, or `http`, the default for other servers
    language          ISO 639-1; default that of the dialplan
    prompt            said before the dialplan's names and jargon, for models that take a prompt
    stream            false for a server that refuses to stream a transcript; http only
    noise_reduction   `near_field` or `far_field`; realtime only
    final_s           how long the final words may take before another engine is asked as well (1.2)
"""

from __future__ import annotations

import asyncio
import io
import wave
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

import orjson

from voicebot.core.expect import Expectation
from voicebot.core.words import Words
from voicebot.engines.base import AsrSession, EngineConfig
from voicebot.engines.guard import Patience
from voicebot.engines.openai_client import access, ask, known, lack, new_client, next_bytes
from voicebot.engines.openai_transcription import EMPTY, LEAST_SAMPLES, RATE, WHO, Line, believed
from voicebot.errors import PeerError, UsageError

DEFAULT_MODEL = "gpt-transcribe"
GIVE_UP_S = 4.0
"""After the end of the utterance."""
MOST_S = 120
"""Audio of one utterance that is kept; what comes beyond is dropped."""
KEYWORD_MODELS = ("gpt-transcribe", "gpt-live-transcribe")
"""They take a list of words; the others a prompt, and `gpt-realtime-whisper` nothing."""
_OPTIONS = frozenset("api_key base_url model transport language prompt stream noise_reduction final_s".split())


def check() -> str | None:
    """None when it can run here, else what it needs."""
    return lack()


def create(config: EngineConfig) -> OpenAiAsr:
    """`UsageError` for an unknown option, or when neither key nor base URL is set."""
    known(config.options, _OPTIONS, "The recogniser openai")
    key, base_url = access(config.options, "recogniser openai")
    return OpenAiAsr(key, base_url, config)


class OpenAiAsr:
    """The recogniser, one client for all calls."""

    rate = RATE

    def __init__(self, key: str, base_url: str, config: EngineConfig) -> None:
        options = config.options
        self._key, self._base_url = key, base_url
        self._transport = str(options.get("transport") or ("http" if base_url else "realtime"))
        if self._transport not in ("realtime", "http"):
            raise UsageError(f"The recogniser openai's transport is realtime or http, not {self._transport!r}.")
        self.model = str(options.get("model") or DEFAULT_MODEL)
        self.language = str(options.get("language") or config.language.partition("-")[0].lower())
        self._prompt, self._noise = str(options.get("prompt", "")), options.get("noise_reduction")
        self.patience = Patience(float(options.get("final_s", 1.2)), 3.0, GIVE_UP_S)
        self._stream = {"stream": True} if options.get("stream", True) else {}
        self._client: Any = None

    async def start(self) -> None:
        """Make the client ready; nothing is sent."""
        self._client = await asyncio.to_thread(self._open)

    def _open(self) -> Any:
        client = new_client(self._key, self._base_url)
        _ = client.realtime if self._transport == "realtime" else client.audio.transcriptions  # imported when touched
        return client

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()

    async def prepare(self, expectations: Sequence[Expectation]) -> None:
        """Nothing to build: hints go with each utterance."""

    def for_call(self) -> Line | _NoLine:
        """A connection of the call's own, where there is one."""
        return Line(self._client, self.session) if self._transport == "realtime" else _NoLine(self)

    def open(self, expectation: Expectation) -> AsrSession:
        """One utterance, on a connection of its own."""
        if self._transport == "realtime":
            return Line(self._client, self.session, one_utterance=True).open(expectation)
        return _NoLine(self).open(expectation)

    def hints(self, expectation: Expectation) -> dict[str, Any]:
        """What the model is told to expect, in the way in which it takes it."""
        if self.model.startswith("gpt-realtime-whisper"):
            return {}
        if self.model.startswith(KEYWORD_MODELS):
            return {"keywords": list(expectation.hints)} if expectation.hints else {}
        prompt = " ".join(part for part in (self._prompt, ", ".join(expectation.hints)) if part)
        return {"prompt": prompt} if prompt else {}

    def session(self, expectation: Expectation) -> dict[str, Any]:
        """The session of the Realtime protocol: telephone audio, and nobody's end of turn but ours."""
        transcription = {"model": self.model, "language": self.language, **self.hints(expectation)}
        audio: dict[str, Any] = {
            "format": {"type": "audio/pcmu"},
            "transcription": transcription,
            "turn_detection": None,
        }
        if self._noise:
            audio["noise_reduction"] = {"type": self._noise}
        session: dict[str, Any] = {"type": "transcription", "audio": {"input": audio}}
        if self.model.startswith("gpt-4o"):  # of the others nobody says that they give them
            session["include"] = ["item.input_audio_transcription.logprobs"]
        return session

    async def transcribed(self, pcm: bytes, expectation: Expectation) -> AsyncGenerator[str, None]:
        """The transcript of an utterance, growing; the last one is whole."""
        due = asyncio.get_running_loop().time() + GIVE_UP_S
        request = {"model": self.model, "language": self.language, **self.hints(expectation)}
        create = self._client.audio.transcriptions.with_streaming_response.create
        file = ("utterance.wav", _wav(pcm), "audio/wav")
        response = await ask(lambda: create(file=file, response_format="json", **self._stream, **request), due, WHO)
        try:
            streamed = response.headers.get("content-type", "").startswith("text/event-stream")
            body, text = b"", ""
            async with aclosing(response.iter_bytes()) as chunks:
                while (chunk := await next_bytes(chunks, due, WHO)) is not None:
                    body += chunk
                    while streamed and b"\n\n" in body:
                        event, _, body = body.partition(b"\n\n")
                        text = _grown(text, event)
                        yield text
            if not streamed:
                yield _text(body)
        finally:
            await response.close()


def _text(body: bytes) -> str:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise PeerError(f"{WHO}'s server sent no JSON.") from None
    return str(found.get("text") or "") if isinstance(found, dict) else ""


def _grown(text: str, event: bytes) -> str:
    """The transcript after one more event of the stream."""
    data = b"".join(line[5:] for line in event.splitlines() if line.startswith(b"data:")).strip()
    try:
        found = orjson.loads(data)
    except orjson.JSONDecodeError:  # [DONE], a comment
        return text
    match found.get("type"):
        case "transcript.text.delta":
            return text + str(found.get("delta", ""))
        case "transcript.text.done":
            return str(found.get("text", text))
        case _:
            return text


def _wav(pcm: bytes) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE)
        out.writeframes(pcm)
    return file.getvalue()


class _NoLine:
    """HTTP holds nothing for a call."""

    def __init__(self, asr: OpenAiAsr) -> None:
        self._asr = asr

    async def warm(self) -> None:
        """A connection would be closed again before the caller has spoken."""

    async def close(self) -> None:
        """Nothing to close."""

    def open(self, expectation: Expectation) -> _Whole:
        """One utterance, sent at its end."""
        return _Whole(self._asr, expectation)


class _Whole:
    """An utterance that is sent when it is over."""

    def __init__(self, asr: OpenAiAsr, expectation: Expectation) -> None:
        self._asr, self._expectation = asr, expectation
        self._pcm = bytearray()
        self._over = asyncio.Event()
        self._cancelled = False

    def push(self, pcm: bytes) -> None:
        if len(self._pcm) < MOST_S * RATE * 2:
            self._pcm += pcm

    def finish(self) -> None:
        self._over.set()

    def cancel(self) -> None:
        self._cancelled = True
        self._over.set()

    async def words(self) -> AsyncGenerator[Words, None]:
        """As the server sends them, after the end."""
        await self._over.wait()
        samples, text = len(self._pcm) // 2, ""
        if samples >= LEAST_SAMPLES and not self._cancelled:
            async with aclosing(self._asr.transcribed(bytes(self._pcm), self._expectation)) as texts:
                async for text in texts:
                    if self._cancelled:
                        return
                    yield Words(text.strip(), final=False)
        if not self._cancelled:
            yield believed(text, samples / RATE, self._expectation) if text else EMPTY
