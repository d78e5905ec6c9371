"""`voicebot models …`: the models that engines on this machine use. Only `get` goes to the network."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.table import Table

from voicebot.commands import fetching
from voicebot.core.catalogue import Model
from voicebot.engines import models as on_disk
from voicebot.errors import UsageError

app = typer.Typer(help="Models for engines on this machine.", no_args_is_help=True)


@app.command("list")
def list_models(kind: Annotated[str, typer.Argument(help="Names that begin with this.")] = "") -> None:
    """What can be fetched, under which licence, and what is here."""
    root = on_disk.folder()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("here", "model", "MB", "what it is", "licence"):
        table.add_column(column, justify="right" if column == "MB" else "left", no_wrap=column == "model")
    for name, model in on_disk.known().items():
        if name.startswith(kind):
            here = "[green]✓[/]" if on_disk.present(model, root) else ""
            table.add_row(here, name, f"{model.megabytes:,}", model.about, model.licence)
    console = Console()
    console.print(table)
    console.print(f"In {root.absolute()}; fetch one with: voicebot models get NAME", soft_wrap=True)


@app.command()
def get(
    name: Annotated[str, typer.Argument(help="A model of `voicebot models list`.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Accept the licence without being asked.")] = False,
) -> None:
    """Fetch a model: its licence first, then with progress; a broken download goes on where it stopped."""
    model, root, console = _model(name), on_disk.folder(), Console()
    if on_disk.present(model, root):
        console.print(f"{name} is here already: {root.absolute() / name}", soft_wrap=True)
        return
    console.print(f"[bold]{name}[/]: {model.about}. About {model.megabytes:,} MB.\nLicence: {model.licence}")
    if not yes:
        typer.confirm("Fetch it?", abort=True)
    _room(model, root)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(name, total=None)
        fetched = fetching.fetch(
            model, root, lambda at, total: progress.update(task, completed=at, total=total or None)
        )
    seen = sum(each.source == "seen" for each in fetched)
    checked = f"{len(fetched) - seen} of {len(fetched)} files had the checksum that their publisher names"
    console.print(f"[green]Fetched {name}[/]; {checked}.", soft_wrap=True)


@app.command()
def check(name: Annotated[str, typer.Argument(help="A model; default: all that are here.")] = "") -> None:
    """Read every file of the models that are here and compare checksums. Exits with 1 when one is not as fetched."""
    root, console = on_disk.folder(), Console()
    wanted = [_model(name)] if name else list(on_disk.known().values())
    faults = 0
    for model in wanted:
        if name or on_disk.present(model, root):
            found = _faults(model, root)
            faults += len(found)
            console.print(
                f"{'[bold red]✗[/]' if found else '[green]✓[/]'} {model.name} {'; '.join(found)}", soft_wrap=True
            )
    if faults:
        raise typer.Exit(1)


def _model(name: str) -> Model:
    known = on_disk.known()
    if name not in known:
        near = [each for each in known if name.rpartition("/")[2] in each][:6]
        hint = f"Did you mean {', '.join(near)}?" if near else "See voicebot models list."
        raise UsageError(f"There is no model {name!r}. {hint}")
    return known[name]


def _faults(model: Model, root: Path) -> list[str]:
    sums = fetching.known(root)
    named = {file.path: file.sha256 for file in model.files if file.sha256 and not model.unpack}
    folders = [file.path for file in model.files if model.unpack]
    paths = [path for path in sums if any(path.startswith(folder + "/") for folder in folders)]
    paths += [file.path for file in model.files if not model.unpack]
    faults = [f"{folder} is missing" for folder in folders if not (root / folder).is_dir()]
    for path in paths:
        expected = named.get(path) or (sums[path].sha256 if path in sums else "")
        if not (root / path).is_file():
            faults.append(f"{path} is missing")
        elif expected and fetching.sha256_of(root / path) != expected:
            faults.append(f"{path} has changed")
    return faults


def _room(model: Model, root: Path) -> None:
    place = next(folder for folder in (root.absolute(), *root.absolute().parents) if folder.exists())
    free = shutil.disk_usage(place).free
    needed = model.megabytes * 1_000_000 * (2 if model.unpack else 1)
    if free < needed:
        raise UsageError(f"{model.name} needs {needed / 1e9:.1f} GB, and {place} has {free / 1e9:.1f} GB free.")
