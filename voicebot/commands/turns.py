"""`voicebot measure turns`, which is `make bench-turns`."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from voicebot import __version__, log
from voicebot.replay import turn_bench, turn_clips, turn_report
from voicebot.replay.carrier import serving
from voicebot.replay.faults import Faults
from voicebot.replay.telephone import Address
from voicebot.replay.turn_bench import Options, Trial
from voicebot.replay.turn_clips import Clip

CLIPS = Path("tests/data/turns")
ROUGH = Faults(jitter_ms=120, burst_ms=300, late_marks_ms=300, lost_marks=0.1)
"""What `--heard` adds where no fault is asked for."""


def turns(
    folder: Annotated[Path, typer.Argument(help="Folder with recordings and a MANIFEST.csv.")] = CLIPS,
    limit: Annotated[int, typer.Option(min=1, help="At most this many clips of a kind.")] = 6,
    only: Annotated[str, typer.Option(help="Kinds whose name contains this.")] = "",
    heard: Annotated[int, typer.Option(help="Interrupt this often instead, on a rough line: is the text right?")] = 0,
    parallel: Annotated[int, typer.Option(min=1, max=50, help="Calls at once, in real time.")] = 3,
    seed: Annotated[int, typer.Option(help="Other moments, other clips where there are many.")] = 1,
    loss: Annotated[float, typer.Option(min=0, max=1, help="Share of the caller's frames that are lost.")] = 0.0,
    duplicate: Annotated[float, typer.Option(min=0, max=1, help="… that come twice.")] = 0.0,
    reorder: Annotated[float, typer.Option(min=0, max=1, help="… that change places with the next.")] = 0.0,
    jitter: Annotated[int, typer.Option(min=0, help="ms that one tick in ten holds everything up, at most.")] = 0,
    burst: Annotated[int, typer.Option(min=0, help="ms that everything is held up every three seconds.")] = 0,
    slow: Annotated[int, typer.Option(min=0, help="ms that nothing is read every three seconds.")] = 0,
    late_marks: Annotated[int, typer.Option(min=0, help="ms that a mark is late, at most.")] = 0,
    lost_marks: Annotated[float, typer.Option(min=0, max=1, help="Share of the marks that never come back.")] = 0.0,
    peer_url: Annotated[str, typer.Option(help="Another service instead of ours: ws://127.0.0.1:…")] = "",
    out: Annotated[Path | None, typer.Option(help="Write all trials and figures as JSON, too.")] = None,
    keep: Annotated[Path | None, typer.Option(help="Keep each call as a stereo WAV in this folder.")] = None,
) -> None:
    """What it does when somebody speaks, coughs or plays music over its voice."""
    log.configure(level="error")
    console = Console(width=None if sys.stdout.isatty() else 120)
    faults = Faults(
        loss, duplicate, reorder, jitter, burst, late_marks_ms=late_marks, lost_marks=lost_marks, slow_ms=slow
    )
    clips = turn_clips.clips(folder, limit, only)
    watch_ms = turn_bench.LONG_WATCH_MS if faults.any and not heard else turn_bench.WATCH_MS
    if heard:
        real = [clip for clip in clips if clip.interrupts]
        clips = [real[number % len(real)] for number in range(heard)] if real else []
        faults = faults if faults.any else ROUGH
    if keep:
        keep.mkdir(parents=True, exist_ok=True)
    options = Options(faults, parallel, watch_ms, seed, keep)
    with console.status("Starting…") as status:
        watch = _Watch(len(clips), status.update)
        trials = asyncio.run(_peer(clips, options, peer_url, watch) if peer_url else _ours(clips, options, watch))
    changed = {name: value for name, value in asdict(faults).items() if value != getattr(Faults(), name)}
    told = {
        "machine": f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "service": peer_url or f"voicebot {__version__}",
        "faults": ", ".join(f"{name} {value}" for name, value in changed.items()) or "none",
        "calls at once": str(parallel),
    }
    turn_report.show(console, trials, told)
    if out:
        out.write_text(json.dumps(turn_report.as_json(trials, told), indent=1))


@dataclass(slots=True)
class _Watch:
    """Tells how far it is."""

    total: int
    show: Callable[[str], None]
    done: int = 0

    def __call__(self, clip: Clip) -> None:
        self.done += 1
        self.show(f"{self.done} of {self.total}: {clip.kind}, {clip.name}")


async def _ours(clips: list[Clip], options: Options, watch: _Watch) -> list[Trial]:
    async with serving(turn_bench.plans(), max_calls=str(options.parallel + 5)) as service:
        prompts = await turn_bench.sentences(service)

        async def dial(caller: str, sentence: int) -> Address:
            return await service.ring(caller, turn_bench.CALLED.format(number=sentence))

        trials = await turn_bench.run(clips, dial, [prompt.ulaw for prompt in prompts], options, watch)
        records = await service.timelines()
    return [
        turn_bench.with_record(t, records.get(turn_bench.caller(t.number), []), prompts[t.number % len(prompts)])
        for t in trials
    ]


async def _peer(clips: list[Clip], options: Options, url: str, watch: _Watch) -> list[Trial]:
    async def dial(caller: str, sentence: int) -> Address:
        return Address(url)

    return await turn_bench.run(clips, dial, [await turn_bench.learn(dial)], options, watch)
