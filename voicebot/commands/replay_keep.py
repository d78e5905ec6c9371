"""`voicebot replay keep`: a real call as a test fixture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from voicebot.config import Settings
from voicebot.core.dialplan import Dialplan
from voicebot.errors import UsageError
from voicebot.replay import keep as keeping
from voicebot.replay.inputs.load import load
from voicebot.replay.plans import plan_of
from voicebot.service.store import Store

KEPT = Path("kept")


def keep(
    call: Annotated[str, typer.Argument(metavar="CALL-ID", help="Its id, the beginning of it, or its folder.")],
    to: Annotated[Path, typer.Option(help="Folder of the fixtures.")] = KEPT,
    name: Annotated[str, typer.Option(help="The fixture's name; default: the call's id.")] = "",
    mask: Annotated[list[str] | None, typer.Option(help="A word or name to mask besides; may be repeated.")] = None,
    mute: Annotated[
        list[str] | None, typer.Option(help="Seconds to silence: 12.3-15, or caller:12.3-15; may be repeated.")
    ] = None,
    mute_masked: Annotated[
        bool, typer.Option("--mute-masked", help="Silence every turn in whose words something was masked.")
    ] = False,
) -> None:
    """Make a test fixture of a call: personal data masked in the transcript, stretches of the sound muted."""
    settings, console = Settings(), Console(highlight=False)
    folder = _folder(call, settings)
    spans = [keeping.span(text) for text in mute or ()]
    kept = keeping.keep(folder, to / (name or folder.name), _plan(folder, settings), spans, mask or (), mute_masked)
    console.print(f"{kept.folder}: {kept.masked} records with something masked, {len(kept.muted)} stretches muted")
    if not kept.muted:
        console.print(
            "[yellow]Nothing in the sound is muted:[/] listen before you share it, and say --mute or --mute-masked."
        )
    console.print(f"[dim]voicebot replay rerun {kept.folder} --accept[/] makes today's run the one it is measured by")


def _folder(call: str, settings: Settings) -> Path:
    if (Path(call) / "timeline.jsonl").is_file():
        return Path(call)
    row = Store.at(settings.data_dir).get(call) if (settings.data_dir / "calls.sqlite").exists() else None
    if row is None or not row.folder:
        raise UsageError(f"No call begins with {call!r}, or several do. See `voicebot calls`.")
    return Path(row.folder)


def _plan(folder: Path, settings: Settings) -> Dialplan | None:
    """The call's, where it is still there: its slots tell what is personal."""
    try:
        found = plan_of(load(folder)[0], settings)
    except UsageError:
        return None
    return found[0] if found else None
