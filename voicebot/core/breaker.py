"""A circuit breaker: an engine that failed again and again is left alone for a while, then tried once.

    CLOSED ── failures in a row ──▶ OPEN ── cool-down ──▶ HALF_OPEN ── success ──▶ CLOSED
                                      ◀───────────────── failure, and a longer cool-down

Nobody pays for an engine that is known to be down but the one caller whose turn is its trial. Pure: time comes in as
`now_ms`, any monotonic milliseconds. After Nygard, "Release It!".
"""

from __future__ import annotations

from enum import StrEnum

TRIAL_MS = 10_000
"""A trial that nobody reported on (the caller hung up, or spoke over it) is over after this."""


class BreakerState(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Breaker:
    """`failures` in a row open it, for `cool_ms`; each failed trial doubles that, up to `most_ms`."""

    def __init__(self, failures: int = 2, cool_ms: int = 10_000, most_ms: int = 120_000) -> None:
        self._failures, self._cool_ms, self._most_ms = failures, cool_ms, most_ms
        self._failed = 0
        self._wait_ms = cool_ms
        self._closed_again_ms: int | None = None  # when the next trial may begin; None while closed
        self._trial_until_ms = 0

    def state(self, now_ms: int) -> BreakerState:
        """Open, half open (a trial may begin, or runs), or closed."""
        if self._closed_again_ms is None:
            return BreakerState.CLOSED
        return BreakerState.OPEN if now_ms < self._closed_again_ms else BreakerState.HALF_OPEN

    def admit(self, now_ms: int) -> bool:
        """Whether to ask the engine now. Half open, it admits one at a time, and that is the trial."""
        match self.state(now_ms):
            case BreakerState.CLOSED:
                return True
            case BreakerState.OPEN:
                return False
            case BreakerState.HALF_OPEN:
                if now_ms < self._trial_until_ms:
                    return False
                self._trial_until_ms = now_ms + TRIAL_MS
                return True

    def succeeded(self) -> bool:
        """It answered as it should. Whether that closed the breaker."""
        was_closed = self._closed_again_ms is None
        self._failed, self._wait_ms, self._closed_again_ms, self._trial_until_ms = 0, self._cool_ms, None, 0
        return not was_closed

    def failed(self, now_ms: int) -> None:
        """It did not."""
        self._failed += 1
        if self._closed_again_ms is None and self._failed < self._failures:
            return
        if self.state(now_ms) is BreakerState.OPEN:  # a straggler of before: it says nothing new
            return
        if self._closed_again_ms is not None:
            self._wait_ms = min(2 * self._wait_ms, self._most_ms)
        self._closed_again_ms, self._trial_until_ms = now_ms + self._wait_ms, 0
