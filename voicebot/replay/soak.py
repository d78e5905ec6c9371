"""A soak: calls of all lengths come and go for a while, some interrupt, all hang up when they like; then the service
must be where it was, and every record whole.

Where it was is taken after a warm-up. Some things are made once, when first needed, and kept: threads for the disk (as
many as cores and four), connections to the call list (five). They are there after calls that began and ended at the
same moment; what comes later is a leak. Memory goes up and down: a call is 0.3 MB in cycles, and Python looks for those
once in a hundred calls or so. That it comes down again shows over minutes, not over a few calls.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from voicebot.core.timeline import decode
from voicebot.errors import PeerError
from voicebot.replay.carrier import Service
from voicebot.replay.load import Exchange
from voicebot.replay.load_figures import Figures, Usage, percentile, usage
from voicebot.replay.load_phone import LoadPhone

CALL_S = (0.2, 60.0)
"""How long a call may be."""
WARM_CALLS, WARM_ROUNDS, WARM_S = 40, 3, 5.0
REST_S = 20.0
"""Before it is looked what is there: longer than an idle connection is kept."""
SAMPLE_S = 5.0
WAV_HEADER_BYTES = 44
ENDS = ("caller_hangup", "media_lost")


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
    barge_ins: int
    before: Usage
    after: Usage
    rss_mb: tuple[float, ...]
    """Every few seconds, while calls were up."""
    records: int
    broken: int
    """Records without an end, with another end than the caller's, or without their audio."""

    @property
    def grown_mb(self) -> float:
        """Between the second quarter of the time and the last, while as many calls were up."""
        return grown(self.rss_mb)

    @property
    def left(self) -> dict[str, int]:
        """What there is more of than before: nothing, if all is well."""
        more = {
            "threads": self.after.threads - self.before.threads,
            "descriptors": self.after.descriptors - self.before.descriptors,
            "broken records": self.broken,
        }
        return {what: count for what, count in more.items() if count > 0}


def grown(values: Sequence[float]) -> float:
    """How much more they are in the last quarter than in the second, in the median."""
    quarter = len(values) // 4
    return median(values[-quarter:]) - median(values[quarter : 2 * quarter]) if quarter else 0.0


async def soak(exchange: Exchange, service: Service, calls: int, minutes: float, report: Callable[[str], None]) -> Soak:
    """`calls` at once, as many as hang up are placed anew."""
    loop, chance = asyncio.get_running_loop(), random.Random(1)
    report("Warming up…")
    for _ in range(WARM_ROUNDS):
        await exchange.ramp(min(2 * calls, WARM_CALLS), 0.0)
        await asyncio.sleep(WARM_S)
        await exchange.hang_up()
    await asyncio.sleep(REST_S)
    before, exchange.figures = usage(service.pid), Figures()
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

    async with asyncio.TaskGroup() as group:
        for _ in range(calls):
            group.create_task(caller())
        while loop.time() < end_s:
            await asyncio.sleep(SAMPLE_S)
            rss.append(round(usage(service.pid).rss_mb, 1))
            report(f"{placed} calls, {rss[-1]:.0f} MB…")
    await asyncio.sleep(REST_S)
    figures, folders = exchange.figures, sorted((service.data / "calls").iterdir())
    return Soak(
        minutes=minutes,
        calls=placed,
        failed=failed,
        unanswered=figures.unanswered,
        underruns=figures.underruns,
        late_p99=percentile(figures.lateness_ms, 0.99),
        barge_ins=len(figures.barge_in_ms),
        before=before,
        after=usage(service.pid),
        rss_mb=tuple(rss),
        records=len(folders),
        broken=sum(not whole(folder) for folder in folders),
    )


def whole(folder: Path) -> bool:
    """Whether a call's record has the caller's end, and as much audio as the WAV's header says."""
    last = list(decode((folder / "timeline.jsonl").read_bytes().splitlines()[-1:]))
    ended = bool(last) and last[0].kind == "call_ended" and last[0].fields.get("reason") in ENDS
    wav = folder / "audio.wav"
    with wav.open("rb") as file:
        told = int.from_bytes(file.read(WAV_HEADER_BYTES)[-4:], "little")
    return ended and told == wav.stat().st_size - WAV_HEADER_BYTES
