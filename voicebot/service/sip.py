"""The SIP side of the service: the door on its two sockets, the workers behind it, and the calls they bring.

Off where it cannot be, in one sentence, and the rest of the service goes on: no pjsua2 for this machine, a port that
is taken.
"""

from __future__ import annotations

import asyncio
import importlib.util
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from voicebot import log
from voicebot.call.recorder import append
from voicebot.carriers.sip import SipLine
from voicebot.carriers.sip_process import Worker
from voicebot.carriers.sip_setup import Setup
from voicebot.config import Settings
from voicebot.core import sip
from voicebot.core.sip import Address, Request
from voicebot.core.sip_accounts import IPV4_ONLY, Account, accounts
from voicebot.core.sip_door import Door, Face, Refusal, Rules, Send
from voicebot.core.sip_limits import Network, networks
from voicebot.core.sip_link import Kind, Message, message
from voicebot.core.timeline import EndReason, Record
from voicebot.service.desk import Desk
from voicebot.service.sip_admission import Admission, Expected
from voicebot.service.sip_outward import Outward

START_S = 8.0
"""For the workers to be ready."""
RESOLVE_S = 3.0
"""For the address of an exchange."""
ANSWER_S = 8.0
"""From our answer to the first audio."""
CHORES_EVERY_S = 1.0
MEDIA_LOST_S = 15.0
"""A call whose far end sends neither RTP nor RTCP for this long is over; not while it is held."""
REGISTER_S, REGISTER_WATCHED_S = 300, 60
"""How long a registration is asked to stand: where there is a backup, a registrar that dies should be noticed soon."""
RTP_PORTS = 100
"""For each worker."""
ANY_ADDRESS = "0.0.0.0"
OK = 200
GAVE_UP = 487
"""The answer to an INVITE that was cancelled."""
_log = log.get("sip")


class _Socket(asyncio.DatagramProtocol):
    """One face of the door."""

    def __init__(self, take: Callable[[bytes, Address], None]) -> None:
        self._take = take

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        try:
            self._take(data, Address(addr[0], addr[1]))
        except Exception as error:  # one datagram costs that datagram
            _log.error("sip_datagram_failed", error=repr(error))

    def error_received(self, exc: Exception) -> None:
        """An ICMP error of somebody's; whoever did not get our datagram says so again."""


