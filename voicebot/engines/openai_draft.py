"""A reply that is generated before it was asked for: at the likely end of a turn, in the hope that it is the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from voicebot.core.tool_specs import ToolSpec
from voicebot.engines.openai_stream import ChatStream, Delta, Finished
from voicebot.errors import PeerError

PIECES = 400
"""Pieces that may wait to be wanted; then the server waits, too."""


class Draft:
    """`run` fills it, `deltas` empties it, at the same time if need be."""

    def __init__(self, messages: Sequence[Mapping[str, Any]]) -> None:
        self.messages = messages
        self.failed = False
        self._pieces: asyncio.Queue[Delta | Finished | PeerError] = asyncio.Queue(PIECES)

    async def run(self, stream: ChatStream, tools: Sequence[ToolSpec]) -> None:
        """Generate all of it. A failure is kept for whoever wants the reply."""
        try:
            async with aclosing(stream.reply(self.messages, tools)) as deltas:
                async for delta in deltas:
                    await self._pieces.put(delta)
        except PeerError as error:
            self.failed = True
            await self._pieces.put(error)

    async def deltas(self) -> AsyncGenerator[Delta | Finished, None]:
        """As `ChatStream.reply` gives them."""
        while True:
            piece = await self._pieces.get()
            if isinstance(piece, PeerError):
                raise piece
            yield piece
            if isinstance(piece, Finished):
                return
