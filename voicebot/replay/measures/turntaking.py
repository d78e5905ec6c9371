"""Latency and turn-taking of a call as metrics, and the events that the page shows for them."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from voicebot.core.timeline import Record
from voicebot.replay.measures import timeline
from voicebot.replay.measures.definitions import metric, percentile
from voicebot.replay.measures.exchange import (
    OVER_MS,
    PAUSE_MS,
    RUN_MS,
    YIELD_MS,
    Answered,
    Exchange,
    Over,
    Span,
    runs,
    speaking_ms,
    total_ms,
)
from voicebot.replay.measures.timeline import NEAR_MS, Taken
from voicebot.replay.verdict import Event, Metric

RESUMED_MS = 700
"""Who speaks on within this had not finished."""
EDGE_MS = 20
"""The edges of two voices are known to half of this: so much before the end is at the end."""
NO_TIMELINE = "the recording has no timeline of ours"
MIXED = "all voices are in one channel"


@dataclass(frozen=True, slots=True)
class Overs:
    """What became of each voice over the bot's."""

    stopped: tuple[Over, ...]
    ignored: tuple[Over, ...]
    yielded: tuple[Over, ...]
    """For nothing."""
    short: int
    """How many were short enough to be nothing."""


def overs(found: Exchange, records: Sequence[Record]) -> Overs:
    """Barge-ins, interruptions that were ignored, and false yields."""
    finished = [at_ms for at_ms, _, _, whole in timeline.said(records) if whole]
    stopped, ignored, yielded, short = [], [], [], 0
    for over in found.over:
        ends_ms = over.start_ms + over.stop_ms
        of_itself = any(abs(at_ms - ends_ms) < RUN_MS for at_ms in finished)
        if over.short:
            short += 1
            if over.stop_ms <= YIELD_MS and over.silent_ms >= PAUSE_MS and not of_itself:
                yielded.append(over)
        elif over.stop_ms >= OVER_MS:
            ignored.append(over)
        elif not of_itself:
            stopped.append(over)
    return Overs(tuple(stopped), tuple(ignored), tuple(yielded), short)


def tool_between(answer: Answered, records: Sequence[Record]) -> bool:
    """Whether a tool ran between a turn and its answer."""
    if answer.bot is None:
        return False
    return any(answer.caller.end_ms <= at_ms <= answer.bot.start_ms for at_ms, *_ in timeline.tools(records))


def latency(found: Exchange, records: Sequence[Record], taken: Overs) -> list[Metric]:
    """Gaps, endpoint delays, stop times."""
    gaps: dict[bool, list[float]] = {False: [], True: []}
    for answer in found.answers:
        if answer.gap_ms is not None and answer.gap_ms >= -EDGE_MS:
            gaps[tool_between(answer, records)].append(float(max(0, answer.gap_ms)))
    plain, tool = gaps[False], gaps[True]
    turns = matched(found, timeline.taken(records))
    delays = [float(each.at_ms - end_ms) for each, end_ms in turns]
    apart = [float(abs(each.end_ms - end_ms)) for each, end_ms in turns]
    why = "" if records else NO_TIMELINE
    return [
        _percentile("response_gap_p50", plain, 50, "the bot answered nothing"),
        _percentile("response_gap_p95", plain, 95, "the bot answered nothing"),
        _percentile("response_gap_max", plain, 100, "the bot answered nothing"),
        _percentile("tool_gap_p95", tool, 95, why or "no tool was called"),
        _percentile("endpoint_delay_p50", delays, 50, why or "no turn was taken"),
        _percentile("endpoint_delay_p95", delays, 95, why or "no turn was taken"),
        _percentile("timeline_apart_p50", apart, 50, why or "no turn was taken"),
        _percentile("stop_time_p95", [float(over.stop_ms) for over in taken.stopped], 95, "nobody interrupted the bot"),
    ]


def matched(found: Exchange, taken: Sequence[Taken]) -> list[tuple[Taken, int]]:
    """The timeline's turns with the end of speech that the sound has for them; the call's own where it has none."""
    ends = [voice.end_ms for voice in found.voices["caller"]]
    pairs = []
    for turn in taken:
        around = ends[bisect_left(ends, turn.end_ms - NEAR_MS) : bisect_right(ends, turn.end_ms + NEAR_MS)]
        near = [end for end in around if end <= turn.at_ms]
        pairs.append((turn, min(near, key=lambda end: abs(end - turn.end_ms)) if near else turn.end_ms))
    return pairs


