"""A judged call as plain data: who spoke when, what happened, every figure with its definition, the worst moments.

It is what `replay` commands hand to each other and write as `report.json`; pydantic reads and describes it at that
boundary (`read`, `schema`). Times are integers of milliseconds from the beginning of the recording; a turn has its
exact samples, too. Nothing in here computes: `scoring` fills it from audio, `golden` compares two of them, `page`
draws it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import orjson
from pydantic import TypeAdapter, ValidationError

from voicebot.errors import UsageError

VERSION = 1
"""Of the form. A reader refuses another one."""

Side = Literal["caller", "bot"]
OTHER: dict[Side, Side] = {"caller": "bot", "bot": "caller"}
Group = Literal["latency", "turns", "language", "outcome", "media", "cost"]


@dataclass(frozen=True, slots=True)
class Source:
    """Where the audio came from."""

    kind: str
    """`stereo file`, `two files`, `capture`, `call folder`, `mono file` …, for people."""
    files: tuple[str, ...]
    """Names, without their folders."""
    sides: str
    """How it is known who is who: `told`, `as Twilio records`, `by the SIP dialogue`, `found: …`."""
    rate: int
    """Samples a second of the audio as recorded."""
    uncertainty_ms: float = 0.0
    """By how much every latency may be wrong because of the container (MP3); 0.0: by a sample."""
    notes: tuple[str, ...] = ()
    """What a reader of the figures should know, a sentence each."""


@dataclass(frozen=True, slots=True)
class Word:
    text: str
    start_ms: int
    end_ms: int
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """One stretch of a side's speech, with the pauses in it."""

    side: Side
    start_ms: int
    end_ms: int
    start_sample: int
    """At `Source.rate`."""
    end_sample: int
    text: str = ""
    words: tuple[Word, ...] = ()
    heard: str = ""
    """Of a bot's turn that was cut off: as much of `text` as was heard; empty where it all was, or nobody knows."""


@dataclass(frozen=True, slots=True)
class Step:
    """One stage of an answer, as far as the timeline has it: `endpoint`, `final words`, `first token`, `voice` …"""

    name: str
    at_ms: int
    """On the call's clock; a waterfall is drawn from the caller's last sound to the bot's first."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A caller's turn and what the bot made of it."""

    caller: int
    """Index in `Verdict.turns`."""
    bot: int | None
    """Index in `Verdict.turns`; None: it was never answered."""
    gap_ms: int | None
    tool: bool = False
    """A tool ran in between: judged by a wider limit."""
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class Event:
    """Anything else with a time. Kinds are `EVENTS`' keys; a timeline's own kinds pass through under `timeline`."""

    kind: str
    start_ms: int
    end_ms: int
    side: Side | None = None
    text: str = ""


EVENTS: dict[str, str] = {
    "barge_in": "the caller began while the bot spoke, and the bot stopped",
    "false_yield": "the bot stopped for a sound that was no interruption, and did not go on",
    "no_yield": "the bot spoke on for two seconds or more over an interruption",
    "talk_over": "both spoke",
    "dead_air": "nobody spoke",
    "cut_off": "the bot answered and the caller had not finished",
    "hello": "the caller asked whether anybody is there",
    "repetition": "somebody said the same again",
    "dtmf": "a key, as an event or as a tone",
    "hold": "playout stopped for a voice, or the line was on hold",
    "tool": "a tool was called",
    "transfer": "the call was put through",
    "fault": "an engine, a message or the network failed",
    "loss": "packets that never came",
    "clipping": "the signal was at full scale",
    "one_way": "one side is not on the recording",
    "note": "for the reader",
    "timeline": "a record of the call's own timeline",
}


@dataclass(frozen=True, slots=True)
class Aligned:
    """One place of the transcript against its reference."""

    side: Side | None
    kind: Literal["same", "wrong", "missing", "extra"]
    reference: str
    heard: str
    at_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Exact:
    """Any difference counts: an outcome, keys, a count that has to stay."""

    rule: Literal["exact"] = "exact"


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Worse by more than the larger of both counts; never for the better."""

    absolute: float = 0.0
    """In the metric's unit."""
    relative: float = 0.0
    """Share of the golden value."""
    rule: Literal["tolerance"] = "tolerance"


@dataclass(frozen=True, slots=True)
class Semantic:
    """Words: the same when they are equal after normalisation, else `changed`, for a person or a judge to see."""

    rule: Literal["semantic"] = "semantic"


