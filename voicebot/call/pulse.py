"""How well the event loop keeps up: what decides whether one more call can be taken.

Two things are measured. Lateness: by how much the calls' beats came too late, the time that a round of them took
included; that is how late their messages leave. And what a call costs, in CPU. A core that is nearly always busy keeps
its calls on time until one more comes, and calls that were just let in have cost nothing yet; so it is not what
the core does now that decides, but what all calls will cost: those that are up, those on their way, and the next.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from math import exp

WINDOW_S = 2.0
"""Lateness is looked back for."""
JUDGE_S = 0.25
MOST_BUSY, BUSY_AGAIN = 0.75, 0.7
"""Share of a core that calls may be going to use, over which none is taken; and under which one is again. The rest is
for what nobody announces: a sentence that all hear at once, those that knock and are refused."""
EASED = 0.5
"""Lateness falls to this share of the bound before calls are taken again."""
MEMORY_S = 15.0
"""What a call costs is learned over so long."""
UNBOUNDED = 1 << 30
"""Calls of a process that refuses none for its load."""
USUAL_COST, USUAL_CALLS = 0.01, 5
"""Of a core: what a call costs as long as nothing is known, and how many calls must be up to prove as much."""
BEGINNING_S = 1.25
"""Answering a call costs as much as so many seconds of it (10 ms, and 8 ms for each second, measured)."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Of the last two seconds, in milliseconds and as a share of time."""

    late_p50: float = 0.0
    late_p90: float = 0.0
    late_p99: float = 0.0
    busy: float = 0.0


class Pulse:
    """One loop's. `late` is told by the beat, many times a second; `most_late_ms` is the bound on the 90th percentile,
    0 for none. `calls` says how many are up. Both clocks count seconds; `cpu_s` those of the process."""

    def __init__(
        self,
        most_late_ms: float = 0.0,
        now_s: Callable[[], float] = time.monotonic,
        cpu_s: Callable[[], float] = time.process_time,
        calls: Callable[[], int] = lambda: 0,
    ) -> None:
        self.most_late_ms = most_late_ms
        self.reading = Reading()
        self.overloaded = False
        """Whether the next call had better go elsewhere, whoever else comes."""
        self._now_s, self._cpu_s, self._calls = now_s, cpu_s, calls
        self._late: deque[tuple[float, float]] = deque()
        self._marks: deque[tuple[float, float]] = deque([(now_s(), cpu_s())])
        self._up = 0
        self._cost = USUAL_COST
        self._sure = float(USUAL_CALLS**2)

    def full(self, coming: int = 0) -> bool:
        """Whether one call more is one too many; `coming` are let in, and not up yet."""
        return self._calls() + coming + 1 > self.most

    @property
    def most(self) -> int:
        """How many calls are not too many, those that are up included."""
        if self.overloaded:
            return self._calls()
        return int(MOST_BUSY / self._cost) if self.most_late_ms > 0 else UNBOUNDED

    def late(self, seconds: float) -> None:
        """A round of beats ended so much after it was due to begin."""
        now_s = self._now_s()
        self._late.append((now_s, seconds * 1000))
        if now_s - self._marks[-1][0] >= JUDGE_S:
            self._judge(now_s)

    def _judge(self, now_s: float) -> None:
        before_s, before_cpu_s = self._marks[-1]
        self._marks.append((now_s, self._cpu_s()))
        self._learn(now_s - before_s, self._marks[-1][1] - before_cpu_s)
        for kept in (self._late, self._marks):
            while len(kept) > 1 and kept[0][0] < now_s - WINDOW_S:
                kept.popleft()
        since_s, used_s = self._marks[0]
        late = sorted(ms for _, ms in self._late)
        p50, p90, p99 = (late[min(len(late) - 1, int(len(late) * share))] for share in (0.5, 0.9, 0.99))
        busy = (self._marks[-1][1] - used_s) / max(now_s - since_s, JUDGE_S)
        self.reading = Reading(p50, p90, p99, busy)
        if self.most_late_ms and now_s - since_s >= WINDOW_S - 2 * JUDGE_S:  # nobody is refused for a hiccup
            self.overloaded = self._over(EASED, BUSY_AGAIN) if self.overloaded else self._over(1.0, MOST_BUSY)

    def _learn(self, seconds: float, cpu_s: float) -> None:
        """What a call costs, from a stretch of time: an average over the past, in which many calls prove more than few.
        The usual is never quite forgotten, or a call that is alone would pay for what all share."""
        before, self._up = self._up, self._calls()
        if seconds > WINDOW_S:  # nobody was there for a while
            return
        calls, begun_s = (before + self._up) / 2, max(0, self._up - before) * BEGINNING_S
        share, usual = 1 - exp(-seconds / MEMORY_S), float(USUAL_CALLS**2)
        paid = (1 - share) * self._sure * self._cost + share * (calls * cpu_s / seconds + usual * USUAL_COST)
        self._sure = (1 - share) * self._sure + share * (calls * (calls + begun_s / seconds) + usual)
        self._cost = paid / self._sure

    def _projected(self, more: int) -> float:
        """Share of a core, with so many more calls than are up."""
        return (self._calls() + more) * self._cost

    def _over(self, late: float, busy: float) -> bool:
        return self.reading.late_p90 > self.most_late_ms * late or self._projected(1) > busy
