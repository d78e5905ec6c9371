"""The places of a call that are worth listening to first: by how far each is beyond the limit of its metric."""

from __future__ import annotations

from collections.abc import Sequence

from voicebot.replay.measures.exchange import Exchange
from voicebot.replay.measures.timeline import Taken
from voicebot.replay.verdict import Event, Metric, Moment

HOW_MANY = 3
GAP_LIMIT_MS = 1500.0
DELAY_LIMIT_MS = 800.0
AIR_LIMIT_MS = 8000.0
OVER_LIMIT_MS = 2000.0
ALWAYS = {
    "no_yield": ("no_yields", 2.0, "The bot spoke on over the caller"),
    "false_yield": ("false_yields", 1.5, "The bot fell silent for a sound, and stayed so"),
    "cut_off": ("false_cutoffs", 1.5, "The caller had not finished"),
    "one_way": ("one_way", 9.0, "One side is not heard"),
    "fault": ("engine_faults", 2.0, "A fault"),
    "hello": ("hellos", 1.2, "“Hello?”"),
    "repetition": ("repetitions", 1.0, "Said again"),
    "clipping": ("clipping", 0.5, "Clipped"),
}
"""Kind of event → metric, severity, title."""


def worst(
    metrics: Sequence[Metric], events: Sequence[Event], found: Exchange, delays: Sequence[tuple[Taken, int]] = ()
) -> list[Moment]:
    """Three of them at most, the worst first; the same place is named once. `delays`: the timeline's turns, each with
    the end of its speech."""
    known = {each.name for each in metrics if each.value is not None}
    places = [*_gaps(found), *_delays(delays), *map(_of, events)]
    moments = [moment for moment in places if moment is not None and moment.metric in known]
    moments.sort(key=lambda moment: (-moment.severity, moment.at_ms))
    chosen: list[Moment] = []
    for moment in moments:
        if not any(moment.at_ms < other.end_ms and other.at_ms < moment.end_ms for other in chosen):
            chosen.append(moment)
        if len(chosen) == HOW_MANY:
            break
    return chosen


def _gaps(found: Exchange) -> list[Moment]:
    return [
        Moment(
            answer.caller.end_ms, answer.bot.start_ms, f"The answer came after {answer.gap_ms / 1000:.1f} s",
            "response_gap_p95", round(answer.gap_ms / GAP_LIMIT_MS, 3),
        )
        for answer in found.answers
        if answer.bot and answer.gap_ms and answer.gap_ms > 0
    ]  # fmt: skip


def _delays(delays: Sequence[tuple[Taken, int]]) -> list[Moment]:
    return [
        Moment(
            end_ms, taken.at_ms, f"The turn was taken after {(taken.at_ms - end_ms) / 1000:.1f} s",
            "endpoint_delay_p95", round((taken.at_ms - end_ms) / DELAY_LIMIT_MS, 3),
        )
        for taken, end_ms in delays
    ]  # fmt: skip


def _of(event: Event) -> Moment | None:
    length_ms = event.end_ms - event.start_ms
    match event.kind:
        case "dead_air":
            title = f"Nobody spoke for {length_ms / 1000:.1f} s"
            return Moment(event.start_ms, event.end_ms, title, "dead_air", round(length_ms / AIR_LIMIT_MS, 3))
        case "talk_over":
            title = f"Both spoke for {length_ms / 1000:.1f} s"
            return Moment(event.start_ms, event.end_ms, title, "talk_over", round(length_ms / OVER_LIMIT_MS, 3))
        case kind if kind in ALWAYS:
            name, severity, title = ALWAYS[kind]
            title = f"{title}: {event.text}" if event.text and kind == "fault" else title
            return Moment(event.start_ms, max(event.end_ms, event.start_ms + 500), title, name, severity)
        case _:
            return None
