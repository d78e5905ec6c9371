"""A local server that streams Chat Completions as OpenAI's does, and misbehaves on request.

Each request takes the next `Answer` of the script. A request that the real service would refuse (a tool call without
its result, a result without its call, no messages) is refused here too, so that a test that passes means something.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.peers.http1 import Models, chunk, read_request, unless_gone


@dataclass(frozen=True)
class Stall:
    """Send nothing for so long."""

    seconds: float


class Drop:
    """Close the connection in the middle of the body."""


@dataclass(frozen=True)
class Raw:
    """These bytes, in place of an event."""

    data: bytes


Step = str | dict[str, Any] | Stall | Drop | Raw
"""A `str` is a piece of text, a `dict` a whole `delta`."""


@dataclass(frozen=True)
class Answer:
    steps: tuple[Step, ...] = ()
    finish: str | None = "stop"
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    before: float = 0.0
    """Seconds before the status line."""


def says(*steps: Step) -> Answer:
    return Answer(steps)


def refuses(status: int, code: str = "", **headers: str) -> Answer:
    body = Raw(json.dumps({"error": {"message": "no", "type": "error", "param": None, "code": code}}).encode())
    return Answer((body,), None, status, tuple((name.replace("_", "-"), value) for name, value in headers.items()))


def calls(*wanted: tuple[str, str], text: str = "") -> Answer:
    """Tool calls as (name, arguments), the arguments in small fragments, as the service sends them."""
    steps: list[Step] = [text] if text else []
    for index, (name, arguments) in enumerate(wanted):
        head = {"index": index, "id": f"call_{index}", "type": "function"}
        steps.append({"tool_calls": [{**head, "function": {"name": name, "arguments": ""}}]})
        for at in range(0, len(arguments), 5):
            piece = arguments[at : at + 5]
            steps.append({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    return Answer(tuple(steps), "tool_calls")


@dataclass
class ChatServer:
    """`async with ChatServer([...]) as server:`; `server.url` is the base URL."""

    script: Iterable[Answer]
    requests: list[dict[str, Any]] = field(default_factory=list)
    authorizations: list[str] = field(default_factory=list)
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)
    """The client closed a connection before the answer was complete."""
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    """A request came."""
    models: Models = field(default_factory=Models)
    connections: int = 0
    url: str = ""

    async def __aenter__(self) -> ChatServer:
        self._connections: set[asyncio.Task[None]] = set()
        self._answers: Iterator[Answer] = iter(tuple(self.script))
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._connections.add(asyncio.ensure_future(self._connection(reader, writer)))

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (request := await self._read(reader, writer)) is not None:
                self.requests.append(request)
                self.asked.set()
                fault = fault_of(request)
                answer = refuses(400, fault) if fault else next(self._answers, refuses(418, "script is over"))
                if not await unless_gone(self._send(answer, writer), reader, self.hung_up):
                    return
        except ConnectionError:
            self.hung_up.set()
        finally:
            writer.close()

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> dict[str, Any] | None:
        request = await read_request(reader, writer, self.models)
        if request is None:
            return None
        path, headers, body = request
        assert path == "/v1/chat/completions", path
        self.authorizations.append(headers.get("authorization", ""))
        asked: dict[str, Any] = json.loads(body)
        return asked

    async def _send(self, answer: Answer, writer: asyncio.StreamWriter) -> bool:
        await asyncio.sleep(answer.before)
        kind = "text/event-stream" if answer.status == 200 else "application/json"
        head = [f"HTTP/1.1 {answer.status} X", f"content-type: {kind}", "transfer-encoding: chunked"]
        head += [f"{name}: {value}" for name, value in answer.headers]
        writer.write(("\r\n".join(head) + "\r\n\r\n").encode())
        if answer.status == 200:
            await chunk(writer, _event({"role": "assistant", "content": ""}))
        for step in answer.steps:
            match step:
                case Stall(seconds):
                    await asyncio.sleep(seconds)
                case Drop():
                    writer.close()
                    return False
                case Raw(data):
                    await chunk(writer, data)
                case str(text):
                    await chunk(writer, _event({"content": text}))
                case dict(delta):
                    await chunk(writer, _event(delta))
        if answer.status == 200:
            if answer.finish:
                await chunk(writer, _event({}, answer.finish))
            usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
            await chunk(writer, _event(None, usage=usage))
            await chunk(writer, b"data: [DONE]\n\n")
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True


def _event(delta: dict[str, Any] | None, finish: str | None = None, usage: dict[str, int] | None = None) -> bytes:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]
    sent = {
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_750_000_000, "model": "gpt-test",
        "service_tier": "default", "system_fingerprint": "fp_1", "choices": choices, "usage": usage,
    }  # fmt: skip
    return b"data: " + json.dumps(sent).encode() + b"\n\n"


def fault_of(request: dict[str, Any]) -> str:
    """Why the real service would answer 400, else an empty string."""
    if not request.get("model") or not request.get("messages") or request.get("stream") is not True:
        return "model, messages and stream are required"
    open_calls: list[str] = []
    for message in request["messages"]:
        if message["role"] == "tool":
            if message["tool_call_id"] not in open_calls:
                return "a tool message must follow the message with its tool_calls"
            open_calls.remove(message["tool_call_id"])
            continue
        if open_calls:
            return f"tool_calls without a result: {open_calls}"
        if message["role"] not in ("system", "user", "assistant"):
            return f"role {message['role']}"
        if not message.get("content") and not message.get("tool_calls"):
            return "an empty message"
        for call in message.get("tool_calls") or []:
            json.loads(call["function"]["arguments"])
            open_calls.append(call["id"])
    return f"tool_calls without a result: {open_calls}" if open_calls else ""
