"""The SIP door: one address in front of the workers, a stateless proxy that remembers calls. Pure.

PJSIP is behind it and sees only what the door let in: messages that were understood, of calls that were admitted. A
fifth call on a full worker, a scanner, a broken datagram: all have their answer here, or none, and cost no worker
anything. Media does not come through here.

It has two faces. Outside are phones and trunks, inside are the workers, on a socket of its own. Messages pass by
RFC 3261 §16.11: our Via on top on the way there, off on the way back; and the door puts itself, with both faces, into
the Record-Route of a call's INVITE (RFC 5658), so that the rest of the call comes this way, too. Calls are known by
their Call-ID, from the INVITE that was admitted until a while after their end. Answers from outside go to workers
only, so nobody can have a datagram passed on to a third party.
"""

from __future__ import annotations

import hashlib
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import NamedTuple

from voicebot.core import sip
from voicebot.core.sip import Address, Malformed, Ping, Request, Response
from voicebot.core.sip_limits import Buckets, Network, private, within

LINGER_S = 32.0
"""64·T1 (§17): so long a message of an ended call may still come again."""
MAX_REFUSED = 2000
"""Refusals that are remembered, so that an INVITE that comes again has the same answer and is counted once."""
METHODS = "INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, UPDATE, PRACK, REFER, NOTIFY"
KNOWN = frozenset("REGISTER SUBSCRIBE MESSAGE PUBLISH NOTIFY REFER INFO UPDATE PRACK BYE".split())
"""Methods that we know and that have no place outside of a call here."""
UNDERSTOOD = frozenset(("timer", "100rel", "replaces", "norefersub", "from-change"))
RETRY_AFTER_S = 10
LATE_CSEQ = 1 << 30
"""Of the one request that the door sends itself: above all that the call has used."""


class Face(Enum):
    OUTSIDE = "outside"
    INSIDE = "inside"


class Send(NamedTuple):
    face: Face
    data: bytes
    to: Address


class Refusal(NamedTuple):
    code: int
    why: str
    """For the metrics: a small closed set."""


@dataclass(slots=True)
class Call:
    """An admitted call."""

    worker: Address
    source: Address
    invite: Request
    """As it came, `received` filled in."""
    answer: Response | None = None
    """The 200 of its INVITE."""
    until_s: float | None = None
    """When it is forgotten; None while it lives."""


@dataclass(frozen=True, slots=True)
class Rules:
    """Who may come in, and how often."""

    allowed: tuple[Network, ...]
    burst: float = 400
    per_second: float = 200
    strangers_burst: float = 20
    strangers_per_second: float = 1.0


Admit = Callable[[Request, Address], Refusal | Address]


