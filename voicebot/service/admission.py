"""Who may call, and how much: one place for all carriers. Nothing that costs is opened before `admit` says so."""

from __future__ import annotations

import hmac
import secrets
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

TOKEN_TTL_S = 60.0
TOKEN_BYTES = 16
MAX_TOKENS = 10_000
"""Tokens that wait for their call; over it the oldest go. A flood of web hooks costs memory for these only."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token stands for: one call, and what was known when it was announced."""

    call_sid: str
    """The carrier's call id it is bound to; empty where the carrier has none."""
    dialplan: str
    caller: str
    called: str


class Tokens:
    """One-time, short-lived, bound to one call."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._waiting: OrderedDict[str, tuple[float, Grant]] = OrderedDict()

    def mint(self, grant: Grant) -> str:
        """128 random bits, url-safe."""
        self._expire()
        while len(self._waiting) >= MAX_TOKENS:
            self._waiting.popitem(last=False)
        token = secrets.token_urlsafe(TOKEN_BYTES)
        self._waiting[token] = (self._clock_s() + TOKEN_TTL_S, grant)
        return token

    def redeem(self, token: str, call_sid: str) -> Grant | None:
        """What it stands for, once. A token shown with another call's id is used up as well: somebody is guessing."""
        self._expire()
        found = None
        for known in self._waiting:  # every comparison takes as long as any other
            if hmac.compare_digest(known.encode(), token.encode()):
                found = known
        if found is None:
            return None
        _, grant = self._waiting.pop(found)
        if grant.call_sid and not hmac.compare_digest(grant.call_sid.encode(), call_sid.encode()):
            return None
        return grant

    def _expire(self) -> None:
        now = self._clock_s()
        while self._waiting and next(iter(self._waiting.values()))[0] < now:
            self._waiting.popitem(last=False)


class Doors:
    """How many calls at once, in all and from one caller."""

    def __init__(self, most: int, most_per_caller: int) -> None:
        self._most, self._most_per_caller = most, most_per_caller
        self._callers: Counter[str] = Counter()

    @property
    def inside(self) -> int:
        return self._callers.total()

    def full(self, caller: str) -> str | None:
        """None when one more may come, else why not."""
        if self.inside >= self._most:
            return "busy"
        if caller and self._callers[caller] >= self._most_per_caller:
            return "too many calls from this caller"
        return None

    def enter(self, caller: str) -> None:
        self._callers[caller] += 1

    def leave(self, caller: str) -> None:
        self._callers[caller] -= 1
        if self._callers[caller] <= 0:
            del self._callers[caller]
