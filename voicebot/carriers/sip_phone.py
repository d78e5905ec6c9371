"""PJSIP behind a few plain methods: one endpoint, its accounts, its calls. Runs in a worker process only.

What pjsua2's Python binding forces on this file:

* Objects of it must not be destroyed by the garbage collector, on whatever thread that runs: a `Call` hangs up when
  it goes (pjproject #3856, #2416), a port waits for the conference bridge's lock, which PJSIP's clock may hold while
  it waits for the GIL. So the collector is off in a worker (`sip_worker`), and audio ports are made once and lent to
  one call after the other.
* A `Call` knows its call by its place in a table alone, and the place is free once the call has ended: an object that
  goes later hangs up whoever has the place then. So the last reference goes in the callback that tells of the end
  (`Phone.ended`), which pjsua2 allows; nothing may keep one.
* An exception that leaves a callback goes into C++ and ends the process: every callback is `contained`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pjsua2 as pj

from voicebot.carriers.sip_extension import Extension, Registration
from voicebot.carriers.sip_outbox import Outbox
from voicebot.carriers.sip_pjsip import door_config, endpoint_config, most_calls, transport, use_codecs
from voicebot.carriers.sip_port import Port, contained
from voicebot.carriers.sip_setup import Setup
from voicebot.core.sip_link import Kind, Message, Say, message


class _Call(pj.Call):  # type: ignore[misc]
    """One leg. Everything here runs on the main thread but `onDtmfDigit`."""

    def __init__(self, phone: Phone, account: pj.Account, number: int, call_id: int) -> None:
        super().__init__(account, call_id)
        self.phone, self.number = phone, number
        self.port: Port | None = None
        self.index = 0
        """Of its audio among the call's media."""
        self.held = False
        self.cause = ""
        """Why we ended it; empty when the far end did."""
        self.silent_s = 0.0
        self.packets = -1
        self.figures: dict[str, float] = {}
        self.extension: Extension | None = None
        """By whose registrar it went out."""

    def reaches(self, to: str) -> str:
        """Where an address at the account's exchange is just now."""
        return self.extension.account.moved(to, self.extension.place) if self.extension else to

    @contained
    def onCallState(self, prm: Any) -> None:
        info = self.getInfo()
        if info.state == pj.PJSIP_INV_STATE_CONFIRMED and info.role == pj.PJSIP_ROLE_UAC:
            self._look_at_media(info)
        if info.state == pj.PJSIP_INV_STATE_DISCONNECTED:
            self.phone.ended(self, info.lastStatusCode, info.lastReason)

    @contained
    def onCallMediaState(self, prm: Any) -> None:
        info = self.getInfo()
        # What comes before the answer of a call we placed is somebody's ringing tone: the bot does not talk to that.
        if info.state == pj.PJSIP_INV_STATE_CONFIRMED or info.role == pj.PJSIP_ROLE_UAS:
            self._look_at_media(info)

    def _look_at_media(self, info: Any) -> None:
        for index, media in enumerate(info.media):
            if media.type == pj.PJMEDIA_TYPE_AUDIO:
                self._media(index, media.status == pj.PJSUA_CALL_MEDIA_ACTIVE)
                return

    def _media(self, index: int, active: bool) -> None:
        if not active:
            if self.port is not None and not self.held:
                self.held = True
                self.port.hold(True)
                self.phone.outbox.put(Message(Kind.HELD, self.number))
            return
        if self.port is None:
            self.port = self.phone.borrow(self.number)
        self.index = index
        # A re-INVITE may have given the stream another place on the bridge: connect again, which is harmless.
        stream = self.getAudioMedia(index)
        stream.startTransmit(self.port)
        self.port.startTransmit(stream)
        self.held = False
        self.port.hold(False)
        told = self.getStreamInfo(index)
        self.phone.outbox.put(
            message(
                Kind.MEDIA,
                self.number,
                codec=told.codecName,
                remote=told.remoteRtpAddress,
                telephone_event=told.audRxEventPt >= 0,
            )
        )

    @contained
    def onDtmfDigit(self, prm: Any) -> None:
        self.phone.outbox.put(Message(Kind.DIGIT, self.number, prm.digit.encode()))

    @contained
    def onCallTransferStatus(self, prm: Any) -> None:
        final = bool(prm.finalNotify)
        prm.cont = not final
        self.phone.outbox.put(
            message(Kind.PASSED, self.number, code=int(prm.statusCode), reason=prm.reason, final=final)
        )