@dataclass(slots=True)
class Sip:
    """`serving` is its life, inside of the task group that holds its calls."""

    desk: Desk
    fault: str = ""
    """Why it is not served, as a sentence; empty while it is."""
    workers: list[Worker] = field(default_factory=list)
    """Behind the door."""
    extensions: list[Worker] = field(default_factory=list)
    """One for each account, whose calls come and go past the door."""
    door: Door | None = None
    admission: Admission | None = None
    outward: Outward | None = None
    _faces: dict[Face, asyncio.DatagramTransport] = field(default_factory=dict)
    _up: dict[str, tuple[Worker, int]] = field(default_factory=dict)
    """Call-ID → worker and its number for the call."""
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _chores: asyncio.Task[None] | None = None

    # --- start and stop

    @asynccontextmanager
    async def serving(self, group: asyncio.TaskGroup) -> AsyncIterator[None]:
        """From ready, or known not to be, to stopped. `group` holds the calls."""
        await self._start(group)
        try:
            await self._started()
            yield
        finally:
            self._close()

    async def _start(self, group: asyncio.TaskGroup) -> None:
        """Bind and start the workers; `fault` says what came in the way."""
        settings = self.desk.settings
        self.fault = lacking(settings)
        if self.fault:
            return
        try:
            outside = await self._face(Face.OUTSIDE, settings.sip_host, settings.sip_port)
            inside = await self._face(Face.INSIDE, "127.0.0.1", 0)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            self.fault = f"UDP port {settings.sip_port} of {settings.sip_host} cannot be had: {reason}."
            self._close()
            return
        known_as = Address(settings.sip_public_address or _reachable(outside.host), outside.port)
        rules = Rules(networks(settings.sip_allow))
        known = accounts(settings.sip_accounts.get_secret_value())
        exchanges = (*rules.allowed, *[each for account in known for each in await _addresses(account)])
        self.admission = Admission(self.desk, group, known, exchanges)
        self.door = Door(known_as, inside, rules, self._admit, self.desk.runtime.not_ready, self._settled)
        for number in range(settings.sip_workers):
            self.workers.append(self._worker(setup(settings, number)))
        for number, account in enumerate(known, settings.sip_workers):
            self.extensions.append(self._worker(setup(settings, number, (account,))))
        number = settings.sip_workers + len(known)
        self.outward = Outward(known, self.extensions, lambda: self._worker(setup(settings, number, dials=True)))
        self.desk.dial = self.outward.dial
        if any(plan.transfers for plan in self.desk.runtime.dialplans.values()):
            self.outward.warm()
        self._chores = group.create_task(self._do_chores())

    def _worker(self, setup: Setup) -> Worker:
        return Worker(setup.facts, self._incoming, self._worker_changed)

    async def _started(self) -> None:
        """Until every worker is ready, or says that it cannot be, or has taken too long."""
        try:
            async with asyncio.timeout(START_S):
                while not all(each.ready or each.fault for each in (*self.workers, *self.extensions)):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            pass
        if self.workers and not any(worker.ready for worker in self.workers):
            why = next((worker.fault for worker in self.workers if worker.fault), "no worker has started in time")
            self.fault = f"no SIP worker is ready: {why}."
        if self.fault and self.desk.settings.sip_on:
            _log.warning("sip_off", why=self.fault)

    def _close(self) -> None:
        """No more SIP. Workers say goodbye to the calls that are still up, not by way of the door any more."""
        self.desk.dial = None
        if self.outward:
            self.outward.close()
        for worker in (*self.workers, *self.extensions):
            worker.close()
        if self._chores:
            self._chores.cancel()
        for face in self._faces.values():
            face.close()
        self._faces.clear()

    async def _face(self, face: Face, host: str, port: int) -> Address:
        take = self._from_outside if face is Face.OUTSIDE else self._from_inside
        bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            bound.bind((host, port))
        except OSError:
            bound.close()
            raise
        loop, name = asyncio.get_running_loop(), bound.getsockname()
        self._faces[face], _ = await loop.create_datagram_endpoint(lambda: _Socket(take), sock=bound)
        return Address(name[0], name[1])

    async def _do_chores(self) -> None:
        loop = asyncio.get_running_loop()
        while self.door and self.admission:
            await asyncio.sleep(CHORES_EVERY_S)
            now_s = loop.time()
            self.door.sweep(now_s)
            for call_id in [c for c, each in self.admission.expected.items() if each.until_s < now_s]:
                self._forget(call_id, "no worker took it")
            self._measure(self.door, self.admission.accounts)

    def _measure(self, door: Door, known: tuple[Account, ...]) -> None:
        metrics = self.desk.metrics
        for why, count in door.counts.items():
            metrics.sip_dropped.labels(why).inc(count)
        door.counts.clear()
        metrics.sip_free.set(sum(worker.free for worker in self.workers))
        metrics.sip_registered.set(sum(OK in worker.registered.values() for worker in self.extensions))
        for number, (account, worker) in enumerate(zip(known, self.extensions, strict=True), 1):
            used = worker.registrars[account.name] if worker.registered.get(account.name) == OK else ""
            for place in account.places if account.register else ():
                metrics.sip_registrar.labels(str(number), place.next_hop).set(place.next_hop == used)

    # --- datagrams

    def _from_outside(self, data: bytes, source: Address) -> None:
        if self.door:
            self._send(self.door.from_outside(data, source, _now_s()))

    def _from_inside(self, data: bytes, source: Address) -> None:
        if self.door and any(worker.port == source.port for worker in self.workers):
            self._send(self.door.from_inside(data))

    def _send(self, sends: list[Send]) -> None:
        for send in sends:
            if face := self._faces.get(send.face):
                face.sendto(send.data, send.to)

    # --- who may come in

    def _admit(self, request: Request, source: Address) -> Refusal | Address:
        """For a new INVITE that the door has understood, of a source that is allowed."""
        assert self.admission
        worker = max(self.workers, key=self.admission.room, default=None)
        decided = self.admission.decide(request, source, worker)
        if isinstance(decided, Refusal):
            return decided
        self.admission.expected[sip.value(request.headers, "Call-ID")] = decided
        return Address("127.0.0.1", decided.worker.port)

    def _settled(self, call_id: str, code: int) -> None:
        if code >= 300:
            self._forget(call_id, _never_was(code))
        elif self.door and (leg := self._up.get(call_id)):
            worker, number = leg
            for send in self.door.farewell(call_id):
                worker.send(message(Kind.FAREWELL, number, data=send.data.decode("latin-1"), **send.to._asdict()))

    def _forget(self, call_id: str, why: str) -> None:
        """It was admitted, and no call came of it."""
        if self.door and self.admission:
            if expected := self.admission.expected.pop(call_id, None):
                self.admission.refused(expected.info, expected.plan.name, why)
            self.door.ended(call_id, _now_s())

    # --- calls

    def _incoming(self, worker: Worker, told: Message) -> None:
        assert self.admission
        call_id = told.facts["sip_call_id"]
        expected = self.admission.expected.pop(call_id, None) or self.admission.direct(worker, told.facts)
        if isinstance(expected, Refusal):
            worker.send(message(Kind.ANSWER, told.call, code=expected.code))
            return
        line = SipLine(expected.info, worker, told.call, partial(address_of, exchange=expected.exchange))
        worker.calls[told.call], self._up[call_id] = line, (worker, told.call)
        self.admission.group.create_task(self._carry(line, worker, told.call, expected, call_id))

    async def _carry(self, line: SipLine, worker: Worker, number: int, expected: Expected, call_id: str) -> None:
        plan, outward = expected.plan, self.outward
        dial = partial(outward.dial, exchange=expected.exchange) if outward else None
        reason = EndReason.MEDIA_LOST
        try:
            worker.send(message(Kind.ANSWER, number, code=180))
            worker.send(message(Kind.ANSWER, number, code=200))
            if not await line.answered(ANSWER_S):
                assert self.admission
                self.admission.refused(line.info, plan.name, _never_was(line.ended.get("code", GAVE_UP)))
            else:
                reason = await self.desk.carry(line, plan, dial=dial)
                await line.hangup(reason.value)
                self._note_figures(line)
        except Exception as error:  # one call costs that call
            _log.error("sip_call_failed", call_id=line.info.call_id, exc_info=error)
        finally:
            del self._up[call_id]
            if self.door:
                self.door.ended(call_id, _now_s())
            await line.hangup(reason.value)

    def _note_figures(self, line: SipLine) -> None:
        folder = self.desk.settings.data_dir / "calls" / line.info.call_id
        facts = line.figures | {"codec": line.codec, "dropped": line.dropped, "ended": line.why_not}
        try:
            append(folder, Record(line.clock_ms(), "network", facts))
        except OSError as error:
            _log.warning("timeline_write_failed", error=str(error))
        _log.info("sip_network", call_id=line.info.call_id, **facts)

    def _worker_changed(self, worker: Worker) -> None:
        self._changed.set()
        if self.door and self.admission and not worker.ready:
            expected = self.admission.expected
            for call_id in [c for c, each in expected.items() if each.worker is worker]:
                del expected[call_id]
            left = [Address("127.0.0.1", each.port) for each in self.workers if each.ready]
            self._send(self.door.lost(left, _now_s()))


