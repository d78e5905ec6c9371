"""PJSIP behind a few plain methods: one endpoint, its accounts, its calls. Runs in a worker process only.

What pjsua2's Python binding forces on this file:

* Objects of it must not be destroyed by the garbage collector, on whatever thread that runs: a `Call` hangs up when
  it goes (pjproject #3856, #2416), a port waits for the conference bridge's lock, which PJSIP's clock may hold while
  it waits for the GIL. So the collector is off in a worker (`sip_worker`), audio ports are made once and lent to one
  call after the other, and a `Call` that has ended goes on the main thread, outside of any callback (`sweep`).
* An exception that leaves a callback goes into C++ and ends the process: every callback is `_contained`.
* `bytes(frame.buf)` walks the vector element by element, each wrapped. Reading its storage through ctypes and
  assigning one vector again and again costs a third (`_Port`).
"""

from __future__ import annotations

import ctypes
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

import pjsua2 as pj

from voicebot.carriers.base import FRAME_BYTES, FRAME_MS, RATE
from voicebot.carriers.sip_outbox import Outbox
from voicebot.carriers.sip_setup import Setup
from voicebot.core.sip_link import Heard, Kind, Message, Say, message
from voicebot.core.sip_playout import Playout

CODECS = ("PCMU/8000", "PCMA/8000")
_ERROR_LEVEL = 1


def _contained(callback: Callable[..., None]) -> Callable[..., None]:
    """A callback whose exceptions stay here."""

    @wraps(callback)
    def guarded(*args: Any) -> None:
        try:
            callback(*args)
        except Exception:
            traceback.print_exc(file=sys.stderr)

    return guarded


class _Port(pj.AudioMediaPort):  # type: ignore[misc]
    """One call's audio in and out of the conference bridge, 20 ms at a time, on PJSIP's clock thread."""

    def __init__(self, number: int) -> None:
        super().__init__()
        shape = pj.MediaFormatAudio()
        shape.type = pj.PJMEDIA_TYPE_AUDIO
        shape.clockRate, shape.channelCount, shape.bitsPerSample = RATE, 1, 16
        shape.frameTimeUsec = FRAME_MS * 1000
        self.createPort(f"voicebot-{number}", shape)
        self._lock = threading.Lock()
        self._silence, self._vector = pj.ByteVector(bytes(FRAME_BYTES)), pj.ByteVector(bytes(FRAME_BYTES))
        self._storage = _storage(self._vector)
        self.ticks = 0
        self._outbox: Outbox | None = None
        self._call = 0
        self._at = 0
        self._held = True
        self._playout = Playout()

    # --- the main thread

    def lend(self, call: int, outbox: Outbox) -> None:
        """To a call that has audio now."""
        with self._lock:
            self._call, self._outbox, self._at, self._held, self._playout = call, outbox, 0, False, Playout()

    def take_back(self) -> None:
        with self._lock:
            self._outbox = None

    def hold(self, held: bool) -> None:
        with self._lock:
            self._held = held

    def say(self, say: Say) -> None:
        with self._lock:
            self._playout.put(say)

    def clear(self) -> None:
        with self._lock:
            self._playout.clear()

    # --- PJSIP's clock

    @_contained
    def onFrameRequested(self, frame: Any) -> None:
        self.ticks += 1
        frame.type = pj.PJMEDIA_TYPE_AUDIO
        with self._lock:
            pcm = b"" if self._held or self._outbox is None else self._playout.take(FRAME_BYTES)
        if pcm:
            ctypes.memmove(self._storage, pcm.ljust(FRAME_BYTES, b"\0"), FRAME_BYTES)
        frame.buf = self._vector if pcm else self._silence

    @_contained
    def onFrameReceived(self, frame: Any) -> None:
        with self._lock:
            if self._outbox is None:
                return
            pcm = ctypes.string_at(_storage(frame.buf), frame.size) if frame.size and not self._held else b""
            pcm = pcm.ljust(FRAME_BYTES, b"\0")  # nothing came in these 20 ms, or music on hold: that is silence
            heard = Heard(self._at, self._playout.epoch, self._playout.sample, pcm)
            self._at += len(pcm) // 2
            outbox, call = self._outbox, self._call
        outbox.put(Message(Kind.HEARD, call, heard.encode()))


def _storage(vector: Any) -> int:
    """Address of a `std::vector`'s elements, its first member."""
    return ctypes.c_void_p.from_address(int(vector.this)).value or 0


class _Call(pj.Call):  # type: ignore[misc]
    """One leg. Everything here runs on the main thread but `onDtmfDigit`."""

    def __init__(self, phone: Phone, account: pj.Account, number: int, call_id: int) -> None:
        super().__init__(account, call_id)
        self.phone, self.number = phone, number
        self.port: _Port | None = None
        self.held = False
        self.cause = ""
        """Why we ended it; empty when the far end did."""
        self.silent_s = 0.0
        self.packets = -1
        self.figures: dict[str, float] = {}

    @_contained
    def onCallState(self, prm: Any) -> None:
        info = self.getInfo()
        if info.state == pj.PJSIP_INV_STATE_EARLY and info.role == pj.PJSIP_ROLE_UAC:
            self.phone.outbox.put(message(Kind.RINGING, self.number))
        if info.state == pj.PJSIP_INV_STATE_DISCONNECTED:
            self.phone.ended(self, info.lastStatusCode, info.lastReason)

    @_contained
    def onCallMediaState(self, prm: Any) -> None:
        info = self.getInfo()
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

    @_contained
    def onDtmfDigit(self, prm: Any) -> None:
        self.phone.outbox.put(Message(Kind.DIGIT, self.number, prm.digit.encode()))

    @_contained
    def onCallTransferStatus(self, prm: Any) -> None:
        final = bool(prm.finalNotify)
        prm.cont = not final
        self.phone.outbox.put(
            message(Kind.PASSED, self.number, code=int(prm.statusCode), reason=prm.reason, final=final)
        )


