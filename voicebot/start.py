"""The entry point. `voicebot serve` imports what serving needs; every other command brings the whole command line, with
all that measures and replays."""

from __future__ import annotations

import sys

import typer

from voicebot.commands.running import run


def main() -> None:
    """Runs what the arguments of this process say."""
    if sys.argv[1:2] == ["serve"]:
        run(_serve_alone())
        return
    from voicebot.cli import app

    run(app)


def _serve_alone() -> typer.Typer:
    from voicebot.commands.serve import serve

    app = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode="rich")
    app.callback()(lambda: None)  # or the command would have no name
    app.command()(serve)
    return app
