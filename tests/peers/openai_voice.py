"""A local Realtime server that listens and speaks, as the GA protocol has it, and misbehaves on request.

It hears voice as what is not silence (μ-law), detects turns as it is told to, answers each `response.create` and each
turn of its own with the next `Say` of the script, faster than real time, and keeps what it was told: truncations,
cancellations, items, audio. What the real service refuses is refused, with its codes.
"""

from __future__ import annotations

import asyncio
import json
from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

import numpy as np
import websockets
from websockets.asyncio.server import ServerConnection, serve

WORD_MS = 250
DELTA_MS = 200
Fault = Literal[
    "", "hang", "stall", "drop", "expire", "close", "fail", "incomplete", "filtered", "refuse", "late", "orphan",
    "limits", "garbage", "errors",
]  # fmt: skip
"""What goes wrong with a reply. `stall`, `drop`, `close`, `expire` in its middle; `late`: audio after it was cancelled;
`orphan`: another response after a cancellation; `limits`: no tokens left, by the server's count; `garbage`: events that
are none; `errors`: those that cost nothing."""


@dataclass(frozen=True)
class Say:
    """One response."""

    text: str = "ok"
    calls: tuple[tuple[str, dict[str, Any]], ...] = ()
    after_s: float = 0.02
    fault: Fault = ""