class _Account(pj.Account):  # type: ignore[misc]
    def __init__(self, phone: Phone) -> None:
        super().__init__()
        self._phone = phone

    @_contained
    def onIncomingCall(self, prm: Any) -> None:
        self._phone.incoming(self, prm)


@dataclass(slots=True)
class Phone:
    """The endpoint. `start` first; then `turn` again and again, on one thread, which is the only one that calls."""

    setup: Setup
    outbox: Outbox
    capacity: int = 0
    port: int = 0
    _endpoint: Any = None
    _accounts: list[_Account] = field(default_factory=list)
    _calls: dict[int, _Call] = field(default_factory=dict)
    _ended: list[_Call] = field(default_factory=list)
    """They go with `sweep`."""
    _ports: list[_Port] = field(default_factory=list)
    _free: list[_Port] = field(default_factory=list)
    _last: int = 0

    # --- life

    def start(self) -> None:
        """Bind, and make everything that calls will need. `pj.Error` when something cannot be had."""
        endpoint = self._endpoint = pj.Endpoint()
        endpoint.libCreate()
        endpoint.libInit(_endpoint_config(self.setup))
        transport = pj.TransportConfig()
        transport.boundAddress = "127.0.0.1"  # the door is on this machine, and nobody else is meant to come here
        identifier = endpoint.transportCreate(pj.PJSIP_TRANSPORT_UDP, transport)
        self.port = int(endpoint.transportGetInfo(identifier).localName.rpartition(":")[2])
        endpoint.libStart()
        endpoint.audDevManager().setNullDev()
        for codec in endpoint.codecEnum2():
            endpoint.codecSetPriority(codec.codecId, 0)
        for rank, codec in enumerate(CODECS):
            endpoint.codecSetPriority(f"{codec}/1", 255 - rank)
        self.capacity = min(self.setup.capacity, _most_calls())
        self._ports = [_Port(number) for number in range(self.capacity)]
        self._free = list(self._ports)
        self._accounts.append(_Account(self))
        self._accounts[0].create(_account_config(self.setup, self.port), True)

    @property
    def ticks(self) -> int:
        """Frames that PJSIP's clock asked for: it stands still when the clock does."""
        return sum(port.ticks for port in self._ports)

    @property
    def calls(self) -> int:
        return len(self._calls)

    def knows(self, call: int) -> bool:
        """Whether it is up."""
        return call in self._calls

    def turn(self, wait_ms: int) -> None:
        """Handle what has come over SIP, waiting for it this long at most; then let go of what has ended."""
        self._endpoint.libHandleEvents(wait_ms)
        self._ended.clear()

    def watch(self, seconds: float) -> None:
        """Every second or so: does media still come? `seconds` since the last time."""
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
            stat = call.getStreamStat(0)
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

    def incoming(self, account: _Account, prm: Any) -> None:
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

    def borrow(self, call: int) -> _Port:
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
        self._ended.append(call)
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
            call.hangup(_operation(code, "", {"Reason": f'Q.850;cause=16;text="{text}"'}))

    def pass_on(self, number: int, to: str) -> None:
        if call := self._calls.get(number):
            call.xfer(to, pj.CallOpParam(True))

    def keys(self, number: int, digits: str) -> None:
        if call := self._calls.get(number):
            call.dialDtmf(digits)

    def hang_up_all(self) -> None:
        self._endpoint.hangupAllCalls()


def _endpoint_config(setup: Setup) -> Any:
    config = pj.EpConfig()
    ua, media, log = config.uaConfig, config.medConfig, config.logConfig
    ua.threadCnt = 0  # SIP is handled where `turn` is called, and nowhere else
    ua.maxCalls, ua.userAgent = setup.capacity, "voicebot"
    log.level = log.consoleLevel = max(setup.log_level, _ERROR_LEVEL)
    media.clockRate = media.sndClockRate = RATE
    media.channelCount, media.audioFramePtime = 1, FRAME_MS
    media.ecTailLen, media.noVad, media.maxMediaPorts = 0, True, 254
    media.jbInit, media.jbMinPre, media.jbMaxPre, media.jbMax = 20, 20, 120, 300
    return config


def _account_config(setup: Setup, port: int) -> Any:
    config = pj.AccountConfig()
    config.idUri = f"sip:voicebot@127.0.0.1:{port}"
    config.callConfig.timerUse = pj.PJSUA_SIP_TIMER_OPTIONAL
    config.mediaConfig.transportConfig.boundAddress = setup.address
    config.mediaConfig.transportConfig.publicAddress = setup.public_address
    config.mediaConfig.transportConfig.port = setup.rtp_port
    config.mediaConfig.lockCodecEnabled = False
    return config


def _operation(code: int, reason: str, headers: dict[str, str]) -> Any:
    operation = pj.CallOpParam(True)
    operation.statusCode, operation.reason = code, reason
    for name, value in headers.items():
        header = pj.SipHeader()
        header.hName, header.hValue = name, value
        operation.txOption.headers.push_back(header)
    return operation


def _most_calls() -> int:
    """What the build allows (`PJSUA_MAX_CALLS`), which the binding does not tell; its library does."""
    binary = next(module.__file__ for name, module in sys.modules.items() if name.endswith("_pjsua2"))
    return int(ctypes.CDLL(binary).pjsua_call_get_max_count())
