"""How well the event loop keeps up: what decides whether one more call can be taken.

Two things are measured. Lateness: by how much the calls' beats came too late, the time that a round of them took
included; that is how late their messages leave. And how much of a core the process used. One that is nearly always busy
keeps its calls on time until one more comes; so over either bound new calls are refused, until both are well below.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

WINDOW_S = 2.0
"""Looked back."""
JUDGE_S = 0.25
MOST_BUSY, BUSY_AGAIN = 0.7, 0.65
"""Share of a core that the process used, from which no call is taken; and from which again. Calls that have just begun
cost less than they will, so room is kept back for them."""
EASED = 0.5
"""Lateness falls to this share of the bound before calls are taken again."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Of the last two seconds, in milliseconds and as a share of time."""

    late_p50: float = 0.0
    late_p90: float = 0.0
    late_p99: float = 0.0
    busy: float = 0.0


class Pulse:
    """One loop's. `late` is told by the beat, many times a second; `most_late_ms` is the bound on the 90th percentile,
    0 for none. Both clocks count seconds; `cpu_s` those of the process."""

    def __init__(
        self,
        most_late_ms: float = 0.0,
        now_s: Callable[[], float] = time.monotonic,
        cpu_s: Callable[[], float] = time.process_time,
    ) -> None:
        self.most_late_ms = most_late_ms
        self.reading = Reading()
        self.overloaded = False
        """Whether the next call had better go elsewhere."""
        self._now_s, self._cpu_s = now_s, cpu_s
        self._late: deque[tuple[float, float]] = deque()
        self._marks: deque[tuple[float, float]] = deque([(now_s(), cpu_s())])
        self._judged_s = now_s()

    def late(self, seconds: float) -> None:
        """A round of beats ended so much after it was due to begin."""
        now_s = self._now_s()
        self._late.append((now_s, seconds * 1000))
        if now_s - self._judged_s >= JUDGE_S:
            self._judge(now_s)

    def _judge(self, now_s: float) -> None:
        self._judged_s = now_s
        self._marks.append((now_s, self._cpu_s()))
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

    def _over(self, share: float, busy: float) -> bool:
        return self.reading.late_p90 > self.most_late_ms * share or self.reading.busy > busy
