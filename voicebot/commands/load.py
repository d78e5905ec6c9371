"""`voicebot measure load`: how many calls one core holds, and what each of them costs."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from voicebot import log
from voicebot.errors import UsageError
from voicebot.replay import load, load_report
from voicebot.replay.load import Step
from voicebot.replay.load_bed import CALLED, on_a_fast_loop, stubbed


def measure_load(
    calls: Annotated[str, typer.Option(help="Calls at once, step by step; the first is the measure.")] = "4,40,80,120",
    seconds: Annotated[float, typer.Option(min=2, help="How long each step is measured.")] = 10,
    barge: Annotated[float, typer.Option(min=0, max=1, help="Share of the answers that are interrupted.")] = 0.3,
    record: Annotated[bool, typer.Option(help="Record the calls.")] = True,
    out: Annotated[Path | None, typer.Option(help="Write the figures as JSON, too.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Write a picture (SVG), too.")] = None,
) -> None:
    """How many calls one core holds: telephones by the hundred call a service whose engines cost nothing."""
    log.configure(level="error")
    counts = [int(each) for each in calls.split(",") if each.strip().isdigit()]
    if not counts or 0 in counts:
        raise UsageError("--calls is a list of numbers, such as 1,40,80.")
    if sys.platform != "linux":
        raise UsageError("A load is measured on Linux only: costs are read from /proc, and cores are bound.")
    steps = _measure(counts, seconds, barge, record, Console())
    if out:
        out.write_text(json.dumps({"voicebot": load_report.as_data(steps)}, indent=1))
    if plot:
        plot.write_text(load_report.picture({"voicebot": steps}))


def _measure(counts: Sequence[int], seconds: float, barge: float, record: bool, console: Console) -> list[Step]:
    cores = sorted(os.sched_getaffinity(0))
    console.print(f"[dim]{platform.platform()}, Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}[/]")
    with console.status("Calling…") as status:
        try:
            steps = on_a_fast_loop(lambda: _steps(counts, seconds, barge, record, cores, status.update))
        finally:
            os.sched_setaffinity(0, cores)
    console.print(load_report.table(steps, "voicebot on one core, the telephones on another"))
    console.print(
        f"Holds {load_report.held(steps)} calls: lateness p99 at most {load.LATE_MS:.0f} ms, no underrun, answers "
        f"within {load.SLOWER_MS:.0f} ms of the first line's. {load_report.memory_per_call_mb(steps):.2f} MB a call, "
        f"over {steps[0].rss_mb:.0f} MB."
    )
    return steps


async def _steps(
    counts: Sequence[int],
    seconds: float,
    barge: float,
    record: bool,
    cores: Sequence[int],
    report: Callable[[str], None],
) -> list[Step]:
    async with stubbed({cores[0]}, record=str(record).lower()) as (service, clips):
        os.sched_setaffinity(0, set(cores[1:]) or {cores[0]})
        steps: list[Step] = []
        async with load.exchange(lambda n: service.ring(f"+1555{n:07}", CALLED), clips, barge) as exchange:
            for count in counts:
                report(f"{count} calls…")
                await exchange.ramp(count)
                steps.append(await load.measure(exchange, service.pid, seconds, lambda: load.loop_lag(service.web)))
        return steps
