"""How every command is run: what went wrong is one sentence, not a traceback."""

from __future__ import annotations

import sys

import typer
from rich.console import Console
from rich.markup import escape

from voicebot.errors import VoicebotError


def run(app: typer.Typer) -> None:
    """With the arguments of this process; it ends with 2 for what the operator can put right."""
    try:
        app()
    except VoicebotError as error:
        Console(stderr=True).print(f"[bold red]Error:[/] {escape(str(error))}", soft_wrap=True, markup=True)
        sys.exit(2)
