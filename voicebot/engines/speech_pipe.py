"""Our side of the pipe to a synthesiser in a program of its own (`speech_program`): requests out, frames in, no task.

The event loop calls `pipe_data_received`; frames go to the request they belong to. A request whose reader is slow
keeps at most one piece of text's worth of audio here and does not hold the program up for other calls.
"""

from __future__ import annotations

import asyncio
import json
import os
import struct
import sys
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from voicebot import log
from voicebot.errors import PeerError

STOP_DEADLINE_S = 1.0
OUTSTANDING = 64
"""Requests given to one program and not yet answered; a further one is refused as overload."""
FRAMES = 2048
"""Frames of one answer, two minutes of audio; a program that sends more is broken."""
_HEAD = struct.Struct("<IBI")
_WORD = struct.Struct("<II")
_COUNT = struct.Struct("<H")
_PACE = struct.Struct("<H")
_log = log.get("speech")


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of program, and how long it may take."""

    name: str
    module: str
    """Run as `python -m module SETTINGS`, the settings as JSON."""
    start_s: float = 5.0
    """When the service starts: a Python that has to be read from a cold disk, and its model."""
    answer_s: float = 2.0
    """For every frame of an answer; one that takes longer hangs."""
    repeatable: bool = False
    """The same text gives the same audio, so that what was interrupted can be taken up from where it was."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """One chunk of audio, int16 LE mono at `Program.rate`."""

    pcm: bytes
    words: tuple[tuple[int, int], ...]
    """(character of the request's text, sample since its start) of every word that starts here."""


_Answer = asyncio.Queue[Spoken | PeerError | None]


class Program(asyncio.SubprocessProtocol):
    """One running program. `alive` until its pipe closes; then every open request has failed."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.alive = False
        self.rate = 0
        self.version = ""
        self.fault = ""
        self._transport: asyncio.SubprocessTransport | None = None
        self._answers: dict[int, _Answer] = {}
        self._started_at = 0.0
        self._last = 0
        self._bytes = bytearray()
        self._ready = asyncio.Event()
        self._gone = asyncio.Event()

    # --- life

    async def start(self, settings: Mapping[str, Any]) -> None:
        """Start it and wait until it has its voice. It goes on starting when the wait is cancelled: see `wait`.
        `PeerError` when it ends."""
        loop = asyncio.get_running_loop()
        self._started_at = loop.time()
        arguments = (sys.executable, "-m", self.kind.module, json.dumps(dict(settings)))
        try:
            await loop.subprocess_exec(lambda: self, *arguments, stderr=None, env=_environment())
        except OSError as error:
            raise PeerError(f"The {self.kind.name} program could not be started: {error}.") from None
        await self.wait()

    async def wait(self) -> None:
        """Until it has its voice. `PeerError` when it ends before."""
        await self._ready.wait()
        if not self.alive:
            self.kill()
            raise PeerError(self.fault or f"The {self.kind.name} program ended at once.")

    @property
    def starting(self) -> bool:
        """It runs and has no voice yet, and may still take its time."""
        if self._transport is None or self._ready.is_set():
            return False
        return asyncio.get_running_loop().time() - self._started_at < self.kind.start_s

    async def close(self) -> None:
        """Close its standard input, which ends it; kill it when it does not end."""
        if self._transport is None:
            return
        if (stdin := self._transport.get_pipe_transport(0)) is not None:
            stdin.close()
        try:
            async with asyncio.timeout(STOP_DEADLINE_S):
                await self._gone.wait()
        except TimeoutError:
            self.kill()
        self._transport.close()

    def kill(self) -> None:
        """End it now: it hangs. Every open request fails."""
        self._lost(f"The {self.kind.name} program was killed because it did not answer.")
        if self._transport is not None:
            self._transport.close()  # which kills a process that still runs

    @property
    def outstanding(self) -> int:
        return len(self._answers)

    @property
    def pid(self) -> int:
        return self._transport.get_pid() if self._transport else 0

    # --- requests

    async def say(self, text: str, pace: float = 1.0) -> AsyncGenerator[Spoken, None]:
        """Audio as it is made, `pace` times as fast as usual; closing the iterator cancels. `PeerError` when the
        program dies, hangs or refuses."""
        if not self.alive:
            raise PeerError(f"The {self.kind.name} program is gone.", retryable=True)
        if self.outstanding >= OUTSTANDING:
            raise PeerError(f"The {self.kind.name} program has too much to say.", retryable=True)
        self._last += 1
        request, answer = self._last, _Answer(FRAMES)
        self._answers[request] = answer
        self._send(b"S", request, _PACE.pack(round(pace * 1000)) + text.encode("utf-8", "replace"))
        try:
            while (item := await self._next(answer)) is not None:
                if isinstance(item, PeerError):
                    raise item
                yield item
        finally:
            if self._answers.pop(request, None) is not None and self.alive:
                self._send(b"C", request)

    async def _next(self, answer: _Answer) -> Spoken | PeerError | None:
        if not answer.empty():
            return answer.get_nowait()
        try:
            async with asyncio.timeout(self.kind.answer_s):
                return await answer.get()
        except TimeoutError:
            _log.warning("speech_hangs", program=self.kind.name, pid=self.pid)
            self.kill()
            return PeerError(f"The {self.kind.name} program did not answer in time.", retryable=True)

    def _send(self, kind: bytes, request: int, payload: bytes = b"") -> None:
        stdin = self._transport.get_pipe_transport(0) if self._transport else None
        if stdin is not None and not stdin.is_closing():
            cast(asyncio.WriteTransport, stdin).write(_HEAD.pack(5 + len(payload), kind[0], request) + payload)

    # --- called by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.SubprocessTransport, transport)  # uvloop's is no subclass

    def pipe_data_received(self, fd: int, data: bytes | str) -> None:
        assert isinstance(data, bytes)
        self._bytes += data
        while len(self._bytes) >= _HEAD.size:
            length, kind, request = _HEAD.unpack_from(self._bytes)
            if len(self._bytes) < 4 + length:
                return
            payload = bytes(self._bytes[_HEAD.size : 4 + length])
            del self._bytes[: 4 + length]
            self._frame(bytes([kind]), request, payload)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        if fd == 1:
            self._lost(f"The {self.kind.name} program died.")

    def process_exited(self) -> None:
        self._lost(f"The {self.kind.name} program died.")
        self._gone.set()

    def _frame(self, kind: bytes, request: int, payload: bytes) -> None:
        answer = self._answers.get(request)
        if kind == b"R":
            self.rate, self.version = int.from_bytes(payload[:4], "little"), payload[4:].decode()
            self.alive = True
            self._ready.set()
        elif kind == b"F" and request == 0:
            self.fault = payload.decode("utf-8", "replace")
        elif answer is None:
            return  # cancelled meanwhile
        elif answer.full():
            self.kill()
        elif kind == b"A":
            answer.put_nowait(_spoken(payload))
        else:
            del self._answers[request]
            answer.put_nowait(PeerError(payload.decode("utf-8", "replace")) if kind == b"F" else None)

    def _lost(self, why: str) -> None:
        self.alive = False
        self._ready.set()
        answers, self._answers = self._answers, {}
        for answer in answers.values():
            if answer.full():
                answer.get_nowait()
            answer.put_nowait(PeerError(why, retryable=True))


def _spoken(payload: bytes) -> Spoken:
    (count,) = _COUNT.unpack_from(payload)
    start = _COUNT.size + count * _WORD.size
    return Spoken(payload[start:], tuple(_WORD.iter_unpack(payload[_COUNT.size : start])))


def _environment() -> dict[str, str]:
    """What a Python needs to start, and none of our secrets."""
    kept = ("PATH", "LANG", "LC_ALL", "HOME", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "SYSTEMROOT", "TMPDIR")
    return {k: v for k, v in os.environ.items() if k in kept or k.startswith("PYTHON")}
