"""`voicebot measure soak`: calls that come and go for a while, and what is left of them."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from voicebot import log
from voicebot.errors import UsageError
from voicebot.replay import load
from voicebot.replay.load_bed import CALLED, Bed, on_a_fast_loop, stubbed
from voicebot.replay.soak import Soak, soak


def measure_soak(
    minutes: Annotated[float, typer.Option(min=0.1, help="How long.")] = 20,
    calls: Annotated[int, typer.Option(min=1, help="Calls at once: 60 % of what the machine holds.")] = 60,
    barge: Annotated[float, typer.Option(min=0, max=1, help="Share of the answers that are interrupted.")] = 0.3,
    workers: Annotated[int, typer.Option(min=1, help="Processes that carry the calls, a core each.")] = 1,
    out: Annotated[Path | None, typer.Option(help="Write the figures as JSON, too.")] = None,
) -> None:
    """Calls of all lengths come and go, interrupt and hang up when they like; then nothing may be left of them."""
    if sys.platform != "linux":
        raise UsageError("A soak is measured on Linux only: what is left is read from /proc.")
    log.configure(level="error")
    console, cores = Console(), sorted(os.sched_getaffinity(0))
    bed = Bed(cores, workers)
    with console.status("Calling…") as status:
        try:
            found = on_a_fast_loop(lambda: _soak(calls, minutes, barge, bed, status.update))
        finally:
            os.sched_setaffinity(0, cores)
    console.print(
        f"{found.calls} calls in {found.minutes:g} minutes, {calls} at once: {found.failed} failed, {found.barge_ins} "
        f"interruptions, {found.unanswered} questions without an answer, {found.underruns} gaps, lateness p99 "
        f"{found.late_p99:.1f} ms.\nBefore and after: {found.before.rss_mb:.0f} and {found.after.rss_mb:.0f} MB, "
        f"{found.before.threads} and {found.after.threads} threads, {found.before.descriptors} and "
        f"{found.after.descriptors} descriptors. Memory with calls up grew by {found.grown_mb:.1f} MB from the second "
        f"quarter to the last.\n{found.records - found.broken} of {found.records} records are whole.\n"
        + (f"[red]Left: {', '.join(f'{count} {what}' for what, count in found.left.items())}.[/]" if found.left
           else "Nothing is left.")
    )  # fmt: skip
    if out:
        out.write_text(json.dumps(asdict(found) | {"grown_mb": found.grown_mb, "left": found.left}, indent=1))


async def _soak(calls: int, minutes: float, barge: float, bed: Bed, report: Callable[[str], None]) -> Soak:
    async with stubbed(bed.service, workers=str(bed.workers)) as (service, clips):
        os.sched_setaffinity(0, bed.telephones)
        async with load.exchange(lambda n: service.ring(f"+1555{n:07}", CALLED), clips, barge) as exchange:
            return await soak(exchange, service, calls, minutes, report)
