"""An interpreted call in virtual time: two people who speak in tones, a phrasebook between them."""

from __future__ import annotations

import asyncio
import contextlib
import types
import wave
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.call.world import ScriptedAgent, ScriptedAsr, ToneTts, ToneVad, noise, silence
from voicebot.call.runtime import Runtime
from voicebot.carriers.base import CallInfo, Line
from voicebot.carriers.wavline import WavLine
from voicebot.config import Settings
from voicebot.core.duplex import (
    Abilities,
    AudioFormat,
    CallerWords,
    Coding,
    Context,
    Decides,
    ReplyAudio,
    ReplyBegan,
    ReplyEnded,
    ReplyText,
)
from voicebot.core.timeline import EndReason, Record, decode
from voicebot.engines import registry
from voicebot.errors import PeerError

PLAN = """
name: interpreter
language: es-ES
mode: interpret
interpret: {{to: en-US, text: phrasebook, {more}}}
engines:
  asr: test
  llm: test
  tts: test
  options:
    phrasebook:
      es-en: {{buenos días: good morning, cinco mesas: five tables please}}
      en-es: {{hello there: hola, four: cuatro}}
"""
TOO_LONG_S = 120


class Stub:
    """The life of an engine around what a test brings."""

    def __init__(self, inner: Any = None) -> None:
        self.inner = inner

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def warm(self) -> None: ...

    async def prepare(self, _: Any) -> None: ...

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


class Agent(Stub):
    def prepare(self, _: Any) -> tuple[()]:  # type: ignore[override]
        return ()

    def open(self, _: Any) -> ScriptedAgent:
        return ScriptedAgent(lambda turn: [])


class Simultaneous(Stub):
    """A native engine that decides by itself: 400 ms after somebody begins it says "hello" for half a second."""

    def __init__(self) -> None:
        sound = AudioFormat(Coding.PCM16)
        self.abilities = Abilities(sound, sound, (Decides.ENGINE,), obeys=False)
        self.opened: list[Context] = []

    async def open(self, context: Context) -> SimultaneousSession:
        self.opened.append(context)
        return SimultaneousSession()


class Broken(Simultaneous):
    """One that cannot be opened."""

    async def open(self, context: Context) -> SimultaneousSession:
        raise PeerError("no interpreter today")


class SimultaneousSession(Stub):
    def __init__(self) -> None:
        self.loud = 0
        self._tell: Any = None
        self.asked = 0

    async def run(self, tell: Any) -> None:
        self._tell = tell
        await asyncio.Event().wait()

    def push(self, audio: bytes) -> None:
        self.loud = self.loud + 1 if audio != bytes(len(audio)) else 0
        if self.loud == 20:
            events = (ReplyBegan("r"), ReplyText("r", "hello"), ReplyAudio("r", noise(500)), ReplyEnded("r"))
            for event in (CallerWords("hola", final=True), *events):
                self._tell(event)

    def respond(self, instructions: str = "") -> None:
        self.asked += 1

    def began(self) -> None: ...

    def cut(self, reply: str, heard_ms: int) -> None: ...


def stub_engines(
    monkeypatch: pytest.MonkeyPatch, words: Mapping[str, Sequence[str]], natives: Mapping[str, Any] | None = None
) -> None:
    """Engines `test` for every stage; `words` are what is understood, one utterance after the other, by language."""
    real = registry.load
    made = {
        "vad": lambda config: Stub(ToneVad()),
        "asr": lambda config: Stub(ScriptedAsr(list(words[config.language]))),
        "tts": lambda config: Stub(ToneTts()),
        "llm": lambda config: Agent(),
    }

    def load(stage: str, name: str) -> Any:
        if natives and name in natives:
            return types.SimpleNamespace(create=lambda config: natives[name], check=lambda: None)
        if name == "test":
            return types.SimpleNamespace(create=made[stage], check=lambda: None)
        return real(stage, name)

    monkeypatch.setattr(registry, "load", load)


@dataclass
class Interpreted:
    """`says` are what each side says, `words` how it is understood, by language; a number is a pause in ms."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch
    words: dict[str, list[str]]
    more: str = "call: '+15550100'"
    other: bool = True
    """Whether the other side answers."""
    agent_after_s: float = 0.0
    """When an agent in the browser takes the call; 0: never."""
    agents_call: EndReason | None = None
    natives: dict[str, Any] = field(default_factory=dict)
    dialled: list[str] = field(default_factory=list)
    sent: list[tuple[bytes, int]] = field(default_factory=list)
    """To the other side: what, and in which epoch."""

    async def call(self, one: Sequence[bytes | int], two: Sequence[bytes | int] = ()) -> EndReason:
        """What the caller's call ended with."""
        stub_engines(self.monkeypatch, self.words, self.natives)
        dialplans = self.folder / "dialplans"
        dialplans.mkdir()
        (dialplans / "interpreter.yaml").write_text(PLAN.format(more=self.more), "utf-8")
        settings = Settings(data_dir=self.folder / "data", dialplans=dialplans, vad="test")
        runtime = Runtime(settings)
        await runtime.start()
        line, self.theirs = _line("call", one), _line("other", two, "browser" if self.agent_after_s else "wavline")

        async def dial(to: str) -> Line:
            self.dialled.append(to)
            if not self.other:
                raise PeerError("busy")
            await asyncio.sleep(0.5)
            self._tap(self.theirs)
            return self.theirs

        plan = runtime.dialplans["interpreter"]
        try:
            async with asyncio.timeout(TOO_LONG_S), asyncio.TaskGroup() as group:
                if self.agent_after_s:
                    group.create_task(self._agent(runtime, plan))
                return await runtime.run_call(line, plan, dial=dial)
        finally:
            await runtime.close()

    async def _agent(self, runtime: Runtime, plan: Any) -> None:
        """Somebody opens the page and calls."""
        await asyncio.sleep(self.agent_after_s)
        self.agents_call = await runtime.run_call(self.theirs, plan)

    def _tap(self, line: Any) -> None:
        send = line.send

        def both(pcm: bytes, epoch: int, sample: int) -> None:
            self.sent.append((pcm, epoch))
            send(pcm, epoch, sample)

        line.send = both

    # --- afterwards

    def records(self, side: str = "call") -> list[Record]:
        return list(decode((self.folder / "data" / "calls" / side / "timeline.jsonl").read_bytes().splitlines()))

    def of(self, kind: str, side: str = "call") -> list[dict[str, Any]]:
        return [record.fields for record in self.records(side) if record.kind == kind]

    def heard_ms(self, side: str = "call") -> tuple[int, int]:
        """Milliseconds of sound of the person on this line, and of what was played to them."""
        with contextlib.closing(wave.open(str(self.folder / "data" / "calls" / side / "audio.wav"))) as file:
            both = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
        loud = np.abs(both[: len(both) // 80 * 80].reshape(-1, 80, 2).astype(np.int32)).max(axis=1) > 500
        return int(loud[:, 0].sum()) * 10, int(loud[:, 1].sum()) * 10


OTHER = "call-b"


def _line(name: str, said: Sequence[bytes | int], carrier: str = "wavline") -> WavLine:
    sound = b"".join(silence(each) if isinstance(each, int) else each for each in said)
    return WavLine(CallInfo(name, carrier, "", ""), [sound] if sound else [], "recorded", stays_ms=4000)
