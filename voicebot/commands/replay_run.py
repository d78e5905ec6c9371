"""`voicebot replay rehear` and `voicebot replay rerun`: recorded calls through today's ears or whole stack."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from voicebot import __version__, log
from voicebot.config import Settings
from voicebot.errors import UsageError
from voicebot.replay import suite
from voicebot.replay.cassette import Mode
from voicebot.replay.inputs.load import Told
from voicebot.replay.junit import junit
from voicebot.replay.page import write_suite
from voicebot.replay.rerun import PACES
from voicebot.replay.task import Task
from voicebot.replay.verdict import Suite, SuiteCall

Files = Annotated[list[Path], typer.Argument(help="Recordings, captures, call folders, or folders of these.")]
Out = Annotated[Path, typer.Option(help="Folder for what comes out, a folder for each call.")]
Plan = Annotated[str, typer.Option("--dialplan", help="Name or file; default: the one the call was taken with.")]
Caller = Annotated[str, typer.Option(help="Which channel is the caller: left, right, or find.")]
Golden = Annotated[Path | None, typer.Option(help="Folder of golden runs; default: `golden` beside the recording.")]
Accept = Annotated[bool, typer.Option("--accept", help="Make what comes out the golden run.")]
Jobs = Annotated[int, typer.Option(min=1, help="Calls at once, each in a process.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Take nothing from an earlier run into the same folder.")]
Junit = Annotated[Path | None, typer.Option("--junit", help="Write the result as JUnit XML, for CI.")]
OUT = Path("out/replay")
CORES = os.cpu_count() or 1


def rehear(
    files: Files,
    out: Out = OUT,
    dialplan: Plan = "",
    caller: Caller = "find",
    golden: Golden = None,
    accept: Accept = False,
    jobs: Jobs = CORES,
    fresh: Fresh = False,
    junit: Junit = None,
) -> None:
    """Hear calls again with today's ears: the caller's side through voice activity, recogniser and turn machine."""
    whole = Task(Path(), "rehear", out, Path(), accept, dialplan, told=_told(caller))
    _run(files, whole, golden, None, jobs, fresh, junit)


def rerun(
    files: Files,
    out: Out = OUT,
    dialplan: Plan = "",
    caller: Caller = "find",
    pace: Annotated[
        str, typer.Option(help="recorded: the caller speaks when they did; turns: they wait for the bot.")
    ] = "recorded",
    cassette: Annotated[
        Path | None, typer.Option(help="Folder of recorded answers; default: `cassette` beside the recording.")
    ] = None,
    live: Annotated[bool, typer.Option("--live", help="Ask every engine, and record its answers anew.")] = False,
    recorded: Annotated[bool, typer.Option("--recorded", help="Ask no engine: all must be on the cassette.")] = False,
    repeat: Annotated[int, typer.Option(min=1, max=100, help="Runs of each call: how often is it as good?")] = 1,
    least: Annotated[float, typer.Option(min=0, max=1, help="Share of the runs that must not be worse.")] = 0.5,
    golden: Golden = None,
    accept: Accept = False,
    jobs: Jobs = CORES,
    fresh: Fresh = False,
    junit: Junit = None,
) -> None:
    """Take calls again with all of today's stack: dialplan, agent, voice. Tools touch nothing."""
    if pace not in PACES:
        raise UsageError(f"There is no pace {pace!r}. Use {' or '.join(PACES)}.")
    if live and recorded:
        raise UsageError("--live asks everybody and --recorded nobody. Say one of them.")
    mode: Mode = "live" if live else "recorded" if recorded else "auto"
    whole = Task(Path(), "rerun", out, Path(), accept, dialplan, pace, cassette, mode, repeat, least, _told(caller))
    _run(files, whole, golden, cassette, jobs, fresh, junit)


def _told(caller: str) -> Told:
    match caller:
        case "find" | "left" | "right":
            return Told(caller)
        case _:
            raise UsageError(f"There is no channel {caller!r}. Use left, right or find.")


def _run(
    files: Sequence[Path], whole: Task, golden: Path | None, cassette: Path | None, jobs: int, fresh: bool,
    junit_file: Path | None,
) -> None:  # fmt: skip
    log.configure(level="error")
    tasks = []
    for path, name in suite.sources(files):
        beside = _beside(path, files)
        golden_at, cassette_at = golden or beside / "golden", cassette or beside / "cassette"
        tasks.append(replace(whole, path=path, name=name, golden=golden_at, cassette=cassette_at))
    if not tasks:
        raise UsageError("There is no recording in " + ", ".join(map(str, files)) + ".")
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task(whole.mode, total=len(tasks))
        found = suite.run(tasks, Settings(), jobs, fresh, lambda *_: progress.advance(bar))
    versions = {"version": __version__} | ({"pace": whole.pace} if whole.mode == "rerun" else {})
    judged = Suite(", ".join(file.name for file in files), whole.mode, tuple(found), versions)
    write_suite(judged, whole.out)
    if junit_file:
        junit_file.write_bytes(junit(judged))
    _print(console, found)
    if cost := suite.cost(whole.out, found):
        times, rest = cost.media_s / cost.wall_s, cost.media_s / (cost.wall_s - cost.recogniser_s)
        minutes = f"{cost.media_s / 60:.0f} minutes of calls in {cost.wall_s:.0f} s of work"
        console.print(f"[dim]{minutes}, {times:.0f} times real time; without decoding speech, {rest:.0f} times[/]")
    raise typer.Exit(suite.exit_code(found))


def _beside(path: Path, files: Sequence[Path]) -> Path:
    """The folder that was given and holds the recording; of a recording that was given itself, its folder."""
    return next((file for file in files if file in path.parents), path.parent)


_MARKS = {"pass": "[green]✓[/]", "changed": "[yellow]≠[/]", "worse": "[red]✗[/]", "failed": "[red]?[/]"}


def _print(console: Console, found: Sequence[SuiteCall]) -> None:
    """Each call, and of those that are not as good as they were, why."""
    for call in found:
        runs = f", {call.passed} of {call.runs} runs as good" if call.runs else ""
        note = f"  [dim]{escape(call.note)}[/]" if call.note else ""
        console.print(
            f"{_MARKS[call.outcome]} [bold]{escape(call.name)}[/]  {call.duration_ms / 1000:.0f} s{runs}{note}"
        )
        for each in call.compared:
            if each.outcome not in ("same", "better") or (each.outcome == "better" and call.outcome != "pass"):
                console.print(f"    {each.outcome}: {escape(each.text)}")
        for metric in call.metrics:
            if metric.alarm:
                console.print(
                    f"    [red]alarm[/]: {metric.title} {metric.value} {metric.unit} [dim](limit {metric.limit:g})[/]"
                )
    outcomes = [call.outcome for call in found]
    console.print(", ".join(f"{outcomes.count(kind)} {kind}" for kind in dict.fromkeys(outcomes)))
