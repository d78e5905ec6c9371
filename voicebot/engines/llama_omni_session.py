"""One call with LLaMA-Omni: what the caller said goes to a worker when the call says that it is over, and the answer
is vocoded as it comes. A reply that is cut is a connection that is closed."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass

import httpx
import numpy as np
import orjson

from voicebot import log
from voicebot.core import llama_omni
from voicebot.core.conversation import Message
from voicebot.core.dialogue import ToolDone
from voicebot.core.duplex import (
    Context,
    DuplexEvent,
    Gone,
    How,
    ReplyAudio,
    ReplyBegan,
    ReplyEnded,
    ReplyText,
)
from voicebot.core.llama_omni import Answer, Exchange, Malformed, Piece, Refused, Sampling, heard_of
from voicebot.core.tool_specs import ToolSpec
from voicebot.engines.unit_speech import Speaking, Vocoder
from voicebot.engines.utterance_shelf import Shelf
from voicebot.errors import PeerError

WHO = "LLaMA-Omni"
RATE_IN = 16000
BYTES_MS = 2 * RATE_IN // 1000
PRE_ROLL_MS = 700
MOST_MS = 30_000
"""Of one turn: Whisper, by which the model hears, takes no more."""
ADDRESS_S = 1.0
LOUD, LEAD_PIECES = 300.0, 25
"""Mean magnitude above which a piece is voice, and how many pieces (of 20 ms) before the first one are kept."""
_JSON = {"Content-Type": "application/json"}
_log = log.get("s2s_llama_omni")


@dataclass(frozen=True, slots=True)
class Worker:
    """Whom to ask, and how."""

    client: httpx.AsyncClient
    controller: str
    model: str
    sampling: Sampling
    first_s: float
    gap_s: float
    chunk_units: int
    turns: int


class Lost(PeerError):
    """Somebody who is needed for every reply is not there."""


class LlamaOmniSession:
    """A `DuplexSession`."""

    def __init__(self, worker: Worker, vocoder: Vocoder, shelf: Shelf | None, context: Context) -> None:
        self._worker, self._vocoder, self._shelf = worker, vocoder, shelf
        self._instructions = context.instructions
        self._audio: deque[bytes] = deque()
        """The last the caller said; all of a turn, once it has begun."""
        self._audio_bytes = 0
        self._speaking = False
        self._asked: asyncio.Queue[bytes] = asyncio.Queue(1)
        self._count = 0
        self._reply = ""
        """That goes on."""
        self._job: asyncio.Task[None] | None = None
        self._spoken_ms: dict[str, int] = {}
        self._past: list[tuple[str, Exchange]] = []

    # --- the call's side

    def push(self, audio: bytes) -> None:
        self._audio.append(audio)
        self._audio_bytes += len(audio)
        while self._audio_bytes > (MOST_MS if self._speaking else PRE_ROLL_MS) * BYTES_MS:
            self._audio_bytes -= len(self._audio.popleft())

    def began(self) -> None:
        self._speaking = True

    def respond(self, instructions: str = "") -> None:
        """What was said is answered. With instructions: it takes none, and the reply fails."""
        if self._reply or not self._asked.empty():
            return
        said = b"" if instructions else _from_the_voice(list(self._audio))
        self._audio.clear()
        self._audio_bytes, self._speaking = 0, False
        self._asked.put_nowait(said)

    def cut(self, reply: str, heard_ms: int) -> None:
        if not reply or reply == self._reply:
            while not self._asked.empty():
                self._asked.get_nowait()
            if self._job is not None:
                self._job.cancel()
        spoken_ms = self._spoken_ms.get(reply, 0)
        for at, (name, exchange) in enumerate(self._past):
            if name == reply:
                heard = heard_of(exchange.answer, heard_ms, spoken_ms)
                self._past[at] = name, Exchange(exchange.path, heard)

    def tell(self, message: Message) -> None:
        """It has no history but what it heard and said."""

    def tool_done(self, done: ToolDone) -> None:
        """It calls no tools."""

    def configure(self, instructions: str, tools: Sequence[ToolSpec]) -> None:
        self._instructions = instructions

    async def close(self) -> None:
        if self._job is not None:
            self._job.cancel()

    # --- the server's side

    async def run(self, tell: Callable[[DuplexEvent], None]) -> None:
        """Returns after `Gone` was told."""
        try:
            while True:
                said = await self._asked.get()
                async with asyncio.TaskGroup() as group:
                    self._job = group.create_task(self._answered(said, tell))
                self._job = None
        except* Lost as errors:
            _log.info("session_over", why=str(errors.exceptions[0]))
            tell(Gone(str(errors.exceptions[0])))
        finally:
            for _, exchange in self._past:
                self._drop(exchange.path)

    async def _answered(self, said: bytes, tell: Callable[[DuplexEvent], None]) -> None:
        """One reply, whatever becomes of it."""
        self._count += 1
        reply = self._reply = f"reply_{self._count}"
        began, how, fault = False, How.DONE, ""
        try:
            if not said:
                raise PeerError(f"{WHO} answers nothing but what a caller says.")
            async with aclosing(self._spoken(reply, said)) as events:
                async for event in events:
                    if not began:
                        began = True
                        tell(ReplyBegan(reply))
                    tell(event)
        except asyncio.CancelledError:
            how = How.INTERRUPTED
            raise
        except PeerError as error:
            how, fault = How.FAILED, str(error)
            if not began:
                began = True
                tell(ReplyBegan(reply))
            if isinstance(error, Lost):
                raise
        finally:
            self._reply = ""
            if began:
                tell(ReplyEnded(reply, how, fault))

    async def _spoken(self, reply: str, said: bytes) -> AsyncGenerator[DuplexEvent, None]:
        """Text and audio of the answer, as they come."""
        path = self._shelf.put(said, RATE_IN) if self._shelf else ""
        self._past.append((reply, Exchange(path, "")))
        self._forget()
        speaking, waiting, text, told, units = self._vocoder.reply(), list[int](), "", 0, 0
        async with aclosing(self._pieces(said, path)) as pieces:
            async for piece in pieces:
                text += piece.text
                self._remember(reply, path, text)
                waiting += piece.units
                units += len(piece.units)
                if units and told < len(text):  # words alone are no reply yet
                    yield ReplyText(reply, text[told:])
                    told = len(text)
                if len(waiting) >= self._worker.chunk_units:
                    due, waiting = waiting, []
                    async for event in self._audible(reply, speaking, due, last=False):
                        yield event
        async for event in self._audible(reply, speaking, waiting, last=True):
            yield event
        if not self._spoken_ms.get(reply):
            raise PeerError(f"{WHO} gave no audio.")

    async def _audible(
        self, reply: str, speaking: Speaking, units: Sequence[int], last: bool
    ) -> AsyncGenerator[DuplexEvent, None]:
        try:
            async with aclosing(speaking.speak(units, last)) as chunks:
                async for pcm in chunks:
                    ms = len(pcm) * 1000 // (2 * self._vocoder.rate)
                    self._spoken_ms[reply] = self._spoken_ms.get(reply, 0) + ms
                    yield ReplyAudio(reply, pcm)
        except PeerError as error:
            raise Lost(str(error)) from None

    def _remember(self, reply: str, path: str, text: str) -> None:
        if self._past and self._past[-1][0] == reply:
            self._past[-1] = reply, Exchange(path, text)

    def _forget(self) -> None:
        """All but the last turns."""
        while len(self._past) > self._worker.turns + 1:
            name, exchange = self._past.pop(0)
            self._spoken_ms.pop(name, None)
            self._drop(exchange.path)

    def _drop(self, path: str) -> None:
        if self._shelf and path:
            self._shelf.drop(path)

    # --- HTTP

    async def _pieces(self, said: bytes, path: str) -> AsyncGenerator[Piece, None]:
        """What is new in each object of the worker's answer. `PeerError` when it fails, `Lost` when it is not there."""
        asked = "" if self._shelf else llama_omni.prompt(self._instructions)
        if self._shelf:
            past = [exchange for _, exchange in self._past[:-1]]
            request = llama_omni.second_request(self._worker.model, past, path, self._worker.sampling)
        else:
            samples = np.frombuffer(said, "<i2").astype(np.float32) / 32768
            request = llama_omni.first_request(self._worker.model, asked, samples, self._worker.sampling)
        body = await asyncio.to_thread(orjson.dumps, request, option=orjson.OPT_SERIALIZE_NUMPY)
        url = f"{await self._address()}/worker_generate_stream"
        answer, worker = Answer(asked), self._worker
        try:
            streaming = worker.client.stream("POST", url, content=body, headers=_JSON)
            async with asyncio.timeout(worker.first_s) as due, streaming as got:
                if got.status_code != 200:
                    raise PeerError(f"{WHO}'s worker failed ({got.status_code}).")
                async for data in got.aiter_raw():
                    due.reschedule(None)  # what is done with it is no delay of the worker's
                    for found in answer.push(data):
                        match found:
                            case Piece():
                                yield found
                            case Refused(code, _):
                                raise PeerError(f"{WHO}'s worker failed (error {code}).")
                            case Malformed(reason):
                                _log.info("message_ignored", reason=reason)
                    due.reschedule(asyncio.get_running_loop().time() + worker.gap_s)
        except TimeoutError:
            raise PeerError(f"{WHO}'s worker fell silent.") from None
        except (httpx.ConnectError, httpx.ConnectTimeout):
            raise Lost(f"{WHO}'s worker cannot be reached.") from None
        except httpx.HTTPError as error:
            raise PeerError(f"{WHO}'s worker broke off ({type(error).__name__}).") from None

    async def _address(self) -> str:
        """Of the worker with the shortest queue, says the controller."""
        worker = self._worker
        try:
            async with asyncio.timeout(ADDRESS_S):
                answer = await worker.client.post(
                    f"{worker.controller}/get_worker_address", json={"model": worker.model}
                )
                address = str(answer.raise_for_status().json()["address"])
        except (TimeoutError, httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            raise Lost(f"{WHO}'s controller cannot be used ({type(error).__name__}).") from None
        if not address:
            raise Lost(f"{WHO}'s controller has no worker for {worker.model}.")
        return address


def _from_the_voice(pieces: list[bytes]) -> bytes:
    """Without what is before the voice: a cough, long ago, may have been taken for the beginning of the turn."""
    loud = [np.abs(np.frombuffer(piece, "<i2").astype(np.int32)).mean() > LOUD for piece in pieces if piece]
    first = loud.index(True) if True in loud else 0
    return b"".join(pieces[max(0, first - LEAD_PIECES) :])
