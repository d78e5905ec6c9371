"""`voicebot doctor`: what can run here, what is missing, and what each missing thing needs."""

from __future__ import annotations

import json
from itertools import groupby
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from voicebot.commands import checks
from voicebot.commands.checks import Finding, Verdict

_MARKS = {Verdict.OK: "[green]✓[/]", Verdict.NOTE: "[yellow]–[/]", Verdict.FAULT: "[bold red]✗[/]"}


def doctor(as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """Say which engines and carriers can run here and what the missing ones need.

    Exits with 1 only when the service could not start.
    """
    found = checks.everything()
    faults = [finding for finding in found if finding.verdict is Verdict.FAULT]
    if as_json:
        print(json.dumps({"can_start": not faults, "findings": [_plain(f) for f in found]}, indent=2))
    else:
        _show(found, faults)
    if faults:
        raise typer.Exit(1)


def _plain(finding: Finding) -> dict[str, str]:
    return {
        "topic": finding.topic,
        "name": finding.name,
        "verdict": finding.verdict.value,
        "detail": finding.detail,
    }


def _show(found: list[Finding], faults: list[Finding]) -> None:
    console = Console()
    table = Table(box=box.SIMPLE_HEAD, show_header=False, pad_edge=False)
    table.add_column("topic", style="bold", no_wrap=True)
    table.add_column("mark", no_wrap=True)
    table.add_column("name", no_wrap=True)
    table.add_column("detail", overflow="fold")
    for topic, group in groupby(found, key=lambda finding: finding.topic):
        for number, finding in enumerate(group):
            table.add_row("" if number else topic, _MARKS[finding.verdict], finding.name, escape(finding.detail))
        table.add_section()
    console.print(table)
    if faults:
        console.print(f"[bold red]The service cannot start:[/] {', '.join(f'{f.topic} {f.name}' for f in faults)}.")
    else:
        console.print("[bold green]The service can start:[/] voicebot serve")
