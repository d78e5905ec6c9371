"""What somebody is told who is to take a caller over, and their answer: a key.

A person and an answering machine both say "hello"; only a person presses 1.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from voicebot.audio.resample import Resampler
from voicebot.call.parts import Parts
from voicebot.carriers.base import RATE, Digit, HungUp, Line, LineEvent
from voicebot.errors import PeerError

ACCEPT, DECLINE = "1", "2"
DECIDE_S = 30.0
"""From the answer to the key."""
AGAIN_S = 4.0
"""Silence before all is said once more."""
PIECE_S, AHEAD_S = 0.1, 0.4
"""Audio goes out in pieces, and so far ahead of what is heard."""


async def spoken(parts: Parts, text: str) -> bytes:
    """`text` in the call's voice, 8 kHz int16 LE. `PeerError` when no voice can."""
    if prompt := parts.prompts.get(parts.voice.voice_id, text):
        return prompt.pcm
    pcm, resampler = bytearray(), None
    speech: Any = parts.voice.speak(_one(text))
    async with aclosing(speech) as chunks:
        async for chunk in chunks:
            if chunk.rate == RATE:
                pcm += chunk.pcm
            else:
                resampler = resampler or Resampler(chunk.rate, RATE)
                pcm += resampler.push(chunk.pcm)
    return bytes(pcm + (resampler.flush() if resampler else b""))


async def _one(text: str) -> AsyncIterator[str]:
    yield text


async def brief(line: Line, events: AsyncIterator[LineEvent], speech: bytes) -> None:
    """Say it again and again until they take the call. `PeerError` when they decline, hang up, or do neither in time.
    Reads `events`, which are the line's, as far as it needs."""
    try:
        async with asyncio.timeout(DECIDE_S), asyncio.TaskGroup() as group:
            saying = group.create_task(_say(line, speech))
            key = await _answer(events)
            saying.cancel()
    except TimeoutError:
        raise PeerError("they answered, and did not say whether they take the call") from None
    except ExceptionGroup as failed:  # of the line that is being spoken to
        raise PeerError(f"they could not be told: {failed.exceptions[0]}") from failed
    line.clear()
    if key == DECLINE:
        raise PeerError("they do not take the call")
    if key != ACCEPT:
        raise PeerError("they hung up")


async def _answer(events: AsyncIterator[LineEvent]) -> str:
    """The key that decides; empty when the line ends before."""
    async for event in events:
        match event:
            case Digit(digit) if digit in (ACCEPT, DECLINE):
                return digit
            case HungUp():
                return ""
            case _:
                pass
    return ""


async def _say(line: Line, speech: bytes) -> None:
    loop, sent, size = asyncio.get_running_loop(), 0, int(PIECE_S * RATE) * 2
    while True:
        began = loop.time()
        for at in range(0, len(speech), size):
            piece = speech[at : at + size]
            sent += len(piece) // 2
            line.send(piece, 0, sent)
            await asyncio.sleep(max(0.0, began + (at + len(piece)) / 2 / RATE - AHEAD_S - loop.time()))
        await asyncio.sleep(AHEAD_S + AGAIN_S)
