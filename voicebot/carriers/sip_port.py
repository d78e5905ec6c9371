"""A call's audio between PJSIP's conference bridge and the service. Runs in a worker process only (see `sip_phone`).

`bytes(frame.buf)` walks the vector element by element, each wrapped: 50 ms of CPU for each second of a call. Reading
its storage through ctypes and assigning one vector again and again costs a third.
"""

from __future__ import annotations

import ctypes
import sys
import threading
import traceback
from collections.abc import Callable
from functools import wraps
from typing import Any

import pjsua2 as pj

from voicebot.carriers.base import FRAME_BYTES, FRAME_MS, RATE
from voicebot.carriers.sip_outbox import Outbox
from voicebot.core.sip_link import Heard, Kind, Message, Say
from voicebot.core.sip_playout import Playout


def contained(callback: Callable[..., None]) -> Callable[..., None]:
    """A callback whose exceptions stay here."""

    @wraps(callback)
    def guarded(*args: Any) -> None:
        try:
            callback(*args)
        except Exception:
            traceback.print_exc(file=sys.stderr)

    return guarded


class Port(pj.AudioMediaPort):  # type: ignore[misc]
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

    @contained
    def onFrameRequested(self, frame: Any) -> None:
        frame.type = pj.PJMEDIA_TYPE_AUDIO
        with self._lock:
            pcm = b"" if self._held or self._outbox is None else self._playout.take(FRAME_BYTES)
        if pcm:
            ctypes.memmove(self._storage, pcm.ljust(FRAME_BYTES, b"\0"), FRAME_BYTES)
        frame.buf = self._vector if pcm else self._silence

    @contained
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
