"""`voicebot measure carriers`: SIP and Twilio's Media Streams side by side."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.status import Status
from rich.table import Table

from voicebot import log
from voicebot.config import Settings
from voicebot.errors import UsageError
from voicebot.replay import carriers as measuring
from voicebot.replay import shipped, turn_clips
from voicebot.replay.carrier import serving
from voicebot.replay.carriers import CARRIERS, Found
from voicebot.replay.load_figures import percentile
from voicebot.replay.shipped import Whole
from voicebot.replay.turn_clips import Clip
from voicebot.service.sip import lacking

CLIPS = Path("tests/data/turns")
ROWS = {
    "greeting_ms": "answer to the first audible of the greeting",
    "voice_to_voice_ms": "end of the caller's speech to the first audible of the answer",
    "stop_ms": "interruption: onset of the caller's voice to the bot's last sound",
    "mouth_to_ear_ms": "mouth to ear, by way of an engine that says what it hears",
    "to_engine_ms": "… mouth to engine",
    "from_engine_ms": "… engine to ear",
}
AIMS_MS = {"greeting_ms": 500.0, "mouth_to_ear_ms": 60.0}
"""For the median and the 95th percentile."""
DEFINITIONS = (
    "ms, as the telephone has them: median / 95th percentile (count). Of mouth to ear the jitter buffer's own depth is "
    "taken off. A frame leaves when it is whole, so up to 20 ms of it are the frame; over Media Streams the carrier "
    "plays at ticks of 20 ms, over SIP a packet is heard when it is here."
)


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
    voices = shipped.voices(folder.parent) if dialplans else {}
    plans = shipped.plans(Settings().dialplans) if dialplans else {}
    with console.status("Starting…") as status:
        found, wholes = asyncio.run(_measured(clips, calls, plans, voices, status))
    console.print(_table(found))
    console.print(DEFINITIONS, highlight=False)
    if wholes:
        console.print(_conversations(wholes))
    if out:
        data = {"machine": machine, "carriers": list(map(asdict, found)), "dialplans": list(map(asdict, wholes))}
        out.write_text(json.dumps(data, indent=1))


async def _measured(
    clips: Sequence[Clip], calls: int, plans: Mapping[str, str], voices: Mapping[str, Clip], status: Status
) -> tuple[list[Found], list[Whole]]:
    found = [Found(carrier) for carrier in CARRIERS]
    with tempfile.TemporaryDirectory(prefix="voicebot-carriers-") as name:
        folder, port = Path(name), measuring.free_port()
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


def _table(found: Sequence[Found]) -> Table:
    table = Table(box=SIMPLE_HEAD, title="The same callers over both", title_justify="left")
    table.add_column("")
    for each in found:
        table.add_column(each.carrier, justify="right")
    for name, title in ROWS.items():
        table.add_row(title, *(_cell(getattr(each, name), AIMS_MS.get(name)) for each in found))
    table.add_row("jitter buffer, mean depth", *(_cell(each.buffer_ms, None) for each in found))
    table.add_row("interruptions that did not stop the bot", *(str(each.ignored) for each in found))
    table.add_row("utterances without an answer", *(str(each.unanswered) for each in found))
    table.add_row("the telephone's own lateness, worst tick of a call", *(_cell(each.late_ms, None) for each in found))
    return table


def _cell(values: Sequence[float], aim_ms: float | None) -> str:
    if not values:
        return "–"
    median, high = statistics.median(values), percentile(values, 0.95)
    marks = [" ok" if ms <= aim_ms else " [red]over[/]" for ms in (median, high)] if aim_ms else ["", ""]
    return f"{median:.0f}{marks[0]} / {high:.0f}{marks[1]} ({len(values)})"


def _conversations(wholes: Sequence[Whole]) -> Table:
    table = Table(box=SIMPLE_HEAD, title="Whole conversations, on recorded voices", title_justify="left")
    for head in ("dialplan", "carrier", "greeting", "answers, ms", "ended", "written down"):
        table.add_column(head)
    for each in wholes:
        answers = ", ".join(f"{ms:.0f}" for ms in each.voice_to_voice_ms)
        tools = "; ".join(f"{name} {args}" for name, args in each.tools if args)
        greeting = "–" if each.greeting_ms is None else f"{each.greeting_ms:.0f}"
        table.add_row(each.dialplan, each.carrier, greeting, answers, each.ended, tools)
    return table
