"""`voicebot call FILE…`: recordings are the caller, the service answers in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from voicebot import log
from voicebot.call.runtime import Runtime, new_call_id
from voicebot.carriers.base import CallInfo
from voicebot.carriers.wavline import WavLine, read
from voicebot.commands.call_headers import Given, parsed
from voicebot.config import Settings
from voicebot.core.timeline import EndReason, Record
from voicebot.errors import UsageError
from voicebot.service.store import Store

STAYS_MS = 6000
"""After the last answer: long enough for a slow tool, and over before the bot asks whether anybody is there."""


def call(
    files: Annotated[list[Path], typer.Argument(help="WAV or FLAC; each is one thing the caller says.")],
    dialplan: Annotated[
        str, typer.Option(help="Name of the dialplan that answers; without it, the one that takes such a call.")
    ] = "",
    header: Given = None,
    pace: Annotated[
        str, typer.Option(help="turns: each file waits until the bot has finished; recorded: straight through.")
    ] = "turns",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the call's folder only.")] = False,
) -> None:
    """Play recordings as the caller and show what happens; writes recording and timeline."""
    if pace not in ("turns", "recorded"):
        raise UsageError(f"There is no pace {pace!r}. Use turns or recorded.")
    headers = parsed(header)
    log.configure(level="warning")
    settings = Settings()
    utterances = [read(file) for file in files]
    console = Console(stderr=quiet)
    store = Store.at(settings.data_dir)
    try:
        folder = asyncio.run(_call(Runtime(settings, store), utterances, dialplan, headers, pace, console))
    finally:
        store.close()
    print(folder)


async def _call(
    runtime: Runtime, utterances: list[bytes], name: str, headers: Mapping[str, str], pace: str, console: Console
) -> Path:
    with console.status("Starting the engines…"):
        await runtime.start()
    try:
        plan = runtime.choose("", "", name, headers)
        if plan is None:
            why = f"There is no dialplan {name!r}" if name else "No dialplan takes such a call"
            raise UsageError(f"{why}. Use one of: {', '.join(runtime.dialplans)}.")
        info = CallInfo(new_call_id(), "wavline", "recording", plan.name, headers=headers)
        line = WavLine(info, utterances, pace, STAYS_MS)
        reason = await runtime.run_call(line, plan, lambda record: show(record, console))
        if reason is EndReason.TRANSFER:
            console.print(f"[dim]         would be connected to {line.transferred_to}[/]")
        return runtime.settings.data_dir / "calls" / line.info.call_id
    finally:
        await runtime.close()


def show(record: Record, console: Console) -> None:
    """A record of the timeline, as a line of the conversation."""
    fields, at = record.fields, f"[dim]{record.ms / 1000:7.2f}[/] "
    match record.kind:
        case "turn":
            said = fields["text"] or fields.get("digits") or "[dim](not understood)[/]"
            console.print(f"{at}[bold cyan]caller[/]  {said}  [dim]{fields['confidence']:.2f}[/]")
        case "said" if fields["heard"] or fields["text"]:
            cut = "" if fields["complete"] else " [yellow]— cut off[/]"
            console.print(f"{at}[bold green]bot[/]     {fields['heard']}{cut}")
        case "silence":
            console.print(f"{at}[dim]silence[/]")
        case "tool" if "ok" in fields:
            console.print(f"{at}[magenta]tool[/]    {fields['name']} {'✓' if fields['ok'] else '✗'}")
        case "engine":
            console.print(f"{at}[red]engine[/]  {fields['fault']}")
        case "call_ended":
            console.print(f"{at}[bold]ended[/]   {fields['reason']}, {fields['seconds']:.1f} s")
        case _:
            pass
