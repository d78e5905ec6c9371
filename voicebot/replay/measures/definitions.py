"""Every metric's definition, printed wherever its value is: what is measured, from what, and when it is an alarm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from voicebot.replay.verdict import Exact, Group, Metric, Rule, Semantic, Tolerance

FEW = 10
"""Of fewer events a share is no share: the page shows the count."""
LATENCY = Tolerance(50.0, 0.10)


@dataclass(frozen=True, slots=True)
class Defined:
    title: str
    group: Group
    unit: str
    definition: str
    limit: float | None = None
    rule: Rule = field(default_factory=Exact)
    better: Literal["lower", "higher", "same"] = "lower"


_GAP = "From the end of the caller's speech to the beginning of the bot's answer, where the bot answers"
_STOP = "From the onset of the caller's speech over the bot's to the bot's silence on the line"
_SHARE = Tolerance(1.0)

DEFINED: dict[str, Defined] = {
    "response_gap_p50": Defined("Response gap, median", "latency", "ms", f"{_GAP}; the median.", None, LATENCY),
    "response_gap_p95": Defined("Response gap, 95th percentile", "latency", "ms", f"{_GAP}.", 1500.0, LATENCY),
    "response_gap_max": Defined("Response gap, longest", "latency", "ms", f"{_GAP}; the longest.", None, LATENCY),
    "tool_gap_p95": Defined(
        "Response gap with a tool, 95th percentile", "latency", "ms", f"{_GAP} and called a tool first.",
        2500.0, LATENCY
    ),
    "endpoint_delay_p50": Defined(
        "Endpoint delay, median", "latency", "ms",
        "From the end of the caller's speech to the record that their turn is over; the median.", None, LATENCY,
    ),
    "endpoint_delay_p95": Defined(
        "Endpoint delay, 95th percentile", "latency", "ms",
        "From the end of the caller's speech to the record that their turn is over.", 800.0, LATENCY,
    ),
    "timeline_apart_p50": Defined(
        "Timeline against the sound, median", "latency", "ms",
        "How far apart the end of a turn is in the call's timeline and in the sound; the median.",
        None, Tolerance(20.0),
    ),
    "stop_time_p95": Defined(
        "Stop time, 95th percentile", "latency", "ms",
        f"{_STOP}, where the caller speaks for 600 ms or more and the bot had not finished of itself.", 600.0,
        Tolerance(50.0, 0.10),
    ),
    "false_cutoffs": Defined(
        "False cut-offs", "turns", "%",
        "Turns that were taken although the caller went on within 700 ms: after the turn's record, "
        "or where there is no "
        "timeline after the bot began to answer.", 5.0, _SHARE,
    ),
    "false_yields": Defined(
        "False yields", "turns", "%",
        "Sounds of the caller under 600 ms, over the bot's speech, at which the bot fell silent "
        "within 800 ms and nobody "
        "spoke for 2 s after; of all such sounds.", 5.0, _SHARE,
    ),
    "no_yields": Defined(
        "Not yielded", "turns", "",
        "Times that the bot spoke on for 2 s or more although the caller, for 600 ms or more, spoke, too.", 0.0,
    ),
    "unanswered": Defined(
        "Unanswered turns", "turns", "",
        "Turns of the caller after which the caller spoke again, or 15 s passed, before the bot did.", None,
    ),
    "talk_over": Defined(
        "Talk-over", "turns", "%", "Time in which both speak, of the time in which anybody does.", 5.0, Tolerance(1.0),
    ),
    "talk_over_s": Defined("Talk-over, seconds", "turns", "s", "Time in which both speak.", None, Tolerance(0.2)),
    "talk_over_by_bot": Defined(
        "Talk-over begun by the bot", "turns", "", "Times that the bot began while the caller spoke.", None,
    ),
    "dead_air": Defined(
        "Dead air", "turns", "",
        "Times that nobody spoke for more than 2 s; hold and the keying of digits do not count.", 3.0,
    ),
    "dead_air_s": Defined("Dead air, seconds", "turns", "s", "Their length together.", None, Tolerance(0.5, 0.10)),
    "dead_air_longest": Defined("Dead air, longest", "turns", "s", "The longest of them.", 8.0, Tolerance(0.5)),
    "talk_ratio": Defined(
        "Caller's share of the talk", "turns", "%", "The caller's speaking time, of both sides' together.", None,
        Tolerance(5.0), "same",
    ),
    "turns": Defined("Turns", "turns", "", "Of both sides.", None, Tolerance(2.0), "same"),
    "monologue": Defined(
        "Longest monologue", "turns", "s", "The bot's longest stretch of speech without a pause of 2 s.",
        30.0, Tolerance(2.0),
    ),
    "wer": Defined(
        "Word error rate", "language", "%",
        "Words of the caller's that were heard wrong, missed or made up, of the words of the reference; both in lower "
        "case, without punctuation and fillers, contractions and numbers written out (jiwer).", None, Tolerance(1.0),
    ),
    "cer": Defined(
        "Character error rate", "language", "%", "The same by characters.", None, Tolerance(1.0),
    ),
    "key_terms": Defined(
        "Key terms heard", "language", "%",
        "Of the terms that were given, or else of the reference's names and numbers, those that were heard.", None,
        Tolerance(1.0), "higher",
    ),
    "heard": Defined(
        "What the caller was heard to say", "language", "", "The turns' words, in order.", None, Semantic(), "same",
    ),
    "unheard_words": Defined(
        "Words said and not heard", "language", "", "Words that the bot made and the caller did not hear: cut off.",
        None,
        Tolerance(5.0), "same",
    ),
    "repetitions": Defined(
        "Repetitions", "language", "",
        "Turns of the caller that say again what the one before said (nine tenths of the letters, or all the words and "
        "others), and sentences of the bot's that are the one before.",
        1.0,
    ),
    "hellos": Defined(
        "“Hello?”", "language", "", "Times that the caller asked whether anybody is there.", 1.0,
    ),
    "words_per_minute": Defined(
        "Bot's words a minute", "language", "", "Words heard of the bot in a minute of its speech.", None,
        Tolerance(15.0), "same",
    ),
    "outcome": Defined("Outcome", "outcome", "", "Why the call ended, as its timeline has it.", None, Exact(), "same"),
    "tools": Defined(
        "Tools", "outcome", "", "Tools that were called and with what, in order, and whether they worked.",
        None, Exact(), "same",
    ),
    "transferred": Defined("Transferred to", "outcome", "", "Whom the call was put through to.", None, Exact(), "same"),
    "keys": Defined(
        "Keys", "outcome", "", "Keys of the caller, as events and as tones in the sound, in order.",
        None, Exact(), "same"
    ),
    "said": Defined("What the bot said", "outcome", "", "As heard, in order.", None, Semantic(), "same"),
    "loss": Defined("Packets lost", "media", "%", "Sequence numbers that never came; the worse side.", 2.0, _SHARE),
    "jitter_p95": Defined(
        "Jitter, 95th percentile", "media", "ms",
        "|transit time - its median|, from capture times and RTP time stamps; the worse side.", 40.0, Tolerance(10.0),
    ),
    "jitter": Defined(
        "Jitter, RFC 3550", "media", "ms", "The largest running estimate (§6.4.1); the worse side.",
        None, Tolerance(10.0),
    ),
    "concealed": Defined(
        "Concealed", "media", "ms",
        "Sound that never came, or later than a fixed buffer of 60 ms waits; the worse side.", None, Tolerance(200.0),
    ),
    "clipping": Defined(
        "Clipping", "media", "‰", "Samples of speech at full scale, three or more running; the worse side.",
        1.0, Tolerance(0.5),
    ),
    "level_caller": Defined(
        "Caller's level", "media", "dBov", "Power of the speech alone.", None, Tolerance(3.0), "same",
    ),
    "level_bot": Defined("Bot's level", "media", "dBov", "Power of the speech alone.", None, Tolerance(3.0), "same"),
    "dc": Defined(
        "Direct current", "media", "%", "Mean of all samples, of full scale; the worse side.", 1.0, Tolerance(0.5),
    ),
    "one_way": Defined(
        "One-way audio", "media", "", "Sides of which nothing is heard while the other speaks for 5 s or more.", 0.0,
    ),
    "mos": Defined(
        "MOS, estimated", "media", "",
        "ITU-T G.107 from loss and jitter alone: R = 93.2 - Id - Ie,eff; G.711 with concealment "
        "(Bpl 25.1), one-way delay "
        "taken as 60 ms of buffer and 50 ms of network. An estimate; nobody listened.", 3.6, Tolerance(0.1), "higher",
    ),
    "asr_s": Defined(
        "Recogniser's own time", "cost", "s", "Between the end of turns and their final words.",
        None, Tolerance(0.5, 0.2),
    ),
    "tool_s": Defined("Tools' time", "cost", "s", "As the timeline has it.", None, Tolerance(0.5, 0.2)),
    "tokens": Defined(
        "Tokens", "cost", "", "Of language models, in and out, as the timeline has them.", None, Tolerance(0.0, 0.2),
    ),
    "engine_faults": Defined("Engine faults", "cost", "", "Times that an engine failed, stalled or was replaced.", 0.0),
}  # fmt: skip


def metric(
    name: str,
    value: float | str | None,
    *,
    samples: Sequence[float] = (),
    count: int | None = None,
    why: str = "",
) -> Metric:
    """A value with its definition; whether it is an alarm follows from its limit."""
    what = DEFINED[name]
    why = "" if value is not None else why
    rounded = round(float(value), 3) if isinstance(value, int | float) else value
    beyond = (
        isinstance(rounded, float)
        and what.limit is not None
        and (rounded < what.limit if what.better == "higher" else rounded > what.limit)
    )
    return Metric(
        name, what.title, what.group, rounded, what.unit, what.definition, what.rule, what.better, what.limit, beyond,
        count if count is not None else len(samples) or None, tuple(round(float(each), 3) for each in samples), why,
    )  # fmt: skip


def percentile(samples: Sequence[float], share: int) -> float:
    """The smallest of the samples that so many hundredths of them do not exceed."""
    return float(np.percentile(np.asarray(samples, float), share, method="inverted_cdf"))
