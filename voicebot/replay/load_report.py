"""The steps of a load as a table, as JSON and as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table

from voicebot.replay.load import LATE_MS, SLOWER_MS, Step, holds

HEADS = ("calls", "CPU ms", "core", "late", "answer", "barge-in", "gaps", "MB", "lag", "own late", "own core", "holds")
WIDTH, HEIGHT, EDGE = 640, 360, 48
INK, LATE, CPU = "#333", "#c0392b", "#2471a3"


def held(steps: Sequence[Step]) -> int:
    """The most calls that are as well off as one."""
    return max((step.calls for step in steps if holds(step, steps[0])), default=0)


def table(steps: Sequence[Step], title: str) -> Table:
    """A line each; times in milliseconds. CPU: of a second of a call; late: messages, p50/p95/p99; answer (end of the
    caller's voice to the bot's) and barge-in (onset to `clear`): p50/p95; gaps: in the bot's speech; lag: of the
    service's loop; own: of the telephones."""
    found = Table(title=title, box=None, header_style="bold")
    for head in HEADS:
        found.add_column(head, justify="right")
    for s in steps:
        found.add_row(
            str(s.calls), f"{s.cpu_ms:.2f}", f"{s.core:.0%}", f"{s.late_p50:.0f}/{s.late_p95:.0f}/{s.late_p99:.0f}",
            f"{s.voice_to_voice_p50:.0f}/{s.voice_to_voice_p95:.0f}",
            f"{s.barge_in_p50:.0f}/{s.barge_in_p95:.0f}", str(s.underruns), f"{s.rss_mb:.0f}",
            f"{s.lag_p99:.1f}", f"{s.own_p99:.1f}", f"{s.own_core:.0%}", "yes" if holds(s, steps[0]) else "no",
        )  # fmt: skip
    return found


def summary(steps: Sequence[Step], lead_ms: float) -> str:
    """What `table` comes to, by the rule of `holds`."""
    return (
        f"Holds {held(steps)} calls: lateness p99 at most {LATE_MS:.0f} ms of the {lead_ms:.0f} that it keeps ready, "
        f"no gap, answers within {SLOWER_MS:.0f} ms of the first line's. {memory_per_call_mb(steps):.2f} MB a call, "
        f"over {base_mb(steps):.0f} MB."
    )


def base_mb(steps: Sequence[Step]) -> float:
    """What the process takes without calls."""
    return steps[0].rss_mb - steps[0].calls * memory_per_call_mb(steps)


def memory_per_call_mb(steps: Sequence[Step]) -> float:
    """What each call adds, between the first and the last step."""
    first, last = steps[0], steps[-1]
    return (last.rss_mb - first.rss_mb) / max(1, last.calls - first.calls)


def as_data(steps: Sequence[Step]) -> dict[str, Any]:
    """For JSON."""
    return {
        "held": held(steps),
        "memory_per_call_mb": round(memory_per_call_mb(steps), 2),
        "memory_base_mb": round(base_mb(steps), 1),
        "steps": [asdict(step) | {"holds": holds(step, steps[0])} for step in steps],
    }


def picture(runs: dict[str, Sequence[Step]]) -> str:
    """An SVG: lateness at the 99th percentile over the number of calls, and the core that it took; dashed for all but
    the first of `runs`."""
    most = max(step.calls for steps in runs.values() for step in steps)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        f'font-size="12"><rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        _line([(0, 0), (0, 1)], INK), _line([(0, 0), (1, 0)], INK),
        _line([(0, LATE_MS / 100), (1, LATE_MS / 100)], LATE, "2 4"),
        _text(0, 1.04, "of a core, 100 % at the top", CPU), _text(0.4, 1.04, "lateness p99, 100 ms at the top", LATE),
        *(_text(calls / most, -0.08, str(calls), INK) for calls in _marks(most)),
    ]  # fmt: skip
    for number, (name, steps) in enumerate(runs.items()):
        dashes = "6 4" if number else ""
        parts.append(_line([(s.calls / most, min(s.core, 1.0)) for s in steps], CPU, dashes))
        parts.append(_line([(s.calls / most, min(s.late_p99 / 100, 1.0)) for s in steps], LATE, dashes))
        parts.append(_text(steps[-1].calls / most - 0.08, min(steps[-1].core, 1.0) + 0.02, name, INK))
    return "".join(parts) + "</svg>\n"


def _marks(most: int) -> list[int]:
    return [round(most * part / 4) for part in range(1, 5)]


def _place(x: float, y: float) -> str:
    return f"{EDGE + x * (WIDTH - 2 * EDGE):.1f},{HEIGHT - EDGE - y * (HEIGHT - 2 * EDGE):.1f}"


def _line(points: Sequence[tuple[float, float]], colour: str, dashes: str = "") -> str:
    places = " ".join(_place(*point) for point in points)
    return f'<polyline points="{places}" fill="none" stroke="{colour}" stroke-width="1.5" stroke-dasharray="{dashes}"/>'


def _text(x: float, y: float, text: str, colour: str) -> str:
    across, down = _place(x, y).split(",")
    return f'<text x="{across}" y="{down}" fill="{colour}">{text}</text>'
