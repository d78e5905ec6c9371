"""`voicebot dialplan`: check dialplans, print their schema, draw them, try them by typing."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import typer
from rich.console import Console

from voicebot.commands.call_headers import Given, parsed
from voicebot.commands.dialplan_graph import mermaid, svg
from voicebot.core.dialogue import CallerTurn, Heard, Opening, Pressed, Silent, Text, ToolCall, ToolDone
from voicebot.core.dialplan import Dialplan, DialplanFaults, json_schema, parse
from voicebot.core.flow import Flow, Step
from voicebot.core.words import Words
from voicebot.errors import DialplanError

app = typer.Typer(help="Check, draw and try dialplans.", no_args_is_help=True)

File = Annotated[Path, typer.Argument(help="A dialplan, YAML.", show_default=False)]


def load(path: Path) -> Dialplan:
    """Read and parse one file. `DialplanError` for a file that cannot be read, `DialplanFaults` for its faults."""
    try:
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise DialplanError(f"{error.strerror}.", file=str(path), hint="Give the path of a dialplan.") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        hint = "Save the file as UTF-8."
        raise DialplanError("This is not UTF-8.", file=str(path), line=line, hint=hint) from None
    return parse(text, str(path))


def _loaded(path: Path) -> Dialplan:
    try:
        return load(path)
    except DialplanError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


@app.command()
def check(files: Annotated[list[Path], typer.Argument(help="Dialplans, YAML.", show_default=False)]) -> None:
    """Report every fault with file, line and mend. Exit code 1 when there is one."""
    failed = False
    for path in files:
        try:
            plan = load(path)
        except DialplanError as error:
            failed = True
            count = len(error.faults) if isinstance(error, DialplanFaults) else 1
            typer.echo(str(error))
            typer.echo(f"✗ {path}: {count} fault{'' if count == 1 else 's'}")
        else:
            slots = len({slot for node in plan.nodes.values() for slot in node.collect})
            typer.echo(f"✓ {path}: {plan.name}, {_counted(len(plan.nodes), 'node')}, {_counted(slots, 'slot')}")
    if failed:
        raise typer.Exit(1)


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


@app.command()
def schema() -> None:
    """Print the JSON Schema of dialplans, for editors that complete YAML."""
    typer.echo(json.dumps(json_schema(), indent=2))


@app.command()
def graph(file: File, as_svg: Annotated[bool, typer.Option("--svg", help="SVG instead of Mermaid.")] = False) -> None:
    """Draw a dialplan's nodes and the ways between them."""
    plan = _loaded(file)
    typer.echo(svg(plan) if as_svg else mermaid(plan))


# --- talk --------------------------------------------------------------------------------------------------------


@app.command()
def talk(
    file: File,
    caller: Annotated[str, typer.Option(help="The caller's number.")] = "+12025550199",
    header: Given = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show slots and expectation.")] = False,
) -> None:
    """Try a dialplan by typing what a caller would say. `#123` presses keys, an empty line is silence."""
    plan = _loaded(file)
    console = Console(highlight=False, soft_wrap=True)
    flow = Flow(plan, datetime.now(ZoneInfo(plan.timezone)), caller, parsed(header))
    step = _show(console, flow, flow.feed(Opening()), verbose)
    silences = 0
    while not step.ended:
        line = _typed()
        if line is None:
            console.print("[dim](the caller hangs up)[/dim]")
            return
        silences = 0 if line.strip() else silences + 1
        step = _show(console, flow, flow.feed(_turn(line.strip(), silences)), verbose)


def _typed() -> str | None:
    """A line from the terminal, or from a pipe; None at its end."""
    if sys.stdin.isatty():
        try:
            return input("you: ")
        except (EOFError, KeyboardInterrupt):
            return None
    line = sys.stdin.readline()
    if line:
        typer.echo(f"you: {line.rstrip()}")
    return line or None


def _turn(line: str, silences: int) -> CallerTurn:
    if not line:
        return Silent(silences)
    keys = line[1:].replace(" ", "")
    if line.startswith("#") and all(key in "0123456789*#" for key in keys):
        return Pressed(keys or "#")
    return Heard(Words(line, True))


def _show(console: Console, flow: Flow, step: Step, verbose: bool) -> Step:
    """Prints a step; tools are only shown, and answered as if they had worked."""
    while True:
        call = None
        for event in step.events:
            match event:
                case Text(text, interruptible):
                    mark = "" if interruptible else " [dim](cannot be interrupted)[/dim]"
                    console.print(f"[bold]bot:[/bold] {_plain(text)}{mark}")
                case ToolCall(name=name, args=args):
                    call = event
                    shown = ", ".join(f"{key}={value}" for key, value in args.items())
                    console.print(f"[dim]  → {name}({_plain(shown)})[/dim]")
        if verbose:
            slots = ", ".join(f"{slot}={value}" for slot, value in flow.slots.items()) or "nothing yet"
            expected = step.expectation
            console.print(f"[dim]  slots: {_plain(slots)}[/dim]")
            console.print(f"[dim]  expects: {expected.name} ({expected.mode}, {len(expected.phrases)} phrases)[/dim]")
        if call is None or step.ended or call.name == "transfer":
            return step if call is None or step.ended else Step(step.events, step.expectation, True)
        step = flow.feed(ToolDone(call.call_id, True, {}))


def _plain(text: str) -> str:
    """Text that rich is not to read as markup."""
    return text.replace("[", r"\[")
