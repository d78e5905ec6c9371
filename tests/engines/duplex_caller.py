"""A call's side of a duplex session: pushes audio at the pace of a telephone, or faster, and keeps what is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import numpy as np

from voicebot.core.duplex import Context, DuplexEvent, Gone, ReplyAudio, ReplyText
from voicebot.engines.duplex_base import Duplex, DuplexSession

Event = TypeVar("Event")
FRAME_MS = 20


def voice(ms: int, rate: int, hz: int = 300) -> bytes:
    t = np.arange(rate * ms // 1000) / rate
    return (9000 * np.sin(2 * np.pi * hz * t)).astype("<i2").tobytes()


class Caller:
    def __init__(self, engine: Duplex, session: DuplexSession, pace: float) -> None:
        self.session, self._pace = session, pace
        self._rate = engine.abilities.takes.rate
        self._give_bytes = 2 * engine.abilities.gives.rate // 1000
        self.events: list[DuplexEvent] = []
        self._told, self._spoken = asyncio.Event(), asyncio.Event()
        self._waiting = bytearray()

    def tell(self, event: DuplexEvent) -> None:
        self.events.append(event)
        self._told.set()

    async def call(self) -> None:
        """The telephone's clock: silence where nobody speaks."""
        size = 2 * self._rate * FRAME_MS // 1000
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            frame = bytes(self._waiting[:size]).ljust(size, b"\0")
            del self._waiting[:size]
            self.session.push(frame)
            if not self._waiting:
                self._spoken.set()
            due += FRAME_MS / 1000 / self._pace
            await asyncio.sleep(max(0.0, due - loop.time()))

    async def say(self, ms: int) -> None:
        """Returns when the last of it was pushed."""
        self._waiting += voice(ms, self._rate)
        self._spoken.clear()
        await self._spoken.wait()

    async def until(self, wanted: Callable[[DuplexEvent], bool], seconds: float = 10.0) -> DuplexEvent:
        """The first event of the kind, told already or not yet."""
        seen = 0
        async with asyncio.timeout(seconds):
            while True:
                for event in self.events[seen:]:
                    if wanted(event):
                        return event
                seen = len(self.events)
                self._told.clear()
                await self._told.wait()

    def of(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]

    def text(self, reply: str = "") -> str:
        return "".join(event.text for event in self.of(ReplyText) if reply in ("", event.reply))

    def audio_ms(self, reply: str = "") -> int:
        given = sum(len(event.audio) for event in self.of(ReplyAudio) if reply in ("", event.reply))
        return given // self._give_bytes

    @property
    def gone(self) -> Gone | None:
        return next(iter(self.of(Gone)), None)


def kinds(events: list[DuplexEvent]) -> list[str]:
    """Their names, what repeats said once."""
    names: list[str] = []
    for event in events:
        if not names or names[-1] != type(event).__name__:
            names.append(type(event).__name__)
    return names


def is_a(kind: type[Any], **fields: Any) -> Callable[[DuplexEvent], bool]:
    """For `until`."""
    return lambda event: (
        isinstance(event, kind) and all(getattr(event, name) == value for name, value in fields.items())
    )


@asynccontextmanager
async def calling(engine: Duplex, context: Context | None = None, pace: float = 1.0) -> AsyncIterator[Caller]:
    """A session in a call of its own; everything ends with it."""
    session = await engine.open(context or Context("Be brief."))
    caller = Caller(engine, session, pace)
    running = asyncio.create_task(session.run(caller.tell))
    speaking = asyncio.create_task(caller.call())
    try:
        yield caller
    finally:
        await session.close()
        for task in (speaking, running):
            task.cancel()
        await asyncio.gather(speaking, running, return_exceptions=True)
