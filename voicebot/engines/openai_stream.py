"""One streamed Chat Completion: text as it comes, tool calls when they are whole, a deadline on every wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from voicebot import log
from voicebot.core.tool_specs import ToolSpec
from voicebot.engines.openai_client import new_client, peer_error, retry_after_s, warm
from voicebot.errors import PeerError

WHO = "The language model"
MOST_CHARACTERS = 20_000
"""Of one reply or of the arguments of its tool calls; more is a model that has run away."""
_log = log.get("openai_stream")


@dataclass(frozen=True, slots=True)
class Deadlines:
    first_s: float
    """From the request to the first chunk that holds text or a tool call."""
    gap_s: float
    """From one such chunk to the next."""


@dataclass(frozen=True, slots=True)
class Delta:
    text: str


@dataclass(frozen=True, slots=True)
class RawCall:
    """A tool call as the model wrote it."""

    name: str
    arguments: str
    """JSON, if the model kept to it."""


@dataclass(frozen=True, slots=True)
class Finished:
    """The last event of every reply."""

    calls: tuple[RawCall, ...]
    reason: str
    """`stop`, `tool_calls`, `length`, `content_filter`; empty when the server gave none."""


class ChatStream:
    """The client for one server. `request` are the fields that every request has."""

    def __init__(self, key: str, base_url: str, request: Mapping[str, Any], deadlines: Deadlines) -> None:
        self._key, self._base_url = key, base_url
        self._request, self._deadlines = dict(request), deadlines
        self._client: Any = None
        self._completions: Any = None

    def open(self) -> None:
        """Import and build the client: about a second the first time, so never during a call."""
        self._client = new_client(self._key, self._base_url)
        self._completions = self._client.chat.completions  # imported when it is first touched

    async def warm(self) -> None:
        """Have a connection open. `PeerError` when there is none to be had."""
        await warm(self._client, WHO)

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()

    async def reply(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[ToolSpec]
    ) -> AsyncGenerator[Delta | Finished, None]:
        """Text pieces, then `Finished`. Closing the iterator closes the connection, which stops the server.
        `PeerError` when the server refuses, stalls, breaks off or says nothing."""
        if self._client is None:
            self.open()
        loop = asyncio.get_running_loop()
        stream, until = await self._opened(messages, tools)
        calls = _Calls()
        length, reason = 0, ""
        try:
            while (chunk := await _next(stream, until - loop.time())) is not None:
                choice = chunk.choices[0] if chunk.choices else None
                if choice is None or choice.delta is None:
                    continue  # usage, or another server's metadata
                text = choice.delta.content or getattr(choice.delta, "refusal", None) or ""
                calls.take(choice.delta.tool_calls or ())
                reason = choice.finish_reason or reason
                if text or choice.delta.tool_calls or choice.finish_reason:
                    until = loop.time() + self._deadlines.gap_s
                if text:
                    length += len(text)
                    yield Delta(text)
                if max(length, calls.length) > MOST_CHARACTERS:
                    raise PeerError("The language model does not stop.")
        finally:
            await stream.close()
        whole = calls.whole()
        if not length and not whole:
            raise PeerError(f"The language model said nothing (finish_reason {reason!r}).", retryable=True)
        yield Finished(whole, reason)

    async def _opened(self, messages: Sequence[Mapping[str, Any]], tools: Sequence[ToolSpec]) -> tuple[Any, float]:
        """(the stream, when its first useful chunk is due). Asked a second time when the server said that it helps."""
        last = False
        while True:
            until = asyncio.get_running_loop().time() + self._deadlines.first_s
            try:
                async with asyncio.timeout_at(until):
                    return await self._create(messages, tools), until
            except TimeoutError:
                raise PeerError("The language model did not answer in time.", retryable=True) from None
            except Exception as error:
                wait_s = None if last else retry_after_s(error)
                if wait_s is None:
                    raise peer_error(error, WHO) from None
            last = True
            _log.warning("llm_asked_again", after_s=wait_s)
            await asyncio.sleep(wait_s)

    async def _create(self, messages: Sequence[Mapping[str, Any]], tools: Sequence[ToolSpec]) -> Any:
        offered = [
            {
                "type": "function",
                "function": {"name": t.name, "description": t.description, "parameters": dict(t.parameters)},
            }
            for t in tools
        ]
        extra = {"tools": offered} if offered else {}
        return await self._completions.create(messages=messages, stream=True, **extra, **self._request)


async def _next(stream: Any, within_s: float) -> Any:
    """The next chunk, None at the end. `PeerError` for whatever goes wrong on the way."""
    try:
        async with asyncio.timeout(max(0.0, within_s)):
            return await anext(stream, None)
    except TimeoutError:
        raise PeerError("The language model fell silent.", retryable=True) from None
    except Exception as error:  # the client raises its own, the HTTP library's, json's and pydantic's
        raise peer_error(error, WHO) from None


class _Calls:
    """Tool calls put together from their fragments. Servers differ: some leave out the index, some the id, some send
    a call whole."""

    def __init__(self) -> None:
        self._parts: dict[int, tuple[str, str, str]] = {}
        self.length = 0

    def take(self, fragments: Sequence[Any]) -> None:
        for fragment in fragments:
            index = fragment.index if isinstance(fragment.index, int) else self._index(fragment.id)
            call_id, name, arguments = self._parts.get(index, ("", "", ""))
            told = fragment.function
            more = (told.arguments if told else None) or ""
            name = name or (told.name if told else None) or ""
            self._parts[index] = (call_id or fragment.id or "", name, arguments + more)
            self.length += len(more)

    def _index(self, call_id: str | None) -> int:
        """Without an index, a new id begins a new call."""
        known = next((at for at, part in self._parts.items() if call_id and part[0] == call_id), None)
        if known is not None:
            return known
        return len(self._parts) if call_id or not self._parts else max(self._parts)

    def whole(self) -> tuple[RawCall, ...]:
        return tuple(RawCall(name, arguments) for _, (_, name, arguments) in sorted(self._parts.items()))
