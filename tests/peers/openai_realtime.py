"""A local Realtime server for transcription sessions, as the GA protocol has them, which misbehaves on request.

Each utterance (from the first audio after a commit or a clear, to the next commit) takes the next `Take` of the script.
What the real service would refuse is refused: a session of another type, a beta header, an empty commit.
"""

from __future__ import annotations

import asyncio
import json
from base64 import b64decode
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

import websockets
from websockets.asyncio.server import ServerConnection, serve

PCMU_BYTES_S = 8000
LEAST_BYTES = 800


@dataclass(frozen=True)
class Take:
    """One utterance."""

    text: str = ""
    after_s: float = 0.0
    """From the commit to the first delta."""
    while_speaking: bool = False
    """Deltas come word by word with the audio, one each 300 ms, as `gpt-live-transcribe` sends them."""
    fault: Literal["", "fails", "hangs", "error"] = ""
    """`fails`: the transcription does; `hangs`: it never comes; `error`: an error event instead."""
    drop_after_ms: int = -1
    """Close the socket when so much of the utterance has come."""
    logprob: float = -0.1


@dataclass
class RealtimeServer:
    """`async with RealtimeServer([...]) as server:`; `server.url` is the base URL."""

    script: Iterable[Take] = ()
    mute: bool = False
    """Accept the connection and say nothing."""
    refuses: str = ""
    """An error code, in place of the session."""
    sessions: list[dict[str, Any]] = field(default_factory=list)
    """Every `session.update`."""
    audio: list[bytes] = field(default_factory=list)
    """Every committed utterance, μ-law."""
    connections: int = 0
    cleared: int = 0
    url: str = ""
    headers: list[dict[str, str]] = field(default_factory=list)

    async def __aenter__(self) -> RealtimeServer:
        self._takes: Iterator[Take] = iter(tuple(self.script))
        self._open: set[ServerConnection] = set()
        self._server = await serve(self._connected, "127.0.0.1", 0)
        port = next(iter(self._server.sockets)).getsockname()[1]
        self.url = f"http://127.0.0.1:{port}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close(close_connections=True)
        await self._server.wait_closed()

    @property
    def up(self) -> int:
        """Connections that are open now."""
        return len(self._open)

    async def hang_up(self, code: int = 1001, reason: str = "") -> None:
        """Close every connection."""
        for socket in list(self._open):
            await socket.close(code, reason)

    async def _connected(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        parts = urlsplit(socket.request.path)
        assert ("/v1/realtime", ["transcription"]) == (parts.path, parse_qs(parts.query)["intent"])
        assert "OpenAI-Beta" not in socket.request.headers
        self.headers.append(dict(socket.request.headers))
        self.connections += 1
        self._open.add(socket)
        try:
            await _Session(self, socket).run()
        except websockets.ConnectionClosed:
            pass
        finally:
            self._open.discard(socket)

    def next_take(self) -> Take:
        return next(self._takes, Take())


class _Session:
    def __init__(self, server: RealtimeServer, socket: ServerConnection) -> None:
        self._server, self._socket = server, socket
        self._events = 0
        self._buffer = bytearray()
        self._take: Take | None = None
        self._items = 0
        self._told = 0
        self._include: Sequence[str] = ()

    async def run(self) -> None:
        if self._server.mute:
            await self._socket.wait_closed()
            return
        if self._server.refuses:
            await self._error(self._server.refuses)
            return
        await self._say(
            "session.created", session={"type": "transcription", "object": "realtime.transcription_session"}
        )
        async with asyncio.TaskGroup() as group:
            async for text in self._socket:
                await self._hear(json.loads(text), group)

    async def _hear(self, event: dict[str, Any], group: asyncio.TaskGroup) -> None:
        match event["type"]:
            case "session.update":
                await self._update(event["session"])
            case "input_audio_buffer.append":
                await self._append(b64decode(event["audio"]))
            case "input_audio_buffer.clear":
                self._buffer.clear()
                self._take, self._told = None, 0
                self._server.cleared += 1
                await self._say("input_audio_buffer.cleared")
            case "input_audio_buffer.commit" if len(self._buffer) < LEAST_BYTES:
                await self._error("input_audio_buffer_commit_empty")
            case "input_audio_buffer.commit":
                take, self._take = self._take or Take(), None
                self._server.audio.append(bytes(self._buffer))
                self._buffer.clear()
                item, told = f"item_{self._items}", self._told
                self._items, self._told = self._items + 1, 0
                await self._say("input_audio_buffer.committed", item_id=item, previous_item_id=None)
                group.create_task(self._transcribe(take, item, told))
            case other:
                await self._error(f"unknown event {other}")

    async def _update(self, session: dict[str, Any]) -> None:
        self._server.sessions.append(session)
        given = session.get("audio", {}).get("input", {})
        if session.get("type") != "transcription" or given.get("format") != {"type": "audio/pcmu"}:
            await self._error("invalid_session")
        elif "turn_detection" not in given or given["turn_detection"] is not None:
            await self._error("turn_detection_must_be_null")  # the test's wish, not the service's
        else:
            self._include = session.get("include", ())
            await self._say("session.updated", session=session)

    async def _append(self, audio: bytes) -> None:
        self._take = self._take or self._server.next_take()
        self._buffer += audio
        ms = len(self._buffer) * 1000 // PCMU_BYTES_S
        if 0 <= self._take.drop_after_ms <= ms:
            await self._socket.close(1011, "as the test asked")
        words = self._take.text.split()
        while self._take.while_speaking and self._told < min(len(words), ms // 300):
            await self._delta(f"item_{self._items}", words[self._told] + " ")
            self._told += 1

    async def _transcribe(self, take: Take, item: str, told: int) -> None:
        try:
            await asyncio.sleep(take.after_s)
            match take.fault:
                case "hangs":
                    return
                case "fails":
                    error = {"type": "transcription_error", "code": "audio_unintelligible", "message": "no"}
                    await self._say(TRANSCRIPTION + "failed", item_id=item, content_index=0, error=error)
                    return
                case "error":
                    await self._error("server_error")
                    return
            for word in take.text.split()[told:]:
                await self._delta(item, word + " ")
            logprobs = None
            if "item.input_audio_transcription.logprobs" in self._include:
                logprobs = [{"token": "a", "bytes": [97], "logprob": take.logprob}]
            usage = {"type": "duration", "seconds": 1}
            await self._say(
                TRANSCRIPTION + "completed",
                item_id=item, content_index=0, transcript=take.text, usage=usage, logprobs=logprobs,
            )  # fmt: skip
        except websockets.ConnectionClosed:
            pass

    async def _delta(self, item: str, text: str) -> None:
        await self._say(TRANSCRIPTION + "delta", item_id=item, content_index=0, delta=text, logprobs=None)

    async def _error(self, code: str) -> None:
        error = {"type": "invalid_request_error", "code": code, "message": code, "param": None, "event_id": None}
        await self._say("error", error=error)

    async def _say(self, kind: str, **fields: Any) -> None:
        self._events += 1
        await self._socket.send(json.dumps({"type": kind, "event_id": f"event_{self._events}", **fields}))


TRANSCRIPTION = "conversation.item.input_audio_transcription."
