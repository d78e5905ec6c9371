"""YAML text to plain data, with the line of every key and item.

Only what a dialplan needs: mappings, lists, plain values. Anchors, aliases and tags are refused (a few of them
can stand for gigabytes), so are duplicate keys. `yes`, `no` and `on` stay words, because here they are words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from voicebot.errors import DialplanError

MAX_BYTES = 256 * 1024
MAX_DEPTH = 24
MAX_FAULTS = 100

Path = tuple[str | int, ...]
_INTEGER = re.compile(r"-?(0|[1-9]\d{0,17})$")
_DECIMAL = re.compile(r"-?\d{1,15}\.\d{1,15}$")


@dataclass(slots=True)
class Source:
    """What a text says and where: `data` is None where it could not be read at all."""

    file: str
    data: Any = None
    lines: dict[Path, int] = field(default_factory=dict)
    """Path of keys and indices to line, 1-based."""
    faults: list[DialplanError] = field(default_factory=list)

    def line(self, path: Path) -> int:
        """Line of the deepest part of `path` that is written in the text."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def fault(self, line: int, message: str, hint: str) -> None:
        if len(self.faults) < MAX_FAULTS:
            self.faults.append(DialplanError(message, file=self.file, line=line, hint=hint))


def read(text: str, file: str) -> Source:
    """Parse; every fault of the notation is in `faults`. Never raises for any text."""
    source = Source(file)
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        source.fault(1, f"The file is larger than {MAX_BYTES // 1024} KiB.", "Split it into several dialplans.")
        return source
    for number, line in enumerate(text.splitlines(), 1):
        if "\t" in line[: len(line) - len(line.lstrip())]:
            source.fault(number, "A tab indents this line.", "Indent with spaces; YAML takes no tabs.")
    if source.faults:
        return source
    try:
        source.data = _Builder(source, yaml.parse(text, Loader=yaml.SafeLoader)).document()
    except yaml.YAMLError as error:
        source.fault(*_explain(error, text))
    except _Refused as refused:
        source.fault(*refused.args)
    return source


class _Refused(Exception):
    """Line, message, hint: reading on would be pointless or dangerous."""


def _explain(error: yaml.YAMLError, text: str) -> tuple[int, str, str]:
    mark = getattr(error, "problem_mark", None)
    problem = str(getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be read")
    line = 1 if mark is None else mark.line + 1
    if isinstance(error, yaml.reader.ReaderError):
        line = text.count("\n", 0, int(error.position)) + 1
        return line, "There is a control character here.", "Remove it; plain text only."
    if "mapping values are not allowed" in problem:
        return line, "There is a second ': ' in this line.", "Put the text in quotes."
    if "found character" in problem:
        return line, f"A value cannot begin like this: {problem}.", "Put it in quotes."
    if "found unexpected end of stream" in problem or "while scanning a quoted" in str(error):
        start = getattr(error, "context_mark", None)
        return start.line + 1 if start else line, "A quote is opened and never closed.", "Close it on the same line."
    if "expected <block end>" in problem:
        return line, "The indentation does not fit the lines before.", "Align it, or close the quotes before it."
    if "expected ',' or" in problem:
        return line, "A [ or { list does not go on properly.", "Close it, or put texts with , { } [ ] or ? in quotes."
    if "could not find expected ':'" in problem:
        return line, "A key without ':' stands here.", "Write `key: value`."
    return line, f"This is no YAML: {problem}.", "Look at this line and the one before."


class _Builder:
    """Walks the parser's events once; its depth is bounded."""

    def __init__(self, source: Source, events: Iterator[Any]) -> None:
        self._source, self._events = source, events

    def document(self) -> Any:
        next(self._events)  # start of stream
        event = next(self._events)
        if isinstance(event, yaml.StreamEndEvent):
            raise _Refused(1, "The file is empty.", "Begin with `name: …`.")
        data = self._value(next(self._events), (), 0)
        next(self._events)  # end of document
        event = next(self._events)
        if not isinstance(event, yaml.StreamEndEvent):
            line = event.start_mark.line + 1
            raise _Refused(line, "A second document begins here.", "One dialplan a file: remove the `---`.")
        return data

    def _value(self, event: Any, path: Path, depth: int) -> Any:
        line = event.start_mark.line + 1
        self._source.lines.setdefault(path, line)
        if isinstance(event, yaml.AliasEvent):
            raise _Refused(line, f"The alias *{event.anchor} is not allowed.", "Write the value out again.")
        if event.anchor:
            raise _Refused(line, f"The anchor &{event.anchor} is not allowed.", "Write the value out again.")
        if event.tag:
            raise _Refused(line, f"The tag {event.tag} is not allowed.", "Remove it.")
        if depth > MAX_DEPTH:
            raise _Refused(line, f"More than {MAX_DEPTH} levels deep.", "Use `goto` instead of nesting.")
        if isinstance(event, yaml.ScalarEvent):
            return event.value if event.style else _plain(event.value)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._list(path, depth)
        return self._mapping(path, depth)

    def _list(self, path: Path, depth: int) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._value(event, (*path, len(items)), depth + 1))
        return items

    def _mapping(self, path: Path, depth: int) -> dict[str, Any]:
        items: dict[str, Any] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            line = event.start_mark.line + 1
            if isinstance(event, yaml.AliasEvent):
                self._value(event, path, depth)
            if not isinstance(event, yaml.ScalarEvent):
                raise _Refused(line, "A key must be one word or text.", "Write `key: value`.")
            key = str(event.value)
            place = (*path, key)
            if key in items:
                first = self._source.lines[place]
                self._source.fault(line, f"{key!r} is already set in line {first}.", "Keep one of them.")
                self._value(next(self._events), (*path, f"{key} again, line {line}"), depth + 1)
                continue
            if event.anchor or event.tag:
                self._value(event, place, depth)
            self._source.lines[place] = line
            items[key] = self._value(next(self._events), place, depth + 1)
        return items


def _plain(text: str) -> Any:
    """An unquoted value: true, false, a number, nothing, else a text."""
    if text in ("", "~", "null"):
        return None
    if text in ("true", "false"):
        return text == "true"
    if _INTEGER.match(text):
        return int(text)
    return float(text) if _DECIMAL.match(text) else text
