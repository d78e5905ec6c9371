"""`voicebot measure load`: how many calls one core holds, and what each of them costs."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from voicebot import log
from voicebot.config import Settings
from voicebot.errors import UsageError
from voicebot.replay import load, load_over, load_report
from voicebot.replay.load import Step
from voicebot.replay.load_bed import CALLED, on_a_fast_loop, stubbed
from voicebot.replay.load_over import Over


def measure_load(
    calls: Annotated[str, typer.Option(help="Calls at once, step by step; the first is the measure.")] = "4,40,80,120",
    seconds: Annotated[float, typer.Option(min=2, help="How long each step is measured.")] = 10,
    barge: Annotated[float, typer.Option(min=0, max=1, help="Share of the answers that are interrupted.")] = 0.3,
    record: Annotated[bool, typer.Option(help="Record the calls.")] = True,
    over: Annotated[bool, typer.Option("--over", help="Then call more than it can take.")] = False,
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
    console = Console()
    cores = sorted(os.sched_getaffinity(0))
    console.print(f"[dim]{platform.platform()}, Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}[/]")
    found: dict[str, object] = {}
    with console.status("Calling…") as status:
        try:
            steps = on_a_fast_loop(lambda: _steps(counts, seconds, barge, record, cores, status.update))
            found["voicebot"] = load_report.as_data(steps)
            _print_steps(steps, console)
            if over:
                status.update("Calling more than it can take…")
                excess = on_a_fast_loop(lambda: _over(seconds, barge, cores))
                found["over"] = asdict(excess)
                _print_over(excess, console)
        finally:
            os.sched_setaffinity(0, cores)
    if out:
        out.write_text(json.dumps(found, indent=1))
    if plot:
        plot.write_text(load_report.picture({"voicebot": steps}))


def _print_steps(steps: Sequence[Step], console: Console) -> None:
    console.print(load_report.table(steps, "voicebot on one core, the telephones on another"))
    console.print(
        f"Holds {load_report.held(steps)} calls: lateness p99 at most {load.LATE_MS:.0f} ms, no underrun, answers "
        f"within {load.SLOWER_MS:.0f} ms of the first line's. {load_report.memory_per_call_mb(steps):.2f} MB a call, "
        f"over {steps[0].rss_mb:.0f} MB."
    )


def _print_over(over: Over, console: Console) -> None:
    console.print(
        f"It took {over.took} calls, then refused {over.refused} of {over.offered} more, in {over.refusal_p50:.0f} ms "
        f"(p99 {over.refusal_p99:.0f}). Lateness p99 of those it carried: {over.late_p99_before:.1f} ms before, "
        f"{over.late_p99:.1f} ms meanwhile, {over.underruns} gaps."
    )


async def _over(seconds: float, barge: float, cores: Sequence[int]) -> Over:
    async with stubbed({cores[0]}, late_ms=str(Settings.model_fields["late_ms"].default)) as (service, clips):
        os.sched_setaffinity(0, set(cores[1:]) or {cores[0]})
        async with load.exchange(lambda n: service.ring(f"+1555{n:07}", CALLED), clips, barge) as exchange:
            return await load_over.offer(exchange, seconds)


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
