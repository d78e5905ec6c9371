"""`voicebot measure hearing`, which is `make bench-hearing`."""

from __future__ import annotations

import asyncio
import csv
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.status import Status
from rich.table import Table

from voicebot import log
from voicebot.config import Settings
from voicebot.errors import UsageError
from voicebot.replay import hearing as hearings
from voicebot.replay import listening
from voicebot.replay.hearing_plot import plot
from voicebot.replay.hearing_treatments import UNTREATED


def hearing(
    folder: Annotated[Path, typer.Argument(help="Folder with recordings and a MANIFEST.csv.")],
    engine: Annotated[list[str] | None, typer.Option(help="Recogniser; several: give it again.")] = None,
    model: Annotated[str, typer.Option(help="Model of a recogniser that takes one: a name or a path.")] = "",
    lines: Annotated[str, typer.Option(help="Lines whose name contains this.")] = "",
    treatments: Annotated[
        str, typer.Option(help="untreated, off, classical, neural, shipped, neural+level …; apart by commas.")
    ] = "",
    limit: Annotated[int, typer.Option(help="At most this many recordings a task; 0: all.")] = 0,
    noisy: Annotated[int, typer.Option(min=1, help="… on a line with noise, loss or little level.")] = 60,
    workers: Annotated[int, typer.Option(min=1, help="Recogniser processes.")] = 1,
    out: Annotated[
        Path | None, typer.Option(help="Write hearing.csv, hearing.svg and listening.html into this folder.")
    ] = None,
) -> None:
    """What the telephone costs a recogniser, and what bandwidth extension and other treatments win back."""
    from voicebot.core import dialplan

    log.configure(level="warning")
    path = Settings().dialplans
    file = path / "coffee.yaml" if path.is_dir() else path
    coffee = dialplan.parse(file.read_text("utf-8"), str(file))
    console, cells = Console(), list[hearings.Cell]()
    chosen = [line for line in hearings.LINES if lines in line.name]
    some = tuple(filter(None, treatments.split(",")))
    if Path(model).exists():  # a name in the catalogue otherwise
        model = str(Path(model).absolute())
    for name in (each.replace("-", "_") for each in engine or [hearings.POCKETSPHINX]):
        options: dict[str, Any] = {"model": model} if model and name != hearings.POCKETSPHINX else {}
        plan = hearings.Plan(name, options, chosen, some, limit, noisy, workers)
        try:
            with console.status("Listening…") as status:

                def heard(cell: hearings.Cell, status: Status = status) -> None:
                    status.update(f"{cell.line}, {cell.treatment}: {cell.task}, {cell.right} of {cell.total}")

                cells += asyncio.run(hearings.measure(folder, coffee, plan, heard))
        except UsageError as error:
            console.print(f"[yellow]{name} is left out:[/] {error}", highlight=False)
            continue
        console.print(_table([cell for cell in cells if cell.engine == name], f"{name}, {folder}"))
    if out and cells:
        out.mkdir(parents=True, exist_ok=True)
        with (out / "hearing.csv").open("w", newline="", encoding="utf-8") as csv_file:
            writer = csv.DictWriter(csv_file, list(asdict(cells[0])))
            writer.writeheader()
            writer.writerows(map(asdict, cells))
        (out / "hearing.svg").write_text(plot(cells), "utf-8")
        for each in listening.write(out, hearings.wide_recordings(folder, coffee)):
            console.print(f"4-8 kHz, {each.mode}: {each.lsd_db} dB from {each.recordings} recordings (LSD)")


def _table(cells: list[hearings.Cell], title: str) -> Table:
    table = Table(title=title, box=SIMPLE_HEAD)
    names = list(dict.fromkeys(cell.task for cell in cells))
    for column in ("line", "treatment", *names):
        table.add_column(column, justify="left" if column in ("line", "treatment") else "right")
    before = ""
    for line, treatment in dict.fromkeys((cell.line, cell.treatment) for cell in cells):
        row = []
        for name in names:
            cell = next((c for c in cells if (c.line, c.treatment, c.task) == (line, treatment, name)), None)
            back = hearings.won_back(cells, cell) if cell else None
            share = f"  {back:+.0%}" if back is not None and treatment != UNTREATED else ""
            row.append(f"{cell.right}/{cell.total}{share}" if cell else "")
        table.add_row("" if line == before else line, treatment, *row)
        before = line
    table.caption = "After the +: of what the untreated 8 kHz line loses against 16 kHz, so much is won back."
    return table
