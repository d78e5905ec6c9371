"""What telephones heard of a service under load, and what it cost. Linux only: costs are read from `/proc`."""

from __future__ import annotations

import os
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path


def _floats() -> array[float]:
    return array("f")


@dataclass(slots=True)
class Figures:
    """Milliseconds, of all telephones together."""

    lateness_ms: array[float] = field(default_factory=_floats)
    """Of each message of the bot's speech: how much less audio lay ready before it than the 200 ms that shall."""
    own_ms: array[float] = field(default_factory=_floats)
    """How late the telephones' own ticks were."""
    voice_to_voice_ms: array[float] = field(default_factory=_floats)
    barge_in_ms: array[float] = field(default_factory=_floats)
    """Onset of the caller's voice to `clear`."""
    underruns: int = 0
    underrun_ms: float = 0.0
    unanswered: int = 0
    ignored: int = 0
    """Interruptions over which the bot spoke on."""


def percentile(values: Sequence[float], share: float) -> float:
    """Nearest rank; -1 of nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else -1.0


@dataclass(frozen=True, slots=True)
class Usage:
    """Of a process and all that it started."""

    cpu_s: float
    rss_mb: float
    threads: int
    descriptors: int


def usage(pid: int) -> Usage:
    """As it is now. What a child used that is gone is not in it."""
    found = [_one(each) for each in (pid, *_children(pid))]
    return Usage(*(sum(column) for column in zip(*found, strict=True)))


def cpu_with_children_s(pid: int) -> float:
    """What a process and all that it started have used, those included that are gone and were waited for."""
    ticks = 0
    for each in (pid, *_children(pid)):
        fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def _children(pid: int) -> list[int]:
    listed = [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [*listed, *(below for each in listed for below in _children(each))]


def _one(pid: int) -> tuple[float, float, int, int]:
    folder = Path(f"/proc/{pid}")
    fields = (folder / "stat").read_text().rpartition(")")[2].split()
    cpu_s = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    rss_mb = int(fields[21]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    return cpu_s, rss_mb, int(fields[17]), len(list((folder / "fd").iterdir()))
