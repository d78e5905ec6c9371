"""Our side of one recogniser process: starts it, talks to it over a socket pair, replaces it when it dies.

Everything happens in callbacks of the running event loop: no task, no thread, nothing to cancel.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
from collections.abc import Callable

from voicebot import log
from voicebot.engines.worker_messages import Kind, Message, Messages

OUTBOX_BYTES = 8 << 20
"""What may wait to be written. A worker reads between pieces of work, so one that lets this fill up is hung."""
RETRY_S = (0.0, 0.2, 1.0, 5.0)
"""Pause before the nth replacement in a row; the last one again and again."""

_log = log.get("recogniser")


class Process:
    """Runs `python -m module FD`. `greeted` is called with this whenever a new process was started and greeted."""

    def __init__(self, module: str, hello: bytes, greeted: Callable[[Process], None] = lambda process: None) -> None:
        self.ready = asyncio.Event()
        self.tried = asyncio.Event()
        """The first process is ready, or was lost before it was; then `fault` may say why."""
        self.fault = ""
        self.loaded: set[str] = set()
        """Keys of what it was told to load since it started."""
        self.heard_at = 0.0
        """Loop time of its last message."""
        self._module, self._hello, self._greeted = module, hello, greeted
        self._loop = asyncio.get_running_loop()
        self._takers: dict[int, Callable[[Message | None], None]] = {}
        self._failures = 0
        self._closed = False
        self._retry: asyncio.TimerHandle | None = None
        self._popen: subprocess.Popen[bytes] | None = None
        self._spawn()

    @property
    def running(self) -> bool:
        """Not between two processes, and not closed."""
        return not self._closed and self._retry is None

    @property
    def utterances(self) -> int:
        return len(self._takers)

    @property
    def pid(self) -> int | None:
        return self._popen.pid if self._popen else None

    # --- its life

    def _spawn(self) -> None:
        self._retry = None
        self._sock, theirs = socket.socketpair()
        self._sock.setblocking(False)
        self._outbox, self._messages = bytearray(), Messages()
        self.loaded.clear()
        with theirs:
            self._popen = subprocess.Popen(
                [sys.executable, "-m", self._module, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
            )
        self.heard_at = self._loop.time()
        self._loop.add_reader(self._sock, self._readable)
        self.send(Kind.HELLO, 0, self._hello)
        self._greeted(self)

    def close(self) -> None:
        """End it, and with it every utterance: no more messages come, and no result."""
        self._closed = True
        if self._retry:
            self._retry.cancel()
        else:
            self._release()
        takers, self._takers = self._takers, {}
        for take in takers.values():
            take(None)

    def kill(self, why: str) -> None:
        """It is hung: end it by its process id and start another."""
        _log.error("recogniser_hung", pid=self.pid, why=why, utterances=self.utterances)
        self._lost()

    def _lost(self, sock: socket.socket | None = None) -> None:
        """`sock`: the one that was found broken; news of one that was replaced meanwhile are old."""
        if not self.running or (sock is not None and sock is not self._sock):
            return
        _log.error("recogniser_lost", pid=self.pid, utterances=self.utterances)
        self._release()
        takers, self._takers = self._takers, {}
        self.ready.clear()
        self.tried.set()
        pause = RETRY_S[min(self._failures, len(RETRY_S) - 1)]
        self._failures += 1
        if pause:
            self._retry = self._loop.call_later(pause, self._spawn)
        else:
            self._spawn()
        for take in takers.values():
            take(None)

    def _release(self) -> None:
        self._loop.remove_reader(self._sock)
        self._loop.remove_writer(self._sock)
        self._sock.close()
        if self._popen:
            with contextlib.suppress(ProcessLookupError):
                self._popen.kill()
            self._popen.wait()

    # --- what we say

    def open(self, number: int, wanted: bytes, take: Callable[[Message | None], None]) -> None:
        """A new utterance; `take` gets its messages, or None when the process was lost."""
        if not self.running:
            self._loop.call_soon(take, None)
            return
        self._takers[number] = take
        self.send(Kind.OPEN, number, wanted)

    def cancel(self, number: int) -> None:
        if self._takers.pop(number, None):
            self.send(Kind.CANCEL, number, b"")

    def send(self, kind: Kind, number: int, payload: bytes) -> None:
        if not self.running:
            return
        self._outbox += Message(kind, number, payload).encode()
        self._writable()
        if len(self._outbox) > OUTBOX_BYTES:
            self.kill("it does not read")

    def _writable(self) -> None:
        try:
            sent = self._sock.send(self._outbox) if self._outbox else 0
        except BlockingIOError:
            sent = 0
        except OSError:
            self._loop.call_soon(self._lost, self._sock)
            return
        del self._outbox[:sent]
        if self._outbox:
            self._loop.add_writer(self._sock, self._writable)
        else:
            self._loop.remove_writer(self._sock)

    # --- what we hear

    def _readable(self) -> None:
        try:
            data = self._sock.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lost()
            return
        self.heard_at = self._loop.time()
        try:
            for message in self._messages.feed(data):
                self._take(message)
        except ValueError as error:
            self.kill(f"it does not speak our protocol: {error}")

    def _take(self, message: Message) -> None:
        if message.kind is Kind.HELLO:
            self._failures = 0
            self.ready.set()
            self.tried.set()
        elif message.kind is Kind.FAULT and not message.utterance:
            self.fault = message.payload.decode(errors="replace")
            _log.error("recogniser_fault", why=self.fault)
        else:
            gone = message.kind in (Kind.FINAL, Kind.FAULT)
            take = self._takers.pop(message.utterance, None) if gone else self._takers.get(message.utterance)
            if take:
                take(message)
