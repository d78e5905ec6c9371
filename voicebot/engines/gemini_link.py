"""One connection of the Live API through the `google-genai` client: its settings, messages in, and what goes out."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from voicebot import log
from voicebot.core.conversation import Message
from voicebot.core.duplex import Context
from voicebot.core.tool_specs import ToolSpec
from voicebot.engines.duplex_outbox import STUCK, Send
from voicebot.errors import PeerError

WHO = "Gemini"
RATE_IN = 16000
CONNECT_S, HURRY_S = 1.2, 0.3
"""For a session, and then for the client to give it up."""
SEND_S = 2.0
LEAVING_S = 0.5
MOST_MALFORMED = 20
"""In a row; more of them is a server that speaks something else."""
LIFE_OVER = (1000, 1001)
_MIME = f"audio/pcm;rate={RATE_IN}"
_log = log.get("s2s_gemini_live")


@dataclass(frozen=True, slots=True)
class Manner:
    """What the options say about every session."""

    voice: str = ""
    blocking: bool = True
    """The model waits for its tools."""
    scheduling: str = ""
    """What becomes of a result that the model did not wait for: SILENT, WHEN_IDLE or INTERRUPT."""
    detection: Mapping[str, Any] | None = None
    """The server's activity detection; None for ours."""
    temperature: float | None = None
    compress: bool = True


def settings(manner: Manner, context: Context, handle: str) -> dict[str, Any]:
    """A `LiveConnectConfig`. `handle`: of the session that goes on in this one."""
    ours = manner.detection is None
    given: dict[str, Any] = {
        "response_modalities": ["AUDIO"],
        "system_instruction": context.instructions,
        "input_audio_transcription": {"language_codes": [context.language]},
        "output_audio_transcription": {},
        "session_resumption": {"handle": handle or None},
        "realtime_input_config": {
            "automatic_activity_detection": {"disabled": True} if ours else dict(manner.detection or {}),
            "activity_handling": "START_OF_ACTIVITY_INTERRUPTS",
            "turn_coverage": "TURN_INCLUDES_ONLY_ACTIVITY",
        },
    }
    if context.target:
        given["translation_config"] = {"target_language_code": context.target}
    if voice := context.voice or manner.voice:
        given["speech_config"] = {"voice_config": {"prebuilt_voice_config": {"voice_name": voice}}}
    if context.tools:
        given["tools"] = declarations(context.tools, manner.blocking)
    if manner.compress:  # without it a session with audio ends after 15 minutes
        given["context_window_compression"] = {"sliding_window": {}}
    if manner.temperature is not None:
        given["temperature"] = manner.temperature
    if context.history and not handle:
        given["history_config"] = {"initial_history_in_client_content": True}
    return given


def declarations(tools: Sequence[ToolSpec], blocking: bool) -> list[dict[str, Any]]:
    """The tools as the API takes them. The behaviour is always said: its default has changed."""
    behavior = "BLOCKING" if blocking else "NON_BLOCKING"
    listed = [
        {
            "name": tool.name,
            "description": tool.description,
            "behavior": behavior,
            "parameters_json_schema": dict(tool.parameters),
        }
        for tool in tools
    ]
    return [{"function_declarations": listed}] if listed else []


