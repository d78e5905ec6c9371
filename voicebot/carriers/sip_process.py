"""Our side of one SIP worker: starts it, talks to it over a socket pair, replaces it when it dies.

Everything happens in callbacks of the running event loop: no task, no thread, nothing to cancel.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Callable
from typing import Any, Protocol

from voicebot import log
from voicebot.core.sip_link import OWN_CALLS, Kind, Message, Messages, message

OUTBOX_BYTES = 4 << 20
"""What may wait to be written: minutes of audio. A worker reads every 10 ms, so one that lets this fill up is hung."""
RETRY_S = (0.0, 0.2, 1.0, 5.0, 30.0)
"""Pause before the nth replacement in a row; the last one again and again."""
HUNG_S = 5.0
"""A worker says every second that it is alive."""
LOOK_EVERY_S = 1.0
_log = log.get("sip")


class Caller(Protocol):
    """Who wants the messages of a call: its line."""

    def take(self, told: Message) -> None: ...

    def lost(self) -> None: ...


class Worker:
    """One process after another. `incoming(worker, message)` gets every INVITE, `changed(worker)` hears when the
    process is ready, gone or cannot work."""

    def __init__(
        self,
        setup: dict[str, object],
        incoming: Callable[[Worker, Message], None],
        changed: Callable[[Worker], None],
    ) -> None:
        self.port = self.capacity = 0
        """Where it takes SIP, and how many calls; 0 while there is no process that is ready."""
        self.fault = ""
        """Why it cannot work, as a sentence."""
        self.restarts = 0
        self.registered: dict[str, int] = {}
        """Account → the last answer of the registrar in use; 200 while it stands."""
        self.registrars: dict[str, str] = {}
        """Account → the registrar in use, host or host:port."""
        self.calls: dict[int, Caller | None] = {}
        """Calls that take a place, and who wants to hear of them."""
        self._setup, self._incoming, self._changed = setup, incoming, changed
        self._loop = asyncio.get_running_loop()
        self._failures = self._dialled = 0
        self._closed = False
        self._timer: asyncio.TimerHandle | None = None
        self._popen: subprocess.Popen[bytes] | None = None
        self._sock: socket.socket | None = None
        self._spawn()

    @property
    def ready(self) -> bool:
        return self.port > 0

    @property
    def free(self) -> int:
        """Calls that it could take now."""
        return self.capacity - len(self.calls)

    @property
    def pid(self) -> int | None:
        return self._popen.pid if self._popen else None

    # --- its life

    def _spawn(self) -> None:
        self._sock, theirs = socket.socketpair()
        self._sock.setblocking(False)
        self._outbox, self._messages, self._dropped = bytearray(), Messages(), 0
        with theirs:
            self._popen = subprocess.Popen(
                [sys.executable, "-m", "voicebot.carriers.sip_worker", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL if not self._setup.get("log_level") else None,
                pass_fds=(theirs.fileno(),),
                env=_environment(),
            )
        self._heard_at = self._loop.time()
        self._loop.add_reader(self._sock, self._readable)
        self._timer = self._loop.call_later(LOOK_EVERY_S, self._look)
        self.send(message(Kind.SETUP, **self._setup))

    def close(self) -> None:
        """Let it say goodbye to its callers and end; every line is lost."""
        self._closed = True
        self._release()
        self._let_go()

    def kill(self, why: str) -> None:
        """It is hung or talks nonsense: end it by its process id and start another."""
        _log.error("sip_worker_killed", pid=self.pid, why=why, calls=len(self.calls))
        if self._popen:
            with contextlib.suppress(ProcessLookupError):
                self._popen.kill()
        self._lost()

    def _look(self) -> None:
        self._timer = self._loop.call_later(LOOK_EVERY_S, self._look)
        if self._loop.time() - self._heard_at > HUNG_S:
            self.kill("no sign of life")

    def _lost(self) -> None:
        if self._sock is None:
            return
        _log.error("sip_worker_lost", pid=self.pid, calls=len(self.calls), fault=self.fault or None)
        self._release()
        pause = RETRY_S[min(self._failures, len(RETRY_S) - 1)]
        self._failures += 1
        self.restarts += 1
        self._timer = self._loop.call_later(pause, self._spawn)
        self._let_go()
        self._changed(self)

    def _let_go(self) -> None:
        callers, self.calls = list(self.calls.values()), {}
        for caller in callers:
            if caller is not None:
                caller.lost()

    def _release(self) -> None:
        self.port = self.capacity = 0
        self.registered.clear()
        if self._timer:
            self._timer.cancel()
        if self._sock is not None:
            self._loop.remove_reader(self._sock)
            self._loop.remove_writer(self._sock)
            self._sock.close()
            self._sock = None
        if self._popen:
            # It ends by itself once its socket is closed, after a second for the BYEs; nobody waits for it here.
            self._loop.call_later(HUNG_S, _reap, self._popen)
            self._popen = None

    # --- what we say

    def send(self, told: Message) -> None:
        """Queue it; harmless when there is no process."""
        if self._sock is None:
            return
        self._outbox += told.encode()
        self._writable()
        if len(self._outbox) > OUTBOX_BYTES:
            self._loop.call_soon(self.kill, "it does not read")

    def _writable(self) -> None:
        assert self._sock is not None
        try:
            sent = self._sock.send(self._outbox) if self._outbox else 0
        except BlockingIOError:
            sent = 0
        except OSError:
            self._loop.call_soon(self._lost)
            return
        del self._outbox[:sent]
        if self._outbox:
            self._loop.add_writer(self._sock, self._writable)
        else:
            self._loop.remove_writer(self._sock)

    def dial(self, to: str, account: int, headers: dict[str, str]) -> int:
        """Call out; the number of the call, whose line is for the caller of this to put into `calls`."""
        self._dialled += 1
        number = OWN_CALLS + self._dialled
        self.calls[number] = None
        self.send(message(Kind.DIAL, number, to=to, account=account, headers=headers))
        return number

    # --- what we hear

    def _readable(self) -> None:
        assert self._sock is not None
        try:
            data = self._sock.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lost()
            return
        self._heard_at = self._loop.time()
        try:
            for told in self._messages.feed(data):
                self._take(told)
                if self._sock is None:
                    return
        except (ValueError, KeyError, struct.error) as error:
            self.kill(f"it does not speak our protocol: {error!r}")

    def _take(self, told: Message) -> None:
        match told.kind:
            case Kind.READY:
                self.port, self.capacity, self.fault = told.facts["port"], told.facts["capacity"], ""
                self._changed(self)
            case Kind.FAULT:
                self.fault = told.payload.decode("utf-8", "replace")
                self._changed(self)
            case Kind.ALIVE:
                self._failures = 0
                if (dropped := told.facts["dropped"]) > self._dropped:
                    _log.warning("sip_audio_dropped", pid=self.pid, frames=dropped - self._dropped)
                self._dropped = dropped
            case Kind.REGISTERED:
                self._registered(told.facts)
                self._changed(self)
            case Kind.INCOMING:
                self.calls[told.call] = None
                self._incoming(self, told)
            case Kind.ENDED:
                caller = self.calls.pop(told.call, None)
                if caller is not None:
                    caller.take(told)
                self._changed(self)
            case _:
                caller = self.calls.get(told.call)
                if caller is not None:
                    caller.take(told)

    def _registered(self, facts: dict[str, Any]) -> None:
        _log.info("sip_registered", **facts)
        if facts["in_use"]:
            account, registrar = facts["account"], facts["registrar"]
            before = self.registrars.get(account, "")
            if before != registrar and (before or facts["place"]):
                _log.warning("sip_registrar_changed", account=account, registrar=registrar, before=before)
            self.registrars[account], self.registered[account] = registrar, facts["code"]


def _reap(popen: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        popen.kill()
    popen.wait()


def _environment() -> dict[str, str]:
    """What a Python needs to start, and none of our secrets."""
    kept = ("PATH", "LANG", "LC_ALL", "HOME", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "SYSTEMROOT", "TMPDIR", "SSL_CERT_FILE")
    return {k: v for k, v in os.environ.items() if k in kept or k.startswith("PYTHON")}
