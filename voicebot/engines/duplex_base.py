"""Contract of the native speech-to-speech engines, `engines/s2s_<name>.py`, made by

    def create(config: EngineConfig) -> Duplex

beside `check`, as every engine is. The call hears, plays, counts what was heard, runs tools and keeps the record; the
engine speaks its server's protocol, and no more. What it says is in `core.duplex`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from voicebot.core.conversation import Message
from voicebot.core.dialogue import ToolDone
from voicebot.core.duplex import Abilities, Context, DuplexEvent
from voicebot.core.tool_specs import ToolSpec
from voicebot.engines.base import Engine


class DuplexSession(Protocol):
    """One connection of one call. All but `run` and `close` return at once: what is to be sent goes into a bounded
    outbox, of which `run` takes care. Order is kept."""

    async def run(self, tell: Callable[[DuplexEvent], None]) -> None:
        """Send and receive until the session is gone; called once, in a task of the call's. `tell` takes every event at
        once and never blocks: nothing may hold back what the server says next. Returns after `Gone` was told;
        `PeerError` counts as one. Cancelled when the call wants no more."""
        ...

    def push(self, audio: bytes) -> None:
        """Caller audio in the format that the engine takes, about 20 ms at a time and without a gap: silence, too, also
        on hold, and when half duplex makes the engine deaf. Where the server takes no more, the oldest that is not yet
        sent is dropped and counted; a server that has taken nothing for 2 s is gone."""
        ...

    def began(self) -> None:
        """The turn machine hears the caller begin a turn, some 200 ms after they did: an engine that needs to know
        where a turn starts keeps so much audio, and half a second more, to begin before. The turn before may have come
        to nothing. Also called where the engine decides; there it means nothing."""
        ...

    def respond(self, instructions: str = "") -> None:
        """Reply now: the caller's turn is over, or (`instructions`, for this one reply) something is to be said without
        one. Where a reply goes on already, or its server has begun one by itself, that is the reply."""
        ...

    def cut(self, reply: str, heard_ms: int) -> None:
        """The caller heard so much of this reply's audio and will hear no more: end it if it goes on, and let the
        engine's history be what was heard. Called once for every reply of which something was not heard, oldest
        first. Whatever still comes of it is not told any more. An empty `reply` is the one that `respond` asked for
        and that has not begun: it is not wanted, should it still come."""
        ...

    def tell(self, message: Message) -> None:
        """Something for the engine's history that needs no reply: keys, a notice that was played, both by somebody
        else than the engine."""
        ...

    def tool_done(self, done: ToolDone) -> None:
        """The result of a call. When all calls of its reply have one, the engine goes on by itself, unless that reply
        was cut. None comes for the calls that end the call (`transfer`, `hang_up`)."""
        ...

    def configure(self, instructions: str, tools: Sequence[ToolSpec]) -> None:
        """From here on (the flow went to another node) these instructions and tools hold."""
        ...

    async def close(self) -> None:
        """Nobody wants it any more. Within a second, and never raises."""
        ...


class Duplex(Engine, Protocol):
    @property
    def abilities(self) -> Abilities: ...

    async def open(self, context: Context) -> DuplexSession:
        """Connected, and told the context. `PeerError` when it cannot be, within the engine's own deadline, 1.5 s at
        most."""
        ...
