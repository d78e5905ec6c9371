"""`make bench`: what a call costs and how fast it answers, on this machine, with the embedded default.

Two tables. *Media path*: microseconds of CPU for each 20 ms frame of one call, step by step (best of several runs:
noise only ever adds). *Conversation*: a real call in this process, caller and bot on a line of recordings; figures are
medians over its turns, taken from the timeline that every call writes.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from voicebot.audio.g711 import ulaw_decode, ulaw_encode
from voicebot.audio.jitter import Jitter
from voicebot.audio.resample import Resampler, resample_whole
from voicebot.call.runtime import Runtime, new_call_id
from voicebot.carriers.base import FRAME_BYTES, RATE, CallInfo
from voicebot.carriers.wavline import WavLine
from voicebot.core import twilio as wire
from voicebot.core.playout import Ledger
from voicebot.core.timeline import Record, latencies
from voicebot.engines.base import EngineConfig, Tts
from voicebot.engines.registry import load

FRAMES = 500
"""Ten seconds of a call."""
RUNS = 5


@dataclass(frozen=True, slots=True)
class Cost:
    step: str
    us_per_frame: float


@dataclass(frozen=True, slots=True)
class Answers:
    turns: int
    greeting_ms: int
    """Answer to the first audible greeting."""
    endpoint_ms: int
    """End of the caller's speech to the commitment of the turn, recogniser included; median."""
    voice_to_voice_ms: int
    """End of the caller's speech to the bot's first audio played; median."""
    recogniser_ms: int
    """The recogniser's own time, from the last audio to the final words; median."""


def _best_us(frames: Sequence[object], work: Callable[[], Callable[[int], object]]) -> float:
    best = float("inf")
    for _ in range(RUNS):
        step = work()
        started = time.process_time()
        for index in range(len(frames)):
            step(index)
        best = min(best, (time.process_time() - started) / len(frames) * 1e6)
    return best


async def media_path(voice: bytes) -> list[Cost]:
    """Cost of each step for `voice`, 8 kHz int16 LE, as long as it is, at most ten seconds."""
    frames = [voice[i : i + FRAME_BYTES] for i in range(0, len(voice) - FRAME_BYTES, FRAME_BYTES)][:FRAMES]
    ulaw = [ulaw_encode(frame) for frame in frames]
    text = [
        wire.media("MZ1", u).replace('"payload"', f'"track":"inbound","timestamp":"{20 * n}","payload"')
        for n, u in enumerate(ulaw)
    ]
    silence = bytes(FRAME_BYTES)
    costs = [
        Cost("read a message", _best_us(text, lambda: lambda i: wire.parse(text[i]))),
        Cost("μ-law decode", _best_us(ulaw, lambda: lambda i: ulaw_decode(ulaw[i]))),
        Cost("jitter", _best_us(frames, lambda: _jitter(frames))),
        Cost("8→16 kHz", _best_us(frames, lambda: _push(Resampler(8000, 16000), frames))),
        Cost("22.05→8 kHz", _best_us(frames, lambda: _push(Resampler(22050, 8000), frames))),
        Cost("ledger and pacing", _best_us(frames, lambda: _ledger(frames))),
        Cost(
            "μ-law encode and write a message",
            _best_us(frames, lambda: lambda i: wire.media("M", ulaw_encode(frames[i]))),
        ),
    ]
    for name in ("webrtc", "silero"):
        vad = load("vad", name).create(EngineConfig())
        await vad.start()
        for what, heard in (("voice", frames), ("silence", [silence] * len(frames))):
            us = _best_us(heard, lambda vad=vad, heard=heard: _vad(vad.open(), heard))  # type: ignore[misc]
            costs.append(Cost(f"voice activity, {name}, {what}", us))
    return costs


def _jitter(frames: Sequence[bytes]) -> Callable[[int], object]:
    jitter = Jitter()
    return lambda i: jitter.push(i * 160, frames[i])


def _push(resampler: Resampler, frames: Sequence[bytes]) -> Callable[[int], object]:
    return lambda i: resampler.push(frames[i])


def _ledger(frames: Sequence[bytes]) -> Callable[[int], object]:
    ledger = Ledger()

    def step(index: int) -> None:
        ledger.queue(1, frames[index])
        for chunk in ledger.due(index * 20):
            ledger.acknowledge(chunk.epoch, chunk.sample, index * 20)

    return step


def _vad(session: object, frames: Sequence[bytes]) -> Callable[[int], object]:
    return lambda i: session.push(frames[i], i * 160)  # type: ignore[attr-defined]


async def speak(voice: Tts, text: str) -> bytes:
    """A test caller's utterance, 8 kHz int16 LE, through μ-law, with a little room around it."""

    async def one() -> AsyncIterator[str]:
        yield text

    pcm = b"".join([resample_whole(s.pcm, s.rate, RATE) async for s in voice.speak(one())])
    noise = np.random.default_rng(1).normal(0, 8, RATE // 5).astype("<i2").tobytes()
    return ulaw_decode(ulaw_encode(noise + pcm + noise))


async def conversation(runtime: Runtime, dialplan: str, utterances: Sequence[bytes]) -> Answers:
    """One call in this process, in real time."""
    records: list[Record] = []
    line = WavLine(CallInfo(new_call_id(), "wavline", "bench", dialplan), utterances)
    plan = runtime.choose("", "", dialplan)
    assert plan is not None
    await runtime.run_call(line, plan, records.append)
    found = latencies(records)
    return Answers(
        len(found),
        next((r.ms for r in records if r.kind == "heard_from"), -1),
        _median(each.endpoint_ms for each in found),
        _median(each.voice_to_voice_ms for each in found),
        _median(int(r.fields["took_ms"]) for r in records if r.kind == "words" and "took_ms" in r.fields),
    )


def _median(values: Iterator[int]) -> int:
    listed = list(values)
    return round(statistics.median(listed)) if listed else -1
