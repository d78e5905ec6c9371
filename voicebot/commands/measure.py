"""`voicebot measure …`: how well it hears, on recordings of real people."""

from __future__ import annotations

import asyncio
import csv
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from voicebot import log
from voicebot.config import Settings
from voicebot.errors import UsageError

if TYPE_CHECKING:
    from voicebot.replay import echoes
    from voicebot.replay import turn_ends as turns
    from voicebot.replay import understanding as measuring

app = typer.Typer(help="How well it hears, on recordings.", no_args_is_help=True)


@app.callback()
def measure() -> None:
    """How well it hears, on recordings."""


@app.command()
def understanding(
    folder: Annotated[Path, typer.Argument(help="Folder with recordings and a MANIFEST.csv.")],
    coffee: Annotated[
        Path | None, typer.Option(help="Dialplan that takes the coffee orders; default: the one that ships.")
    ] = None,
    engine: Annotated[str, typer.Option(help="Recogniser.")] = "pocketsphinx",
    only: Annotated[str, typer.Option(help="Tasks whose name contains this.")] = "",
    conditions: Annotated[str, typer.Option(help="Conditions whose name contains this.")] = "",
    limit: Annotated[int, typer.Option(help="At most this many recordings a task; 0: all.")] = 0,
    workers: Annotated[int, typer.Option(help="Recogniser processes.")] = 1,
    rows: Annotated[Path | None, typer.Option(help="Write the rows as CSV, too.")] = None,
) -> None:
    """Orders (at once; asked and read back), digits, letters, sentences: telephone and wide-band, quiet and babble."""
    from voicebot.core import dialplan
    from voicebot.replay import understanding as measuring

    log.configure(level="warning")
    chosen = [c for c in measuring.CONDITIONS if conditions in c.name]
    if not chosen:
        names = "; ".join(c.name for c in measuring.CONDITIONS)
        raise UsageError(f"No condition contains {conditions!r}. There are: {names}.")
    path = Settings().dialplans
    file = coffee or (path / "coffee.yaml" if path.is_dir() else path)
    console = Console()
    with console.status("Listening…") as status:
        found = asyncio.run(
            measuring.measure(
                folder,
                dialplan.parse(file.read_text("utf-8"), str(file)),
                engine=engine,
                conditions=chosen,
                limit=limit,
                workers=workers,
                only=only,
                report=lambda row: status.update(f"{row.task}, {row.condition}: {row.right} of {row.total}"),
            )
        )
    console.print(_table(found, [c.name for c in chosen], f"{engine}, {folder}"))
    if rows:
        _write(rows, found)


@app.command()
def echo(
    folder: Annotated[Path, typer.Argument(help="Folder with recordings and a MANIFEST.csv.")],
    vad: Annotated[str, typer.Option(help="Voice detector.")] = "silero",
    scenes: Annotated[int, typer.Option(min=1, help="Scenes of each kind, of four sentences of the bot.")] = 6,
    only: Annotated[str, typer.Option(help="Conditions whose name contains this.")] = "",
) -> None:
    """Our own echo told from the caller's voice: synthesised rooms, real devices, lines without an echo."""
    from voicebot.replay import echoes

    log.configure(level="warning")
    console = Console()
    with console.status("Listening…") as status:
        found = asyncio.run(
            echoes.measure(
                folder,
                engine=vad,
                scenes=scenes,
                only=only,
                report=lambda case: status.update(f"{case.condition}, {case.voices}"),
            )
        )
    console.print(_echo_table(found, f"{vad}, {folder}"))
    console.print(echoes.DEFINITIONS, highlight=False)


