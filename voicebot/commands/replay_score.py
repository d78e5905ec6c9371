"""`voicebot replay score` and `voicebot replay open`: recorded calls judged without an engine, and their reports."""

from __future__ import annotations

import json
import sys
import time
import webbrowser
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from voicebot import log
from voicebot.errors import UsageError
from voicebot.replay import verdict
from voicebot.replay.verdict import Metric, Suite, SuiteCall, Verdict

OUT = Path("out/score")
GROUPS = ("latency", "turns", "language", "outcome", "media", "cost")
PORT = 0
PRIVATE = ("heard", "said", "keys", "tools", "transferred")
"""What people said and did is in the report, and not on a screen that may be a log."""


def score(
    files: Annotated[list[Path], typer.Argument(help="Recordings, captures, call folders, or folders of these.")],
    out: Annotated[Path, typer.Option(help="Folder for the reports, a folder for each call.")] = OUT,
    caller: Annotated[str, typer.Option(help="Which channel is the caller: left, right, or find.")] = "find",
    bot: Annotated[Path | None, typer.Option(help="The bot's side, where FILE is the caller's alone.")] = None,
    reference: Annotated[
        Path | None, typer.Option(help="What was truly said: txt, vtt, stm, json; default: the one beside it.")
    ] = None,
    term: Annotated[list[str] | None, typer.Option(help="A term that has to be heard right; may be repeated.")] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Print every metric's definition, too.")] = False,
) -> None:
    """Judge recorded calls of any system: latency, turn-taking, words, the line. No engine is used."""
    from voicebot.replay import page, scoring
    from voicebot.replay.inputs.load import Told, load, recordings

    log.configure(level="error")
    if (bot or reference) and len(files) > 1:
        raise UsageError("--bot and --reference belong to one recording; give one FILE with them.")
    told = Told(_channel(caller), bot, reference)
    console, calls, refused = _console(), list[SuiteCall](), 0
    for path in [path for file in files for path in recordings(file)]:
        try:
            began_s = time.process_time()
            for call in load(path, told):
                judged = scoring.score(call, terms=term or ())
                took_s = time.process_time() - began_s
                folder = out / call.name
                page.write_report(judged, call, folder)
                calls.append(_line(judged, call.name))
                _show(console, judged, took_s, explain)
                console.print(f"[dim]{escape(str(folder / 'report.html'))}[/]\n", soft_wrap=True)
                began_s = time.process_time()
        except UsageError as error:
            refused += 1
            calls.append(_refused(path, str(error)))
            console.print(f"[yellow]{escape(str(error))}[/]", soft_wrap=True)
    if not calls:
        raise UsageError("There is no recording in what was given.")
    if len(calls) > 1:
        page.write_suite(_suite(files, calls), out)
        console.print(
            f"{len(calls) - refused} calls, {refused} refused: {escape(str(out / 'suite.html'))}", soft_wrap=True
        )
    if refused == len(calls):
        raise typer.Exit(2)


def open_report(
    folder: Annotated[Path, typer.Argument(help="Folder of a report, or of a suite.")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0: any.")] = PORT,
    browser: Annotated[bool, typer.Option(help="Open it in the browser.")] = True,
) -> None:
    """Show reports, and keep what you say of calls as labels.json beside them. Ctrl-C ends it."""
    import socket

    import uvicorn

    from voicebot.replay import review

    log.configure(level="error")
    app = review.app(folder)
    with socket.create_server(("127.0.0.1", port)) as listening:
        address = f"http://127.0.0.1:{listening.getsockname()[1]}/"
        print(f"{folder} is at {address} (Ctrl-C ends)", flush=True)
        if browser:
            webbrowser.open(address)
        uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False)).run(sockets=[listening])


def schema() -> None:
    """Print the JSON Schema of report.json."""
    print(json.dumps(verdict.schema(), indent=2))


def _console() -> Console:
    """As wide as the terminal; into a pipe, as wide as a line may be."""
    return Console(width=None if sys.stdout.isatty() else 200, highlight=False)


def _channel(name: str) -> Literal["find", "left", "right"]:
    match name:
        case "find" | "left" | "right":
            return name
        case _:
            raise UsageError(f"--caller is left, right or find, not {name!r}.")


def _line(judged: Verdict, folder: str) -> SuiteCall:
    return SuiteCall(judged.name, folder, "pass", judged.duration_ms, metrics=judged.metrics)


def _refused(path: Path, why: str) -> SuiteCall:
    return SuiteCall(path.name, "", "failed", note=why)


def _suite(files: list[Path], calls: list[SuiteCall]) -> Suite:
    return Suite(", ".join(file.name for file in files), "score", tuple(calls))


def _show(console: Console, judged: Verdict, took_s: float, explain: bool) -> None:
    seconds = judged.duration_ms / 1000
    speed = f"{took_s:.2f} s of CPU, {seconds / max(took_s, 0.001):.0f} times real time"
    console.print(f"[bold]{escape(judged.name)}[/]  {judged.source.kind}, {seconds:.1f} s; {speed}")
    console.print(f"[dim]who is who: {escape(judged.source.sides)}[/]")
    for note in judged.source.notes:
        console.print(f"[yellow]{escape(note)}[/]")
    table = Table(box=SIMPLE_HEAD, show_header=False)
    for group in GROUPS:
        for metric in (each for each in judged.metrics if each.group == group):
            if metric.name in PRIVATE or (metric.value is None and not explain):
                continue
            table.add_row(*_row(metric, explain))
    console.print(table)
    for moment in judged.worst:
        console.print(f"  {moment.at_ms / 1000:7.1f} s  {escape(moment.title)}")


def _row(metric: Metric, explain: bool) -> list[str]:
    from voicebot.replay.measures.definitions import FEW

    match metric.value:
        case None:
            value = f"– ({metric.why})"
        case str(text):
            value = escape(text[:60] + ("…" if len(text) > 60 else "")) or "none"
        case float(number):
            value = f"{number:g} {metric.unit}".strip()
            if metric.unit == "%" and metric.count is not None and metric.count < FEW:
                value = f"{round(number * metric.count / 100)} of {metric.count}"
    limit = "" if metric.limit is None else f"{'≥' if metric.better == 'higher' else '≤'} {metric.limit:g}"
    style = "red" if metric.alarm else "default"
    shown = [metric.title, f"[{style}]{value}[/]", limit]
    return [*shown, metric.definition] if explain else shown
