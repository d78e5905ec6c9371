"""A native engine that says what it hears, for `voicebot measure carriers`: what is left is the way there and back.

`echo: {folder}`: into that folder goes a file for each session, with what it heard (μ-law) and when.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

from voicebot.audio.g711 import ulaw_encode
from voicebot.core.conversation import Message
from voicebot.core.dialogue import ToolDone
from voicebot.core.duplex import Abilities, AudioFormat, Coding, Context, Decides, DuplexEvent
from voicebot.core.duplex_stream import Stretches
from voicebot.core.tool_specs import ToolSpec
from voicebot.engines import registry
from voicebot.engines.base import EngineConfig
from voicebot.engines.duplex_base import Duplex

PHONE = AudioFormat(Coding.PCM16, 8000)


def lend() -> None:
    """From now on this process has a native engine named `echo`."""
    create: Callable[[EngineConfig], Duplex] = EchoEngine  # the contract, held
    module = ModuleType("s2s_echo")
    module.create, module.check = create, lambda: None  # type: ignore[attr-defined]
    registry.lend("s2s", "echo", module, __name__)


class EchoEngine:
    """It takes no instructions: the dialplan's voice greets."""

    abilities = Abilities(PHONE, PHONE, (Decides.ENGINE,), obeys=False)

    def __init__(self, config: EngineConfig) -> None:
        self._folder = Path(str(config.options["folder"]))

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def open(self, context: Context) -> EchoSession:
        return EchoSession(self._folder)


class EchoSession:
    """What comes goes back at once. Times are those of the monotonic clock, which a machine's processes share."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stretches = Stretches(PHONE.rate)
        self._tell: Callable[[DuplexEvent], None] = lambda _: None
        self._over = asyncio.Event()
        self._heard = bytearray()
        self._times: list[tuple[int, float]] = []
        """(first sample, when it was here) of each push."""

    async def run(self, tell: Callable[[DuplexEvent], None]) -> None:
        self._tell = tell
        await self._over.wait()

    def push(self, audio: bytes) -> None:
        self._times.append((len(self._heard), time.monotonic()))
        self._heard += ulaw_encode(audio)
        for event in self._stretches.sound(audio):
            self._tell(event)

    def cut(self, reply: str, heard_ms: int) -> None:
        self._stretches.cut(reply)

    async def close(self) -> None:
        if not self._over.is_set():
            self._over.set()
            name = self._folder / f"{time.monotonic_ns()}"
            name.with_suffix(".ulaw").write_bytes(bytes(self._heard))
            name.with_suffix(".part").write_text(json.dumps(self._times))
            name.with_suffix(".part").rename(name.with_suffix(".json"))  # whole, and last: who reads waits for it

    def began(self) -> None: ...

    def respond(self, instructions: str = "") -> None: ...

    def tell(self, message: Message) -> None: ...

    def tool_done(self, done: ToolDone) -> None: ...

    def configure(self, instructions: str, tools: Sequence[ToolSpec]) -> None: ...
