"""`voicebot calls`: the calls that were taken, and what was said in one."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from voicebot.config import Settings
from voicebot.core.timeline import Record, TurnLatency, decode, latencies
from voicebot.errors import UsageError
from voicebot.service.store import CallRow, Store

app = typer.Typer(help="The calls that were taken.", invoke_without_command=True)


@app.callback()
def calls(
    context: typer.Context,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="How many, latest first.")] = 20,
    dialplan: Annotated[str, typer.Option(help="Only calls of this dialplan.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="For a program.")] = False,
) -> None:
    """List calls, latest first."""
    if context.invoked_subcommand:
        return
    rows = _store().list(limit, dialplan)
    if as_json:
        print(json.dumps([_plain(row) for row in rows], default=str))
        return
    if not rows:
        print("No calls yet. Start the service with `voicebot serve` and call it, or try `voicebot call FILE`.")
        return
    table = Table(box=None, header_style="bold")
    for column in ("call (UTC)", "carrier", "caller", "dialplan", "responder", "seconds", "turns", "ended"):
        table.add_column(column, no_wrap=True)
    for row in rows:
        seconds = "" if row.seconds is None else f"{row.seconds:.0f}"
        ended = " ".join(filter(None, (row.end_reason, row.detail and f"({escape(row.detail)})"))) or "[green]up now[/]"
        who = (row.id, row.carrier, escape(row.caller), row.dialplan, row.responder)
        table.add_row(*who, seconds, str(row.turns), ended)
    _console().print(table)


@app.command()
def show(
    call_id: Annotated[str, typer.Argument(help="Its id, or the beginning of it.")],
    as_json: Annotated[bool, typer.Option("--json", help="For a program.")] = False,
) -> None:
    """Print the transcript of a call with its latencies."""
    row = _store().get(call_id)
    if row is None:
        raise UsageError(f"No call begins with {call_id!r}, or several do. See `voicebot calls`.")
    records = _records(row)
    found = latencies(records)
    if as_json:
        timeline = [{"ms": r.ms, "kind": r.kind, **r.fields} for r in records]
        print(json.dumps(_plain(row) | {"timeline": timeline}, default=str))
        return
    console = _console()
    seconds = "" if row.seconds is None else f", {row.seconds:.1f} s"
    led = f" by {row.responder}" if row.responder else ""
    console.print(f"[bold]{row.id}[/]  {row.carrier}, {row.dialplan}{led}, {row.end_reason or 'up now'}{seconds}")
    if row.folder:
        console.print(f"[dim]{row.folder}[/]")
    for record in records:
        line = _line(record, found)
        if line:
            console.print(f"[dim]{record.ms / 1000:7.2f}[/]  {line}")
    if found:
        gaps = [each.voice_to_voice_ms for each in found]
        console.print(
            f"\n{len(found)} answers, median {median(gaps):.0f} ms and at most {max(gaps)} ms after the caller stopped "
            f"speaking; of that {median(each.endpoint_ms for each in found):.0f} ms to know that they had"
        )


def _console() -> Console:
    """As wide as the terminal; into a pipe, as wide as a line may be."""
    return Console(width=None if sys.stdout.isatty() else 200, highlight=False)


def _line(record: Record, found: list[TurnLatency]) -> str:
    fields: dict[str, Any] = {k: escape(v) if isinstance(v, str) else v for k, v in record.fields.items()}
    match record.kind:
        case "turn":
            said = fields.get("text") or (f"keys {fields['digits']}" if fields.get("digits") else "(not understood)")
            after = next((e for e in found if e.turn == fields["turn"]), None)
            late = f"  [dim]answered after {after.voice_to_voice_ms} ms[/]" if after else ""
            return f"[cyan]caller[/]  {said}{late}"
        case "said" if fields.get("text") or fields.get("heard"):
            unheard = "" if fields["complete"] else f" [yellow]— cut off here[/] [dim](of: {fields['text'].strip()})[/]"
            return f"[green]bot[/]     {fields['heard']}{unheard}"
        case "fixed":
            return f"[green]bot[/]     {fields['text']} [dim](fixed sentence)[/]"
        case "tool" if "ok" in fields:
            return f"[magenta]tool[/]    {fields['name']} {'done' if fields['ok'] else 'failed'}"
        case "transfer":
            return f"transfer to {fields['to']} {'' if fields['ok'] else 'failed'}"
        case "engine":
            return f"[red]engine[/]  {fields['fault']}"
        case "words" if fields.get("by") and fields["final"] and fields["text"]:
            return f"[dim]caller, as {fields['by']} heard it:[/] {fields['text']}"
        case "responder":
            return f"[red]{fields['name']}[/] leads from here on: {fields['why']}"
        case "note":
            return f"[yellow]note[/]    {fields['text']}"
        case "silence":
            return "[dim]silence[/]"
        case "call_ended":
            return f"ended: {fields['reason']}"
        case _:
            return ""


def _records(row: CallRow) -> list[Record]:
    file = Path(row.folder) / "timeline.jsonl"
    return list(decode(file.read_bytes().splitlines())) if row.folder and file.is_file() else []


def _plain(row: CallRow) -> dict[str, Any]:
    return asdict(row) | {"started_at": row.started_at.isoformat()}


def _store() -> Store:
    folder = Settings().data_dir
    if not (folder / "calls.sqlite").exists():
        raise UsageError(f"There are no calls in {folder} yet. Set VOICEBOT_DATA_DIR, or start with `voicebot serve`.")
    return Store.at(folder)