def contents(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """A history in the API's words. Of tools it says what came of them; their calls are in no session that lives."""
    names = {call.call_id: call.name for message in messages for call in message.calls}
    found = []
    for message in messages:
        match message.role:
            case "assistant":
                role, text = "model", message.text
            case "tool":
                role, text = "user", f"(Result of {names.get(message.call_id, 'a tool')}: {message.text})"
            case _:
                role, text = "user", message.text
        if text.strip():
            found.append({"role": role, "parts": [{"text": text}]})
    return found


class Link:
    """One connection, set up."""

    def __init__(self, stack: AsyncExitStack, session: Any) -> None:
        self._stack, self._session = stack, session
        self._turn: Any = session.receive() if session else None
        self._malformed = 0

    async def recv(self) -> Any:
        """The next message, of any turn. May be cancelled. `Closed` when there is none any more."""
        from google.genai.errors import APIError

        while True:
            try:
                message = await anext(self._turn)
            except StopAsyncIteration:  # it ends with every turn, and when it is cancelled
                self._turn = self._session.receive()
            except APIError as error:
                if isinstance(error.code, int) and 1000 <= error.code < 5000:
                    raise Closed(error.code, str(error.details or error.message or "")) from None
                self._ignored(error)
            except (ValueError, TypeError, AttributeError) as error:  # one message that is not as it should be
                self._ignored(error)
            except Exception as error:
                raise PeerError(f"{WHO}'s connection failed ({type(error).__name__}).") from None
            else:
                self._malformed = 0
                return message

    def _ignored(self, error: Exception) -> None:
        self._malformed += 1
        _log.info("message_ignored", error=type(error).__name__)
        if self._malformed > MOST_MALFORMED:
            raise PeerError(f"{WHO}'s server sends nothing that can be understood.")

    async def send(self, item: bytes | Send) -> None:
        """Audio at `RATE_IN`, or something else. `PeerError` when the server does not take it."""
        try:
            async with asyncio.timeout(SEND_S):
                if isinstance(item, bytes):
                    await self._session.send_realtime_input(audio={"data": item, "mime_type": _MIME})
                else:
                    await item(self._session)
        except TimeoutError:
            raise PeerError(STUCK) from None
        except Exception as error:
            raise PeerError(f"{WHO}'s connection failed ({type(error).__name__}).") from None

    async def close(self) -> None:
        """Whatever state it is in."""
        try:
            async with asyncio.timeout(LEAVING_S):
                await self._stack.aclose()
        except Exception as error:
            _log.info("connection_not_closed", error=type(error).__name__)
            if (socket := getattr(self._session, "_ws", None)) is not None:
                socket.transport.abort()  # the client would wait ten seconds for the server's goodbye


class Closed(PeerError):
    """The server has closed the connection."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{WHO}'s server closed the connection ({code}).", retryable=True)
        self.expected = code in LIFE_OVER or "deadline" in reason.lower()
        """Its time was over; that is no fault of anybody's."""


async def connect(client: Any, model: str, config: Mapping[str, Any], history: Sequence[Message]) -> Link:
    """Set up, and told the history. `PeerError` when that does not work in time."""
    from google.genai.errors import APIError

    stack = AsyncExitStack()
    try:
        async with asyncio.timeout(CONNECT_S + HURRY_S), asyncio.timeout(CONNECT_S):
            session = await stack.enter_async_context(client.aio.live.connect(model=model, config=dict(config)))
            if session.setup_complete is None:
                raise PeerError(f"{WHO}'s server did not take the session's settings.")
            if turns := contents(history):
                await session.send_client_content(turns=turns, turn_complete=True)
    except BaseException as error:
        await Link(stack, None).close()
        match error:
            case TimeoutError():
                raise PeerError(f"{WHO}'s server did not answer in time.", retryable=True) from None
            case APIError():
                raise PeerError(f"{WHO}'s server refused the session ({error.code}).") from None
            case PeerError():
                raise
            case Exception():
                raise PeerError(f"{WHO}'s server cannot be reached ({type(error).__name__}).", retryable=True) from None
            case _:
                raise
    return Link(stack, session)


# --- what goes out besides audio ------------------------------------------------------------------------


async def activity_start(session: Any) -> None:
    """The caller begins to speak, we say: what the model says meanwhile is interrupted."""
    await session.send_realtime_input(activity_start={})


async def activity_end(session: Any) -> None:
    """The caller's turn is over, we say."""
    await session.send_realtime_input(activity_end={})


async def stream_end(session: Any) -> None:
    """What was heard so far is all of it: their detection need not wait."""
    await session.send_realtime_input(audio_stream_end=True)


def words(text: str) -> Send:
    """Read as part of the caller's turn, or as one of its own where their detection is on."""

    async def send(session: Any) -> None:
        await session.send_realtime_input(text=text)

    return send


def note(message: Message) -> Send:
    """For the history; nothing is answered, but what the model is saying ends."""

    async def send(session: Any) -> None:
        await session.send_client_content(turns=contents([message]), turn_complete=False)

    return send


def results(responses: Sequence[Mapping[str, Any]]) -> Send:
    """Of tools."""

    async def send(session: Any) -> None:
        await session.send_tool_response(function_responses=[dict(each) for each in responses])

    return send


def update(instructions: str, tools: Sequence[ToolSpec], blocking: bool) -> Send:
    """New instructions and tools in the middle of the session."""

    async def send(session: Any) -> None:
        await session.send_context_update(system_instruction=instructions, tools=declarations(tools, blocking))

    return send