@dataclass(slots=True)
class Phone:
    """The endpoint. `start` first; then `turn` again and again, on one thread, which is the only one that calls."""

    setup: Setup
    outbox: Outbox
    capacity: int = 0
    port: int = 0
    _endpoint: Any = None
    _extensions: list[Extension] = field(default_factory=list)
    _plain: Registration | None = None
    """Without a registrar: for calls from the door, or for calls out without an account."""
    _calls: dict[int, _Call] = field(default_factory=dict)
    _stale: list[_Call] = field(default_factory=list)
    """Objects that must never go: somebody else may have their place."""
    _ports: list[Port] = field(default_factory=list)
    _free: list[Port] = field(default_factory=list)
    _last: int = 0

    # --- life

    def start(self) -> None:
        """Bind, and make everything that calls will need. `pj.Error` when something cannot be had."""
        endpoint = self._endpoint = pj.Endpoint()
        endpoint.libCreate()
        endpoint.libInit(endpoint_config(self.setup))
        inside = transport(endpoint, "udp", "127.0.0.1", "")  # for the door, which is on this machine
        self.port = int(endpoint.transportGetInfo(inside).localName.rpartition(":")[2])
        kinds = {each.transport for each in self.setup.accounts} | ({"udp"} if self.setup.dials else set())
        outside = {kind: transport(endpoint, kind, self.setup.address, self.setup.public_address) for kind in kinds}
        endpoint.libStart()
        endpoint.audDevManager().setNullDev()
        use_codecs(endpoint)
        self.capacity = min(self.setup.capacity, most_calls())
        self._ports = [Port(number) for number in range(self.capacity)]
        self._free = list(self._ports)
        # PJSIP gives a call in to the account that fits its To best, whatever transport it came by, and answers by that
        # account's. So a process is for the door or for accounts, never for both.
        for wanted in self.setup.accounts:
            extension = Extension(wanted, self.setup, outside[wanted.transport], self.outbox, self.incoming)
            self._extensions.append(extension)
        if self.setup.dials or not self.setup.accounts:
            self._plain = Registration(self.incoming)
            self._plain.create(door_config(self.setup, outside["udp"] if self.setup.dials else inside))

    @property
    def calls(self) -> int:
        return len(self._calls)

    def knows(self, call: int) -> bool:
        """Whether it is up."""
        return call in self._calls

    def turn(self, wait_ms: int) -> None:
        """Handle what has come over SIP, waiting for it this long at most."""
        self._endpoint.libHandleEvents(wait_ms)

    def watch(self, seconds: float) -> None:
        """Every second or so: do registrations stand, does media still come? `seconds` since the last time."""
        for extension in self._extensions:
            extension.watch()
        for call in list(self._calls.values()):
            if call.port is None:
                continue
            self._measure(call)
            packets = int(call.figures.get("packets", 0) + call.figures.get("reports", 0))
            call.silent_s = 0.0 if call.held or packets != call.packets else call.silent_s + seconds
            call.packets = packets
            if call.silent_s >= self.setup.media_lost_s and not call.cause:
                self.hang_up(call.number, 200, "media_lost", "no media")

    def _measure(self, call: _Call) -> None:
        try:
            stat = call.getStreamStat(call.index)
        except pj.Error:  # no stream just now: on hold, or on its way out
            return
        rx, jitter_buffer = stat.rtcp.rxStat, stat.jbuf
        call.figures = {
            "packets": rx.pkt,
            "reports": stat.rtcp.txStat.updateCount,
            "lost": rx.loss,
            "reordered": rx.reorder,
            "duplicate": rx.dup,
            "late": jitter_buffer.discard,
            "jitter_ms": round(rx.jitterUsec.mean / 1000, 1),
            "jitter_max_ms": round(rx.jitterUsec.max / 1000, 1),
            "buffer_ms": jitter_buffer.avgDelayMsec,
            "round_trip_ms": round(stat.rtcp.rttUsec.mean / 1000, 1),
            "lost_there": stat.rtcp.txStat.loss,
        }

    # --- calls

    def incoming(self, account: Registration, prm: Any) -> None:
        """The service decides; until it has, the caller waits."""
        self._last += 1
        call = _Call(self, account, self._last, prm.callId)
        self._calls[call.number] = call
        self.outbox.put(
            message(
                Kind.INCOMING,
                call.number,
                sip_call_id=call.getInfo().callIdString,
                source=prm.rdata.srcAddress,
                message=prm.rdata.wholeMsg,
            )
        )

    def dial(self, number: int, to: str, account: int, headers: dict[str, str]) -> None:
        """Call out with an account, by its number, where it is registered; -1: without one, where `Setup.dials`."""
        extension = self._extensions[account] if account >= 0 or self._plain is None else None
        call = _Call(self, extension.registration if extension else self._plain, number, pj.PJSUA_INVALID_ID)
        call.extension = extension
        to = call.reaches(to)
        self._calls[number] = call
        try:
            call.makeCall(to, _operation(0, "", headers))
        except pj.Error as error:
            self.ended(call, 500, error.reason)

    def borrow(self, call: int) -> Port:
        port = self._free.pop()
        port.lend(call, self.outbox)
        return port

    def ended(self, call: _Call, code: int, reason: str) -> None:
        """It is over, whoever ended it."""
        if call.port is not None:
            call.port.take_back()
            self._free.append(call.port)
            call.port = None
            self.outbox.put(message(Kind.FIGURES, call.number, **call.figures))
        self._calls.pop(call.number, None)
        self.outbox.put(message(Kind.ENDED, call.number, code=int(code), reason=reason, cause=call.cause))

    def answer(self, number: int, code: int, reason: str = "", headers: dict[str, str] | None = None) -> None:
        if call := self._calls.get(number):
            call.answer(_operation(code, reason, headers or {}))

    def say(self, number: int, say: Say) -> None:
        if (call := self._calls.get(number)) and call.port:
            call.port.say(say)

    def clear(self, number: int) -> None:
        if (call := self._calls.get(number)) and call.port:
            call.port.clear()

    def hang_up(self, number: int, code: int, cause: str, text: str) -> None:
        """BYE with a reason (RFC 3326); before the answer, `code`."""
        if call := self._calls.get(number):
            call.cause = call.cause or cause
            try:
                call.hangup(_operation(code, "", {"Reason": f'Q.850;cause=16;text="{text}"'}))
            except pj.Error as error:  # PJSIP knows no such call any more, and did not say so
                self._stale.append(call)
                self.ended(call, 481, error.reason)

    def pass_on(self, number: int, to: str) -> None:
        if call := self._calls.get(number):
            call.xfer(call.reaches(to), pj.CallOpParam(True))

    def keys(self, number: int, digits: str) -> None:
        if call := self._calls.get(number):
            call.dialDtmf(digits)

    def hang_up_all(self) -> None:
        self._endpoint.hangupAllCalls()


def _operation(code: int, reason: str, headers: dict[str, str]) -> Any:
    operation = pj.CallOpParam(True)
    operation.statusCode, operation.reason = code, reason
    for name, value in headers.items():
        header = pj.SipHeader()
        header.hName, header.hValue = name, value
        operation.txOption.headers.push_back(header)
    return operation
