"""`voicebot replay watch`: every finished call judged, alarms for Prometheus."""

from __future__ import annotations

import os
import time
from typing import Annotated

import typer
from prometheus_client import start_http_server
from rich.console import Console
from rich.markup import escape

from voicebot import log
from voicebot.config import Settings
from voicebot.errors import UsageError
from voicebot.replay.verdict import Verdict
from voicebot.replay.watch import Figures, Watch

NICENESS = 10
"""The service's calls go first."""


def watch(
    host: Annotated[str, typer.Option(help="Address of its /metrics.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of its /metrics; 0: none.")] = 8081,
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between looks.")] = 2.0,
    old: Annotated[bool, typer.Option("--old", help="Judge the calls that have ended already, too.")] = False,
    once: Annotated[bool, typer.Option("--once", help="Look once and end; 1 where there were alarms.")] = False,
) -> None:
    """Judge every call as it ends, and tell Prometheus of those that were not as they should be."""
    settings, figures, console = Settings(), Figures(), Console(highlight=False)
    log.configure(settings.log_format, settings.log_level)
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    if port and not once:
        try:
            start_http_server(port, host, figures.registry)
        except OSError as error:
            raise UsageError(f"{host}:{port} cannot be listened on: {error.strerror}. Say another --port.") from None
    watching = Watch(settings.data_dir / "calls", figures, old or once)
    while True:
        alarms = False
        for verdict in watching.look():
            alarms = _show(console, verdict) or alarms
        if once:
            raise typer.Exit(int(alarms))
        time.sleep(every)


def _show(console: Console, verdict: Verdict) -> bool:
    """A line for the call; whether it has alarms."""
    alarms = [metric for metric in verdict.metrics if metric.alarm]
    told = "; ".join(f"{each.title} {each.value} {each.unit}".strip() for each in alarms)
    mark = "[red]✗[/]" if alarms else "[green]✓[/]"
    console.print(f"{mark} [bold]{escape(verdict.name)}[/]  {verdict.duration_ms / 1000:.0f} s  {escape(told)}")
    return bool(alarms)
