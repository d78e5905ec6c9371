"""`voicebot measure carriers`: SIP and Twilio's Media Streams side by side."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.status import Status

from voicebot import log
from voicebot.config import Settings
from voicebot.errors import UsageError
from voicebot.replay import carriers as measuring
from voicebot.replay import carriers_report as report
from voicebot.replay import shipped, turn_clips
from voicebot.replay.carrier import free_port, serving
from voicebot.replay.carriers import CARRIERS, Found
from voicebot.replay.shipped import Whole
from voicebot.replay.turn_clips import Clip
from voicebot.service.sip import lacking

CLIPS = Path("tests/data/turns")


def carriers(
    folder: Annotated[Path, typer.Argument(help="Folder with recordings and a MANIFEST.csv.")] = CLIPS,
    calls: Annotated[int, typer.Option(min=1, max=100, help="Calls over each carrier.")] = 6,
    dialplans: Annotated[
        bool, typer.Option("--dialplans", help="Also hold a whole conversation with each dialplan that ships.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Write all figures as JSON, too.")] = None,
) -> None:
    """How long everything takes over SIP and over Media Streams: the same recorded callers, at the same time."""
    log.configure(level="error")
    if fault := lacking(Settings().model_copy(update={"sip_port": 1, "sip_workers": 1})):
        raise UsageError(f"SIP cannot be measured here: {fault}")
    clips = [clip for clip in turn_clips.clips(folder, 2 * calls) if clip.interrupts]
    if not clips:
        raise UsageError(f"{folder} has no recording of somebody who speaks to a bot.")
    console = Console(width=None if sys.stdout.isatty() else 120)
    machine = f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    console.print(f"[dim]{machine}, load {os.getloadavg()[0]:.1f}[/]")
    voices = shipped.voices(CLIPS.parent) if dialplans else {}
    plans = shipped.plans(Settings().dialplans) if dialplans else {}
    with console.status("Starting…") as status:
        found, wholes = asyncio.run(_measured(clips, calls, plans, voices, status))
    console.print(report.table(found))
    console.print(report.DEFINITIONS, highlight=False)
    if wholes:
        console.print(report.conversations(wholes))
    if out:
        data = {"machine": machine, "carriers": list(map(asdict, found)), "dialplans": list(map(asdict, wholes))}
        out.write_text(json.dumps(data, indent=1))


async def _measured(
    clips: Sequence[Clip], calls: int, plans: Mapping[str, str], voices: Mapping[str, Clip], status: Status
) -> tuple[list[Found], list[Whole]]:
    found = [Found(carrier) for carrier in CARRIERS]
    with tempfile.TemporaryDirectory(prefix="voicebot-carriers-") as name:
        folder, port = Path(name), free_port()
        plans = {**measuring.plans(folder), **plans}
        async with serving(plans, measuring.PROGRAM, sip_port=str(port)) as service:
            bed = measuring.Bed(service, port, folder)
            for number in range(calls):
                status.update(f"Marks, call {number + 1} of {calls}…")
                _add(found, await measuring.echoes(bed, number))
            for number in range(calls):
                status.update(f"Conversations, call {number + 1} of {calls}, in real time…")
                said = [clips[(number * measuring.EXCHANGES + n) % len(clips)] for n in range(measuring.EXCHANGES)]
                _add(found, await measuring.talks(bed, said, number))
            status.update("Whole conversations, in real time…")
            return found, await shipped.conversations(bed, voices) if voices else []


def _add(found: Sequence[Found], more: Sequence[Found]) -> None:
    for whole, part in zip(found, more, strict=True):
        whole.add(part)
