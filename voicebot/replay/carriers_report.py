"""The tables of `voicebot measure carriers`."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table

from voicebot.replay.carriers import Found
from voicebot.replay.load_figures import percentile
from voicebot.replay.shipped import Whole

ROWS = {
    "greeting_ms": "answer to the first audible of the greeting",
    "voice_to_voice_ms": "end of the caller's speech to the first audible of the answer",
    "later_ms": "… later than over the other, the same utterance",
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


def table(found: Sequence[Found]) -> Table:
    """A column for each carrier."""
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


def conversations(wholes: Sequence[Whole]) -> Table:
    """A line for each call."""
    table = Table(box=SIMPLE_HEAD, title="Whole conversations, on recorded voices", title_justify="left")
    for head in ("dialplan", "carrier", "greeting", "answers, ms", "ended", "written down"):
        table.add_column(head)
    for each in wholes:
        answers = ", ".join(f"{ms:.0f}" for ms in each.voice_to_voice_ms)
        tools = "; ".join(f"{name} {args}" for name, args in each.tools if args)
        greeting = "–" if each.greeting_ms is None else f"{each.greeting_ms:.0f}"
        table.add_row(each.dialplan, each.carrier, greeting, answers, each.ended, tools)
    return table