Rule = Exact | Tolerance | Semantic


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure of a call. `value` None: it cannot be known from this recording, and `why` says why."""

    name: str
    """`response_gap_p95` …: stable, for programs."""
    title: str
    group: Group
    value: float | str | None
    unit: str
    """`ms`, `s`, `%`, `` (a count) …"""
    definition: str
    rule: Rule
    better: Literal["lower", "higher", "same"] = "lower"
    limit: float | None = None
    """Beyond it (below it where higher is better) the metric is an alarm."""
    alarm: bool = False
    count: int | None = None
    """Events that the value is of; of fewer than ten a share is shown as a count."""
    samples: tuple[float, ...] = ()
    """The events' own values, for distributions over many calls."""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Compared:
    """A metric against its golden value."""

    name: str
    golden: float | str | None
    value: float | str | None
    delta: float | None
    """value - golden where both are numbers."""
    outcome: Literal["same", "better", "worse", "changed", "diverged"]
    """`changed`: a person has to look; `diverged`: not comparable after a different answer of the bot."""
    text: str = ""
    """One sentence for the page and for JUnit."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A place worth listening to."""

    at_ms: int
    end_ms: int
    title: str
    metric: str
    """Name of the metric it belongs to."""
    severity: float
    """How far beyond the limit: 1.0 is at it."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Everything that is known and thought of one call."""

    name: str
    mode: Literal["score", "rehear", "rerun"]
    source: Source
    duration_ms: int
    turns: tuple[Turn, ...]
    answers: tuple[Answer, ...]
    events: tuple[Event, ...]
    metrics: tuple[Metric, ...]
    worst: tuple[Moment, ...] = ()
    transcript: tuple[Aligned, ...] = ()
    compared: tuple[Compared, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)
    """Dialplan and its hash, engines, the service's version, as far as the recording says, and today's."""
    diverged_ms: int | None = None
    """`rerun`: from here on the bot said something else than then; what was said is not comparable, when it was, is."""
    version: int = VERSION

    def metric(self, name: str) -> Metric:
        """By its name. `KeyError` when there is none."""
        for each in self.metrics:
            if each.name == name:
                return each
        raise KeyError(name)


@dataclass(frozen=True, slots=True)
class SuiteCall:
    """A call of a suite, without what only its own page needs."""

    name: str
    folder: str
    """Of its report, relative to the suite's page; empty: there is none."""
    outcome: Literal["pass", "worse", "changed", "failed"]
    """`failed`: it could not be judged, and `note` says why."""
    duration_ms: int = 0
    note: str = ""
    metrics: tuple[Metric, ...] = ()
    compared: tuple[Compared, ...] = ()
    passed: int | None = None
    """Of `runs`, with `--repeat`."""
    runs: int | None = None


@dataclass(frozen=True, slots=True)
class Suite:
    """Many calls judged together."""

    title: str
    mode: Literal["score", "rehear", "rerun"]
    calls: tuple[SuiteCall, ...]
    versions: dict[str, str] = field(default_factory=dict)
    version: int = VERSION


_Judged = TypeVar("_Judged", Verdict, Suite)
_VERDICT: TypeAdapter[Verdict] = TypeAdapter(Verdict)
_SUITE: TypeAdapter[Suite] = TypeAdapter(Suite)


def write(judged: Verdict | Suite) -> bytes:
    """As `report.json` or `suite.json`: the same data give the same bytes."""
    return orjson.dumps(judged, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS) + b"\n"


def read(text: bytes, name: str = "report.json") -> Verdict:
    """A verdict from its JSON. `UsageError` in one sentence when it is none, or of another version."""
    return _read(_VERDICT, text, name)


def read_suite(text: bytes, name: str = "suite.json") -> Suite:
    """A suite from its JSON. `UsageError` in one sentence when it is none, or of another version."""
    return _read(_SUITE, text, name)


def _read(form: TypeAdapter[_Judged], text: bytes, name: str) -> _Judged:
    try:
        found = form.validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "its beginning"
        raise UsageError(f"{name} is no report of `voicebot replay`: {first['msg']} (at {place}).") from None
    if found.version != VERSION:
        raise UsageError(f"{name} has version {found.version} of the report's form; this voicebot reads {VERSION}.")
    return found


def schema() -> dict[str, Any]:
    """JSON Schema of `report.json`."""
    return _VERDICT.json_schema()
