"""`voicebot measure bench`, which is `make bench`."""

from __future__ import annotations

import asyncio
import json
import platform
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from voicebot import log
from voicebot.call.runtime import Runtime
from voicebot.config import Settings
from voicebot.engines.base import EngineConfig
from voicebot.engines.registry import load
from voicebot.replay import bench as benching
from voicebot.replay.bench_bandwidth import extension_costs, treatment_costs
from voicebot.replay.bench_sip import sip_cost
from voicebot.replay.bench_start import LATER, starts
from voicebot.replay.overlap import EARLY_MS, first_audio
from voicebot.replay.stand_in import FIRST_AUDIO_S, FIRST_TOKEN_S, TOKENS_S
from voicebot.service.sip import lacking

ORDERS = ("a large latte please", "with soy milk", "a small americano", "with sugar", "a medium mocha", "help")


def bench(
    turns: Annotated[int, typer.Option(min=1, max=50, help="Turns of the conversation.")] = 6,
    out: Annotated[Path | None, typer.Option(help="Write the figures as JSON, too.")] = None,
) -> None:
    """What a call costs, and how fast it answers, on this machine."""
    log.configure(level="error")
    console = Console()
    found = asyncio.run(_bench(turns, console))
    if out:
        out.write_text(json.dumps(found, indent=1))


async def _bench(turns: int, console: Console) -> dict[str, object]:
    console.print(f"[dim]{platform.platform()}, Python {platform.python_version()}[/]\n")
    has_sip = not lacking(Settings().model_copy(update={"sip_port": 1, "sip_workers": 1}))
    caller = load("tts", "espeak").create(EngineConfig("en-US", "en-us+klatt"))
    await caller.start()
    try:
        orders = [await benching.speak(caller, ORDERS[turn % len(ORDERS)]) for turn in range(turns)]
    finally:
        await caller.close()
    with console.status("Starting…"):
        started = await starts(sip=has_sip)
    if started:
        new, again = started
        console.print(
            f"voicebot serve is ready after {again.ready_s:.1f} s, over SIP after {again.sip_s:.1f} s, with "
            f"{again.cpu_s:.1f} s of CPU (median of {LATER}); the first time, with nothing on disk, after "
            f"{new.ready_s:.1f} s, with {new.cpu_s:.1f} s of CPU.\n"
        )
    costs = await benching.media_path(b"".join(orders))
    table = Table(title="CPU for each 20 ms of one call", box=None)
    table.add_column("step")
    table.add_column("µs", justify="right")
    for cost in costs:
        table.add_row(cost.step, f"{cost.us_per_frame:.1f}")
    console.print(table)
    extensions = extension_costs(b"".join(orders))
    for each in extensions:
        console.print(
            f"Bandwidth extension, {each.name}: {each.cpu_ms_per_s} ms of CPU a second; holds back {each.delay_ms} ms."
        )
    treatments = treatment_costs(b"".join(orders))
    for each in treatments:
        begins = f", {each.first_ms} in the beginning" if each.first_ms > each.delay_ms else ""
        console.print(
            f"In front of a recogniser, {each.name}: {each.cpu_ms_per_s} ms of CPU a second; "
            f"holds back {each.delay_ms} ms{begins}."
        )
    sip = None
    if has_sip:
        with console.status("Calling over SIP…"):
            sip = await sip_cost()
    if sip:
        console.print(
            f"\nA second of a SIP call: {sip.worker_ms + sip.service_ms:.1f} ms of CPU, {sip.worker_ms:.1f} of them in "
            f"PJSIP's process ({sip.calls} calls at once, both sides speaking)."
        )
    with console.status("Answering…"):
        first = await first_audio(turns)
    console.print(
        f"\nEnd of turn to first audio, p50 of {first.turns}, with a model's first token after "
        f"{FIRST_TOKEN_S * 1000:.0f} ms and then {TOKENS_S} a second, and a voice's first audio after "
        f"{FIRST_AUDIO_S * 1000:.0f} ms: one after the other {first.one_after_the_other_ms} ms, overlapped "
        f"{first.overlapped_ms} ms, and the model asked {EARLY_MS} ms before the pause was over "
        f"{first.asked_early_ms} ms."
    )
    runtime = Runtime(Settings(record=True))
    with console.status("Talking… (in real time)"):
        await runtime.start()
        try:
            answers = await benching.conversation(runtime, "coffee", orders)
        finally:
            await runtime.close()
    console.print(
        f"\nA call with the embedded default: greeting after {answers.greeting_ms} ms; over {answers.turns} turns, "
        f"median end of speech to turn taken {answers.endpoint_ms} ms, "
        f"to first audio heard {answers.voice_to_voice_ms} ms; the recogniser's own time is {answers.recogniser_ms} ms."
    )
    return {
        "media_path": [asdict(c) for c in costs],
        "bandwidth": [asdict(each) for each in extensions],
        "treatments": [asdict(each) for each in treatments],
        "conversation": asdict(answers),
        "first_audio": asdict(first),
        "sip": asdict(sip) if sip else None,
        "start": [asdict(each) for each in started] if started else None,
    }