def _never_was(code: int) -> str:
    """Why no call came of an INVITE that ended so, as it is counted."""
    return "caller gave up" if code in (OK, GAVE_UP) else f"PJSIP answered {code}"


def lacking(settings: Settings) -> str:
    """Why SIP cannot be served on this machine, as a sentence; empty when it can."""
    if not settings.sip_on:
        return "switched off."
    for name, address in (("HOST", settings.sip_host), ("PUBLIC_ADDRESS", settings.sip_public_address)):
        if ":" in address:
            return f"VOICEBOT_SIP_{name}={address}: {IPV4_ONLY}."
    try:
        accounts(settings.sip_accounts.get_secret_value())
    except ValueError as error:
        return f"VOICEBOT_SIP_ACCOUNTS: {error}."
    if importlib.util.find_spec("pjsua2") is None:
        return "the package pjsua2-python is not installed; there is none for every machine (see the README)."
    return ""


def address_of(destination: str, exchange: str) -> str:
    """A SIP address for what a dialplan names: a number is one at the exchange that the call came from."""
    if destination.startswith(("sip:", "sips:")):
        return destination
    return f"sip:{destination}@{exchange}"


def setup(settings: Settings, number: int, own: tuple[Account, ...] = (), dials: bool = False) -> Setup:
    """Of the worker with that number, which has these accounts."""
    return Setup(
        address="" if settings.sip_host == ANY_ADDRESS else settings.sip_host,
        public_address=settings.sip_public_address,
        rtp_port=settings.sip_rtp_port + RTP_PORTS * number if settings.sip_rtp_port else 0,
        capacity=settings.sip_calls_per_worker,
        media_lost_s=MEDIA_LOST_S,
        srtp=settings.sip_srtp,
        accounts=own,
        dials=dials,
        register_s=REGISTER_WATCHED_S if any(account.backups for account in own) else REGISTER_S,
        log_level=4 if settings.log_level == "debug" else 0,
    )


async def _addresses(account: Account) -> list[Network]:
    """Those of an account's exchange, its proxy and its backups; none where a name has no address just now."""
    found: list[Network] = []
    for host in {place.partition(":")[0] for each in account.places for place in (each.host, each.next_hop)}:
        try:
            async with asyncio.timeout(RESOLVE_S):
                infos = await asyncio.get_running_loop().getaddrinfo(host, None)
        except (OSError, TimeoutError) as error:
            _log.warning("sip_exchange_unknown", host=host, error=str(error))
            continue
        found += networks(" ".join({str(info[4][0]) for info in infos}))
    return found


def _reachable(host: str) -> str:
    """What a socket that is bound to all addresses is best known as: the one that leads out of this machine."""
    if host != ANY_ADDRESS:
        return host
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # nothing is sent
        except OSError:  # no way out
            return "127.0.0.1"
        return str(probe.getsockname()[0])


def _now_s() -> float:
    return asyncio.get_running_loop().time()
