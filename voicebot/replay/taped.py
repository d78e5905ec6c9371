"""Agents and voices whose answers are on a cassette, or go onto it."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import asdict, replace
from typing import Any

from voicebot.core.dialogue import CallerTurn, Heard, LlmEvent, Past, Text, ToolCall
from voicebot.core.expect import Expectation
from voicebot.core.prompting import system_prompt
from voicebot.core.tone import PLAIN, Manner
from voicebot.core.tool_specs import tool_specs
from voicebot.engines.base import AgentContext, EngineConfig, LlmSession, Speech, SpokenWord
from voicebot.errors import PeerError
from voicebot.replay.cassette import Cassette, Piece, Request
from voicebot.replay.clock import Clock, clock

UNTOLD = frozenset({"api_key", "base_url"})
"""Options that are no part of a request."""


class _Lazy:
    """An engine that starts when it is first asked, and costs the call nothing until then."""

    def __init__(self, engine: Any) -> None:
        self.engine, self._started = engine, False

    async def started(self) -> Any:
        if not self._started:
            self._started = True
            with clock().still():
                await self.engine.start()
        return self.engine

    async def close(self) -> None:
        if self._started:
            with clock().still():
                await self.engine.close()


async def _due(at_s: float) -> None:
    """Wait for a recorded moment; before the call nobody waits."""
    loop = clock()
    if not loop.stills:
        await asyncio.sleep(max(0.0, at_s - loop.time()))


@contextmanager
def _taping(cassette: Cassette, request: Request, pieces: list[Piece], began_s: float) -> Iterator[None]:
    """An answer goes onto the cassette however it ends: wholly, with a fault, or cut by who asked. After a tool was
    asked for, nobody reads on."""
    loop = clock()
    try:
        yield
    except PeerError as error:
        pieces.append({"at_ms": _at_ms(loop, began_s), "fault": str(error)})
        raise
    except BaseException:
        if not (pieces and "name" in pieces[-1]):
            pieces.append({"at_ms": _at_ms(loop, began_s), "cut": True})
        raise
    finally:
        cassette.keep(request, pieces)


def _at_ms(loop: Clock, began_s: float) -> int:
    return round((loop.time() - began_s) * 1000)


# --- voices ---------------------------------------------------------------------------------------------------


class TapedTts:
    """One voice."""

    def __init__(self, name: str, engine: Any, cassette: Cassette) -> None:
        self._name, self._engine, self._cassette = name, _Lazy(engine), cassette
        self.voice_id: str = engine.voice_id
        self.close = self._engine.close
        if (patience := getattr(engine, "patience", None)) is not None:
            self.patience = patience

    async def start(self) -> None:
        """It starts when it is asked."""

    async def speak(self, clauses: AsyncIterator[str], manner: Manner = PLAIN) -> AsyncGenerator[Speech, None]:
        """As any voice. `PeerError` where the cassette has no answer."""
        async for clause in clauses:
            request = Request("tts", self._name, clause, [self.voice_id, clause, asdict(manner)])
            async with aclosing(self._clause(request, manner)) as chunks:
                async for chunk in chunks:
                    yield chunk

    async def _clause(self, request: Request, manner: Manner) -> AsyncGenerator[Speech, None]:
        began_s, given = clock().time(), 0
        pieces = self._cassette.find(request)
        for piece in pieces or ():
            await _due(began_s + piece["at_ms"] / 1000)
            if "fault" in piece:
                raise PeerError(piece["fault"], retryable=True)
            if "cut" in piece:  # then nobody wanted more of it
                break
            words = tuple(SpokenWord(text, at) for text, at in piece["words"])
            yield Speech(base64.b64decode(piece["pcm"]), piece["rate"], words)
            given += 1
        if pieces is not None and given == len(pieces):
            return
        if not self._cassette.may_ask(self._name):
            raise self._cassette.lack(request)
        async with aclosing(self._ask(request, manner)) as chunks:
            async for chunk in chunks:
                if given:  # the same text has the same chunks, of the voices that may be asked
                    given -= 1
                    continue
                yield chunk

    async def _ask(self, request: Request, manner: Manner) -> AsyncGenerator[Speech, None]:
        engine = await self._engine.started()
        loop, pieces = clock(), list[Piece]()
        began_s = loop.time()
        with _taping(self._cassette, request, pieces, began_s):
            async with aclosing(_charged(engine.speak(_one(request.asked), manner))) as chunks:
                async for chunk in chunks:
                    words = [[word.text, word.at] for word in chunk.words]
                    sound = base64.b64encode(chunk.pcm).decode()
                    pieces.append({"at_ms": _at_ms(loop, began_s), "rate": chunk.rate, "words": words, "pcm": sound})
                    yield chunk


# --- agents ---------------------------------------------------------------------------------------------------


class TapedLlm:
    """One language model. What it is told of the dialplan is part of every request: another prompt, another answer."""

    def __init__(self, name: str, engine: Any, config: EngineConfig, cassette: Cassette) -> None:
        self.name, self.cassette = name, cassette
        self.engine = _Lazy(engine)
        self.prepare, self.close = engine.prepare, self.engine.close
        self.told = {name: value for name, value in config.options.items() if name not in UNTOLD}
        if (patience := getattr(engine, "patience", None)) is not None:
            self.patience = patience

    async def start(self) -> None:
        """It starts when it is asked."""

    def open(self, context: AgentContext) -> TapedSession:
        """One call's."""
        return TapedSession(self, context)