def _percentile(name: str, samples: list[float], share: int, why: str) -> Metric:
    if not samples:
        return metric(name, None, why=why)
    return metric(name, percentile(samples, share), samples=samples)


def cut_offs(found: Exchange, records: Sequence[Record]) -> tuple[int, list[Span]]:
    """(turns that were taken, spans from the taking to the caller's going on)."""
    onsets = [start for start, _ in runs(found.voices["caller"], 200)]
    taken = timeline.taken(records)
    if taken:
        marks = [turn.at_ms for turn in taken]
    else:
        marks = [a.bot.start_ms for a in found.answers if a.bot and (a.gap_ms or 0) >= -EDGE_MS]
    spans = []
    for at_ms in marks:
        after = bisect_right(onsets, at_ms)
        if after < len(onsets) and onsets[after] <= at_ms + RESUMED_MS:
            spans.append((at_ms, onsets[after]))
    return len(marks), spans


def turntaking(
    found: Exchange, records: Sequence[Record], taken: Overs, quiet: Sequence[Span], cut: tuple[int, list[Span]]
) -> list[Metric]:
    """Who let whom speak. `quiet`: dead air, hold and keying taken out."""
    caller_ms, bot_ms = (speaking_ms(found.voices[side]) for side in ("caller", "bot"))
    both_ms = total_ms([span for _, span in found.both])
    anybody_ms = caller_ms + bot_ms - both_ms
    marks, spans = cut
    monologues = [end - start for start, end in runs(found.voices["bot"], PAUSE_MS)]
    unanswered = [answer for answer in found.answers if answer.bot is None]
    begun = {span for side, span in found.both if side == "bot"}
    lengths = [(end - start) / 1000 for start, end in quiet]
    return [
        metric("false_cutoffs", 100 * len(spans) / marks if marks else None, count=marks, why="no turn was taken"),
        metric(
            "false_yields", 100 * len(taken.yielded) / taken.short if taken.short else None, count=taken.short,
            why="the caller made no short sound over the bot's speech",
        ),
        metric("no_yields", len(taken.ignored), count=len(found.over)),
        metric("unanswered", len(unanswered), count=len(found.answers)),
        metric("talk_over", 100 * both_ms / anybody_ms if anybody_ms else None, why="nobody speaks"),
        metric("talk_over_s", both_ms / 1000, samples=[(end - start) / 1000 for _, (start, end) in found.both]),
        metric("talk_over_by_bot", len(begun)),
        metric("dead_air", len(quiet), samples=lengths),
        metric("dead_air_s", sum(lengths)),
        metric("dead_air_longest", max(lengths, default=0.0)),
        metric("talk_ratio", 100 * caller_ms / (caller_ms + bot_ms) if anybody_ms else None, why="nobody speaks"),
        metric("turns", len(found.turns)),
        metric("monologue", max(monologues, default=0) / 1000),
    ]  # fmt: skip


def dead_air(found: Exchange, hold: Sequence[Span], keys: Sequence[Event]) -> list[Span]:
    """Silences of more than two seconds in which nobody holds the line and nobody keys."""
    return [
        (start, end)
        for start, end in found.silences
        if not any(start < until and since < end for since, until in hold)
        and not any(start - PAUSE_MS < key.start_ms < end for key in keys)
    ]


def events(found: Exchange, taken: Overs, quiet: Sequence[Span], spans: Sequence[Span]) -> list[Event]:
    """All of it that has a time."""
    return [
        *(Event("talk_over", start, end, side, f"{side} began") for side, (start, end) in found.both),
        *(
            Event("barge_in", o.start_ms, o.start_ms + o.stop_ms, "caller", f"silent after {o.stop_ms} ms")
            for o in taken.stopped
        ),
        *(Event("no_yield", o.start_ms, o.start_ms + o.stop_ms, "bot", "spoke on") for o in taken.ignored),
        *(
            Event("false_yield", o.start_ms, o.start_ms + o.stop_ms + o.silent_ms, "bot", "fell silent")
            for o in taken.yielded
        ),
        *(Event("dead_air", start, end, None, f"{(end - start) / 1000:.1f} s") for start, end in quiet),
        *(Event("cut_off", start, end, "bot", f"the caller went on after {end - start} ms") for start, end in spans),
    ]
