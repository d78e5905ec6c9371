"""Opening hours: `mon-fri 08:00-18:00`, several of them, and how they are said."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_NAMES = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_SPAN = re.compile(
    r"(?P<days>[a-z]{3}(?:-[a-z]{3})?(?:\s*,\s*[a-z]{3}(?:-[a-z]{3})?)*)\s+"
    r"(?P<from>\d{1,2}:\d{2})\s*-\s*(?P<to>\d{1,2}:\d{2})$"
)


@dataclass(frozen=True, slots=True)
class Span:
    """Opening times: minutes of the day from `start` up to `end`, on some days of the week."""

    days: frozenset[int]
    """0 is Monday."""
    start: int
    end: int
    """Minutes of the day; an `end` not after `start` reaches into the next day; 1440 is midnight."""

    def holds(self, at: datetime) -> bool:
        minute = at.hour * 60 + at.minute
        today, yesterday = at.weekday(), (at.weekday() - 1) % 7
        if self.start < self.end:
            return today in self.days and self.start <= minute < self.end
        return (today in self.days and minute >= self.start) or (yesterday in self.days and minute < self.end)


def parse(text: str) -> Span:
    """`ValueError` says how to write it."""
    match = _SPAN.match(text.strip().lower())
    if match is None:
        raise ValueError(f"{text!r} are no hours. Write them like 'mon-fri 08:00-18:00'.")
    days: set[int] = set()
    for part in match["days"].split(","):
        ends = [_day(name, text) for name in part.strip().split("-")]
        count = (ends[-1] - ends[0]) % 7
        days |= {(ends[0] + step) % 7 for step in range(count + 1)}
    return Span(frozenset(days), _minute(match["from"], text), _minute(match["to"], text))


def _day(name: str, text: str) -> int:
    if name not in DAYS:
        raise ValueError(f"{name!r} in {text!r} is no day. Use {', '.join(DAYS)}.")
    return DAYS.index(name)


def _minute(text: str, whole: str) -> int:
    hour, minute = (int(part) for part in text.split(":"))
    if hour * 60 + minute > 1440 or minute > 59:
        raise ValueError(f"{text!r} in {whole!r} is no time of day. Use 00:00 to 24:00.")
    return hour * 60 + minute


def is_open(hours: Sequence[str], at: datetime) -> bool:
    """Whether local time `at` lies within; with no hours given, always."""
    return not hours or any(parse(text).holds(at) for text in hours)


def next_opening(hours: Sequence[str], at: datetime) -> datetime | None:
    """When it opens next, within a week, to the minute; None when always or never open."""
    spans = [parse(text) for text in hours]
    starts = [
        datetime.combine(at.date() + timedelta(days=ahead), time(span.start // 60 % 24, span.start % 60))
        for ahead in range(8)
        for span in spans
        if (at.weekday() + ahead) % 7 in span.days and span.start < 1440
    ]
    later = [start for start in starts if start > at.replace(tzinfo=None)]
    return min(later, default=None)
