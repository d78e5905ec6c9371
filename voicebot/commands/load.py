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
from voicebot.replay import load, load_over, load_peer, load_report
from voicebot.replay.load import Step
from voicebot.replay.load_bed import CALLED, Bed, on_a_fast_loop, stubbed
from voicebot.replay.load_over import Over
from voicebot.replay.load_peer import PeerRun, Ratios
from voicebot.replay.load_phone import LEAD_MS

PEER_PYTHON = Path(".venv-peer/bin/python")


def measure_load(
    calls: Annotated[str, typer.Option(help="Calls at once, step by step; the first is the measure.")] = "4,40,80,120",
    seconds: Annotated[float, typer.Option(min=2, help="How long each step is measured.")] = 10,
    barge: Annotated[float, typer.Option(min=0, max=1, help="Share of the answers that are interrupted.")] = 0.3,
    record: Annotated[bool, typer.Option(help="Record the calls.")] = True,
    workers: Annotated[int, typer.Option(min=1, help="Processes that carry the calls, a core each.")] = 1,
    over: Annotated[bool, typer.Option("--over", help="Then call more than it can take.")] = False,
    peer: Annotated[str, typer.Option(help=f"The same load on others, too: {', '.join(load_peer.PEERS)}.")] = "",
    peer_python: Annotated[Path, typer.Option(help="Python of an environment that has them.")] = PEER_PYTHON,
    out: Annotated[Path | None, typer.Option(help="Write the figures as JSON, too.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Write a picture (SVG), too.")] = None,
) -> None:
    """How many calls one core holds: telephones by the hundred call a service whose engines cost nothing."""
    log.configure(level="error")
    counts = [int(each) for each in calls.split(",") if each.strip().isdigit()]
    if not counts or 0 in counts:
        raise UsageError("--calls is a list of numbers, such as 1,40,80.")
    others = [each for each in peer.split(",") if each]
    load_peer.check(others, peer_python)
    if sys.platform != "linux":
        raise UsageError("A load is measured on Linux only: costs are read from /proc, and cores are bound.")
    console = Console(width=None if sys.stdout.isatty() else 120)
    cores = sorted(os.sched_getaffinity(0))
    bed = Bed(cores, workers)
    console.print(f"[dim]{platform.platform()}, Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}[/]")
    found: dict[str, object] = {}
    runs: dict[str, Sequence[Step]] = {}
    with console.status("Calling…") as status:
        try:
            steps = on_a_fast_loop(lambda: _steps(counts, seconds, barge, record, bed, status.update))
            runs["voicebot"], found["voicebot"] = steps, load_report.as_data(steps)
            _print_steps(f"voicebot on {bed.where}", steps, LEAD_MS, console)
            if over:
                status.update("Calling more than it can take…")
                excess = on_a_fast_loop(lambda: _over(seconds, barge, bed))
                found["over"] = asdict(excess)
                _print_over(excess, console)
            for name in others:
                peer_run = PeerRun(name, peer_python, seconds, barge, record, cores)
                version, taken = on_a_fast_loop(lambda run=peer_run: load_peer.measured(run, status.update))  # type: ignore[misc]
                ratios = load_peer.ratios(steps, taken)
                runs[name] = taken
                found[name] = load_report.as_data(taken) | {"version": version, "ratios": ratios and asdict(ratios)}
                _print_steps(f"{name} {version} on {Bed(cores).where}", taken, load_peer.LEAD_MS, console)
                _print_ratios(name, ratios, console)
        finally:
            os.sched_setaffinity(0, cores)
    if out:
        out.write_text(json.dumps(found, indent=1))
    if plot:
        plot.write_text(load_report.picture(runs))


def _print_steps(name: str, steps: Sequence[Step], lead_ms: float, console: Console) -> None:
    console.print(load_report.table(steps, name))
    console.print(load_report.summary(steps, lead_ms))


def _print_ratios(name: str, ratios: Ratios | None, console: Console) -> None:
    if ratios is None:
        console.print(f"voicebot or {name} holds nothing here: there is nothing to compare.")
        return
    console.print(
        f"voicebot to {name}, each at the most calls that it holds: {ratios.calls:.1f} times the calls, "
        f"1/{1 / ratios.cpu:.1f} of the CPU for a second of a call, 1/{1 / ratios.memory:.1f} of all memory for a call."
    )


def _print_over(over: Over, console: Console) -> None:
    console.print(
        f"It took {over.took} calls, then refused {over.refused} of {over.offered} more, in {over.refusal_p50:.0f} ms "
        f"(p99 {over.refusal_p99:.0f}). Lateness p99 of those it carried: {over.late_p99_before:.1f} ms before, "
        f"{over.late_p99:.1f} ms meanwhile, {over.underruns} gaps."
    )


async def _over(seconds: float, barge: float, bed: Bed) -> Over:
    late_ms = str(Settings.model_fields["late_ms"].default)
    async with stubbed(bed.service, workers=str(bed.workers), late_ms=late_ms) as (service, clips):
        os.sched_setaffinity(0, bed.telephones)
        async with load.exchange(lambda n: service.ring(f"+1555{n:07}", CALLED), clips, barge) as exchange:
            return await load_over.offer(exchange, seconds)


async def _steps(
    counts: Sequence[int],
    seconds: float,
    barge: float,
    record: bool,
    bed: Bed,
    report: Callable[[str], None],
) -> list[Step]:
    async with stubbed(bed.service, workers=str(bed.workers), record=str(record).lower()) as (service, clips):
        os.sched_setaffinity(0, bed.telephones)
        steps: list[Step] = []
        async with load.exchange(lambda n: service.ring(f"+1555{n:07}", CALLED), clips, barge) as exchange:
            for count in counts:
                report(f"{count} calls…")
                await exchange.ramp(count)
                steps.append(await load.measure(exchange, service.pid, seconds, lambda: load.loop_lag(service.web)))
        return steps