class TapedSession:
    """One call's agent. The engine's own session is opened when something is asked that is not on the cassette."""

    def __init__(self, llm: TapedLlm, context: AgentContext) -> None:
        self._llm, self._context = llm, context
        plan = context.dialplan
        prompt = system_prompt(plan, context.now_iso, context.caller, context.headers)
        tools = [asdict(t) for t in tool_specs(plan)]
        self._told: list[Any] = [llm.name, llm.told, prompt, tools]
        """All that was said so far, as it goes into the key."""
        self._past: list[Past] = []
        self._begun = ""
        self._session: LlmSession | None = None
        self._expectation: Expectation = llm.prepare(plan)[0]
        self._prepared: tuple[Any, float] | None = None
        """The words of a reply that was begun early, and when."""

    @property
    def expectation(self) -> Expectation:
        return self._session.expectation if self._session else self._expectation

    def take_over(self, past: Sequence[Past], begun: str) -> None:
        """As `LlmSession.take_over`."""
        self._told.append(["took over", [_plain(each) for each in past], begun])
        self._past, self._begun = list(past), begun

    async def prepare(self, turn: CallerTurn) -> None:
        """A request that is on the cassette began now; another one is passed on where that is allowed."""
        self._prepared = (_words(turn), clock().time())
        if self._llm.cassette.find(self._request(turn)) is None and self._llm.cassette.may_ask(self._llm.name):
            session = await self._own()
            with clock().wall():
                await session.prepare(turn)

    async def reply(self, turn: CallerTurn) -> AsyncGenerator[LlmEvent, None]:
        """As any agent's. `PeerError` where the cassette has no answer."""
        llm, loop, request, events = self._llm, clock(), self._request(turn), list[Piece]()
        began_s = loop.time()
        if self._prepared and self._prepared[0] == _words(turn):
            began_s = self._prepared[1]
        self._prepared = None
        pieces = llm.cassette.find(request)
        if pieces is None and not llm.cassette.may_ask(llm.name):
            raise llm.cassette.lack(request)
        session = await self._own() if pieces is None else None
        self._told.append(_plain(turn))
        self._past.append(Past(turn))
        if pieces is not None:
            self._session = None  # whatever is asked later, it takes over then
            for piece in pieces:
                await _due(began_s + piece["at_ms"] / 1000)
                if "cut" in piece:
                    raise llm.cassette.lack(request)
                event = _event(piece)
                self._note(event)
                yield event
            return
        assert session is not None
        with _taping(llm.cassette, request, events, began_s):
            async with aclosing(_charged(session.reply(turn))) as answers:
                async for event in answers:
                    events.append({"at_ms": _at_ms(loop, began_s), **_written(event)})
                    self._note(event)
                    yield event

    def _request(self, turn: CallerTurn) -> Request:
        return Request("llm", self._llm.name, _shown(turn), [*self._told, _plain(turn)])

    async def _own(self) -> LlmSession:
        """The engine's session, which knows the call so far."""
        engine = await self._llm.engine.started()
        if self._session is None:
            self._session = engine.open(self._context)
            if self._past or self._begun:
                self._session.take_over(self._past, self._begun)
        self._begun = ""
        return self._session

    def _note(self, event: LlmEvent) -> None:
        last = self._past[-1]
        said = event.text if isinstance(event, Text) else ""
        self._past[-1] = replace(last, said=last.said + said, call=event if isinstance(event, ToolCall) else last.call)

    def committed(self, text: str, complete: bool) -> None:
        """What was heard is part of what the engine is told with the next turn."""
        self._told.append(["heard", text, complete])
        if self._past and not complete:
            self._past[-1] = replace(self._past[-1], said=text)
        if self._session:
            self._session.committed(text, complete)


def _words(turn: CallerTurn) -> Any:
    return turn.words.text if isinstance(turn, Heard) else _plain(turn)


def _shown(turn: CallerTurn) -> str:
    return turn.words.text if isinstance(turn, Heard) else type(turn).__name__


def _plain(turn: CallerTurn | Past) -> Any:
    """What an agent is told of a turn: the words, and not when they were said."""
    if isinstance(turn, Heard):
        return ["Heard", turn.words.text, round(turn.words.confidence, 1)]
    return [type(turn).__name__, asdict(turn)]


def _written(event: LlmEvent) -> Piece:
    if isinstance(event, Text):
        return {"text": event.text, "interruptible": event.interruptible}
    return {"call_id": event.call_id, "name": event.name, "args": dict(event.args)}


def _event(piece: Piece) -> LlmEvent:
    if "fault" in piece:
        raise PeerError(piece["fault"], retryable=True)
    if "text" in piece:
        return Text(piece["text"], piece["interruptible"])
    return ToolCall(piece["call_id"], piece["name"], piece["args"])


async def _charged(source: AsyncIterator[Any]) -> AsyncGenerator[Any, None]:
    """`source`; the clock goes with the wall while it is waited for."""
    while True:
        with clock().wall():
            try:
                piece = await anext(source)
            except StopAsyncIteration:
                return
        yield piece


async def _one(text: str) -> AsyncIterator[str]:
    yield text
