"""What our leg adds to a native engine's own time: caller audio on its way in, the answer's first audio on its way out.

A real call in this process, through the vendor's client and a socket, to a server that notes when it heard and spoke.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from voicebot.call.runtime import Runtime, new_call_id
from voicebot.carriers.base import RATE, Audio, CallInfo, LineEvent
from voicebot.carriers.wavline import WavLine
from voicebot.config import Settings
from voicebot.replay.load_figures import percentile
from voicebot.replay.native_stand_in import PAUSE_MS, loud, realtime_stand_in
from voicebot.replay.stub_engines import lend

PLAN = """
name: native
engines:
  responder: native
  native: openai_realtime
  asr: [stub]
  llm: [stub]
  tts: [espeak]
  options:
    openai_realtime: {{base_url: "{url}", api_key: none, transcription: ""}}
turns: {{decided_by: engine}}
start: hello
nodes: {{hello: {{say: Hello., intents: {{bye: {{examples: [goodbye], do: [{{hang_up: Bye.}}]}}}}}}}}
"""


@dataclass(frozen=True, slots=True)
class Added:
    """Milliseconds that the leg adds."""

    turns: int
    in_p50: float
    in_p95: float
    """A frame of the caller's voice, from the line to the server."""
    out_p50: float
    out_p95: float
    """The first audio of an answer, from the server to the line."""


class TimedLine:
    """A line of recordings that notes when voice came in and audio went out, on the loop's clock."""

    def __init__(self, utterances: Sequence[bytes]) -> None:
        self._line = WavLine(CallInfo(new_call_id(), "wavline", "bench", "native"), utterances, stays_ms=1500)
        self.info, self.clear = self._line.info, self._line.clear
        self.clock_ms, self.transfer, self.hangup = self._line.clock_ms, self._line.transfer, self._line.hangup
        self.voice_s: list[float] = []
        self.sent_s: list[float] = []
        self._quiet_ms = PAUSE_MS

    async def events(self) -> AsyncGenerator[LineEvent, None]:
        loop = asyncio.get_running_loop()
        async for event in self._line.events():
            if isinstance(event, Audio):
                voice = loud(event.pcm)
                if voice and self._quiet_ms >= PAUSE_MS:
                    self.voice_s.append(loop.time())
                self._quiet_ms = 0 if voice else self._quiet_ms + 20
            yield event

    def send(self, pcm: bytes, epoch: int, sample: int) -> None:
        self.sent_s.append(asyncio.get_running_loop().time())
        self._line.send(pcm, epoch, sample)


async def added(turns: int) -> Added:
    """Over one call of so many turns, in real time: two to three seconds each."""
    lend()
    tone = 9000 * np.sin(2 * np.pi * 400 * np.arange(RATE * 6 // 10) / RATE)
    with tempfile.TemporaryDirectory(prefix="voicebot-native-") as folder:
        async with realtime_stand_in() as server:
            plan = Path(folder) / "native.yaml"
            plan.write_text(PLAN.format(url=server.url))
            runtime = Runtime(Settings(dialplans=plan, data_dir=Path(folder), default_dialplan="native"))
            await runtime.start()
            try:
                line = TimedLine([tone.astype("<i2").tobytes()] * turns)
                await runtime.run_call(line, runtime.dialplans["native"])
            finally:
                await runtime.close()
            ways_in, ways_out = _delays(line.voice_s, server.voice_s), _delays(server.spoke_s, line.sent_s)
    return Added(
        len(ways_out),
        *(percentile(ways_in, share) for share in (0.5, 0.95)),
        *(percentile(ways_out, share) for share in (0.5, 0.95)),
    )


def _delays(begun_s: Sequence[float], arrived_s: Sequence[float]) -> list[float]:
    """From each beginning to the first arrival after it, milliseconds."""
    after = [next((at for at in arrived_s if at >= begun), None) for begun in begun_s]
    return [(at - begun) * 1000 for begun, at in zip(begun_s, after, strict=True) if at is not None]
