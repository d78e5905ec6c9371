"""`voicebot replay rehear` and `voicebot replay rerun`: recorded calls through today's ears or whole stack."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from voicebot import log
from voicebot.config import Settings
from voicebot.core.timeline import decode
from voicebot.errors import UsageError
from voicebot.replay import clock
from voicebot.replay.cassette import Cassette, Mode
from voicebot.replay.inputs.load import load, recordings
from voicebot.replay.plans import plan_of
from voicebot.replay.recording import CallAudio
from voicebot.replay.rehear import Heard
from voicebot.replay.rehear import rehear as hear_again
from voicebot.replay.rerun import PACES
from voicebot.replay.rerun import rerun as take_again

Files = Annotated[list[Path], typer.Argument(help="Recordings, captures, call folders, or folders of these.")]
Out = Annotated[Path, typer.Option(help="Folder for what comes out, a folder for each call.")]
Plan = Annotated[str, typer.Option("--dialplan", help="Name or file; default: the one the call was taken with.")]
OUT = Path("out/replay")


def rehear(files: Files, out: Out = OUT, dialplan: Plan = "") -> None:
    """Hear calls again with today's ears: the caller's side through voice activity, recogniser and turn machine."""
    log.configure(level="error")
    settings, console = Settings(), Console(highlight=False)
    for call in _calls(files):
        plan = plan_of(call, settings, dialplan)
        folder = _fresh(out / call.name)
        heard: Heard = clock.run(hear_again(call, plan[0] if plan else None, settings, folder))
        _show(console, call.name, heard, folder)


def rerun(
    files: Files,
    out: Out = OUT,
    dialplan: Plan = "",
    pace: Annotated[
        str, typer.Option(help="recorded: the caller speaks when they did; turns: they wait for the bot.")
    ] = "recorded",
    cassette: Annotated[
        Path | None, typer.Option(help="Folder of recorded answers; default: beside each call.")
    ] = None,
    live: Annotated[bool, typer.Option("--live", help="Ask every engine, and record its answers anew.")] = False,
    recorded: Annotated[bool, typer.Option("--recorded", help="Ask no engine: all must be on the cassette.")] = False,
) -> None:
    """Take calls again with all of today's stack: dialplan, agent, voice. Tools touch nothing."""
    if pace not in PACES:
        raise UsageError(f"There is no pace {pace!r}. Use {' or '.join(PACES)}.")
    if live and recorded:
        raise UsageError("--live asks everybody and --recorded nobody. Say one of them.")
    log.configure(level="error")
    settings, console = Settings(), Console(highlight=False)
    mode: Mode = "live" if live else "recorded" if recorded else "auto"
    for path in files:
        for call in _calls([path]):
            if (plan := plan_of(call, settings, dialplan)) is None:
                raise UsageError(f"{call.name} does not say which dialplan took it; say --dialplan.")
            folder = _fresh(out / call.name)
            tape = Cassette(cassette or path.parent / "cassette", mode)
            reran = clock.run(take_again(call, plan[1], settings, folder, pace, tape))
            _show(console, call.name, reran.heard, folder)
            if reran.diverged_ms is not None:
                console.print(f"  the bot said something else from {reran.diverged_ms / 1000:.1f} s on")


def _calls(files: list[Path]) -> Iterator[CallAudio]:
    for file in files:
        for path in recordings(file):
            yield from load(path)


def _fresh(folder: Path) -> Path:
    """Without what an earlier run left there, and nothing else."""
    for name in ("audio.wav", "timeline.jsonl", "turns.jsonl"):
        (folder / name).unlink(missing_ok=True)
    return folder


def _show(console: Console, name: str, heard: Heard, folder: Path) -> None:
    records = list(decode((folder / "timeline.jsonl").read_bytes().splitlines()))
    turns = [r for r in records if r.kind == "turn"]
    console.print(
        f"[bold]{name}[/]  {heard.media_s:.0f} s, {len(turns)} turns, {heard.speed:.0f} times real time, "
        f"the recogniser's {heard.recogniser_s:.1f} s apart"
    )
    for record in turns:
        said = record.fields["text"] or record.fields.get("digits") or "[dim](not understood)[/]"
        console.print(f"[dim]{record.fields['end_ms'] / 1000:7.2f}[/]  {said}")
