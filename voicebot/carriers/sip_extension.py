"""One account in PJSIP: with each of its registrars an object of PJSIP's own, of which one is used. Runs in a worker
process only (see `sip_phone`)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pjsua2 as pj

from voicebot.carriers.sip_outbox import Outbox
from voicebot.carriers.sip_pjsip import account_config
from voicebot.carriers.sip_port import contained
from voicebot.carriers.sip_setup import Setup
from voicebot.core.sip_accounts import Account
from voicebot.core.sip_failover import Failover
from voicebot.core.sip_link import Kind, message

Incoming = Callable[[Any, Any], None]
"""A `Registration` that a call came to, and what PJSIP tells of the call."""


class Registration(pj.Account):  # type: ignore[misc]
    """With one registrar, or with none."""

    def __init__(self, incoming: Incoming, answered: Callable[[int, str, int], None] = lambda *_: None) -> None:
        super().__init__()
        self._incoming, self._answered = incoming, answered

    @contained
    def onRegState(self, prm: Any) -> None:
        self._answered(int(prm.code), prm.reason, int(prm.expiration))

    @contained
    def onIncomingCall(self, prm: Any) -> None:
        self._incoming(self, prm)


class Extension:
    """`watch` it every second: PJSIP must not be asked to register anew while it tells how a registration went."""

    def __init__(self, account: Account, setup: Setup, transport: int, outbox: Outbox, incoming: Incoming) -> None:
        self.account, self._outbox = account, outbox
        self._failover = Failover(len(account.places), setup.answer_s, setup.back_s)
        self._told = (0, 0)
        self.registrations: list[Registration] = []
        for number, place in enumerate(account.places):
            registration = Registration(incoming, lambda *told, at=number: self._answered(at, *told))
            if asked := number == 0 and account.register:
                self._failover.asked(0, time.monotonic())
            registration.create(account_config(setup, place, transport, asked))
            self.registrations.append(registration)

    @property
    def place(self) -> Account:
        """What it is at the registrar in use."""
        return self.account.places[self._failover.in_use]

    @property
    def registration(self) -> Registration:
        """To call out with."""
        return self.registrations[self._failover.in_use]

    def watch(self) -> None:
        """Ask registrars, leave others alone."""
        if not self.account.register:
            return
        failover, now_s = self._failover, time.monotonic()
        wanted = failover.look(now_s)
        for number, (site, registration) in enumerate(zip(failover.sites, self.registrations, strict=True)):
            if (number in wanted) == (site.asked_s is not None):
                continue
            try:
                registration.setRegistration(number in wanted)
            except pj.Error:  # the request before is still out; the next time will do
                continue
            failover.asked(number, now_s) if number in wanted else failover.left(number)
        if (failover.in_use, failover.code(now_s)) != self._told:
            self._tell(failover.in_use, failover.code(now_s))

    def _answered(self, number: int, code: int, reason: str, expires_s: int) -> None:
        self._failover.answered(number, code, expires_s, time.monotonic())
        self._tell(number, code, reason=reason, expires_s=expires_s)

    def _tell(self, place: int, code: int, **more: object) -> None:
        in_use = place == self._failover.in_use
        if in_use:
            self._told = (place, code)
        facts = {"account": self.account.name, "registrar": self.account.places[place].next_hop, "place": place}
        self._outbox.put(message(Kind.REGISTERED, **facts, in_use=in_use, code=code, **more))
