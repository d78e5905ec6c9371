"""A transcription session of the Realtime protocol as it is since its beta: `…/v1/realtime?intent=transcription`.

One connection for a call; each utterance is appended as it is spoken and committed at our own end of turn. The client's
`recv` may be cancelled, so an utterance needs no task: whoever reads its words also sends its audio, and is woken when
there is some.
"""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import AsyncGenerator, Callable, Mapping
from math import exp
from typing import Any

from voicebot import log
from voicebot.audio.g711 import ulaw_encode
from voicebot.core.expect import NOTHING, Expectation
from voicebot.core.hallucinations import why_unlikely
from voicebot.core.words import Words
from voicebot.engines.openai_client import peer_error
from voicebot.errors import PeerError

RATE = 8000
WHO = "The recogniser"
CONNECT_S = 1.5
SEND_S = 2.0
FINAL_S = 4.0
"""From the commit to the transcript; the guard asks somebody else long before."""
LEAST_SAMPLES = RATE // 10
"""The server refuses to transcribe less."""
PIECE_BYTES = RATE // 10
"""Audio is sent 100 ms at a time."""
MOST_BYTES = 120 * RATE
"""Audio of one utterance; what comes beyond is dropped."""
OLD_S = 55 * 60.0
"""A server ends a session after 60 minutes: a call that lasts longer gets another one before."""
STALE_S = 0.3
"""A connection that is found closed this soon in an utterance was closed before it."""
LEAVING_S = 0.2
CLOSED = f"{WHO}'s connection was closed."
EMPTY = Words("", final=True, confidence=0.0)
_log = log.get("asr_openai")


class Wire:
    """One connection, and what its server may still be working on for an utterance that nobody wants any more."""

    def __init__(self, connection: Any, session: Mapping[str, Any]) -> None:
        self.connection, self.session = connection, session
        self.opened_s = asyncio.get_running_loop().time()
        self.idle = False
        """Whether it was there before its utterance: it may have been closed meanwhile."""
        self.unwanted = 0
        """Commits of before whose item is not known yet."""
        self.dead: set[str] = set()
        """Items of before."""

    async def close(self) -> None:
        """Whatever state it is in."""
        try:
            async with asyncio.timeout(1.0):
                await self.connection.close()
        except Exception as error:
            _log.info("connection_not_closed", error=type(error).__name__)


class Line:
    """One call's connection: an `AsrForCall`. `session` makes the server's settings from what may be said."""

    def __init__(
        self, client: Any, session: Callable[[Expectation], Mapping[str, Any]], one_utterance: bool = False
    ) -> None:
        self._client, self.session = client, session
        self._wire: Wire | None = None
        self._closed = one_utterance
        self.leaving = 0
        """Utterances that are about to give the wire back."""
        self._given = asyncio.Event()

    async def warm(self) -> None:
        """Connect. `PeerError` when that does not work."""
        await self.give(await self._connected(NOTHING))

    async def close(self) -> None:
        """Hang up."""
        self._closed = True
        wire, self._wire = self._wire, None
        if wire:
            await wire.close()

    def open(self, expectation: Expectation) -> Utterance:
        """One utterance, on the wire that is there or on a new one."""
        return Utterance(self, expectation)

    async def take(self, expectation: Expectation) -> Wire:
        """A wire for an utterance of its own."""
        if self._wire is None and self.leaving:
            self._given.clear()
            try:
                async with asyncio.timeout(LEAVING_S):
                    await self._given.wait()
            except TimeoutError:
                pass
        wire, self._wire = self._wire, None
        if wire and asyncio.get_running_loop().time() - wire.opened_s > OLD_S:
            await wire.close()
            wire = None
        if wire is None:
            return await self._connected(expectation)
        wire.idle = True
        return wire

    async def give(self, wire: Wire) -> None:
        """It could be used again."""
        spare = self._closed or self._wire is not None
        if not spare:
            self._wire = wire
        self._given.set()
        if spare:
            await wire.close()

    async def _connected(self, expectation: Expectation) -> Wire:
        session = self.session(expectation)
        try:
            async with asyncio.timeout(CONNECT_S):
                connecting = self._client.realtime.connect(extra_query={"intent": "transcription"})
                connection = await connecting.enter()
                first = await connection.recv()
                if first.type == "error":
                    raise PeerError(f"{WHO}'s server refused the session ({first.error.code}).")
                await connection.session.update(session=session)
        except TimeoutError:
            raise PeerError(f"{WHO}'s server did not answer in time.") from None
        except Exception as error:
            raise _lost(error) from None
        return Wire(connection, session)


