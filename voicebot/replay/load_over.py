"""What a service does with more calls than it can take: how fast it says no, and what those feel that it carries."""

from __future__ import annotations

import asyncio
from array import array
from dataclasses import dataclass

from voicebot.errors import PeerError
from voicebot.replay.load import RAMP_S, SETTLE_S, Exchange
from voicebot.replay.load_figures import Figures, percentile

MOST = 1000
HALF = 0.5
"""So many more, of those that it took, are then placed."""


@dataclass(frozen=True, slots=True)
class Over:
    """Milliseconds."""

    took: int
    """Calls up when it first refused one."""
    offered: int
    refused: int
    """Of those that were placed after that."""
    refusal_p50: float
    refusal_p99: float
    late_p99_before: float
    late_p99: float
    """While calls were refused."""
    underruns: int


async def offer(exchange: Exchange, seconds: float) -> Over:
    """Calls until one is refused, `seconds` to listen; then half as many again, refused or not."""
    took = await _until_refused(exchange)
    await asyncio.sleep(SETTLE_S)
    exchange.figures = before = Figures()
    await asyncio.sleep(seconds)
    exchange.figures = during = Figures()
    offered, refused, loop = max(10, round(HALF * took)), array("d"), asyncio.get_running_loop()
    for _ in range(offered):
        began_s = loop.time()
        try:
            await exchange.call()
        except PeerError:
            refused.append((loop.time() - began_s) * 1000)
        await asyncio.sleep(max(0.0, began_s + RAMP_S - loop.time()))
    late = during.lateness_ms
    return Over(
        took=took,
        offered=offered,
        refused=len(refused),
        refusal_p50=percentile(refused, 0.5),
        refusal_p99=percentile(refused, 0.99),
        late_p99_before=percentile(before.lateness_ms, 0.99),
        late_p99=percentile(late, 0.99),
        underruns=during.underruns,
    )


async def _until_refused(exchange: Exchange) -> int:
    try:
        await exchange.ramp(MOST)
    except PeerError:
        return len(exchange.phones)
    raise PeerError(f"It took {MOST} calls and did not refuse one.")
