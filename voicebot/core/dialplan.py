"""The dialplan: which calls it takes, who answers, what may be said, what to do when something fails.

YAML in, frozen pydantic models out; published as JSON Schema. Reading files is the caller's business:
`parse(text, file)` is pure. The models are in `core.plan`, the checks in `core.dialplan_check`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ValidationError

from voicebot.core import hours, plan
from voicebot.core.call_headers import NONE, name_of
from voicebot.core.dialplan_check import check
from voicebot.core.dialplan_faults import did_you_mean
from voicebot.core.dialplan_text import Source, read
from voicebot.core.expectations import expectations
from voicebot.core.plan import (
    Dialplan,
    Engines,
    HttpTool,
    Limits,
    Model,
    NoteTool,
    Persona,
    Sentences,
    Takes,
    Term,
    Transfer,
    Turns,
)
from voicebot.core.sentences import fixed_sentences
from voicebot.errors import DialplanError

__all__ = [
    "Dialplan",
    "DialplanFaults",
    "Engines",
    "HttpTool",
    "Limits",
    "Model",
    "NoteTool",
    "Persona",
    "Sentences",
    "Takes",
    "Term",
    "Transfer",
    "Turns",
    "choose",
    "expectations",
    "fixed_sentences",
    "json_schema",
    "parse",
]


class DialplanFaults(DialplanError):
    """Every fault of one dialplan, in `faults`, by line; its own text is all of them, a line each."""

    def __init__(self, faults: Iterable[DialplanError]) -> None:
        self.faults = tuple(sorted(faults, key=lambda fault: fault.line))
        first = self.faults[0]
        super().__init__(first.message, file=first.file, line=first.line, hint=first.hint)
        self.args = ("\n".join(str(fault) for fault in self.faults),)


def parse(text: str, file: str) -> Dialplan:
    """The dialplan in `text`. `DialplanFaults` with every fault when there is one; `file` is for its messages."""
    source = read(text, file)
    if source.data is not None and not isinstance(source.data, dict):
        source.fault(1, "A dialplan is a list of `key: value`.", "Begin with `name: …`.")
        source.data = None
    if source.data is None and not source.faults:
        source.fault(1, "The file is empty.", "Begin with `name: …`.")
    found: Dialplan | None = None
    if source.data is not None:
        try:
            found = Dialplan.model_validate(source.data)
        except ValidationError as error:
            for each in error.errors(include_url=False, include_input=True):
                _schema_fault(source, each)
    if found is not None:
        for fault in check(found):
            source.fault(source.line(fault.path), fault.message, fault.hint)
    if source.faults or found is None:
        raise DialplanFaults(source.faults)
    return found


def json_schema() -> dict[str, Any]:
    """JSON Schema of the dialplan, for editors that complete YAML."""
    schema = Dialplan.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "voicebot dialplan"}


# --- faults of the schema --------------------------------------------------------------------------------------

_WHERE: tuple[tuple[str, type[BaseModel]], ...] = (
    (r"takes", plan.Takes),
    (r"persona", plan.Persona),
    (r"engines", plan.Engines),
    (r"turns", plan.Turns),
    (r"limits", plan.Limits),
    (r"sentences", plan.Sentences),
    (r"lexicon/[^/]+", plan.Term),
    (r"interpret", plan.Interpret),
    (r"interpret/theirs", plan.Engines),
    (r"tools/[^/]+/args/[^/]+", plan.Argument),
    (r"transfers/[^/]+", plan.Transfer),
    (r"nodes/[^/]+", plan.Node),
    (r"nodes/[^/]+/intents/[^/]+", plan.Intent),
    (r"nodes/[^/]+/collect/[^/]+", plan.Slot),
    (r"", plan.Dialplan),
)
"""Where in a dialplan which model stands, for "did you mean"."""


def _schema_fault(source: Source, error: Mapping[str, Any]) -> None:
    path = _written(source, error["loc"])
    kind, value = str(error["type"]), error.get("input")
    key = path[-1] if path else "dialplan"
    line = source.line(path)
    match kind:
        case "extra_forbidden":
            known = _fields(error["loc"][:-1], path[:-1])
            source.fault(line, f"Unknown key {key!r}.", did_you_mean(str(key), known))
        case "missing":
            missing = error["loc"][-1]
            source.fault(line, f"{missing!r} is missing.", f"Add `{missing}: …`.")
        case "union_tag_not_found" | "union_tag_invalid" if "do" in path or "then" in path or "else" in path:
            words = list(value) if isinstance(value, Mapping) else [str(value)]
            source.fault(line, f"{', '.join(words) or 'This'} is no action.", did_you_mean(words[0], plan.ACTIONS))
        case "union_tag_not_found" | "union_tag_invalid":
            source.fault(line, "A tool of no known kind.", "Write `kind: http` or `kind: note`.")
        case "string_pattern_mismatch":
            source.fault(line, f"{value!r} cannot be used for {key!r}.", _PATTERN_HINTS.get(str(key), _NAME_HINT))
        case _:
            message = str(error["msg"]).removeprefix("Value error, ")
            source.fault(line, f"{key!r}: {message}, not {_short(value)}.", _HINTS.get(kind, "Look at the schema."))


_NAME_HINT = "Use lower case letters, digits and _, beginning with a letter."
_PATTERN_HINTS = {"language": "Write it like en-US.", "url": "Begin it with https:// or http://."}
_HINTS = {
    "string_type": "Put a text here, in quotes if need be.",
    "tuple_type": "Write a list: `- one` under `- another`.",
    "dict_type": "Write `key: value` lines here.",
    "model_type": "Write `key: value` lines here.",
    "bool_parsing": "Write true or false.",
    "bool_type": "Write true or false.",
    "int_parsing": "Write a whole number.",
    "int_from_float": "Write a whole number.",
    "int_type": "Write a whole number.",
    "float_parsing": "Write a number.",
    "literal_error": "Use one of those.",
    "greater_than_equal": "Use a larger number.",
    "less_than_equal": "Use a smaller number.",
    "too_short": "Add one.",
}


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _written(source: Source, loc: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """The part of pydantic's location that stands in the text. Union tags are no part of it, though one may look
    like a key: of the ways to leave steps out, the one that keeps the last step and then the most counts."""
    paths: dict[tuple[str | int, ...], bool] = {(): False}
    for step in loc:
        grown = {(*path, step): True for path in paths if (*path, step) in source.lines}
        paths = dict.fromkeys(paths, False) | grown
    return max(paths, key=lambda path: (paths[path], len(path)))


def _fields(loc: tuple[str | int, ...], path: tuple[str | int, ...]) -> list[str]:
    """Keys that may stand at a place."""
    for step in reversed(loc):
        if step in plan.ACTIONS and any(part in path for part in ("do", "then", "else")):
            return _names(plan.ACTIONS[str(step)])
        if step in ("http", "note") and path[:1] == ("tools",):
            return _names(plan.HttpTool if step == "http" else plan.NoteTool)
    joined = "/".join(map(str, path))
    for pattern, model in _WHERE:
        if re.fullmatch(pattern, joined):
            return _names(model)
    return []


def _names(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


# --- which dialplan takes a call ---------------------------------------------------------------------------------


def choose(
    dialplans: Iterable[Dialplan], called: str, caller: str, now: datetime, headers: Mapping[str, str] = NONE
) -> Dialplan | None:
    """The dialplan whose `takes` fits best; None when none fits. Headers come first: an exchange that says for whom a
    call is knows more than the number, which may be the same for all. Then longer number patterns before shorter;
    callers and hours break ties. A dialplan that takes nothing in particular takes no call by itself. `now` is aware;
    `headers` are as `call_headers.kept` gives them."""
    fitting = [(rank, each) for each in dialplans if (rank := _rank(each, called, caller, now, headers))]
    return max(fitting, key=lambda pair: pair[0])[1] if fitting else None


def _rank(
    each: Dialplan, called: str, caller: str, now: datetime, headers: Mapping[str, str]
) -> tuple[int, int, int, int] | None:
    takes = each.takes
    sent = _sent(takes.headers, headers)
    number, person = _fit(takes.numbers, called), _fit(takes.callers, caller)
    in_hours = hours.is_open(takes.hours, now.astimezone(ZoneInfo(each.timezone)))
    if sent is None or number is None or person is None or not in_hours:
        return None
    rank = (sent, number, person, int(bool(takes.hours)))
    return rank if any(rank) else None


def _sent(wanted: Mapping[str, Iterable[str]], headers: Mapping[str, str]) -> int | None:
    """How closely the headers fit, one with another; None where one of them did not come, or does not fit."""
    total = 0
    for written, patterns in wanted.items():
        value = headers.get(name_of(written))
        fit = None if value is None else _fit(patterns, value)
        if fit is None:
            return None
        total += fit
    return total


def _fit(patterns: Iterable[str], text: str) -> int | None:
    """How closely the closest pattern fits: its length, exact ones above all; 0 with no patterns; None: none fits."""
    patterns = tuple(patterns)
    if not patterns:
        return 0
    return max(_scores(patterns, text), default=None)


def _scores(patterns: Iterable[str], text: str) -> Iterator[int]:
    for pattern in patterns:
        if pattern.endswith("*") and text.startswith(pattern[:-1]):
            yield len(pattern)
        elif pattern == text:
            yield 1000 + len(pattern)
