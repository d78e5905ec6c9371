"""Who may call, and how much: one place for all carriers. Nothing that costs is opened before a token was redeemed."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import takewhile

TOKEN_TTL_S = 60.0
FRESH_S = 10.0
"""A call whose token has not been shown by then was given up by who called; it may still come."""
TOKEN_BYTES = 16
LINK_TTL_S = 300.0
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
    continues: str = ""
    """The call of ours that it goes on with, after a transfer that failed."""
    unreached: str = ""
    """… the name of that transfer."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """That came with it, as `call_headers.kept` gives them."""


class Tokens:
    """One-time, short-lived, bound to one call. Kept by their hash: how long a look-up takes says nothing of one."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._waiting: OrderedDict[bytes, tuple[float, Grant]] = OrderedDict()

    def mint(self, grant: Grant) -> str:
        """128 random bits, url-safe."""
        self._expire()
        while len(self._waiting) >= MAX_TOKENS:
            self._waiting.popitem(last=False)
        token = secrets.token_urlsafe(TOKEN_BYTES)
        self._waiting[_hash(token)] = (self._clock_s() + TOKEN_TTL_S, grant)
        return token

    def redeem(self, token: str, call_sid: str) -> Grant | None:
        """What it stands for, once. A token shown with another call's id is used up as well: somebody is guessing."""
        self._expire()
        _, grant = self._waiting.pop(_hash(token), (0.0, None))
        if grant is None or (grant.call_sid and not hmac.compare_digest(grant.call_sid.encode(), call_sid.encode())):
            return None
        return grant

    @property
    def fresh(self) -> int:
        """How many wait for their call, and not for long yet."""
        since = self._clock_s() + TOKEN_TTL_S - FRESH_S
        return sum(1 for _ in takewhile(lambda each: each[0] > since, reversed(self._waiting.values())))

    def _expire(self) -> None:
        now = self._clock_s()
        while self._waiting and next(iter(self._waiting.values()))[0] < now:
            self._waiting.popitem(last=False)


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


class Links:
    """Addresses that open one thing for a while, for what cannot send a token along, such as an `<audio>` element."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s, self._key = clock_s, secrets.token_bytes(32)

    def sign(self, what: str) -> str:
        """A pass for `what`: until when, and our seal."""
        until = str(int(self._clock_s() + LINK_TTL_S))
        return f"{until}.{self._seal(what, until)}"

    def opens(self, shown: str, what: str) -> bool:
        """Whether the pass shown is ours, for this, and not too old."""
        until, _, seal = shown.partition(".")
        ours = hmac.compare_digest(seal.encode("utf-8", "surrogatepass"), self._seal(what, until).encode())
        return ours and self._clock_s() <= int(until)

    def _seal(self, what: str, until: str) -> str:
        text = f"{until}:{what}".encode("utf-8", "surrogatepass")
        return hmac.new(self._key, text, hashlib.sha256).hexdigest()[:32]


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
        if caller and self._callers.get(caller, 0) >= self._most_per_caller:
            return "too many calls from this caller"
        return None

    def enter(self, caller: str) -> None:
        self._callers[caller] += 1

    def leave(self, caller: str) -> None:
        self._callers[caller] -= 1
        if self._callers[caller] <= 0:
            del self._callers[caller]
