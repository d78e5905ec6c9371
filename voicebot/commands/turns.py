"""`voicebot measure turns`, which is `make bench-turns`."""

from __future__ import annotations

import asyncio
import json
import platform
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from voicebot import log
from voicebot.replay import turn_bench, turn_clips, turn_report
from voicebot.replay.carrier import serving
from voicebot.replay.faults import Faults
from voicebot.replay.turn_bench import Options, Trial

CLIPS = Path("tests/data/turns")


def turns(
    folder: Annotated[Path, typer.Argument(help="Folder with recordings and a MANIFEST.csv.")] = CLIPS,
    limit: Annotated[int, typer.Option(min=1, help="At most this many clips of a kind.")] = 6,
    only: Annotated[str, typer.Option(help="Kinds whose name contains this.")] = "",
    parallel: Annotated[int, typer.Option(min=1, max=50, help="Calls at once, in real time.")] = 3,
    seed: Annotated[int, typer.Option(help="Other moments, other clips where there are many.")] = 1,
    out: Annotated[Path | None, typer.Option(help="Write all trials and figures as JSON, too.")] = None,
    keep: Annotated[Path | None, typer.Option(help="Keep each call as a stereo WAV in this folder.")] = None,
) -> None:
    """What it does when somebody speaks, coughs or plays music over its voice."""
    log.configure(level="error")
    console = Console()
    console.print(f"[dim]{platform.platform()}, Python {platform.python_version()}[/]\n")
    options = Options(Faults(), parallel, seed=seed, keep=keep)
    if keep:
        keep.mkdir(parents=True, exist_ok=True)
    clips = turn_clips.clips(folder, limit, only, seed)
    trials = asyncio.run(_run(clips, options, console))
    turn_report.show(console, trials)
    if out:
        out.write_text(json.dumps(turn_report.as_json(trials), indent=1))


async def _run(clips: list[turn_clips.Clip], options: Options, console: Console) -> list[Trial]:
    with console.status("Starting a service…") as status:
        async with serving(turn_bench.plans(), max_calls=str(options.parallel + 5)) as service:
            prompts = await turn_bench.sentences(service)
            done = 0

            def report(trial: Trial) -> None:
                nonlocal done
                done += 1
                status.update(f"{done} of {len(clips)}: {trial.clip.kind}, {trial.clip.name}")

            trials = await turn_bench.run(
                clips,
                lambda caller, sentence: service.ring(caller, turn_bench.CALLED.format(number=sentence)),
                [prompt.ulaw for prompt in prompts],
                options,
                report,
            )
            records = await service.timelines()
            return [
                turn_bench.with_record(t, records.get(t.caller, []), prompts[t.number % len(prompts)]) for t in trials
            ]
