"""Words, outcome and cost of a call as metrics: from its timeline, its reference transcript, or both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from voicebot.core.timeline import Record
from voicebot.replay.measures import timeline, words
from voicebot.replay.measures.definitions import metric
from voicebot.replay.measures.turntaking import NO_TIMELINE
from voicebot.replay.recording import Said
from voicebot.replay.verdict import Aligned, Event, Metric

NO_REFERENCE = "there is no reference transcript"


@dataclass(frozen=True, slots=True)
class Language:
    metrics: tuple[Metric, ...]
    events: tuple[Event, ...]
    transcript: tuple[Aligned, ...]


def language(records: Sequence[Record], reference: Sequence[Said], terms: Sequence[str], bot_s: float) -> Language:
    """`terms`: what has to be heard; empty: the reference's names and numbers. `bot_s`: how long the bot speaks."""
    sided = any(said.side for said in reference)
    truth = [said for said in reference if said.side == "caller" or not sided]
    heard = timeline.heard(records)
    why = NO_REFERENCE if not truth else NO_TIMELINE if not records else ""
    found = None if why else words.errors(truth, heard, "caller")
    wanted = list(terms) or words.terms(truth)
    hits = words.terms_heard(wanted, heard) if wanted and not why else 0
    said = timeline.said(records)
    missed = sum(words.unheard(text, part) for _, text, part, whole in said if not whole)
    spoken = sum(len(words.normalised(part)) for *_, part, _ in said)
    again, hellos = _repetitions(heard or truth, said), _hellos(heard or truth)
    known = bool(heard or truth)
    silent = "" if known else "no words are known of this call"
    metrics = (
        metric("wer", found.wer if found else None, count=found.words if found else None, why=why),
        metric("cer", found.cer if found else None, why=why),
        metric("key_terms", 100 * hits / len(wanted) if wanted and not why else None, count=len(wanted) or None,
               why=why or "no terms are known"),
        metric("heard", " ".join(each.text for each in heard) if records else None, why=NO_TIMELINE),
        metric("unheard_words", missed if said else None, why="" if said else NO_TIMELINE),
        metric("repetitions", len(again) if known else None, why=silent),
        metric("hellos", len(hellos) if known else None, why=silent),
        metric("words_per_minute", spoken * 60 / bot_s if said and bot_s else None, why=NO_TIMELINE),
    )  # fmt: skip
    return Language(metrics, (*again, *hellos), found.aligned if found else ())


def _repetitions(caller: Sequence[Said], bot: Sequence[tuple[int, str, str, bool]]) -> list[Event]:
    found = []
    for before, now in pairwise(caller):
        if words.says_again(before.text, now.text) and now.start_ms is not None:
            found.append(Event("repetition", now.start_ms, now.end_ms or now.start_ms, "caller", now.text))
    for earlier, later in pairwise(bot):
        if words.same_sentence(earlier[1], later[1]):
            found.append(Event("repetition", later[0], later[0], "bot", later[1]))
    return found


def _hellos(caller: Sequence[Said]) -> list[Event]:
    """But for the greeting: what is said first."""
    return [
        Event("hello", said.start_ms or 0, said.end_ms or 0, "caller", said.text)
        for said in caller[1:]
        if words.asks_whether_anybody_is_there(said.text)
    ]


def outcome(records: Sequence[Record], keys: Sequence[Event]) -> list[Metric]:
    """How it ended, what was done on the way, and what that took."""
    why = "" if records else NO_TIMELINE
    tools = timeline.tools(records)
    transfers = [str(record.fields.get("to", "")) for record in records if record.kind == "transfer"]
    faults = [record for record in records if record.kind == "engine" and record.fields.get("fault")]
    said = " ".join(part for *_, part, _ in timeline.said(records))
    end = timeline.ending(records)
    pressed = "".join(key.text for key in keys if key.side != "bot")

    def known(name: str, value: float | str | None, missing: str = "") -> Metric:
        return metric(name, None if why or value is None else value, why=why or missing)

    return [
        known("outcome", end, "its timeline has no end"),
        known("tools", timeline.tools_asked(records)),
        known("transferred", ", ".join(transfers)),
        metric("keys", pressed),
        known("said", said),
        known("asr_s", timeline.asr_s(records)),
        known("tool_s", sum(seconds for *_, seconds in tools)),
        known("tokens", timeline.tokens(records)),
        known("engine_faults", len(faults)),
    ]
