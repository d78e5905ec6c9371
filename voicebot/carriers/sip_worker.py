"""A SIP worker: `python -m voicebot.carriers.sip_worker FD`, a socket it inherited. Speaks `core.sip_link`.

A process of its own, so that a fault in PJSIP's C code costs its calls and not the service. When the socket closes,
because the service has stopped or was killed, it says goodbye to its callers and ends: nothing outlives a killed
parent. The door is gone with the service then, so the goodbyes are BYEs that the service made ready while it lived.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import struct
import sys
import time
from typing import Any, assert_never

from voicebot.carriers.sip_outbox import Outbox
from voicebot.carriers.sip_setup import Setup
from voicebot.core.sip_link import Kind, Message, Messages, Say, message

TURN_MS = 10
ALIVE_EVERY_S = 1.0
FAREWELL_S = 1.0
"""For the BYEs when the service is gone."""
SETUP_S = 10.0


def main() -> None:
    """Work until the socket closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the service decides when calls end
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    gc.disable()  # see `sip_phone`; what makes cycles here is small
    sock = socket.socket(fileno=int(sys.argv[1]))
    worker = Worker(sock)
    try:
        worker.run()
    finally:
        sys.stderr.flush()
        os._exit(0)  # PJSIP's own end waits for threads that wait for the GIL


class Worker:
    """The loop of the process."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock, self._messages = sock, Messages()
        self._setup: dict[str, Any] = self._first()
        self._outbox = Outbox(sock)
        self._farewells: dict[int, dict[str, Any]] = {}

    def _first(self) -> dict[str, Any]:
        self._sock.settimeout(SETUP_S)
        while data := self._sock.recv(1 << 16):
            for first in self._messages.feed(data):
                return first.facts
        raise SystemExit(0)

    def run(self) -> None:
        """Until the service closes its end."""
        try:
            import pjsua2 as pj

            from voicebot.carriers.sip_phone import Phone

            self._refused = pj.Error
            self._phone = Phone(Setup.of(self._setup), self._outbox)
            self._phone.start()
        except ImportError as error:
            self._fault(f"pjsua2 cannot be imported: {error}")
            return
        except Exception as error:
            self._fault(getattr(error, "reason", "") or str(error))
            return
        version = pj.Endpoint.instance().libVersion().full
        self._outbox.put(message(Kind.READY, port=self._phone.port, capacity=self._phone.capacity, version=version))
        self._loop()
        self._say_goodbye()
        self._phone.hang_up_all()
        until = time.monotonic() + FAREWELL_S
        while self._phone.calls and time.monotonic() < until:
            self._phone.turn(TURN_MS)

    def _say_goodbye(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            for call, bye in self._farewells.items():
                if self._phone.knows(call):
                    with contextlib.suppress(OSError):
                        out.sendto(bye["data"].encode("latin-1"), (bye["host"], bye["port"]))

    def _fault(self, why: str) -> None:
        self._outbox.put(Message(Kind.FAULT, 0, why.encode()))

    def _loop(self) -> None:
        said = time.monotonic()
        while self._read():
            self._phone.turn(TURN_MS)
            self._outbox.flush()
            now = time.monotonic()
            if now - said >= ALIVE_EVERY_S:
                self._phone.watch(now - said)
                self._outbox.put(message(Kind.ALIVE, dropped=self._outbox.dropped))
                said = now

    def _read(self) -> bool:
        """What the service says; False when it is gone."""
        while True:
            try:
                data = self._sock.recv(1 << 18)
            except BlockingIOError:
                return True
            except OSError:
                return False
            if not data:
                return False
            for told in self._messages.feed(data):
                try:
                    self._obey(told)
                except self._refused as error:  # a call in no state for it; the call's end says the rest
                    print(f"sip worker: {told.kind.name} of call {told.call}: {error.reason}", file=sys.stderr)
                except (ValueError, KeyError, struct.error) as error:
                    print(f"sip worker: {told.kind.name}: {error!r}", file=sys.stderr)

    def _obey(self, told: Message) -> None:
        phone, call = self._phone, told.call
        match told.kind:
            case Kind.SAY:
                phone.say(call, Say.decode(told.payload))
            case Kind.CLEAR:
                phone.clear(call)
            case Kind.ANSWER:
                phone.answer(call, **told.facts)
            case Kind.HANGUP:
                phone.hang_up(call, **told.facts)
            case Kind.PASS_ON:
                phone.pass_on(call, told.facts["to"])
            case Kind.FAREWELL:
                self._farewells = {c: f for c, f in self._farewells.items() if phone.knows(c)} | {call: told.facts}
            case Kind.KEYS:
                phone.keys(call, told.payload.decode())
            case Kind.DIAL:
                phone.dial(call, **told.facts)
            case Kind.SETUP | Kind.READY | Kind.ALIVE | Kind.FAULT | Kind.INCOMING | Kind.MEDIA | Kind.HELD:
                pass
            case Kind.HEARD | Kind.DIGIT | Kind.PASSED | Kind.FIGURES | Kind.ENDED | Kind.REGISTERED:
                pass
            case _:
                assert_never(told.kind)


if __name__ == "__main__":
    main()
