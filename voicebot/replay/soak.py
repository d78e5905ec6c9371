"""A soak: calls of all lengths come and go for a while, some interrupt, all hang up when they like; then the service
must be where it was, and every record whole."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass

from voicebot.errors import PeerError
from voicebot.replay.carrier import Service
from voicebot.replay.load import Exchange
from voicebot.replay.load_figures import Usage, percentile, usage
from voicebot.replay.load_phone import LoadPhone

CALL_S = (0.2, 60.0)
"""How long a call may be."""
WARM_CALLS, WARM_S, REST_S = 10, 5.0, 5.0
SAMPLE_S = 5.0


@dataclass(frozen=True, slots=True)
class Soak:
    """What was before the calls, after them, and between."""

    minutes: float
    calls: int
    failed: int
    """Calls that the service did not take, or ended itself."""
    unanswered: int
    underruns: int
    late_p99: float
    before: Usage
    after: Usage
    rss_mb: tuple[float, ...]
    """Every few seconds."""
    broken: int
    """Records without an end, or with another end than the caller's."""


async def soak(exchange: Exchange, service: Service, calls: int, minutes: float, report: Callable[[str], None]) -> Soak:
    """`calls` at once, as many as hang up are placed anew."""
    loop, chance = asyncio.get_running_loop(), random.Random(1)
    end_s, placed, failed, rss = loop.time() + minutes * 60, 0, 0, list[float]()

    async def caller() -> None:
        nonlocal placed, failed
        while loop.time() < end_s:
            await asyncio.sleep(chance.uniform(0.05, 1.0))
            placed += 1
            try:
                phone: LoadPhone = await exchange.call()
            except PeerError:
                failed += 1
                continue
            await asyncio.sleep(min(chance.uniform(*CALL_S), max(0.2, end_s - loop.time())))
            failed += phone.over.is_set()
            exchange.phones.remove(phone)
            await phone.hang_up(politely=chance.random() < 0.7)

    await exchange.ramp(min(calls, WARM_CALLS), 0.0)  # threads and connections that are kept once they are there
    await asyncio.sleep(WARM_S)
    await exchange.hang_up()
    await asyncio.sleep(REST_S)
    before = usage(service.pid)
    async with asyncio.TaskGroup() as group:
        for _ in range(calls):
            group.create_task(caller())
        while loop.time() < end_s:
            await asyncio.sleep(SAMPLE_S)
            rss.append(round(usage(service.pid).rss_mb, 1))
            report(f"{placed} calls, {rss[-1]:.0f} MB…")
    await asyncio.sleep(REST_S)
    figures = exchange.figures
    return Soak(
        minutes=minutes,
        calls=placed,
        failed=failed,
        unanswered=figures.unanswered,
        underruns=figures.underruns,
        late_p99=percentile(figures.lateness_ms, 0.99),
        before=before,
        after=usage(service.pid),
        rss_mb=tuple(rss),
        broken=await _broken(service),
    )


async def _broken(service: Service) -> int:
    """Of the last 500 calls."""
    rows = (await service.web.get("/api/calls", params={"limit": 500})).json()
    broken = sum(row["end_reason"] not in ("caller_hangup", "media_lost") for row in rows)
    for caller, records in (await service.timelines()).items():
        broken += bool(caller) and (not records or records[-1].kind != "call_ended")
    return broken