@dataclass
class VoiceServer:
    """`async with VoiceServer([...]) as server:`; `server.url` is the base URL."""

    script: Sequence[Say] = ()
    hears: Sequence[str] = ()
    """Transcripts of the caller's turns."""
    item_done_first: bool = True
    """Which of the two `done`s of an item comes first: servers differ."""
    pace: float = 8.0
    """Audio is this many times faster than real time."""
    transcript_after_s: float = 0.0
    refuses: str = ""
    connect_after_s: float = 0.0
    url: str = ""
    connections: int = 0
    sessions: list[dict[str, Any]] = field(default_factory=list)
    truncated: list[tuple[str, int]] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    items: list[dict[str, Any]] = field(default_factory=list)
    created: list[dict[str, Any]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    audio: bytearray = field(default_factory=bytearray)
    """All that was appended, over all connections."""
    first_audio_s: list[float] = field(default_factory=list)
    """When the first audio of each response was sent, on the loop's clock."""
    first_voice_s: list[float] = field(default_factory=list)
    """When voice came in that had not been there before."""

    async def __aenter__(self) -> VoiceServer:
        self.says: Iterator[Say] = iter(tuple(self.script))
        self.heard: Iterator[str] = iter(tuple(self.hears))
        self._server = await serve(self._connected, "127.0.0.1", 0)
        port = next(iter(self._server.sockets)).getsockname()[1]
        self.url = f"http://127.0.0.1:{port}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close(close_connections=True)
        await self._server.wait_closed()

    async def _connected(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        parts = urlsplit(socket.request.path)
        assert "/v1/realtime" == parts.path
        assert parse_qs(parts.query)["model"]
        assert "OpenAI-Beta" not in socket.request.headers
        self.connections += 1
        try:
            await _Session(self, socket).run()
        except (websockets.ConnectionClosed, asyncio.CancelledError):
            pass


@dataclass
class _Item:
    id: str
    assistant: bool
    audio_bytes: int = 0
    """As far as it was generated."""


class _Session:
    def __init__(self, server: VoiceServer, socket: ServerConnection) -> None:
        self._server, self._socket = server, socket
        self._numbers = iter(range(1, 10_000))
        self._detection: dict[str, Any] | None = {"create_response": True, "interrupt_response": True}
        self._bytes_ms = 8
        self._items: dict[str, _Item] = {}
        self._response: asyncio.Task[None] | None = None
        self._active = ""
        self._why = ""
        self._buffer = 0
        self._loud_ms = self._quiet_ms = self._in_ms = 0
        self._voice = False

    async def run(self) -> None:
        await asyncio.sleep(self._server.connect_after_s)
        if self._server.refuses:
            await self._error(self._server.refuses)
            return
        session = {"type": "realtime", "object": "realtime.session", "id": "sess_1", "model": "gpt-realtime-2.1"}
        await self._say("session.created", session=session)
        async with asyncio.TaskGroup() as self._group:
            try:
                async for text in self._socket:
                    await self._hear(json.loads(text))
            finally:
                if self._response:
                    self._response.cancel()

    async def _hear(self, event: dict[str, Any]) -> None:
        match event["type"]:
            case "session.update":
                await self._update(event["session"], event)
            case "input_audio_buffer.append":
                await self._append(b64decode(event["audio"]))
            case "input_audio_buffer.clear":
                self._buffer = 0
                await self._say("input_audio_buffer.cleared")
            case "input_audio_buffer.commit" if self._buffer < 100 * self._bytes_ms:
                await self._error("input_audio_buffer_commit_empty", event)
            case "input_audio_buffer.commit":
                await self._commit()
            case "conversation.item.create":
                await self._create_item(event["item"])
            case "conversation.item.truncate":
                await self._truncate(event)
            case "response.create":
                await self._create(event)
            case "response.cancel":
                await self._cancel(event)
            case other:
                await self._error(f"unknown event {other}", event)

    async def _update(self, session: dict[str, Any], event: dict[str, Any]) -> None:
        if session.get("type") != "realtime" or "temperature" in session or "modalities" in session:
            await self._error("invalid_session", event)
            return
        self._server.sessions.append(session)
        if "audio" in session:
            given, gives = session["audio"]["input"], session["audio"]["output"]
            assert given["format"]["type"] in ("audio/pcmu", "audio/pcma", "audio/pcm")
            assert given["format"] == gives["format"]
            self._bytes_ms = 48 if given["format"]["type"] == "audio/pcm" else 8
            self._detection = given["turn_detection"]
        await self._say("session.updated", session=session)

    # --- hearing

    async def _append(self, audio: bytes) -> None:
        self._server.audio += audio
        ms = len(audio) // self._bytes_ms
        self._in_ms += ms
        self._buffer += len(audio)
        quiet = set(audio) <= ({0xFF, 0x7F, 0xD5, 0x55} if self._bytes_ms == 8 else {0})
        self._loud_ms, self._quiet_ms = (0, self._quiet_ms + ms) if quiet else (self._loud_ms + ms, 0)
        if not quiet and self._loud_ms == ms:
            self._server.first_voice_s.append(asyncio.get_running_loop().time())
        if self._detection is None:
            return
        if not self._voice and self._loud_ms >= 60:
            self._voice = True
            item = f"item_{next(self._numbers)}"
            await self._say(
                "input_audio_buffer.speech_started", audio_start_ms=self._in_ms - self._loud_ms, item_id=item
            )
            if self._detection.get("interrupt_response") and self._active:
                await self._stop("turn_detected")
        elif self._voice and self._quiet_ms >= self._detection.get("silence_duration_ms", 500):
            self._voice = False
            end = self._in_ms - self._quiet_ms
            await self._say("input_audio_buffer.speech_stopped", audio_end_ms=end, item_id="item")
            await self._commit()
            if self._detection.get("create_response") and not self._active:
                self._begin()

    async def _commit(self) -> None:
        self._buffer = 0
        item = self._new_item(assistant=False)
        await self._say("input_audio_buffer.committed", item_id=item.id, previous_item_id=None)
        shown = {"id": item.id, "type": "message", "role": "user", "status": "completed", "content": []}
        await self._say("conversation.item.added", item=shown, previous_item_id=None)
        await self._say("conversation.item.done", item=shown, previous_item_id=None)
        self._group.create_task(self._transcribe(item.id, next(self._server.heard, "")))

    async def _transcribe(self, item: str, text: str) -> None:
        await asyncio.sleep(self._server.transcript_after_s)
        if text == "failed":
            error = {"type": "transcription_error", "code": "audio_unintelligible", "message": "no"}
            await self._say(TRANSCRIPTION + "failed", item_id=item, content_index=0, error=error)
            return
        for word in text.split():
            await self._say(TRANSCRIPTION + "delta", item_id=item, content_index=0, delta=word + " ")
        usage = {"type": "duration", "seconds": 1}
        await self._say(TRANSCRIPTION + "completed", item_id=item, content_index=0, transcript=text, usage=usage)

    # --- the conversation

    def _new_item(self, assistant: bool) -> _Item:
        item = _Item(f"item_{next(self._numbers)}", assistant)
        self._items[item.id] = item
        return item

    async def _create_item(self, item: dict[str, Any]) -> None:
        self._server.items.append(item)
        shown = {"id": f"item_{next(self._numbers)}", "status": "completed", **item}
        await self._say("conversation.item.added", item=shown, previous_item_id=None)
        await self._say("conversation.item.done", item=shown, previous_item_id=None)

    async def _truncate(self, event: dict[str, Any]) -> None:
        item, wanted_ms = self._items.get(event["item_id"]), event["audio_end_ms"]
        if item is None or not item.assistant:
            await self._error("invalid_request_error", event, "Only model output audio messages can be truncated")
        elif wanted_ms > item.audio_bytes // self._bytes_ms:
            has_ms = item.audio_bytes // self._bytes_ms
            message = f"Audio content of {has_ms}ms is already shorter than {wanted_ms}ms"
            await self._error("invalid_request_error", event, message)
        else:
            self._server.truncated.append((item.id, wanted_ms))
            await self._say("conversation.item.truncated", item_id=item.id, content_index=0, audio_end_ms=wanted_ms)

    async def _create(self, event: dict[str, Any]) -> None:
        self._server.created.append(event["response"])
        if self._active:
            await self._error("conversation_already_has_active_response", event)
        else:
            self._begin(event)

    async def _cancel(self, event: dict[str, Any]) -> None:
        self._server.cancelled.append(event.get("response_id", ""))
        if not self._active or event.get("response_id", self._active) != self._active:
            await self._error("response_cancel_not_active", event, "Cancellation failed: no active response found")
        else:
            await self._stop("client_cancelled")

    async def _stop(self, why: str) -> None:
        self._why = why
        if self._response:
            self._response.cancel()
            await asyncio.wait([self._response])

    # --- replies

    def _begin(self, event: dict[str, Any] | None = None) -> None:
        say = next(self._server.says, Say())
        self._active = f"resp_{next(self._numbers)}"
        self._why = ""
        self._response = self._group.create_task(self._respond(self._active, say, event))

    async def _respond(self, response: str, say: Say, event: dict[str, Any] | None) -> None:
        output: list[dict[str, Any]] = []
        try:
            if say.fault == "refuse" and event is not None:
                await self._error("rate_limit_exceeded", event)
                return
            if say.fault == "hang":
                await asyncio.sleep(600)
            await self._say("response.created", response=_response(response, "in_progress", []))
            if say.fault == "limits":
                limits = [{"name": "tokens", "limit": 1, "remaining": 0, "reset_seconds": 60}]
                await self._say("rate_limits.updated", rate_limits=limits)
            if say.fault == "garbage":
                await self._socket.send(json.dumps({"type": "response.output_audio.delta", "event_id": "e"}))
                await self._socket.send(json.dumps({"type": "response.new_idea.delta", "event_id": "e"}))
            if say.fault == "errors":
                await self._error("response_cancel_not_active", None, "Cancellation failed: no active response found")
                await self._error("conversation_already_has_active_response")
                await self._error("input_audio_buffer_commit_empty")
                await self._error("invalid_request_error", None, "Audio content of 9ms is already shorter than 57340ms")
                await self._error("invalid_request_error", None, "Only model output audio messages can be truncated")
            await asyncio.sleep(say.after_s)
            if say.fault in ("fail", "incomplete", "filtered"):
                await self._end(response, {"fail": "failed"}.get(say.fault, "incomplete"), output, say.fault)
                return
            if say.text:
                output.append(await self._speak(response, say))
            for name, args in say.calls:
                output.append(await self._call(response, name, args))
            await self._end(response, "completed", output)
        except asyncio.CancelledError:
            if self._why:
                await self._end(response, "cancelled", output)
                if say.fault == "orphan":
                    self._group.create_task(self._orphan())
        finally:
            if self._active == response:
                self._active = ""

    async def _orphan(self) -> None:
        await asyncio.sleep(0.02)
        if not self._active:
            self._active = orphan = f"resp_{next(self._numbers)}"
            self._response = self._group.create_task(self._respond(orphan, Say("nobody asked for this at all"), None))

    async def _speak(self, response: str, say: Say) -> dict[str, Any]:
        item = self._new_item(assistant=True)
        ids = {"response_id": response, "item_id": item.id, "output_index": 0, "content_index": 0}
        shown = {"id": item.id, "type": "message", "role": "assistant", "status": "in_progress", "content": []}
        await self._say("response.output_item.added", response_id=response, output_index=0, item=shown)
        await self._say("conversation.item.added", item=shown, previous_item_id=None)
        await self._say("response.content_part.added", **ids, part={"type": "audio", "transcript": ""})
        words = say.text.split()
        sound = _voice(len(words) * WORD_MS, self._bytes_ms)
        step = DELTA_MS * self._bytes_ms
        try:
            self._server.first_audio_s.append(asyncio.get_running_loop().time())
            for at in range(0, len(sound), step):
                told = len(words) * at // len(sound), len(words) * (at + step) // len(sound)
                if text := " ".join(words[told[0] : told[1]]):
                    await self._say("response.output_audio_transcript.delta", **ids, delta=text + " ")
                item.audio_bytes += len(sound[at : at + step])
                await self._say("response.output_audio.delta", **ids, delta=b64encode(sound[at : at + step]).decode())
                await asyncio.sleep(DELTA_MS / 1000 / self._server.pace)
                if at >= len(sound) // 2:
                    await self._go_wrong(say.fault)
        except asyncio.CancelledError:
            if say.fault == "late":
                await self._say("response.output_audio.delta", **ids, delta=b64encode(sound[:step]).decode())
            await self._close(response, ids, shown | {"status": "incomplete"}, say.text)
            raise
        shown["status"] = "completed"
        await self._close(response, ids, shown, say.text)
        return shown

    async def _go_wrong(self, fault: Fault) -> None:
        match fault:
            case "stall":
                await asyncio.sleep(600)
            case "drop":
                self._socket.transport.abort()
                await asyncio.sleep(600)
            case "close":
                await self._socket.close(1011, "internal error")
                await asyncio.sleep(600)
            case "expire":
                await self._error("session_expired")
                await self._socket.close(1001, "Your session hit the maximum duration of 60 minutes.")
                await asyncio.sleep(600)
            case _:
                pass

    async def _close(self, response: str, ids: dict[str, Any], item: dict[str, Any], text: str) -> None:
        await self._say("response.output_audio.done", **ids)
        await self._say("response.output_audio_transcript.done", **ids, transcript=text)
        await self._say("response.content_part.done", **ids, part={"type": "audio", "transcript": text})
        await self._item_done(response, item)

    async def _item_done(self, response: str, item: dict[str, Any]) -> None:
        told: list[tuple[str, dict[str, Any]]] = [
            ("conversation.item.done", {"item": item, "previous_item_id": None}),
            ("response.output_item.done", {"response_id": response, "output_index": 0, "item": item}),
        ]
        for kind, fields in told if self._server.item_done_first else reversed(told):
            await self._say(kind, **fields)

    async def _call(self, response: str, name: str, args: dict[str, Any]) -> dict[str, Any]:
        item_id, call_id = f"item_{next(self._numbers)}", f"call_{next(self._numbers)}"
        item = {"id": item_id, "type": "function_call", "name": name, "call_id": call_id, "arguments": ""}
        await self._say(
            "response.output_item.added", response_id=response, output_index=0, item={**item, "status": "in_progress"}
        )
        await self._say("conversation.item.added", item={**item, "status": "in_progress"}, previous_item_id=None)
        ids = {"response_id": response, "item_id": item_id, "output_index": 0, "call_id": call_id}
        await self._say("response.function_call_arguments.delta", **ids, delta=json.dumps(args)[:5])
        await self._say("response.function_call_arguments.done", **ids, name=name, arguments=json.dumps(args))
        done = {**item, "status": "completed", "arguments": json.dumps(args)}
        await self._item_done(response, done)
        return done

    async def _end(self, response: str, status: str, output: list[dict[str, Any]], why: str = "") -> None:
        details: dict[str, Any] | None = None
        if status == "cancelled":
            details = {"type": "cancelled", "reason": self._why}
        elif status == "failed":
            details = {"type": "failed", "error": {"type": "server_error", "code": "server_error"}}
        elif status == "incomplete":
            reason = "content_filter" if why == "filtered" else "max_output_tokens"
            details = {"type": "incomplete", "reason": reason}
        self._active = ""
        await self._say("response.done", response=_response(response, status, output, details))

    # --- the wire

    async def _error(self, code: str, event: dict[str, Any] | None = None, message: str = "") -> None:
        self._server.errors.append(message or code)
        kind, given = ("invalid_request_error", None) if code == "invalid_request_error" else ("error", code)
        of = (event or {}).get("event_id")
        error = {"type": kind, "code": given, "message": message or code, "param": None, "event_id": of}
        await self._say("error", error=error)

    async def _say(self, kind: str, **fields: Any) -> None:
        try:
            await self._socket.send(json.dumps({"type": kind, "event_id": f"event_{next(self._numbers)}", **fields}))
        except websockets.ConnectionClosed:
            pass


def _response(
    id: str, status: str, output: list[dict[str, Any]], details: dict[str, Any] | None = None
) -> dict[str, Any]:
    usage = None if status == "in_progress" else {"total_tokens": 10, "input_tokens": 5, "output_tokens": 5}
    return {
        "id": id, "object": "realtime.response", "status": status, "status_details": details, "output": output,
        "usage": usage,
    }  # fmt: skip


def _voice(ms: int, bytes_ms: int) -> bytes:
    """Noise, in the session's format."""
    chance = np.random.default_rng(ms)
    if bytes_ms == 8:
        return chance.integers(0, 256, 8 * ms).astype(np.uint8).tobytes()
    return (chance.normal(0, 6000, 24 * ms).clip(-30000, 30000)).astype("<i2").tobytes()


TRANSCRIPTION = "conversation.item.input_audio_transcription."
