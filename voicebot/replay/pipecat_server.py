"""The peer of `voicebot measure load --peer pipecat`: a bot for Twilio's media streams as pipecat's own template makes
one, with engines that take a set time and cost nothing.

Run by the Python of an environment that has pipecat (`make bench-peer` makes one), so it imports nothing of ours. Its
settings are those that pipecat recommends for telephony: 8 kHz throughout, Silero by its own analyser, its own chunks
and pacing. The end of a turn it finds by a timeout, or with `--smart-turn` by a model of its own, as it does where
nobody says otherwise.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import sys
import wave
from collections.abc import AsyncIterator
from dataclasses import dataclass
from importlib.metadata import version
from itertools import count
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, WebSocket
from loguru import logger
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.frames.frames import (
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMRunFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair, LLMUserAggregatorParams
from pipecat.processors.audio.audio_buffer_processor import AudioBufferProcessor
from pipecat.runner.utils import parse_telephony_websocket
from pipecat.serializers.twilio import TwilioFrameSerializer
from pipecat.services.llm_service import LLMService
from pipecat.services.settings import LLMSettings, STTSettings, TTSSettings
from pipecat.services.stt_service import STTService
from pipecat.services.tts_service import TTSService
from pipecat.transports.websocket.fastapi import FastAPIWebsocketParams, FastAPIWebsocketTransport
from pipecat.turns.user_stop import SpeechTimeoutUserTurnStopStrategy
from pipecat.turns.user_turn_strategies import UserTurnStrategies
from pipecat.utils.time import time_now_iso8601
from pipecat.workers.runner import WorkerRunner

RATE = 8000
RECORD_BYTES = 10 * RATE * 2
"""Of each side, before they are written: ten seconds, so that a call does not grow with its length."""
VAD_STOP_S = 0.2
"""Silero's analyser takes so long to say that the caller has stopped, as shipped."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the engines hear, say and take."""

    heard: str
    said: str
    wav: Path
    final_s: float
    first_token_s: float
    tokens_s: float
    first_audio_s: float
    record: Path | None
    smart_turn: bool

    def speech(self) -> bytes:
        """The recording that is the voice: int16 at `RATE`."""
        with wave.open(str(self.wav)) as file:
            assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (RATE, 1, 2)
            return bytes(file.readframes(file.getnframes()))


class StubSTT(STTService):
    """Every utterance is the same words, a while after Silero finds its end."""

    def __init__(self, options: Options) -> None:
        wait_s = VAD_STOP_S + options.final_s
        super().__init__(ttfs_p99_latency=wait_s, settings=STTSettings(model="stub", language=None))
        self._options = options

    async def run_stt(self, audio: bytes) -> AsyncIterator[None]:
        yield None

    async def process_frame(self, frame: Any, direction: Any) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, VADUserStoppedSpeakingFrame):
            self.create_task(self._final())

    async def _final(self) -> None:
        await asyncio.sleep(self._options.final_s)
        await self.push_frame(TranscriptionFrame(self._options.heard, "", time_now_iso8601(), finalized=True))


class StubLLM(LLMService):
    """The same answer, token by token."""

    def __init__(self, options: Options) -> None:
        names = (
            "system_instruction temperature max_tokens top_p top_k frequency_penalty presence_penalty seed "
            "user_turn_completion_config"
        ).split()
        unset = dict.fromkeys(names)
        super().__init__(settings=LLMSettings(model="stub", filter_incomplete_user_turns=False, **unset))
        self._options = options

    async def process_frame(self, frame: Any, direction: Any) -> None:
        await super().process_frame(frame, direction)
        if not isinstance(frame, LLMContextFrame):
            await self.push_frame(frame, direction)
            return
        await self.push_frame(LLMFullResponseStartFrame())
        try:
            await self._answer()
        finally:
            await self.push_frame(LLMFullResponseEndFrame())

    async def _answer(self) -> None:
        loop = asyncio.get_running_loop()
        due_s = loop.time() + self._options.first_token_s
        for token in self._options.said.split():
            await asyncio.sleep(max(0.0, due_s - loop.time()))
            due_s += 1 / self._options.tokens_s
            await self._push_llm_text(token + " ")


