"""Which of an account's registrars is used, and which are asked. Pure: the time comes in.

Registrars are asked from the first to the one that stands; PJSIP asks one that failed again by itself. One that
refuses us for good (a wrong password) is no reason to ask the next. What comes back is used again once it has stood for
a while, and only then the one behind it is given up: going back never leaves the account without a registration.
"""

from __future__ import annotations

from dataclasses import dataclass, field

TIMEOUT = 408
AGAIN = frozenset({TIMEOUT, 480, 500, 502, 503, 504})
"""Answers after which PJSIP asks again; after others it does not. And from here on:"""
AGAIN_FROM = 600


@dataclass(slots=True)
class Site:
    """One registrar."""

    asked_s: float | None = None
    """Since when it is asked; None: it is left alone."""
    code: int = 0
    """Its last answer; 0 before the first."""
    since_s: float = 0.0
    until_s: float = float("-inf")
    """The registration stands from then to then."""

    def stands(self, now_s: float) -> bool:
        return now_s < self.until_s

    def failed(self, now_s: float, answer_s: float) -> bool:
        if self.asked_s is None or self.stands(now_s):
            return False
        if self.code == 0:
            return now_s - self.asked_s >= answer_s
        return self.code == 200 or self.code in AGAIN or self.code >= AGAIN_FROM  # 200: not refreshed in time


@dataclass(slots=True)
class Failover:
    """Of `count` registrars. `answer_s`: for the first answer of one; `back_s`: how long what came back must stand."""

    count: int
    answer_s: float
    back_s: float
    in_use: int = 0
    sites: list[Site] = field(init=False)

    def __post_init__(self) -> None:
        self.sites = [Site() for _ in range(self.count)]

    def asked(self, place: int, now_s: float) -> None:
        """It is asked from now on."""
        self.sites[place] = Site(now_s)

    def left(self, place: int) -> None:
        """It is asked no more."""
        self.sites[place] = Site()

    def answered(self, place: int, code: int, expires_s: float, now_s: float) -> None:
        """How long the registration stands, or why not. What we are told on leaving is nothing."""
        site = self.sites[place]
        if site.asked_s is None:
            return
        if code == 200 and not site.stands(now_s):
            site.since_s = now_s
        site.code, site.until_s = code, now_s + expires_s if code == 200 else now_s

    def code(self, now_s: float) -> int:
        """How the account stands: 200, why not, or 0 where nobody has said."""
        site = self.sites[self.in_use]
        return TIMEOUT if site.code == 200 and not site.stands(now_s) else site.code

    def look(self, now_s: float) -> range:
        """Choose `in_use`, and say which are to be asked."""
        wanted = 0
        while wanted < self.count - 1 and self.sites[wanted].failed(now_s, self.answer_s):
            wanted += 1
        stand = [place for place, site in enumerate(self.sites) if site.stands(now_s)]
        if self.in_use not in stand:
            self.in_use = stand[0] if stand else self.in_use
        else:
            steady = (place for place in stand if now_s - self.sites[place].since_s >= self.back_s)
            self.in_use = min(self.in_use, next(steady, self.in_use))
        return range(max(wanted, self.in_use) + 1)
