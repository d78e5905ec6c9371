"""A recorded call judged: sound, packets and timeline in; turns, events, every metric and the worst moments out.

No engine is needed, and it may be any system's call. The same recording gives the same verdict, byte for byte.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from voicebot.core.timeline import Record
from voicebot.replay.measures import line, speech, timeline, turntaking
from voicebot.replay.measures.definitions import metric
from voicebot.replay.measures.exchange import Exchange, Spoken, exchange, speaking_ms
from voicebot.replay.measures.language import language, outcome
from voicebot.replay.measures.speech import Voice
from voicebot.replay.measures.turntaking import MIXED
from voicebot.replay.measures.worst import worst
from voicebot.replay.recording import RATE, CallAudio, Samples, at_phone_rate
from voicebot.replay.verdict import Answer, Event, Metric, Side, Turn, Verdict

NEEDS_TWO = (
    "response_gap_p50 response_gap_p95 response_gap_max tool_gap_p95 endpoint_delay_p50 endpoint_delay_p95 "
    "timeline_apart_p50 stop_time_p95 false_cutoffs false_yields no_yields unanswered talk_over talk_over_s "
    "talk_over_by_bot talk_ratio monologue"
).split()
"""What nobody can know of a recording in which all voices are in one channel."""


def score(call: CallAudio, mode: Literal["score", "rehear", "rerun"] = "score", terms: Sequence[str] = ()) -> Verdict:
    """The verdict. `terms`: what has to be heard right; empty: the reference's names and numbers."""
    rate, call = call.rate, at_phone_rate(call)
    voices, keys = _hear(call)
    duration_ms = call.duration_ms
    found = exchange(voices, duration_ms)
    records = call.records
    over, cut = turntaking.overs(found, records), turntaking.cut_offs(found, records)
    quiet = turntaking.dead_air(found, timeline.on_hold(records, duration_ms), keys)
    bot_s = speaking_ms(voices["bot"]) / 1000
    told = language(records, call.reference, terms, bot_s)
    media, faults = _media(call, voices)
    metrics = [
        *turntaking.latency(found, records, over),
        *turntaking.turntaking(found, records, over, quiet, cut),
        *told.metrics,
        *outcome(records, keys),
        *media,
    ]
    if call.mixed:
        metrics = [metric(each.name, None, why=MIXED) if each.name in NEEDS_TWO else each for each in metrics]
    events = [
        *([] if call.mixed else turntaking.events(found, over, quiet, cut[1])),
        *(Event("dead_air", start, end) for start, end in quiet if call.mixed),
        *keys, *told.events, *faults, *timeline.events(records),
    ]  # fmt: skip
    events.sort(key=lambda event: (event.start_ms, event.kind))
    delays = turntaking.matched(found, timeline.taken(records))
    turns = _turns(found, call, rate)
    return Verdict(
        name=call.name,
        mode=mode,
        source=call.source,
        duration_ms=duration_ms,
        turns=tuple(turns),
        answers=() if call.mixed else tuple(_answers(found, records)),
        events=tuple(events),
        metrics=tuple(metrics),
        worst=tuple(worst(metrics, events, found, delays)),
        transcript=told.transcript,
        versions=timeline.versions(records),
    )


def _hear(call: CallAudio) -> tuple[dict[Side, list[Voice]], list[Event]]:
    """Each side's voices without the tones of keys, and the keys."""
    voices: dict[Side, list[Voice]] = {"caller": [], "bot": []}
    keys = [event for event in call.events if event.kind == "dtmf"]
    sides: list[tuple[Side, Samples | None]] = [("caller", call.caller), ("bot", call.bot)]
    for side, samples in sides:
        if samples is None:
            continue
        level = speech.levels(samples)
        tones = line.tones(samples, side, level)
        keys = line.merged(keys, tones)
        voices[side] = line.without_keys(speech.voices(samples, level), tones)
    caller, bot = voices["caller"], voices["bot"]
    return {"caller": speech.without_leaks(caller, bot), "bot": speech.without_leaks(bot, caller)}, keys


