"""The guard around every engine: chains of engines in the dialplan's order, deadlines, and what becomes known of it.

An engine that fails, stalls, breaks off or says nothing is replaced by the next of its chain, in the middle of a turn
(see `guard_asr`, `guard_llm`, `guard_tts`); one that fails again and again is passed over until its breaker lets it
try. Members of a chain are shared by all calls; the guards, which know what their call has heard and said, are a
call's own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from voicebot import log
from voicebot.core.breaker import Breaker, BreakerState
from voicebot.engines.treatment import Hears
from voicebot.errors import PeerError

E = TypeVar("E")
_log = log.get("guard")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long an engine may take. One that is slow by nature says so in an attribute `patience`."""

    first_s: float
    """To the first useful piece; of a recogniser, from the end of the utterance to its words."""
    gap_s: float
    """From one useful piece to the next."""
    whole_s: float
    """In all."""


@dataclass(slots=True)
class Member(Generic[E]):
    """One engine of a chain, and how it fares."""

    name: str
    engine: E
    breaker: Breaker = field(default_factory=Breaker)
    speed: float = 0.0
    """Of a voice: seconds of speech it gives in a second, of late; 0 while unknown."""
    hears: Hears = field(default_factory=Hears)
    """Of a recogniser."""


def now_ms() -> int:
    """The clock of the breakers."""
    return round(asyncio.get_running_loop().time() * 1000)


class Chain(Generic[E]):
    """The engines of one stage, in the dialplan's order."""

    def __init__(self, stage: str, *members: Member[E]) -> None:
        assert members
        self.stage, self.members = stage, members

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(member.name for member in self.members)

    def admitted(self) -> Iterator[Member[E]]:
        """Those to ask, one after the other. Where every breaker is open the caller is worth a try all the same."""
        none = True
        for member in self.members:
            if member.breaker.admit(now_ms()):
                none = False
                yield member
        if none:
            yield from self.members

    def others(self, member: Member[E]) -> bool:
        """Whether anybody could take over from it."""
        at = now_ms()
        later = self.members[self.members.index(member) + 1 :]
        return any(each.breaker.state(at) is not BreakerState.OPEN for each in later)

    def likely(self) -> Member[E]:
        """The one that will be asked next, if nothing changes."""
        at = now_ms()
        return next((m for m in self.members if m.breaker.state(at) is not BreakerState.OPEN), self.members[0])


class Watch:
    """What a call's guards have to tell: every failure, switch and recovery, to `tell` once the call has its record."""

    def __init__(self) -> None:
        self.tell: Callable[..., None] = lambda **_: None

    def failed(self, stage: str, member: Member[Any], error: Exception, then: str) -> None:
        """`then` is the engine that takes over; empty when there is none, its own name when it is asked again."""
        member.breaker.failed(now_ms())
        state = member.breaker.state(now_ms())
        fault = str(error) if isinstance(error, PeerError) else f"It broke ({type(error).__name__})."
        if not isinstance(error, PeerError):
            _log.error("engine_broke", stage=stage, engine=member.name, exc_info=error)
        _log.warning("engine_failed", stage=stage, engine=member.name, fault=fault, then=then, breaker=state.value)
        self.tell(stage=stage, name=member.name, fault=fault, then=then, breaker=state.value)

    def succeeded(self, stage: str, member: Member[Any]) -> None:
        """It did its work; told only when it had been given up before."""
        if member.breaker.succeeded():
            _log.info("engine_recovered", stage=stage, engine=member.name)
            self.tell(stage=stage, name=member.name, fault="", recovered=True, breaker=BreakerState.CLOSED.value)


class Relay(Generic[E]):
    """One piece of work, given to one engine after the other until it is done:

        while (member := relay.next()) is not None: …; relay.done(member) or relay.failed(member, error)
        raise relay.error

    When nobody is left, the last one is asked once more where its error says that this may help.
    """

    def __init__(self, chain: Chain[E], watch: Watch) -> None:
        self._chain, self._watch = chain, watch
        self._rest = chain.admitted()
        self._failure: tuple[Member[E], Exception] | None = None
        """Not told yet."""
        self._error: Exception | None = None
        self._again = False

    def next(self) -> Member[E] | None:
        """Whom to ask now; None when all have failed."""
        member = next(self._rest, None)
        if member is None and self._failure and not self._again:
            failed, error = self._failure
            if isinstance(error, PeerError) and error.retryable:
                self._again, member = True, failed
        self._tell(member)
        return member

    def enough(self) -> None:
        """The last one failed, and nothing is left to do for another."""
        self._tell(None)

    def failed(self, member: Member[E], error: Exception) -> None:
        """It did not do it; the next `next` tells who takes over."""
        self._failure, self._error = (member, error), error

    def _tell(self, then: Member[E] | None) -> None:
        failure, self._failure = self._failure, None
        if failure:
            self._watch.failed(self._chain.stage, *failure, then.name if then else "")

    def done(self, member: Member[E]) -> None:
        """It did it."""
        self._watch.succeeded(self._chain.stage, member)

    @property
    def error(self) -> PeerError:
        """Why the work was not done."""
        if isinstance(self._error, PeerError):
            return self._error
        return PeerError(f"No {self._chain.stage} engine could do it ({type(self._error).__name__}).")


T = TypeVar("T")


async def in_time(source: AsyncIterator[T], patience: Patience, useful: Callable[[T], bool]) -> AsyncGenerator[T, None]:
    """`source`, with a deadline on each useful piece. `PeerError` when one is missed; the source is left to its owner
    to close."""
    loop = asyncio.get_running_loop()
    end = loop.time() + patience.whole_s
    due = loop.time() + patience.first_s
    while True:
        try:
            async with asyncio.timeout_at(min(due, end)):
                piece = await anext(source)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise PeerError("It did not answer in time.") from None
        yield piece
        if useful(piece):  # counted from here: the time that the reader took is not its fault
            due = loop.time() + patience.gap_s


async def warm_up(stage: str, member: Member[Any], warms: object, watch: Watch) -> None:
    """A call rings or greets: let `warms`, the engine or what it holds for the call, make ready what it can, if it can.
    Never raises: what does not work is better known now than in the caller's first sentence."""
    warm = getattr(warms, "warm", None)
    if warm is None:
        return
    try:
        await warm()
    except Exception as error:
        watch.failed(stage, member, error, "")


def patience_of(engine: object, usual: Patience) -> Patience:
    """What the engine asks for, or what is usual."""
    own = getattr(engine, "patience", None)
    return own if isinstance(own, Patience) else usual
