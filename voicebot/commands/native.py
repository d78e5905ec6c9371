"""`voicebot measure native`: what our leg adds to a speech-to-speech engine's own time."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from voicebot import log
from voicebot.replay.native_bench import added


def native(
    turns: Annotated[int, typer.Option(min=2, max=200, help="Turns of the call.")] = 20,
    out: Annotated[Path | None, typer.Option(help="Write the figures as JSON, too.")] = None,
) -> None:
    """What the way to a native engine and back adds, over a server on this machine, in real time."""
    log.configure(level="error")
    console = Console()
    with console.status("Talking… (in real time)"):
        found = asyncio.run(added(turns))
    console.print(
        f"{found.turns} answers. Caller's voice, from the line to the server: {found.in_p50:.1f} ms, "
        f"95th percentile {found.in_p95:.1f} ms. First audio of an answer, from the server to the line: "
        f"{found.out_p50:.1f} ms, 95th percentile {found.out_p95:.1f} ms."
    )
    if out:
        out.write_text(json.dumps(asdict(found), indent=1))