class Utterance:
    """An `AsrSession`. `words` may raise `PeerError`; the guard hears it."""

    def __init__(self, line: Line, expectation: Expectation) -> None:
        self._line, self._expectation = line, expectation
        self._loop = asyncio.get_running_loop()
        self._audio = bytearray()
        """All of it, μ-law: a connection that was closed while nobody spoke is found out only now."""
        self._sent = 0
        self._finished = self._cancelled = False
        self._item = ""
        self._text = ""
        self._final: Words | None = None
        self._reading = False
        self._waiting: asyncio.Timeout | None = None

    def push(self, pcm: bytes) -> None:
        """int16 LE at 8 kHz."""
        if not self._finished and len(self._audio) < MOST_BYTES:
            self._audio += ulaw_encode(pcm)
            if len(self._audio) - self._sent >= PIECE_BYTES:
                self._wake()

    def finish(self) -> None:
        """No more audio; the final follows."""
        self._finished = True
        self._wake()

    def cancel(self) -> None:
        """Nobody wants the words."""
        if not self._cancelled:
            self._cancelled = True
            self._line.leaving += self._reading and self._final is None
            self._wake()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting:
            waiting.reschedule(self._loop.time())

    async def words(self) -> AsyncGenerator[Words, None]:
        """Partials as the transcript grows, then the final."""
        self._reading = True
        wire: Wire | None = None
        began_s = self._loop.time()
        try:
            for again in (False, True):
                wire = await self._line.take(self._expectation)
                try:
                    async for words in self._heard(wire):
                        yield words
                    break
                except PeerError as error:
                    stale = wire.idle and str(error) == CLOSED and self._loop.time() - began_s < STALE_S
                    if again or not stale or self._cancelled:
                        raise
                    _log.info("connection_was_stale")  # closed in the silence before: no fault of this utterance
                    await wire.close()
                    self._sent, self._item = 0, ""
            assert wire is not None
            await self._line.give(wire)
            wire = None
        finally:
            if self._cancelled and self._line.leaving:
                self._line.leaving -= 1
            if wire is not None:  # in an unknown state
                await wire.close()
        if self._final and not self._cancelled:
            yield self._final

    async def _heard(self, wire: Wire) -> AsyncGenerator[Words, None]:
        """Partials of the utterance on this wire; afterwards the final is there and the wire is free again."""
        connection, committed, due = wire.connection, False, float("inf")
        session = self._line.session(self._expectation)
        if session != wire.session:
            await _sent(connection.session.update(session=session))
            wire.session = session
        while not self._cancelled:
            while len(self._audio) > self._sent and (self._finished or len(self._audio) - self._sent >= PIECE_BYTES):
                piece = self._audio[self._sent : self._sent + 10 * PIECE_BYTES]
                await _sent(connection.input_audio_buffer.append(audio=b64encode(piece).decode()))
                self._sent += len(piece)
            if self._finished and not committed:
                if self._sent < LEAST_SAMPLES:
                    break
                await _sent(connection.input_audio_buffer.commit())
                committed, due = True, self._loop.time() + FINAL_S
            if (event := await self._event(connection, due)) is None:
                if self._loop.time() >= due:
                    raise PeerError(f"{WHO} gave no transcript in time.")
                continue
            if (words := self._taken(wire, event)) is not None:
                if words.final:
                    self._final = words
                    return
                yield words
        self._final = EMPTY
        await self._let_go(wire, committed)

    async def _event(self, connection: Any, due: float) -> Any:
        """The server's next event; None when there is something to do, or it is late."""
        if self._cancelled or (self._finished and due == float("inf")):
            return None
        try:
            async with asyncio.timeout_at(None if due == float("inf") else due) as self._waiting:
                return await connection.recv()
        except TimeoutError:
            return None
        except Exception as error:
            raise _lost(error) from None
        finally:
            self._waiting = None

    def _taken(self, wire: Wire, event: Any) -> Words | None:
        match event.type:
            case "input_audio_buffer.committed" if wire.unwanted:
                wire.unwanted -= 1
                wire.dead.add(event.item_id)
            case "input_audio_buffer.committed":
                self._item = event.item_id
            case "error":
                raise PeerError(f"{WHO}'s server refused ({event.error.code or event.error.type}).")
            case _ if getattr(event, "item_id", "") in wire.dead or wire.unwanted:
                pass
            case "conversation.item.input_audio_transcription.delta":
                self._text += event.delta or ""
                return Words(self._text.strip(), final=False)
            case "conversation.item.input_audio_transcription.failed":
                raise PeerError(f"{WHO} failed ({event.error.code or event.error.type}).", retryable=True)
            case "conversation.item.input_audio_transcription.completed":
                return believed(event.transcript, len(self._audio) / RATE, self._expectation, _confidence(event))
            case _:
                pass
        return None

    async def _let_go(self, wire: Wire, committed: bool) -> None:
        """The server forgets what it has of this utterance, or we shall ignore it."""
        if not committed:
            await _sent(wire.connection.input_audio_buffer.clear())
        elif self._item:
            wire.dead.add(self._item)
        else:
            wire.unwanted += 1


def believed(text: str, seconds: float, expectation: Expectation, confidence: float = 1.0) -> Words:
    """The final, empty where nobody can have said that."""
    why = why_unlikely(text, seconds, ", ".join(expectation.hints))
    if why is not None:
        _log.info("transcript_not_believed", why=why)
        return EMPTY
    return Words(text.strip(), final=True, confidence=confidence if text.strip() else 0.0)


def _confidence(event: Any) -> float:
    """Mean probability of its tokens, where the server told them."""
    found = [each.logprob for each in event.logprobs or ()]
    return exp(sum(found) / len(found)) if found else 1.0


async def _sent(sending: Any) -> None:
    try:
        async with asyncio.timeout(SEND_S):
            await sending
    except TimeoutError:
        raise PeerError(f"{WHO}'s server takes no more audio.") from None
    except Exception as error:
        raise _lost(error) from None


def _lost(error: Exception) -> PeerError:
    """A connection that closes says so in the library's own way; everything else as the client's errors."""
    from websockets.exceptions import ConnectionClosed, InvalidHandshake

    if isinstance(error, ConnectionClosed):
        return PeerError(CLOSED, retryable=True)
    if isinstance(error, InvalidHandshake | OSError):
        return PeerError(f"{WHO}'s server cannot be reached.", retryable=True)
    return peer_error(error, WHO)