@dataclass(slots=True)
class Door:
    """`admit(request, source)` decides about a new call: a worker's address, or why not."""

    outside: Address
    """As phones know it."""
    inside: Address
    rules: Rules
    admit: Admit
    ready: Callable[[], str | None]
    """Why no call can be taken now; for OPTIONS."""
    settled: Callable[[str, int], None]
    """Told the Call-ID of an admitted call, and the code with which its worker has answered or refused it."""
    calls: dict[str, Call] = field(default_factory=dict)
    """By Call-ID."""
    counts: Counter[str] = field(default_factory=Counter)
    """What was dropped or refused without a call, by reason; for the metrics."""
    _friends: Buckets = field(init=False)
    _strangers: Buckets = field(init=False)
    _refused: OrderedDict[tuple[str, str], bytes] = field(default_factory=OrderedDict)

    def __post_init__(self) -> None:
        self._friends = Buckets(self.rules.burst, self.rules.per_second)
        self._strangers = Buckets(self.rules.strangers_burst, self.rules.strangers_per_second)

    # --- from outside

    def from_outside(self, data: bytes, source: Address, now_s: float) -> list[Send]:
        """What to send for a datagram; nothing for most of what is wrong."""
        friend = within(source.host, self.rules.allowed)
        if not (self._friends if friend else self._strangers).takes(source.host, now_s):
            return self._drop("rate")
        message = sip.parse(data)
        match message:
            case Ping():
                return []
            case Malformed(reason, reply):
                self.counts[reason] += 1
                return [Send(Face.OUTSIDE, reply, source)] if reply and friend else []
            case Response():
                return self._answer_from_outside(message)
            case Request():
                request = sip.received(message, source)
                if not friend:
                    return self._answer(request, 403) if request.method != "ACK" else []
                return self._request_from_outside(request, source)

    def _request_from_outside(self, request: Request, source: Address) -> list[Send]:
        call = self.calls.get(sip.value(request.headers, "Call-ID"))
        if request.method == "ACK":
            return self._to_worker(request, call) if call else []
        hops = sip.value(request.headers, "Max-Forwards") or "70"
        if not hops.isdigit() or int(hops) > 255:
            return self._answer(request, 400)
        if hops == "0" and request.method != "OPTIONS":
            return self._answer(request, 483)
        if call and not (call.until_s is not None and _afresh(request, call)):
            return self._to_worker(request, call)
        if request.method == "CANCEL" or sip.tag(sip.value(request.headers, "To")):
            return self._answer(request, 481)
        return self._outside_of_a_call(request, source)

    def _outside_of_a_call(self, request: Request, source: Address) -> list[Send]:
        wanted = sip.values(request.headers, "Require") + sip.values(request.headers, "Proxy-Require")
        if foreign := [name for name in wanted if name.lower() not in UNDERSTOOD]:
            return self._answer(request, 420, [("Unsupported", ", ".join(foreign))])
        match request.method:
            case "INVITE":
                return self._invite(request, source)
            case "OPTIONS" if self.ready() is None:
                return self._answer(request, 200, [("Allow", METHODS), ("Accept", "application/sdp")])
            case "OPTIONS":
                return self._answer(request, 503, [("Retry-After", str(RETRY_AFTER_S))])
            case method if method in KNOWN:
                return self._answer(request, 405, [("Allow", METHODS)])
            case _:
                return self._answer(request, 501, [("Allow", METHODS)])

    def _invite(self, request: Request, source: Address) -> list[Send]:
        call_id = sip.value(request.headers, "Call-ID")
        again = (call_id, sip.value(request.headers, "CSeq"))
        if (before := self._refused.get(again)) is not None:
            return [Send(Face.OUTSIDE, before, sip.vias(request.headers)[0].reply_to)]
        kind = sip.value(request.headers, "Content-Type").partition(";")[0].strip().lower()
        if request.body and kind not in ("application/sdp", "multipart/mixed", "multipart/alternative"):
            return self._answer(request, 415, [("Accept", "application/sdp")])
        decided = self.admit(request, source)
        if isinstance(decided, Address):
            self.calls[call_id] = call = Call(decided, source, request)
            return self._to_worker(request, call)
        headers = [("Retry-After", str(RETRY_AFTER_S))] if decided.code == 503 else []
        if decided.code == 488:
            headers = [("Warning", f'305 {self.outside.host} "PCMU or PCMA at 8000 Hz is needed"')]
        [refusal] = self._answer(request, decided.code, headers)
        self._refused[again] = refusal.data
        if len(self._refused) > MAX_REFUSED:
            self._refused.popitem(last=False)
        return [refusal]

    def _to_worker(self, request: Request, call: Call) -> list[Send]:
        headers = self._onwards(request)
        if request.method == "INVITE" and not sip.tag(sip.value(headers, "To")):
            ours = [f"<sip:{_written(face)};lr>" for face in (self.inside, self.outside)]
            headers = sip.with_header(headers, "Record-Route", [*ours, *sip.values(headers, "Record-Route")])
        forward = self._via(replace(request, headers=headers), self.inside)
        return [Send(Face.INSIDE, forward.encode(), call.worker)]

    def _answer_from_outside(self, response: Response) -> list[Send]:
        ours, *others = sip.vias(response.headers)
        workers = {call.worker for call in self.calls.values()}
        if Address(ours.host, ours.port) != self.outside or not others or others[0].reply_to not in workers:
            return self._drop("stray answer")
        response = replace(response, headers=sip.with_vias(response.headers, others))
        return [Send(Face.INSIDE, response.encode(), others[0].reply_to)]

    # --- from a worker

    def from_inside(self, data: bytes) -> list[Send]:
        """A worker's request or answer, on to where it belongs."""
        message = sip.parse(data)
        match message:
            case Response():
                return self._answer_from_inside(message)
            case Request():
                return self._request_from_inside(message)
            case _:
                return self._drop("worker's malformed")

    def _answer_from_inside(self, response: Response) -> list[Send]:
        _, *others = sip.vias(response.headers)
        if not others:
            return []
        call = self.calls.get(sip.value(response.headers, "Call-ID"))
        if call and call.answer is None and response.code >= 200 and _method(response) == "INVITE":
            call.answer = response if response.code < 300 else None
            self.settled(sip.value(response.headers, "Call-ID"), response.code)
        response = replace(response, headers=sip.with_vias(response.headers, others))
        return [Send(Face.OUTSIDE, response.encode(), others[0].reply_to)]

    def _request_from_inside(self, request: Request) -> list[Send]:
        call = self.calls.get(sip.value(request.headers, "Call-ID"))
        if call is None:
            return self._drop("worker's unknown call")
        request = replace(request, headers=self._onwards(request))
        to = _next_hop(request, call.source)
        return [Send(Face.OUTSIDE, self._via(request, self.outside).encode(), to)]

    # --- the end of calls

    def ended(self, call_id: str, now_s: float) -> None:
        """The worker is done with it; the door lets its last messages pass for a while."""
        if call := self.calls.get(call_id):
            call.until_s = now_s + LINGER_S

    def sweep(self, now_s: float) -> None:
        """Forget calls that ended long ago."""
        for call_id in [c for c, call in self.calls.items() if call.until_s is not None and call.until_s < now_s]:
            del self.calls[call_id]

    def lost(self, workers: Iterable[Address], now_s: float) -> list[Send]:
        """Only these workers are left: what to tell the far ends of the others' calls, which nobody else can. BYE to
        those that were answered, 503 to those that were not."""
        left, sends = set(workers), list[Send]()
        for call_id, call in self.calls.items():
            if call.worker not in left and call.until_s is None:
                call.until_s = now_s + LINGER_S
                sends += self.farewell(call_id) if call.answer else self._answer(call.invite, 503)
        return sends

    def farewell(self, call_id: str) -> list[Send]:
        """The BYE that ends a call which was answered, when its worker cannot send one."""
        call = self.calls.get(call_id)
        if call is None or call.answer is None:
            return []
        contact = sip.values(call.invite.headers, "Contact")
        target = sip.uri(contact[0]) if contact else None
        if target is None:
            return []
        host = f"{target.user}@{target.host}" if target.user else target.host
        uri = f"{target.scheme}:{host}{f':{target.port}' if target.port else ''}{target.params}"
        headers = [
            ("Max-Forwards", "70"),
            *(("Route", each) for each in sip.values(call.invite.headers, "Record-Route")),
            ("From", sip.value(call.answer.headers, "To")),
            ("To", sip.value(call.invite.headers, "From")),
            ("Call-ID", call_id),
            ("CSeq", f"{LATE_CSEQ} BYE"),
            ("Reason", 'Q.850;cause=41;text="media_lost"'),
        ]
        bye = self._via(Request("BYE", uri, tuple(headers), b""), self.outside)
        return [Send(Face.OUTSIDE, bye.encode(), _next_hop(bye, call.source))]

    # --- parts

    def _drop(self, why: str) -> list[Send]:
        self.counts[why] += 1
        return []

    def _answer(self, request: Request, code: int, headers: Iterable[tuple[str, str]] = ()) -> list[Send]:
        self.counts[f"answered {code}"] += 1
        tag = _digest(sip.value(request.headers, "Call-ID"), sip.value(request.headers, "From"))
        answer = sip.answer(request, code, tag, headers)
        return [Send(Face.OUTSIDE, answer.encode(), sip.vias(request.headers)[0].reply_to)]

    def _onwards(self, request: Request) -> tuple[tuple[str, str], ...]:
        """The headers without our own Routes, one hop used."""
        routes = sip.values(request.headers, "Route")
        while routes and (first := sip.uri(routes[0])) and first.address in (self.inside, self.outside):
            routes.pop(0)
        headers = sip.with_header(request.headers, "Route", routes)
        hops = int(sip.value(headers, "Max-Forwards") or 71) - 1
        return sip.with_header(headers, "Max-Forwards", [str(max(0, hops))])

    def _via(self, request: Request, face: Address) -> Request:
        """With our Via on top. The branch is made from what a request, its repetitions and its CANCEL have in
        common, and nothing else has (§16.11)."""
        top = sip.value(request.headers, "Via")
        number = sip.value(request.headers, "CSeq").partition(" ")[0]
        branch = sip.COOKIE + _digest(top, sip.value(request.headers, "Call-ID"), number)
        via = ("Via", f"SIP/2.0/UDP {_written(face)};branch={branch}")
        return replace(request, headers=(via, *request.headers))


def _next_hop(request: Request, source: Address) -> Address:
    """Where a request of a worker's goes: its first Route, else its address; to where the call came from when that
    is a name, or an address that leads nowhere from here (a phone behind a router)."""
    routes = sip.values(request.headers, "Route")
    found = sip.uri(routes[0] if routes else request.uri)
    if found is None:
        return source
    host = found.address.host
    literal = host.replace(".", "").isdigit() or ":" in host
    return source if not literal or (private(host) and not private(source.host)) else found.address


def _afresh(request: Request, call: Call) -> bool:
    """An INVITE that tries again under the Call-ID of a call that is over, as phones do with another offer."""
    numbers = [sip.value(each.headers, "CSeq") for each in (request, call.invite)]
    return request.method == "INVITE" and not sip.tag(sip.value(request.headers, "To")) and numbers[0] != numbers[1]


def _method(response: Response) -> str:
    return sip.value(response.headers, "CSeq").rpartition(" ")[2]


def _written(address: Address) -> str:
    return f"[{address.host}]:{address.port}" if ":" in address.host else f"{address.host}:{address.port}"


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:20]
