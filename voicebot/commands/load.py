"""`voicebot measure load`: how many calls one core holds, and what each costs."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import sys
import tempfile
from collections.abc import Coroutine
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import soundfile
import typer
import numpy as np
from rich.console import Console
from rich.table import Table

from voicebot import log
from voicebot.engines.base import EngineConfig
from voicebot.engines.registry import load as engine
from voicebot.errors import UsageError
from voicebot.replay import bench, load
from voicebot.replay.carrier import serving
from voicebot.replay.load import Step
from voicebot.replay.load_talk import Clip, clip

CALLED = "+15550100000"
ASKED = ("Can you tell me the opening hours, please?", "And what about Saturday?", "I would like to book a table.")
ANSWER = "Of course, I can help you with that. What else can I do for you?"
PLAN = """
name: load
description: Answers everything with the same sentence.
takes: {{numbers: ["{called}"]}}
engines:
  asr: [stub]
  llm: [stub]
  tts: [stub]
  options:
    asr_stub: {{final_s: {final_s}}}
    llm_stub: {{first_token_s: {first_token_s}}}
    tts_stub: {{wav: "{wav}", first_audio_s: {first_audio_s}}}
limits: {{max_call_s: 7200}}
start: hello
nodes: {{hello: {{say: Hello., intents: {{bye: {{title: to leave, examples: [goodbye], do: [{{hang_up: Bye.}}]}}}}}}}}
"""
PROGRAM = ("-m", "voicebot.commands.stub_serve")


def measure_load(
    calls: Annotated[str, typer.Option(help="Calls at once, step by step.")] = "1,40,80,100,120",
    seconds: Annotated[float, typer.Option(min=2, help="Each step is measured for.")] = 10,
    barge: Annotated[float, typer.Option(min=0, max=1, help="Share of answers that are interrupted.")] = 0.3,
    out: Annotated[Path | None, typer.Option(help="Write the figures as JSON, too.")] = None,
    record: Annotated[bool, typer.Option(help="Record the calls.")] = True,
    keep_pid: Annotated[Path | None, typer.Option(help="Write the service's process id here.")] = None,
) -> None:
    """How many calls one core holds: telephones by the hundred, engines that take a set time and no CPU."""
    log.configure(level="error")
    console = Console()
    steps = _run(_load([int(each) for each in calls.split(",")], seconds, barge, record, console, keep_pid))
    console.print(_table(steps))
    if out:
        out.write_text(json.dumps([asdict(each) for each in steps], indent=1))


def _run(work: Coroutine[Any, Any, list[Step]]) -> list[Step]:
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


async def _load(
    counts: list[int], seconds: float, barge: float, record: bool, console: Console, keep_pid: Path | None
) -> list[Step]:
    cores = sorted(os.sched_getaffinity(0))
    console.print(f"[dim]{platform.platform()}, Python {platform.python_version()}, {len(cores)} cores[/]")
    with tempfile.TemporaryDirectory(prefix="voicebot-load-") as folder:
        wav = Path(folder) / "answer.wav"
        clips = await voices(wav)
        plan = PLAN.format(called=CALLED, wav=wav, final_s=0.1, first_token_s=0.25, first_audio_s=0.12)
        settings = {"sip_port": "0", "max_calls": "100000", "record": str(record).lower(), "log_level": "warning"}
        async with serving({"load": plan}, PROGRAM, {cores[0]}, **settings) as service:
            if keep_pid:
                keep_pid.write_text(str(service.pid))
            os.sched_setaffinity(0, set(cores[1:]) or {cores[0]})
            steps: list[Step] = []
            async with load.exchange(lambda n: service.ring(f"+1555{n:07}", CALLED), clips, barge) as exchange:
                for count in counts:
                    await exchange.ramp(count)
                    steps.append(await load.measure(exchange, service.pid, seconds, lambda: load.loop_lag(service.web)))
                    console.print(_line(steps[-1], steps[0]))
            return steps


async def voices(wav: Path) -> list[Clip]:
    """What the callers say, and in `wav` what the bot says, both by the voice that is built in."""
    voice = engine("tts", "espeak").create(EngineConfig("en-US", "en-us+klatt"))
    await voice.start()
    try:
        answer = clip(await bench.speak(voice, ANSWER))
        from voicebot.audio.g711 import ulaw_decode

        soundfile.write(wav, np.frombuffer(ulaw_decode(answer.speech.ulaw), "<i2"), 8000)
        return [clip(await bench.speak(voice, text)) for text in ASKED]
    finally:
        await voice.close()


def _line(s: Step, one: Step) -> str:
    word = "holds" if load.holds(s, one) else "[red]does not hold[/]"
    return (
        f"{s.calls:4} calls: {s.cpu_ms:5.2f} ms CPU/call-s, {s.core:4.0%} of a core, late {s.late_p50:.1f}/{s.late_p95:.1f}/"
        f"{s.late_p99:.1f}, v2v {s.voice_to_voice_p50:.0f}/{s.voice_to_voice_p95:.0f} ({s.answers}), barge "
        f"{s.barge_in_p50:.0f}/{s.barge_in_p95:.0f} ({s.barge_ins}, {s.ignored} ign), under {s.underruns}, unans {s.unanswered}, "
        f"rss {s.rss_mb:.0f}, thr {s.threads}, fd {s.descriptors}, lag {s.lag_p99:.1f}, own {s.own_p99:.1f} {s.own_core:.0%} {word}"
    )


def _table(steps: list[Step]) -> Table:
    table = Table(box=None)
    return table
