"""The tables of `voicebot measure turns`, and the same as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from voicebot.replay.turn_bench import Trial
from voicebot.replay.turn_clips import INTERRUPTIONS, Kind
from voicebot.replay.turn_figures import Outcome

OBEYED_MS = 600
DEAD_AIR_MS = 8000
EXACT_MS = 20
"""What was taken out of the buffer when `clear` came is played to the end of its frame, and no service can know."""
COLUMNS = {
    "clips": "clips played, one call each; † sound made here, no recording",
    "went on": "the bot's voice never stopped",
    "resumed": "it stopped, and went on with its sentence",
    "yielded": "it stopped for good: right for the first three kinds, false for all others",
    "hold": "from the onset of the voice (20 dB below its loud parts) to `clear` at the telephone, where one came",
    "silence": "from the onset to the last sound of the bot, the last time that it stopped",
    "commit": "from the onset to the decision in the call's record that the caller has the floor",
    "hole": "how long the bot was silent before it went on",
    "jump": "of its sentence, what is missing when it went on; below zero, what was said twice (the widest last)",
}
"""Times in ms, median / 95th percentile."""
PEER = (
    "Measured earlier, for comparison: pipecat-ai 1.14.0, Silero's voice activity, stub engines, by --peer-url on two "
    "busy cores (November 2026): 42 interruptions, onset to silence 340/520 ms, 42 obeyed; of 8 each it yielded for "
    "good to 8 televisions, 6 own echoes, 4 backchannels, to no noise; it never went on with its sentence."
)


def show(console: Console, trials: Sequence[Trial], told: Mapping[str, str]) -> None:
    """What a person reads; `told`: what was measured, and where."""
    for name, value in told.items():
        console.print(f"  [dim]{name:14}[/] {value}", highlight=False)
    console.print()
    table = Table(title="Played over the bot's voice (ms: median / 95th percentile)", box=None, title_justify="left")
    table.add_column("")
    for name in COLUMNS:
        table.add_column(name, justify="right", overflow="fold")
    for kind in Kind:
        if mine := [t for t in trials if t.clip.kind is kind and t.verdict]:
            table.add_row(kind.value + ("†" if any(t.clip.made for t in mine) else ""), *_row(mine))
    console.print(table)
    console.print()
    for name, meaning in COLUMNS.items():
        console.print(f"  [dim]{name:8}  {meaning}[/]", highlight=False)
    console.print()
    for name, value in summary(trials).items():
        console.print(f"  {name:58} {value}", highlight=False)
    console.print(f"\n[dim]{PEER}[/]", highlight=False)


def _row(trials: Sequence[Trial]) -> list[str]:
    verdicts = [t.verdict for t in trials if t.verdict]
    return [
        str(len(trials)),
        *(str(sum(v.outcome is o for v in verdicts)) for o in Outcome),
        spread(v.hold_ms for v in verdicts),
        spread(v.silence_ms for v in verdicts),
        spread(t.commit_ms for t in trials),
        spread(h for v in verdicts for h in v.holes_ms),
        _widest(j for v in verdicts for j in v.jumps_ms),
    ]


def summary(trials: Sequence[Trial]) -> dict[str, str]:
    """The figures that the aims are about."""
    real = [t for t in trials if t.clip.kind in INTERRUPTIONS and t.verdict]
    noise = [t for t in trials if t.clip.kind not in INTERRUPTIONS and t.verdict]
    obeyed = [t.verdict.silence_ms for t in real if t.verdict and t.verdict.outcome is Outcome.YIELDED]
    in_time = sum(ms is not None and ms <= OBEYED_MS for ms in obeyed)
    kept = sum(t.verdict is not None and t.verdict.outcome is not Outcome.YIELDED for t in noise)
    jumps = [j for t in trials if t.verdict for j in t.verdict.jumps_ms]
    texts = [t.text for t in trials if t.text]
    return {
        "interruptions: onset to hold": spread(t.verdict.hold_ms for t in real if t.verdict) + " ms",
        "interruptions: onset to silence heard": spread(obeyed) + " ms",
        "interruptions: onset to commit": spread(t.commit_ms for t in real) + " ms",
        "interruptions obeyed": share(len(obeyed), len(real)),
        f"… within {OBEYED_MS} ms": share(in_time, len(real)),
        "no interruption, and not yielded to for good": share(kept, len(noise)),
        "went on where it stopped: off by, missing or said twice": spread(abs(j) for j in jumps) + " ms",
        f"… within {EXACT_MS} ms, a frame": share(sum(abs(j) <= EXACT_MS for j in jumps), len(jumps)),
        "heard text: words off, median / p95; within one word": (
            f"{spread(abs(t.words) for t in texts)}; {share(sum(abs(t.words) <= 1 for t in texts), len(texts))}"
        ),
        "heard text: ms off": spread(t.off_ms for t in texts),
        "holes because the bot's audio came late": str(sum(t.verdict.stutters for t in trials if t.verdict)),
        "longest mutual silence": f"{max((t.silence_ms for t in trials), default=0)} ms; "
        f"{sum(t.silence_ms > DEAD_AIR_MS for t in trials)} calls over {DEAD_AIR_MS} ms",
        "the telephone's own lateness, worst tick of a call": spread(t.late_ms for t in trials) + " ms",
        "messages that a carrier would not understand": str(sum(len(t.strange) for t in trials)),
        "calls without anything known to be heard": str(sum(t.verdict is None for t in trials)),
    }


def _widest(jumps: Iterable[float]) -> str:
    known = list(jumps)
    return f"{np.percentile(known, 50):.0f}/{max(known, key=abs):.0f}" if known else "–"


def share(part: int, whole: int) -> str:
    return f"{part} of {whole} ({part / whole:.0%})" if whole else "–"


def spread(values: Iterable[float | None]) -> str:
    """Median / 95th percentile."""
    known = [v for v in values if v is not None]
    return f"{np.percentile(known, 50):.0f}/{np.percentile(known, 95):.0f}" if known else "–"


def as_json(trials: Sequence[Trial], told: Mapping[str, str]) -> dict[str, Any]:
    """Every trial, and the summary."""
    rows = []
    for t in trials:
        row = asdict(t)
        row["clip"] = {"name": t.clip.name, "kind": t.clip.kind.value, "made": t.clip.made}
        rows.append(row)
    return {"told": dict(told), "summary": summary(trials), "trials": rows}
