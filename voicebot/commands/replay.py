"""`voicebot replay`: recorded calls judged, heard again, and taken again. Each command has a file of its own."""

from __future__ import annotations

import typer

from voicebot.commands import replay_keep, replay_run, replay_score, replay_watch

app = typer.Typer(help="Recorded calls: judge them, hear them again, take them again.", no_args_is_help=True)
app.command()(replay_score.score)
app.command(name="open")(replay_score.open_report)
app.command()(replay_score.schema)
app.command()(replay_run.rehear)
app.command()(replay_run.rerun)
app.command()(replay_watch.watch)
app.command()(replay_keep.keep)
