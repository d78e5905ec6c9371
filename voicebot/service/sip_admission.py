"""Which SIP calls are let in, and by which worker: one place for those that come through the door and past it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from voicebot.call.runtime import new_call_id
from voicebot.carriers.base import CallInfo
from voicebot.carriers.sip_process import Worker
from voicebot.core import sip, sip_sdp
from voicebot.core.call_headers import kept
from voicebot.core.dialplan import Dialplan
from voicebot.core.sip import Address, Request
from voicebot.core.sip_accounts import Account
from voicebot.core.sip_door import Refusal
from voicebot.core.sip_limits import Buckets, Network, within
from voicebot.service.desk import Desk

EXPECTED_S = 10.0
"""An admitted INVITE that its worker has not made a call of by then is forgotten."""
CALLS_A_SECOND = 20
"""New calls that one worker gets. PJSIP keeps a closed socket for half a second and has 64 in all; an assertion ends
the process when they are gone, and a call takes two."""
REJECTIONS = 50
"""Refused calls that may wait to be listed; over it they are counted only."""
Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Expected:
    """A call that was admitted and is on its way to its worker."""

    worker: Worker
    plan: Dialplan
    info: CallInfo
    exchange: str
    """Host (and port) at which a number that the dialplan names is an address."""
    until_s: float


@dataclass(slots=True)
class Admission:
    """`group` is for listing what was refused; `exchanges` is where calls may come from that come past the door."""

    desk: Desk
    group: asyncio.TaskGroup
    accounts: tuple[Account, ...] = ()
    exchanges: tuple[Network, ...] = ()
    expected: dict[str, Expected] = field(default_factory=dict)
    """By Call-ID."""
    _pace: Buckets = field(default_factory=lambda: Buckets(CALLS_A_SECOND / 2, CALLS_A_SECOND))
    _listing: int = 0

    def direct(self, worker: Worker, facts: dict[str, Any]) -> Expected | Refusal:
        """A call that came past the door: to an account's registered address, from its exchange."""
        host, _, port = facts["source"].rpartition(":")
        source = Address(host.strip("[]"), int(port or 0))
        request = sip.parse(facts["message"].encode("utf-8", "surrogateescape"))
        if not isinstance(request, Request) or not within(source.host, self.exchanges):
            self.desk.metrics.sip_dropped.labels("past the door").inc()
            return Refusal(403, "past the door")
        return self.decide(request, source, worker, room=0)  # it has its place already

    def decide(self, request: Request, source: Address, worker: Worker | None, room: int = 1) -> Refusal | Expected:
        """The one place that lets SIP calls in. `room`: places that the worker must have for it."""
        headers = request.headers
        caller, called = sip.user(sip.value(headers, "From")), sip.user(request.uri)
        if any(called == account.user for account in self.accounts):  # our own name: what was dialled is in the To
            called = sip.user(sip.value(headers, "To"))
        call_id, now_s = sip.value(headers, "Call-ID"), asyncio.get_running_loop().time()
        sent = kept(headers)
        plan = self.desk.runtime.choose(called, caller, headers=sent)
        refusal = self._refuse(request, caller, plan)
        if refusal is None and (worker is None or self.room(worker) < room):
            refusal = Refusal(503, "no free worker")
        if refusal is None and not self._pace.takes(str(id(worker)), now_s):
            refusal = Refusal(503, "too many calls a second")
        if refusal is None and plan is not None and worker is not None:
            info = CallInfo(new_call_id(), "sip", caller, called, call_id[:64], sent)
            return Expected(worker, plan, info, self._exchange(headers, source), now_s + EXPECTED_S)
        assert refusal is not None
        info = CallInfo(new_call_id(), "sip", caller, called, call_id[:64])
        self.refused(info, plan.name if plan else "", refusal.why)
        return refusal

    def _exchange(self, headers: Headers, source: Address) -> str:
        """Where the call comes from, as its From says it: an exchange knows its own name. Callers who hide theirs
        have none there; then it is the address."""
        found = sip.uri(sip.value(headers, "From").partition(";tag=")[0])
        if found is None or found.host.endswith(".invalid"):
            return f"{source.host}:{source.port}"
        return f"{found.host}:{found.port}" if found.port else found.host

    def _refuse(self, request: Request, caller: str, plan: Dialplan | None) -> Refusal | None:
        why = self.desk.runtime.not_ready(coming=self.desk.coming + len(self.expected))
        if why is None and self.desk.doors.inside + len(self.expected) >= self.desk.settings.max_calls:
            why = "busy"
        if why is not None:
            return Refusal(503, "over capacity" if why == "busy" else why)
        if (why := self.desk.doors.full(caller)) is not None:
            return Refusal(486, why)
        if plan is None:
            return Refusal(404, "no dialplan takes this call")
        offered = sip_sdp.codecs(request.body) if request.body else {"PCMU"}  # without an offer we make ours
        if not (offered or set()) & {"PCMU", "PCMA"}:
            return Refusal(488, "no codec in common")
        return None

    def room(self, worker: Worker) -> int:
        return worker.free - sum(each.worker is worker for each in self.expected.values())

    def refused(self, info: CallInfo, plan: str, why: str) -> None:
        """Count it, and list it as well, unless too many wait for that."""
        if self._listing >= REJECTIONS:
            self.desk.metrics.refused.labels("sip", why).inc()
            return
        self._listing += 1
        rejecting = self.desk.reject("sip", info.caller, info.called, info.carrier_call_id, plan, why)
        self.group.create_task(rejecting).add_done_callback(self._listed)

    def _listed(self, _: asyncio.Task[None]) -> None:
        self._listing -= 1
