"""Dates and times of day as callers say them. Readers as in `spoken_numbers`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, time, timedelta

from voicebot.core.spoken_numbers import ONES, TEENS, TENS, below_hundred, cardinal, ordinal

MONTHS = "january february march april may june july august september october november december".split()
WEEKDAYS = "monday tuesday wednesday thursday friday saturday sunday".split()
_SHORT = {m[:3]: i for i, m in enumerate(MONTHS, 1)} | {"sept": 9}
_SLASHED = re.compile(r"(\d{1,2})[/.](\d{1,2})(?:[/.](\d{4}|\d{2}))?$")
_ISO = re.compile(r"(\d{4})-(\d{2})-(\d{2})$")
_CLOCK = re.compile(r"(\d{1,2})(?:[:.](\d{2}))?(am|pm|a\.m\.?|p\.m\.?)?$")
_AM, _PM = ("am", "a.m", "a.m."), ("pm", "p.m", "p.m.")


def _month(words: Sequence[str], at: int) -> int:
    word = words[at] if at < len(words) else ""
    return MONTHS.index(word) + 1 if word in MONTHS else _SHORT.get(word, 0)


def year(words: Sequence[str], at: int) -> tuple[int, int] | None:
    """`nineteen eighty five`, `two thousand and five`, `twenty twenty six`, `nineteen oh two`, `1985`."""
    if at >= len(words):
        return None
    if re.fullmatch(r"(19|20)\d\d", words[at]):
        return int(words[at]), at + 1
    if words[at] in ("nineteen", "twenty"):
        century = 1900 if words[at] == "nineteen" else 2000
        if at + 2 < len(words) and words[at + 1] in ("oh", "o") and ONES.get(words[at + 2]):
            return century + ONES[words[at + 2]], at + 3
        if words[at + 1 : at + 2] == ["hundred"] or tuple(words[at + 1 : at + 2]) == ("hundred",):
            more = below_hundred(words, at + 3) if words[at + 2 : at + 3] == ["and"] else None
            return (century + more[0], more[1]) if more else (century, at + 2)
        rest = below_hundred(words, at + 1)
        if rest and rest[0] >= 10:
            return century + rest[0], rest[1]
        return None
    whole = cardinal(words, at)
    return whole if whole and 1900 <= whole[0] <= 2099 else None


def dates(words: Sequence[str], at: int, today: date, past: bool, month_first: bool) -> tuple[date, int] | None:
    """A day at `words[at:]` and where it ended. `past`: a birthday, which needs its year and lies behind
    `today`; otherwise the next such day. `month_first`: how `05/12` is written here."""
    if past:
        found = _calendar(words, at, today, month_first, past=True)
    else:
        found = _relative(words, at, today) or _calendar(words, at, today, month_first, past=False)
    return found if found is None or (found[0] <= today) == past or found[0] == today else None


def _relative(words: Sequence[str], at: int, today: date) -> tuple[date, int] | None:
    rest = list(words[at : at + 5])
    word = rest[0] if rest else ""
    if word in ("today", "tonight"):
        return today, at + 1
    if rest[:4] == ["the", "day", "after", "tomorrow"]:
        return today + timedelta(2), at + 4
    if rest[:3] == ["day", "after", "tomorrow"]:
        return today + timedelta(2), at + 3
    if word == "tomorrow":
        return today + timedelta(1), at + 1
    if word == "in" and len(rest) > 2:
        count = (1, at + 2) if rest[1] in ("a", "one") else below_hundred(words, at + 1)
        if count and count[1] < len(words) and (unit := words[count[1]].rstrip("s")) in ("day", "week"):
            return today + timedelta(count[0] * (7 if unit == "week" else 1)), count[1] + 1
    return _weekday(words, at, today)


def _weekday(words: Sequence[str], at: int, today: date) -> tuple[date, int] | None:
    which = words[at] if words[at] in ("next", "this", "coming") else ""
    place = at + 1 if which else at
    if place >= len(words) or words[place] not in WEEKDAYS:
        return None
    day = WEEKDAYS.index(words[place])
    ahead = (day - today.weekday() - 1) % 7 + 1
    if which == "next":  # of the next calendar week, as most callers mean it
        ahead = 7 - today.weekday() + day
    if list(words[place + 1 : place + 3]) == ["next", "week"]:
        return today + timedelta(7 - today.weekday() + day), place + 3
    end = place + 1
    named = _calendar(words, end, today, True, past=False)  # "tuesday the third of march": the date counts
    if named and named[0].weekday() == day:
        return named
    return today + timedelta(ahead), end


def _calendar(words: Sequence[str], at: int, today: date, month_first: bool, past: bool) -> tuple[date, int] | None:
    if at >= len(words):
        return None
    if match := _ISO.match(words[at]):
        return _made(int(match[1]), int(match[2]), int(match[3]), at + 1)
    if match := _SLASHED.match(words[at]):
        first, second = int(match[1]), int(match[2])
        month, day = (first, second) if month_first else (second, first)
        return _with_year(_full_year(match[3], today) if match[3] else 0, month, day, at + 1, today, past)
    parts = _day_of_month(words, at)
    if parts is None:
        return None
    month, day, end = parts
    skip = end + 1 if end < len(words) and words[end] in ("of", "in", "comma") else end
    said = year(words, skip)
    if said is None and past and (short := below_hundred(words, skip)) and short[0] >= 10:
        said = (_full_year(f"{short[0]:02}", today), short[1])
    return _with_year(said[0] if said else 0, month, day, said[1] if said else end, today, past)


def _day_of_month(words: Sequence[str], at: int) -> tuple[int, int, int] | None:
    """Month, day, end: `the third of march`, `march the third`, `march three`, `third march`."""
    if month := _month(words, at):
        place = at + 2 if words[at + 1 : at + 2] and words[at + 1] == "the" else at + 1
        day = ordinal(words, place) or _short_day(words, place)
        return (month, day[0], day[1]) if day else None
    place = at + 1 if words[at] == "the" else at
    day = ordinal(words, place) or below_hundred(words, place)
    if day is None:
        return None
    end = day[1] + 1 if day[1] < len(words) and words[day[1]] == "of" else day[1]
    month = _month(words, end)
    return (month, day[0], end + 1) if month else None


def _short_day(words: Sequence[str], at: int) -> tuple[int, int] | None:
    """A day as a plain number, not running into a year: in `may twelve nineteen eighty` it is 12."""
    found = below_hundred(words, at)
    return found if found and 1 <= found[0] <= 31 else None


def _full_year(text: str, today: date) -> int:
    value = int(text)
    if value >= 100:
        return value
    return 2000 + value if 2000 + value <= today.year else 1900 + value


def _with_year(said: int, month: int, day: int, end: int, today: date, past: bool) -> tuple[date, int] | None:
    if said:
        return _made(said, month, day, end)
    if past:
        return None
    for ahead in range(9):  # 29 February may be eight years off
        found = _made(today.year + ahead, month, day, end)
        if found and found[0] >= today:
            return found
    return None


def _made(year_: int, month: int, day: int, end: int) -> tuple[date, int] | None:
    try:
        return date(year_, month, day), end
    except ValueError:
        return None


def times(words: Sequence[str], at: int, bare: bool) -> tuple[time, int] | None:
    """A time of day. `bare`: a lone hour counts too (the caller was asked for a time); otherwise it needs
    `at`, a half, minutes, `o'clock`, or a part of the day."""
    start = at
    if at < len(words) and words[at] in ("at", "around", "about", "by"):
        at, bare = at + 1, True
    if at >= len(words):
        return None
    if words[at] in ("noon", "midday", "midnight"):
        return time(0 if words[at] == "midnight" else 12), at + 1
    found = _past_or_to(words, at) or _hour_minute(words, at)
    if found is None:
        return None
    hour, minute, end, sure = found
    hour, end, marked = _part_of_day(words, hour, end)
    if not (sure or marked or bare) or end <= start:
        return None
    if not marked and 1 <= hour <= 7:  # nobody books half past three in the night
        hour += 12
    return (time(hour, minute), end) if hour < 24 and minute < 60 else None


def _past_or_to(words: Sequence[str], at: int) -> tuple[int, int, int, bool] | None:
    place = at + 1 if words[at] == "a" else at
    if place >= len(words):
        return None
    minutes = {"half": (30, place + 1), "quarter": (15, place + 1)}.get(words[place]) or below_hundred(words, place)
    if minutes is None or minutes[1] >= len(words) or minutes[0] > 59:
        return None
    joint = minutes[1] + 1 if words[minutes[1]] == "minutes" else minutes[1]
    if joint >= len(words) or words[joint] not in ("past", "after", "to", "before", "till"):
        return None
    hour = below_hundred(words, joint + 1)
    if hour is None or not 1 <= hour[0] <= 12:
        return None
    if words[joint] in ("past", "after"):
        return hour[0] % 24, minutes[0], hour[1], True
    return (hour[0] - 2) % 12 + 1, 60 - minutes[0], hour[1], True


def _hour_minute(words: Sequence[str], at: int) -> tuple[int, int, int, bool] | None:
    if (match := _CLOCK.match(words[at])) and int(match[1]) < 24:
        marked = (match[3] or "").replace(".", "")
        hour = int(match[1])
        if marked:
            hour = hour % 12 + (12 if marked == "pm" else 0)
            if hour < 8:  # the part of day was said: undo the guess made for small hours
                return None if hour >= 24 else (hour + 24, int(match[2] or 0), at + 1, True)
        return hour, int(match[2] or 0), at + 1, bool(match[2] or marked)
    word = words[at]
    if word not in ONES and word not in TEENS and word not in TENS:
        return None
    hour_end = below_hundred(words, at)
    if hour_end is None or hour_end[0] > 23:
        return None
    hour, end = hour_end
    if words[end : end + 1] and words[end] in ("o'clock", "oclock", "hours"):
        return hour, 0, end + 1, True
    if end + 1 < len(words) and words[end] in ("oh", "o") and ONES.get(words[end + 1]):
        return hour, ONES[words[end + 1]], end + 2, True
    if words[end : end + 1] and words[end] == "hundred":
        return hour, 0, end + 1, True
    minutes = below_hundred(words, end)
    if minutes and 10 <= minutes[0] < 60:
        return hour, minutes[0], minutes[1], True
    return hour, 0, end, False


def _part_of_day(words: Sequence[str], hour: int, end: int) -> tuple[int, int, bool]:
    """Applies `p m`, `in the morning` and the like: hour, end, whether one was said."""
    if hour >= 24:
        return hour - 24, end, True
    rest = list(words[end : end + 3])
    half, length = "", 0
    if rest and rest[0] in _AM + _PM:
        half, length = rest[0][0], 1
    elif len(rest) > 1 and rest[0] in ("a", "p", "a.", "p.") and rest[1] in ("m", "m."):
        half, length = rest[0][0], 2
    elif rest[:2] == ["in", "the"] and len(rest) > 2 and rest[2] in ("morning", "afternoon", "evening"):
        half, length = ("a" if rest[2] == "morning" else "p"), 3
    elif rest[:2] == ["at", "night"]:
        half, length = "p", 2
    if not half or hour > 12:
        return hour, end, False
    return hour % 12 + (12 if half == "p" else 0), end + length, True
