"""Calls in this process and in virtual time: telephones of `measure load` wired to media streams, without a network."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from voicebot.call.runtime import Runtime, new_call_id
from voicebot.carriers.base import CallInfo
from voicebot.carriers.media_stream import MediaStream
from voicebot.carriers.wavline import read
from voicebot.config import Settings
from voicebot.core import twilio as wire
from voicebot.core.timeline import EndReason
from voicebot.engines import registry
from voicebot.replay import load_bed, stub_engines
from voicebot.replay.load_figures import Figures
from voicebot.replay.load_phone import LoadPhone
from voicebot.replay.load_talk import Clip, Talk, clip, room
from voicebot.replay.telephone import Address

SAID = sorted((Path(__file__).parents[1] / "data" / "coffee").glob("*.flac"))[:3]


class Wire:
    """A telephone's transport and a line's socket at once."""

    def __init__(self) -> None:
        self.phone: LoadPhone
        self._to_service: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._closed = False

    def write(self, frame: bytes) -> None:
        payload = frame[6 if frame[1] & 0x7F < 126 else 8 :]
        if frame[0] & 0xF == 1:
            self._to_service.put_nowait({"type": "websocket.receive", "text": payload.decode()})

    def is_closing(self) -> bool:
        return self._closed

    def abort(self) -> None:
        self._closed = True
        self._to_service.put_nowait({"type": "websocket.disconnect"})
        self.phone.connection_lost(None)

    async def receive(self) -> dict[str, Any]:
        return await self._to_service.get()

    async def send_text(self, data: str) -> None:
        self.phone.hear(data.encode())

    async def close(self, code: int = 1000, reason: str | None = None) -> None:
        if not self._closed:
            self.abort()


@dataclass
class Calls:
    """All that a runtime of stub engines carries."""

    runtime: Runtime
    clips: list[Clip]
    figures: Figures = field(default_factory=Figures)
    count: int = 0

    async def call(self, seconds: float, barge_share: float = 0.3) -> EndReason:
        """One call, hung up by the caller after so long."""
        self.count += 1
        loop, wired, stream = asyncio.get_running_loop(), Wire(), wire.Stream()
        talk = Talk(self.clips, room(), barge_share, self.count, self._figures)
        phone = wired.phone = LoadPhone(Address("ws://127.0.0.1/", {}, {}, f"CA{self.count:032}"), talk, self._figures)
        phone.open.cancel()  # nobody waits for it: there is no upgrade
        phone.begin(wired)  # type: ignore[arg-type]
        while stream.start is None:
            stream.receive((await wired.receive())["text"])
        info = CallInfo(new_call_id(), "twilio", "+15550001111", load_bed.CALLED)
        line = MediaStream(wired, stream, info, _nothing, _nothing, loop.time)
        hanging_up = loop.call_later(seconds, wired.abort)
        try:
            return await self.runtime.run_call(line, self.runtime.dialplans["load"])
        finally:
            hanging_up.cancel()

    def _figures(self) -> Figures:
        return self.figures


async def _nothing(_: str) -> None: ...


@asynccontextmanager
async def calls(
    folder: Path, monkeypatch: Any, plan: Callable[[str], str] = str, **settings: Any
) -> AsyncIterator[Calls]:
    """`plan` may change the dialplan's text."""
    monkeypatch.setattr(registry, "_lent", {})
    stub_engines.lend()
    wav = folder / "answer.wav"
    noise = np.random.default_rng(1).normal(0, 4000, 8000).clip(-30000, 30000).astype("<i2")
    soundfile.write(wav, noise, 8000)
    (folder / "load.yaml").write_text(plan(load_bed.plan(wav)))
    given = {"data_dir": folder / "data", "dialplans": folder / "load.yaml", "late_ms": 0, **settings}
    runtime = Runtime(Settings(_env_file=None, **given))
    await runtime.start()
    try:
        yield Calls(runtime, [clip(read(file)) for file in SAID])
    finally:
        await runtime.close()
