"""How many calls a service holds: telephones by the hundred call it, more and more of them, and listen."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx

from voicebot.errors import PeerError
from voicebot.replay.load_figures import Figures, percentile, usage
from voicebot.replay.load_phone import LEAD_MS, LoadPhone
from voicebot.replay.load_talk import Clip, Talk, room
from voicebot.replay.telephone import Address

RAMP_S = 0.12
"""Between two new calls."""
SETTLE_S = 3.0
LATE_MS, SLOWER_MS = 20.0, 50.0
"""A step holds whose messages are no later than the first, at the 99th percentile, and whose answers come within the
second of the one-call figure, at the 95th."""


@dataclass(frozen=True, slots=True)
class Step:
    """So many calls at once, for `seconds`. Milliseconds where nothing else is said."""

    calls: int
    seconds: float
    cpu_ms: float
    """Of the service, for each second of a call."""
    core: float
    """Of one core, what the service used: 1.0 is all of it."""
    late_p50: float
    late_p95: float
    late_p99: float
    voice_to_voice_p50: float
    voice_to_voice_p95: float
    answers: int
    barge_in_p50: float
    barge_in_p95: float
    barge_ins: int
    ignored: int
    unanswered: int
    underruns: int
    rss_mb: float
    threads: int
    descriptors: int
    lag_p99: float
    """Of the service's event loop; -1 where it does not say."""
    own_p99: float
    """Lateness of the telephones themselves."""
    own_core: float


class Exchange:
    """Telephones that are up. `address` says where each next call goes."""

    def __init__(
        self,
        address: Callable[[int], Awaitable[Address]],
        clips: Sequence[Clip],
        barge_share: float,
        lead_ms: float = LEAD_MS,
    ) -> None:
        self._address, self._clips, self._barge_share, self._lead_ms = address, clips, barge_share, lead_ms
        self._quiet = room()
        self.figures = Figures()
        self.phones: list[LoadPhone] = []
        self._placed = 0

    async def call(self) -> LoadPhone:
        """One more; `PeerError` when it is not taken."""
        self._placed += 1
        number = self._placed
        talk = Talk(self._clips, self._quiet, self._barge_share, number, lambda: self.figures)
        phone = LoadPhone(await self._address(number), talk, lambda: self.figures, self._lead_ms)
        await phone.call()
        self.phones.append(phone)
        return phone

    async def ramp(self, calls: int, every_s: float = RAMP_S) -> None:
        """Up to so many, one after the other."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while len(self.phones) < calls:
            await self.call()
            due = max(due + every_s, loop.time())
            await asyncio.sleep(due - loop.time())

    async def hang_up(self) -> None:
        """All of them."""
        phones, self.phones = self.phones, []
        async with asyncio.TaskGroup() as group:
            for phone in phones:
                group.create_task(phone.hang_up())

    @property
    def lost(self) -> int:
        """Calls that the service ended."""
        return sum(phone.over.is_set() for phone in self.phones)


@asynccontextmanager
async def exchange(
    address: Callable[[int], Awaitable[Address]], clips: Sequence[Clip], barge_share: float, lead_ms: float = LEAD_MS
) -> AsyncIterator[Exchange]:
    """Its calls are hung up at the end. `lead_ms`: how much audio the service keeps ready at a telephone."""
    made = Exchange(address, clips, barge_share, lead_ms)
    try:
        yield made
    finally:
        await made.hang_up()


async def measure(exchange: Exchange, pid: int, seconds: float, lag: Callable[[], Awaitable[float]]) -> Step:
    """The calls that are up, for `seconds`. `lag`: the service's own word on its event loop, milliseconds."""
    await asyncio.sleep(SETTLE_S)
    exchange.figures = Figures()
    before, own_s, began_s = usage(pid), time.process_time(), time.monotonic()
    await asyncio.sleep(seconds)
    after, figures, took_s = usage(pid), exchange.figures, time.monotonic() - began_s
    if exchange.lost:
        raise PeerError(f"The service ended {exchange.lost} of {len(exchange.phones)} calls.")
    calls, cpu_s = len(exchange.phones), after.cpu_s - before.cpu_s
    late, gap, barge = figures.lateness_ms, figures.voice_to_voice_ms, figures.barge_in_ms
    return Step(
        calls=calls,
        seconds=round(took_s, 2),
        cpu_ms=cpu_s * 1000 / took_s / max(1, calls),
        core=cpu_s / took_s,
        late_p50=percentile(late, 0.5),
        late_p95=percentile(late, 0.95),
        late_p99=percentile(late, 0.99),
        voice_to_voice_p50=percentile(gap, 0.5),
        voice_to_voice_p95=percentile(gap, 0.95),
        answers=len(gap),
        barge_in_p50=percentile(barge, 0.5),
        barge_in_p95=percentile(barge, 0.95),
        barge_ins=len(barge),
        ignored=figures.ignored,
        unanswered=figures.unanswered,
        underruns=figures.underruns,
        rss_mb=after.rss_mb,
        threads=after.threads,
        descriptors=after.descriptors,
        lag_p99=await lag(),
        own_p99=percentile(figures.own_ms, 0.99),
        own_core=(time.process_time() - own_s) / took_s,
    )


def holds(step: Step, one: Step) -> bool:
    """Whether so many calls are as well off as one. Where the telephones were late themselves, nobody can say."""
    return (
        step.late_p99 <= LATE_MS
        and step.underruns == 0
        and step.unanswered == 0
        and step.voice_to_voice_p95 <= one.voice_to_voice_p95 + SLOWER_MS
    )


async def loop_lag(web: httpx.AsyncClient) -> float:
    """What the service's metrics say of the last two seconds."""
    for line in (await web.get("/metrics")).text.splitlines():
        if line.startswith('voicebot_lateness_seconds{quantile="0.99"} '):
            return float(line.split()[1]) * 1000
    return -1.0
