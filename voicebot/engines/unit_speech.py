"""Units of a codec made audible, piece by piece: in a program here, or by a server beside the worker.

The server is asked `POST …/vocode` with `{"session", "units", "finalize"}` and answers int16 LE PCM. It keeps what it
needs to go on under the session's name, and forgets it at `finalize`; `deploy/llama_omni2_vocoder.py` is one.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Protocol

import httpx

from voicebot.engines.speech_pipe import Kind, Program
from voicebot.errors import PeerError

PROGRAM = Kind("unit vocoder", "voicebot.engines.unit_vocoder_program", start_s=60.0, answer_s=4.0)
AGAIN_S = 1.0
BEFORE = 10
"""Units that the network hears again, so that a stretch goes on from the last one without a seam."""
ANSWER_S = 4.0
WHO = "The vocoder"


class Speaking(Protocol):
    """One reply's. Closing the iterator ends it."""

    def speak(self, units: Sequence[int], last: bool) -> AsyncGenerator[bytes, None]:
        """int16 LE mono of these units; `last`: none come after them. `PeerError` when it cannot be."""
        ...


class Vocoder(Protocol):
    rate: int

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    def reply(self) -> Speaking: ...


class LocalVocoder:
    """One program for all calls, which answers in order; started again when it has died."""

    def __init__(self, folder: str, device: str) -> None:
        self.rate = 16000
        self._settings = {"folder": folder, "device": device}
        self._program = Program(PROGRAM)

    async def start(self) -> None:
        """`PeerError` when the checkpoint cannot be loaded."""
        await self._program.start(self._settings)
        if self._program.rate != self.rate:
            raise PeerError(f"{WHO} speaks at {self._program.rate} Hz; {self.rate} Hz are expected.")

    async def close(self) -> None:
        await self._program.close()

    async def program(self) -> Program:
        """A running one. `PeerError` while there is none; whoever asks later finds it."""
        if not self._program.alive and not self._program.starting:
            self._program.kill()
            self._program = Program(PROGRAM)
            await self._program.start(self._settings)
        if self._program.starting:
            raise PeerError(f"{WHO} is being started.", retryable=True)
        return self._program

    def reply(self) -> Speaking:
        return _LocalReply(self)


class _LocalReply:
    def __init__(self, vocoder: LocalVocoder) -> None:
        self._vocoder = vocoder
        self._before: list[int] = []

    async def speak(self, units: Sequence[int], last: bool) -> AsyncGenerator[bytes, None]:
        if not units:
            return
        program = await self._vocoder.program()
        text = " ".join(",".join(map(str, part)) for part in (self._before, units))
        self._before = [*self._before, *units][-BEFORE:]
        async with aclosing(program.say(text)) as chunks:
            async for chunk in chunks:
                yield chunk.pcm


class VocoderServer:
    """A vocoder with an address."""

    def __init__(self, url: str, rate: int) -> None:
        self.url, self.rate = url.rstrip("/"), rate
        self.client = httpx.AsyncClient(timeout=ANSWER_S)

    async def start(self) -> None:
        """Nothing to start."""

    async def close(self) -> None:
        await self.client.aclose()

    def reply(self) -> Speaking:
        return _ServerReply(self)


class _ServerReply:
    def __init__(self, vocoder: VocoderServer) -> None:
        self._vocoder = vocoder
        self._session = secrets.token_hex(8)

    async def speak(self, units: Sequence[int], last: bool) -> AsyncGenerator[bytes, None]:
        asked = {"session": self._session, "units": list(units), "finalize": last}
        try:
            answer = await self._vocoder.client.post(f"{self._vocoder.url}/vocode", json=asked)
        except httpx.HTTPError as error:
            raise PeerError(f"{WHO} cannot be reached ({type(error).__name__}).", retryable=True) from None
        if answer.status_code != 200:
            raise PeerError(f"{WHO} failed ({answer.status_code}).", retryable=True)
        if pcm := answer.content[: len(answer.content) // 2 * 2]:
            yield pcm