class StubTTS(TTSService):
    """A recording for every sentence, in pieces of the size that pipecat recommends, faster than it is spoken."""

    def __init__(self, options: Options, pcm: bytes) -> None:
        settings = TTSSettings(model="stub", voice="stub", language=None)
        super().__init__(sample_rate=RATE, push_start_frame=True, push_stop_frames=True, settings=settings)
        self._options, self._pcm = options, pcm

    async def run_tts(self, text: str, context_id: str) -> AsyncIterator[Any]:
        await asyncio.sleep(self._options.first_audio_s)
        for at in range(0, len(self._pcm), self.chunk_size):
            piece = self._pcm[at : at + self.chunk_size]
            yield TTSAudioRawFrame(piece, self.sample_rate, 1, context_id=context_id)


def recorder(file: Path) -> Any:
    """A processor that writes a call as it goes: caller left, bot right."""
    buffer = AudioBufferProcessor(num_channels=2, buffer_size=RECORD_BYTES, auto_start_recording=True)
    with file.open("xb"):
        pass

    async def keep(_: Any, audio: bytes, rate: int, channels: int) -> None:
        with file.open("ab") as out:
            out.write(audio)

    buffer.add_event_handler("on_audio_data", keep)
    return buffer


async def converse(stream: WebSocket, options: Options, pcm: bytes, number: int) -> None:
    """One call, to its end."""
    _, told = await parse_telephony_websocket(stream)
    serializer = TwilioFrameSerializer(
        stream_sid=told["stream_id"],
        call_sid=told["call_id"],
        params=TwilioFrameSerializer.InputParams(auto_hang_up=False),  # there is no Twilio to ask
    )
    params = FastAPIWebsocketParams(
        audio_in_enabled=True, audio_out_enabled=True, add_wav_header=False, serializer=serializer
    )
    transport = FastAPIWebsocketTransport(websocket=stream, params=params)
    context = LLMContext()
    turns = UserTurnStrategies(stop=None if options.smart_turn else [SpeechTimeoutUserTurnStopStrategy()])
    hearing = LLMUserAggregatorParams(vad_analyzer=SileroVADAnalyzer(), user_turn_strategies=turns)
    user, assistant = LLMContextAggregatorPair(context, user_params=hearing)
    stages = [transport.input(), StubSTT(options), user, StubLLM(options), StubTTS(options, pcm), transport.output()]
    kept = [recorder(options.record / f"{number}.pcm")] if options.record else []
    rates = PipelineParams(
        audio_in_sample_rate=RATE, audio_out_sample_rate=RATE, enable_metrics=True, enable_usage_metrics=True
    )
    worker = PipelineWorker(Pipeline([*stages, *kept, assistant]), params=rates)

    async def greet(*_: Any) -> None:
        await worker.queue_frames([LLMRunFrame()])

    async def stop(*_: Any) -> None:
        await worker.cancel()

    transport.add_event_handler("on_client_connected", greet)
    transport.add_event_handler("on_client_disconnected", stop)
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    await runner.run()


def application(options: Options) -> FastAPI:
    """Every stream on `/ws` is a call."""
    app, pcm, numbers = FastAPI(), options.speech(), count()

    @app.websocket("/ws")
    async def call(stream: WebSocket) -> None:
        await stream.accept()
        await converse(stream, options, pcm, next(numbers))

    return app


def main() -> None:
    """Serves on a free port of 127.0.0.1, and says on stderr which."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("heard", "said"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--wav", type=Path, required=True)
    for name in ("final-s", "first-token-s", "tokens-s", "first-audio-s"):
        parser.add_argument(f"--{name}", type=float, required=True)
    parser.add_argument("--record", type=Path)
    parser.add_argument("--smart-turn", action="store_true")
    options = Options(**vars(parser.parse_args()))
    logger.remove()
    logger.add(sys.stderr, level="WARNING")
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        config = uvicorn.Config(application(options), loop="uvloop", log_level="warning", access_log=False)
        print(f"pipecat {version('pipecat-ai')} is at {url}. Stop with Ctrl-C.", file=sys.stderr, flush=True)
        uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