def _turns(found: Exchange, call: CallAudio, rate: int) -> list[Turn]:
    """With their words, where the timeline or the reference has them."""
    taken = [(pair[1], pair[0].text) for pair in turntaking.matched(found, timeline.taken(call.records))]
    said = timeline.said(call.records)
    turns = []
    for spoken in found.turns:
        start, end = (at * rate // RATE for at in (spoken.voices[0].start, spoken.voices[-1].end))
        text, heard = _text(spoken, taken, said, call)
        turns.append(Turn(spoken.side, spoken.start_ms, spoken.end_ms, start, end, text, (), heard))
    return turns


def _text(
    spoken: Spoken, taken: Sequence[tuple[int, str]], said: Sequence[tuple[int, str, str, bool]], call: CallAudio
) -> tuple[str, str]:
    """What a turn said, and of the bot's how much was heard of it where that was not all."""
    first, last = spoken.start_ms, spoken.end_ms
    if call.records and spoken.side == "caller":
        return " ".join(text for end_ms, text in taken if first <= end_ms <= last + 1 and text), ""
    if call.records:
        mine = [each for each in said if first < each[0] <= last + timeline.NEAR_MS]
        cut = any(not whole for *_, whole in mine)
        return " ".join(each[1].strip() for each in mine), " ".join(each[2].strip() for each in mine) if cut else ""
    mine_too = [
        each.text
        for each in call.reference
        if each.start_ms is not None
        and each.end_ms is not None
        and each.side in (spoken.side, None)
        and first <= (each.start_ms + each.end_ms) // 2 <= last
    ]
    return " ".join(mine_too), ""


def _answers(found: Exchange, records: Sequence[Record]) -> list[Answer]:
    place = {id(turn): number for number, turn in enumerate(found.turns)}
    answers = []
    for each in found.answers:
        steps = timeline.steps(records, each.caller.end_ms, each.bot.start_ms) if each.bot else ()
        bot = place[id(each.bot)] if each.bot else None
        tool = turntaking.tool_between(each, records)
        answers.append(Answer(place[id(each.caller)], bot, each.gap_ms, tool, steps))
    return answers


def _media(call: CallAudio, voices: dict[Side, list[Voice]]) -> tuple[list[Metric], list[Event]]:
    """The line's metrics, and what of it has a time."""
    no_packets = "the recording has no packets"
    media = [each for _, each in call.media]
    events: list[Event] = []
    clipping, dc = 0.0, 0.0
    level: dict[Side, float | None] = {"caller": None, "bot": None}
    sides: list[tuple[Side, Samples | None]] = [("caller", call.caller), ("bot", call.bot)]
    for side, samples in sides:
        if samples is None or not len(samples):
            continue
        share, places = line.clipped(samples, voices[side])
        clipping, dc = max(clipping, share), max(dc, line.direct_current(samples))
        level[side] = line.level_dbov(samples, voices[side])
        events += [Event("clipping", start, end, side) for start, end in places]
    silent = line.one_way(call, voices)
    events += [Event("one_way", 0, call.duration_ms, side, f"nothing is heard of the {side}") for side in silent]
    loss = max((100 * each.lost / max(1, each.packets + each.lost) for each in media), default=None)
    why = "" if media else no_packets
    metrics = [
        metric("loss", loss, why=why),
        metric("jitter_p95", max((each.jitter_p95_ms for each in media), default=None), why=why),
        metric("jitter", max((each.jitter_ms for each in media), default=None), why=why),
        metric("concealed", max((each.concealed_ms for each in media), default=None), why=why),
        metric("mos", min((line.mos(each) for each in media), default=None), why=why),
        metric("clipping", clipping),
        metric("level_caller", level["caller"], why="" if level["caller"] is not None else "the caller is not heard"),
        metric("level_bot", level["bot"], why="" if level["bot"] is not None else "the bot is not heard"),
        metric("dc", dc),
        metric("one_way", None if call.mixed else len(silent), why=MIXED if call.mixed else ""),
    ]
    return metrics, events
