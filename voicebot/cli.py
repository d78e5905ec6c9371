"""The command line: `voicebot …`. Each group lives in a file of `voicebot/commands/`."""

from __future__ import annotations

import typer

from voicebot import __version__
from voicebot.commands import (
    bench,
    call,
    calls,
    carriers,
    dial,
    dialplan,
    doctor,
    hearing,
    load,
    measure,
    measure_translation,
    models,
    native,
    replay,
    running,
    serve,
    settings,
    sip,
    soak,
    training,
    turns,
    twilio,
)

app = typer.Typer(
    help="A telephone voicebot service: SIP, Twilio, a browser or a recording in; a conversation out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
measure.app.command()(bench.bench)
measure.app.command()(turns.turns)
measure.app.command()(carriers.carriers)
measure.app.command(name="native")(native.native)
measure.app.command()(measure_translation.translation)
measure.app.command(name="load")(load.measure_load)
measure.app.command(name="soak")(soak.measure_soak)
measure.app.command()(hearing.hearing)
app.command()(serve.serve)
app.command()(call.call)
app.command()(dial.dial)
app.add_typer(calls.app, name="calls", help="The calls that were taken.")
app.add_typer(dialplan.app, name="dialplan", help="Check, draw and try dialplans.")
app.add_typer(models.app, name="models", help="Models for engines on this machine.")
app.add_typer(twilio.app, name="twilio", help="Point Twilio numbers here.")
app.add_typer(sip.app, name="sip", help="SIP: what a proxy in front needs to know.")
app.add_typer(replay.app, name="replay", help="Recorded calls: judge them, hear them again, take them again.")
app.add_typer(training.app, name="train")
app.add_typer(measure.app, name="measure", help="How well it hears, how fast it answers.")
app.command()(doctor.doctor)
app.command(name="settings")(settings.settings)


@app.command()
def version() -> None:
    """Print the version."""
    print(__version__)


def main() -> None:
    """Runs any of them."""
    running.run(app)