def _echo_table(found: list[echoes.Row], title: str) -> Table:
    table = Table(title=title, box=SIMPLE_HEAD)
    for name in ("condition", "voices", "right", "late, ms", "CPU, ms"):
        table.add_column(name, justify="left" if name in ("condition", "voices") else "right")
    before = ""
    for row in found:
        condition, before = "" if row.condition == before else row.condition, row.condition
        late = sorted(row.late_ms)
        right = f"{row.kept_back}/{row.echoes} kept back" if row.echoes else f"{len(late)}/{row.callers} found"
        if row.onsets_s:
            right = "onsets at " + ", ".join(f"{at:.1f}" for at in row.onsets_s) + " s"
        middle, most = (late[len(late) * share // 100] for share in (50, 95)) if late else (0.0, 0.0)
        lateness = f"{middle:.0f}, {most:.0f}" if late else ""
        table.add_row(condition, row.voices, right, lateness, f"{row.cpu_ms / row.heard:.3f}")
        if row.frames:
            table.add_row("", "", f"{row.own}/{row.frames} own", "", "")
    return table


@app.command("turn-ends")
def turn_ends(
    folder: Annotated[Path, typer.Argument(help="Folder with recordings and a MANIFEST.csv.")],
    coffee: Annotated[
        Path | None, typer.Option(help="Dialplan that takes the coffee orders; default: the one that ships.")
    ] = None,
    engine: Annotated[str, typer.Option(help="Recogniser.")] = "pocketsphinx",
    model: Annotated[
        str, typer.Option(envvar="VOICEBOT_EOT_MODEL", help="End-of-turn model in smart-turn v3's format.")
    ] = "",
    speakers: Annotated[
        str, typer.Option(help="all, fit or rest: the half that weights are fitted on, or not.")
    ] = "all",
    fit: Annotated[bool, typer.Option("--fit", help="Fit the weights of pitch and length, and print them.")] = False,
) -> None:
    """False cut-offs against latency at the ends of turns, beside fixed silence and webrtcvad."""
    from voicebot.core import dialplan
    from voicebot.replay import turn_ends as turns

    log.configure(level="warning")
    halves = {"all": (True, False), "fit": (True,), "rest": (False,)}
    if speakers not in halves:
        raise UsageError(f"--speakers is one of: {', '.join(halves)}.")
    path = Settings().dialplans
    file = coffee or (path / "coffee.yaml" if path.is_dir() else path)
    console = Console()
    with console.status("Listening…") as status:
        plan = dialplan.parse(file.read_text("utf-8"), str(file))
        everything = asyncio.run(turns.gather(folder, plan, asr=engine, model=model, report=status.update))
    if fit:
        weights, errors = turns.fit([s for s in everything if turns.fitting(s)])
        console.print(
            f"fitted: list {weights.list} ms ± {errors['list']}, drawn {weights.drawn} ms ± {errors['drawn']}"
        )
    found = [s for s in everything if turns.fitting(s) in halves[speakers]]
    for group, here in turns.groups(found).items():
        rows = [turns.row(group, name, policy, here) for name, policy in turns.policies(bool(model)).items()]
        console.print(_turns_table(rows, f"{group}, {speakers} speakers: {rows[0].pauses} pauses, {rows[0].ends} ends"))


def _turns_table(rows: list[turns.Row], title: str) -> Table:
    table = Table(title=title)
    table.add_column("policy")
    for head in ("cut at 300 ms", "at 600 ms", "ms at 5 % cut", "at 10 %", "as it is: cut", "ms"):
        table.add_column(head, justify="right")
    for row in rows:
        shares = [f"{share:.0%}" if share is not None else "–" for share in (row.cut_at_300, row.cut_at_600)]
        times = [f"{ms:.0f}" if ms is not None else "–" for ms in (row.latency_at_5, row.latency_at_10)]
        table.add_row(row.policy, *shares, *times, f"{row.cut:.0%}", f"{row.latency_ms:.0f}")
    return table


def _table(found: list[measuring.Row], conditions: list[str], title: str) -> Table:
    table = Table(title=title)
    table.add_column("task")
    table.add_column("counted")
    for condition in conditions:
        table.add_column(condition, justify="right")
    cells = {(row.task, row.unit, row.condition): row for row in found}
    for task, unit in dict.fromkeys((row.task, row.unit) for row in found):
        shown = [cells.get((task, unit, condition)) for condition in conditions]
        table.add_row(task, unit, *(f"{r.right}/{r.total}  {r.share:4.0%}" if r else "" for r in shown))
    return table


def _write(path: Path, found: list[measuring.Row]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["task", "condition", "unit", "right", "total"])
        writer.writerows([row.task, row.condition, row.unit, row.right, row.total] for row in found)


@app.command()
def lexicon(
    folder: Annotated[Path, typer.Argument(help="Folder with recordings and a MANIFEST.csv.")],
    engine: Annotated[str, typer.Option(help="Recogniser.")] = "pocketsphinx",
    only: Annotated[str, typer.Option(help="Tasks whose name contains this.")] = "",
    limit: Annotated[int, typer.Option(help="At most this many recordings a task; 0: all.")] = 0,
) -> None:
    """Names and jargon understood with the lexicon and without, by telephone: real recordings, synthesised callers."""
    from voicebot.replay import lexicon as measuring

    log.configure(level="warning")
    console = Console()
    with console.status("Listening…"):
        scores = asyncio.run(measuring.measure(folder, limit, only, engine))
    table = Table(box=SIMPLE_HEAD, title=f"{engine}, {folder}")
    table.add_column("task")
    for column in ("without", "with", "… asked back", "wrong, believed", "wrong, asked back", "false alarms"):
        table.add_column(column, justify="right")
    for each in scores:
        shares = (f"{each.without}/{each.total}", f"{each.found}/{each.total}  {each.found / max(1, each.total):.0%}")
        alarms = f"{each.alarms}/{each.empty}" if each.empty else ""
        table.add_row(each.task, *shares, *map(str, (each.asked, each.wrong, each.wrong_asked)), alarms)
    console.print(table)


@app.command("turn-starts")
def turn_starts(
    folder: Annotated[
        Path, typer.Argument(help="Recordings with a MANIFEST.csv, or with transcripts that have times.")
    ],
) -> None:
    """Where `replay score` finds speech, against people's labels: precision and recall."""
    from voicebot.replay import turn_starts as measuring

    log.configure(level="warning")
    rows = measuring.measure(folder)
    table = Table(box=SIMPLE_HEAD, title=str(folder))
    for column in (
        "recording",
        "starts labelled",
        "found",
        "right",
        "precision",
        "recall",
        "speech: precision",
        "recall",
    ):
        table.add_column(column, justify="left" if column == "recording" else "right")
    for row in [*rows, measuring.total(rows)]:
        starts, speech = ((row.right, row.found), (row.right, row.labelled)), (row.found_ms, row.labelled_ms)
        shares = [*starts, *((row.both_ms, whole) for whole in speech)]
        shown = [f"{part / whole:.0%}" if whole else "–" for part, whole in shares]
        table.add_row(row.name, *map(str, (row.labelled, row.found, row.right)), *shown)
    console = Console(highlight=False)
    console.print(table)
    console.print(measuring.DEFINITIONS)
