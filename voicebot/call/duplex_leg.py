"""The way between a call and its native engine: one session after the other, and caller audio without a gap.

A session that ends by its own rules is followed by another, which is told what was said and heard so far. One that
breaks is followed by the next engine of the dialplan; when nobody is left, the call goes on without.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass

from voicebot import log
from voicebot.audio.frames import RATE
from voicebot.call.duplex_audio import Inward
from voicebot.core.duplex import Abilities, Context, Decides, DuplexEvent, Gone, Leaving, deciding
from voicebot.engines.duplex_base import Duplex, DuplexSession
from voicebot.engines.guard import Chain, Member, Watch, now_ms
from voicebot.errors import PeerError

OPEN_S = 1.5
"""To connect; an engine that takes longer is passed over."""
SHORT_S = 5.0
"""Of sessions that are over sooner, by whatever rules, the second in a row has failed."""
KEPT_BYTES = 15 * RATE * 2
"""Of the caller's turn that goes on, for a session that is opened in the middle of it."""
PREROLL_BYTES = RATE
"""Half a second: a turn begins before its voice is found."""
STALL_S = 0.2
"""A line that brings no audio for so long is silent."""
_log = log.get("duplex")


@dataclass(frozen=True, slots=True)
class Ends:
    """What a leg tells its call. All return at once."""

    context: Callable[[Decides], Context]
    event: Callable[[DuplexEvent], None]
    lost: Callable[[Gone], None]
    """The session is gone; another is opened."""
    over: Callable[[str], None]
    """No engine is left to ask, and why."""


class Leg:
    """One call's. `wants`: who decides the turns, where the engine can work with that."""

    def __init__(self, chain: Chain[Duplex], watch: Watch, wants: Decides, ends: Ends) -> None:
        self._chain, self._watch, self._wants, self._ends = chain, watch, wants, ends
        self._member: Member[Duplex] | None = None
        self._session: DuplexSession | None = None
        self._inward: Inward | None = None
        self._up = asyncio.Event()
        self._kept: deque[bytes] = deque()
        self._kept_bytes = 0
        self._turn_open = False
        self._pushed_s = 0.0
        self._rotating = False

    # --- sessions

    async def live(self) -> None:
        """Hold a session open until the call wants no more, or nobody is left to ask."""
        failed: set[str] = set()
        fault, short = "no engine could be asked", 0
        while (member := self._next(failed)) is not None:
            began_s = asyncio.get_running_loop().time()
            gone = await self._one(member)
            short = 0 if asyncio.get_running_loop().time() - began_s > SHORT_S else short + 1
            if (gone.expected or self._rotating) and short < 2:
                self._rotating = False
                _log.info("session_over", engine=member.name, why=gone.fault)
                self._ends.lost(Gone(gone.fault, expected=True))
                continue
            fault, short = gone.fault, 0
            failed.add(member.name)
            then = next((m.name for m in self._chain.members if m.name not in failed), "cascade")
            self._watch.failed(self._chain.stage, member, PeerError(fault), then)
            self._ends.lost(Gone(fault))
        self._up.set()  # nobody needs to wait any more
        self._ends.over(fault)

    def _next(self, failed: Collection[str]) -> Member[Duplex] | None:
        members = (member for member in self._chain.members if member.name not in failed)
        return next((member for member in members if member.breaker.admit(now_ms())), None)

    async def _one(self, member: Member[Duplex]) -> Gone:
        """One session, from its opening to its end. Never raises but to be cancelled."""
        told: list[Gone] = []

        def take(event: DuplexEvent) -> None:
            if isinstance(event, Gone):
                told.append(event)
            elif isinstance(event, Leaving):
                self._rotating = True
            self._ends.event(event)

        session: DuplexSession | None = None
        try:
            async with asyncio.timeout(OPEN_S):
                session = await member.engine.open(self._ends.context(deciding(self._wants, member.engine.abilities)))
            self._attach(member, session)
            await session.run(take)
        except TimeoutError:
            return Gone("It could not be opened in time.")
        except PeerError as error:
            return Gone(str(error))
        except Exception as error:  # whatever a library raises; the caller must not suffer from it
            _log.error("engine_broke", engine=member.name, exc_info=error)
            return Gone(f"It broke ({type(error).__name__}).")
        finally:
            self._session = None
            self._up.clear()
            if session is not None:
                await session.close()
        return told[-1] if told else Gone("It ended without a word.")

    def _attach(self, member: Member[Duplex], session: DuplexSession) -> None:
        self._member, self._session, self._inward = member, session, Inward(member.engine.abilities.takes)
        self._up.set()
        if self._turn_open:  # the caller is in the middle of something, or has just said it
            session.began()
            for pcm in self._kept:
                session.push(self._inward.push(pcm))

    async def ready(self, seconds: float) -> None:
        """Wait for a session. `PeerError` when there is none by then."""
        try:
            async with asyncio.timeout(seconds):
                await self._up.wait()
        except TimeoutError:
            pass
        if self._session is None:
            raise PeerError("The native engine is not there.")

    @property
    def name(self) -> str:
        """Of the engine that is there, or was last."""
        return self._member.name if self._member else self._chain.members[0].name

    @property
    def abilities(self) -> Abilities:
        return (self._member or self._chain.members[0]).engine.abilities

    @property
    def decides(self) -> Decides:
        return deciding(self._wants, self.abilities)

    @property
    def session(self) -> DuplexSession | None:
        return self._session

    def works(self) -> None:
        """It has made a reply as it should."""
        if self._member:
            self._watch.succeeded(self._chain.stage, self._member)

    @property
    def leaving(self) -> bool:
        """Whether the session will end soon, by its own rules."""
        return self._rotating and self._session is not None

    async def renew(self) -> None:
        """A quiet moment: such a session may end now."""
        if self._session:
            await self._session.close()

    def give_up(self, fault: str) -> None:
        """It does not do as it should, whatever its connection says, and the cascade takes over."""
        if self._session and self._member:
            self._watch.failed(self._chain.stage, self._member, PeerError(fault), "cascade")

    # --- the caller

    def push(self, pcm: bytes, now_s: float) -> None:
        """Caller audio, or the silence in its place: 8 kHz int16 LE."""
        self._pushed_s = now_s
        self._kept.append(pcm)
        self._kept_bytes += len(pcm)
        self._trim(KEPT_BYTES if self._turn_open else PREROLL_BYTES)
        if self._session and self._inward:
            self._session.push(self._inward.push(pcm))

    def beat(self, now_s: float) -> None:
        """A line that brings nothing, on hold perhaps, is silence to the engine."""
        silent_s = now_s - self._pushed_s
        if self._pushed_s and silent_s > STALL_S:
            self.push(bytes(round(silent_s * RATE) * 2), now_s)

    def _trim(self, most_bytes: int) -> None:
        while self._kept_bytes > most_bytes:
            self._kept_bytes -= len(self._kept.popleft())

    def began(self) -> None:
        """The caller begins to speak, or goes on within the turn."""
        if self._turn_open:
            return
        self._turn_open = True
        self._trim(PREROLL_BYTES)
        if self._session:
            self._session.began()

    def over(self) -> None:
        """The caller's turn is in the engine's hands, or came to nothing."""
        self._turn_open = False
