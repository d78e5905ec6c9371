"""OpenAI Realtime as it is since its beta, and every server that speaks it (vLLM-Omni, Azure and others): `base_url`.

Options (`engines.options.openai_realtime` of a dialplan):

    model             gpt-realtime-2.1
    voice             marin, cedar, alloy …; fixed once the session has spoken
    format            pcmu (nothing is resampled), pcma or pcm16
    rate              of pcm16, 24000; some servers want 16000
    transcription     the model that writes down what the caller says: gpt-transcribe; empty for none
    turn_detection    server or semantic: how the engine finds the end of a turn, where it decides
    silence_ms, threshold, prefix_ms, idle_ms    of server detection; idle_ms makes it speak up after silence
    eagerness         of semantic detection: low, medium, high or auto
    noise_reduction   near_field or far_field; empty for none
    speed, effort, max_tokens
    session           whatever else the server's session takes, merged in
    api_key, base_url

The protocol is in `openai_speech`; this module opens sessions and says what they are.
"""

from __future__ import annotations

import asyncio
from typing import Any

from voicebot.core.duplex import Abilities, AudioFormat, Coding, Context, Decides
from voicebot.engines.base import EngineConfig
from voicebot.engines.openai_client import access, known, lack, new_client, peer_error
from voicebot.engines.openai_speech import RealtimeSpeech
from voicebot.engines.realtime_items import items_of, tool_list
from voicebot.errors import PeerError, UsageError

DEFAULT_MODEL = "gpt-realtime-2.1"
WHO = "The speech engine"
_OPTIONS = frozenset(
    "api_key base_url model voice format rate transcription turn_detection silence_ms threshold prefix_ms idle_ms"
    " eagerness noise_reduction speed effort max_tokens session".split()
)
_WIRE = {Coding.PCMU: "audio/pcmu", Coding.PCMA: "audio/pcma", Coding.PCM16: "audio/pcm"}


def check() -> str | None:
    return lack()


def create(config: EngineConfig) -> OpenAiRealtime:
    known(config.options, _OPTIONS, "openai_realtime")
    key, base_url = access(config.options, "openai_realtime engine")
    return OpenAiRealtime(key, base_url, config)


class OpenAiRealtime:
    """The engine: one client for all calls, a connection for each."""

    def __init__(self, key: str, base_url: str, config: EngineConfig) -> None:
        self._key, self._base_url, self._options = key, base_url, dict(config.options)
        self._client: Any = None
        try:
            coding = Coding(str(self._options.get("format") or "pcmu"))
            wire = _WIRE[coding]
        except (ValueError, KeyError):
            raise UsageError("openai_realtime takes the formats pcmu, pcma and pcm16.") from None
        rate = int(self._options.get("rate") or 24000) if coding is Coding.PCM16 else 8000
        self._format = {"type": wire, "rate": rate} if coding is Coding.PCM16 else {"type": wire}
        audio = AudioFormat(coding, rate)
        self.abilities = Abilities(takes=audio, gives=audio)

    async def start(self) -> None:
        """Make the client ready; no connection is opened, so a wrong key shows with the first call."""
        self._client = await asyncio.to_thread(new_client, self._key, self._base_url)

    async def close(self) -> None:
        """Let the client go."""
        if self._client is not None:
            await self._client.close()

    async def open(self, context: Context) -> RealtimeSpeech:
        """Connected, configured, and told the call so far."""
        connection: Any = None
        try:
            model = str(self._options.get("model") or DEFAULT_MODEL)
            connection = await self._client.realtime.connect(model=model).enter()
            first = await connection.recv()
            if first.type == "error":
                raise PeerError(f"{WHO}'s server refused the session ({first.error.code}).")
            await connection.send({"type": "session.update", "session": self._session(context)})
            await self._confirmed(connection)
            for item in items_of(context.history):
                await connection.send({"type": "conversation.item.create", "item": item})
        except BaseException as error:
            if connection is not None:
                await connection.close()
            if isinstance(error, Exception):
                raise _lost(error) from None
            raise
        detects = context.decides is not Decides.OURS
        return RealtimeSpeech(connection, context, self.abilities, detects, getattr(first.session, "expires_at", None))

    async def _confirmed(self, connection: Any) -> None:
        while (event := await connection.recv()).type != "session.updated":
            if event.type == "error":
                raise PeerError(f"{WHO}'s server refused the session's settings ({event.error.code}).")

    def _session(self, context: Context) -> dict[str, Any]:
        options = self._options
        transcription = options.get("transcription", "gpt-transcribe")
        noise = options.get("noise_reduction", "")
        language = {"language": context.language.partition("-")[0]}
        hears: dict[str, Any] = {"format": self._format, "turn_detection": self._detection(context.decides)}
        hears["transcription"] = {"model": transcription, **language} if transcription else None
        hears["noise_reduction"] = {"type": noise} if noise else None
        speaks: dict[str, Any] = {"format": self._format}
        if voice := context.voice or options.get("voice"):
            speaks["voice"] = voice
        if "speed" in options:
            speaks["speed"] = options["speed"]
        session: dict[str, Any] = {
            "type": "realtime",
            "instructions": context.instructions,
            "output_modalities": ["audio"],
            "audio": {"input": hears, "output": speaks},
            "tools": tool_list(context.tools),
        }
        if "effort" in options:
            session["reasoning"] = {"effort": options["effort"]}
        if "max_tokens" in options:
            session["max_output_tokens"] = options["max_tokens"]
        return session | dict(options.get("session", {}))

    def _detection(self, decides: Decides) -> dict[str, Any] | None:
        """The server's own turns. What interrupts, it says only where it decides alone."""
        if decides is Decides.OURS:
            return None
        own = {"create_response": True, "interrupt_response": decides is Decides.ENGINE}
        options = self._options
        if options.get("turn_detection", "server") == "semantic":
            return {"type": "semantic_vad", "eagerness": options.get("eagerness", "auto"), **own}
        names = {"silence_ms": "silence_duration_ms", "threshold": "threshold", "prefix_ms": "prefix_padding_ms"}
        names["idle_ms"] = "idle_timeout_ms"
        return {"type": "server_vad", **own, **{names[name]: options[name] for name in names if name in options}}


def _lost(error: Exception) -> PeerError:
    """A connection that closes says so in the library's own way; everything else as the client's errors."""
    from websockets.exceptions import ConnectionClosed, InvalidHandshake

    if isinstance(error, ConnectionClosed | InvalidHandshake | OSError):
        return PeerError(f"{WHO}'s server cannot be reached.", retryable=True)
    return peer_error(error, WHO)
