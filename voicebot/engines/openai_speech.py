"""One speech-to-speech session of the Realtime protocol.

What the server says about a reply comes in one of several orders, and may come after we have cut it: everything goes by
the ids of responses and items, and nothing depends on which `done` is first. A response is the reply; its audio lies in
items, by which it is truncated.
"""

from __future__ import annotations

import asyncio
from base64 import b64decode
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import time
from typing import Any

from voicebot import log
from voicebot.core.conversation import Message
from voicebot.core.dialogue import ToolDone
from voicebot.core.duplex import (
    Abilities,
    CallerStarted,
    CallerStopped,
    CallerWords,
    Coding,
    Context,
    Decides,
    DuplexEvent,
    Gone,
    How,
    Interrupted,
    Leaving,
    ReplyAudio,
    ReplyBegan,
    ReplyCalls,
    ReplyEnded,
    ReplyText,
)
from voicebot.core.retelling import result
from voicebot.core.tool_specs import ToolSpec
from voicebot.engines.realtime_items import call_of, ended, items_of, tool_list
from voicebot.engines.realtime_outbox import Outbox

PREROLL_MS = 700
"""Where we decide, a turn is sent from so long before its voice was found."""
OUTBOX_MS = 2000
"""Caller audio that may wait to be sent; then the oldest goes."""
LEAVE_BEFORE_S = 180.0
MOST_SESSION_S = 60 * 60.0
HARMLESS = ("response_cancel_not_active", "conversation_already_has_active_response", "input_audio_buffer_commit_empty")
_log = log.get("openai_speech")


@dataclass(slots=True)
class _Response:
    """One reply as the server makes it."""

    id: str
    dropped: bool = False
    """It was cut, or nobody asked for it: what comes of it is not told."""
    done: bool = False
    items: dict[str, int] = field(default_factory=dict)
    """Audio item → bytes received."""
    calls: set[str] = field(default_factory=set)
    waiting: set[str] = field(default_factory=set)
    """Calls without a result."""


class RealtimeSpeech:
    """A `DuplexSession`. `detects`: the server finds the ends of turns."""

    def __init__(
        self, connection: Any, context: Context, able: Abilities, detects: bool, expires_at: int | None = None
    ) -> None:
        self._connection, self._detects = connection, detects
        self._instructions = context.instructions
        self._yields = context.decides is Decides.ENGINE
        self._bytes_ms = able.takes.rate * (2 if able.takes.coding is Coding.PCM16 else 1) // 1000
        self._outbox = Outbox(OUTBOX_MS * self._bytes_ms)
        self._send = self._outbox.event
        self._preroll: deque[bytes] = deque()
        self._preroll_bytes = 0
        self._turn = False
        """An utterance is being sent that we shall commit (where we decide)."""
        self._promised = False
        """The server has taken the caller's turn and will reply to it."""
        self._hears = False
        """The server hears the caller speak."""
        self._creates = 0
        self._asked = 0
        """Of the `response.create`s, those without their response."""
        self._unwanted = 0
        """Of them, those that are to be cancelled when they come."""
        self._later: dict[str, Any] | None = None
        """A `response.create` that waits for another response's end."""
        self._responses: dict[str, _Response] = {}
        self._calls: dict[str, _Response] = {}
        self._heard: dict[str, str] = {}
        self._expired = False
        self._lives_s = min(MOST_SESSION_S, (expires_at - time()) if expires_at else MOST_SESSION_S)
        self._tell: Callable[[DuplexEvent], None] = lambda _: None

    # --- what we do

    def push(self, audio: bytes) -> None:
        """Where the server detects turns it hears everything, else the turns only: what lies between costs money."""
        if self._detects or self._turn:
            self._outbox.audio(audio)
        self._preroll.append(audio)
        self._preroll_bytes += len(audio)
        while self._preroll_bytes > PREROLL_MS * self._bytes_ms:
            self._preroll_bytes -= len(self._preroll.popleft())

    def began(self) -> None:
        """A turn begins, a little before its voice was found; what the server has of another is nothing."""
        if self._detects:
            return
        if self._turn:
            self._outbox.forget_audio()
        self._send("input_audio_buffer.clear")
        self._turn = True
        for audio in self._preroll:
            self._outbox.audio(audio)

    def respond(self, instructions: str = "") -> None:
        """Commit what the caller said, where the server has not, and ask for a response."""
        if not instructions and (self._promised or self._active() is not None):
            return
        if not instructions and (self._turn or self._hears):
            self._send("input_audio_buffer.commit")
            self._turn = self._hears = False
        given = {"instructions": f"{self._instructions}\n\n{instructions}"} if instructions else {}
        self._create(given)

    def _create(self, response: dict[str, Any]) -> None:
        if any(not each.done for each in self._responses.values()):
            self._later = response
            return
        self._asked += 1
        self._creates += 1
        self._send("response.create", event_id=f"create-{self._creates}", response=response)

    def cut(self, reply: str, heard_ms: int) -> None:
        """Cancel what goes on; truncate the audio at what was heard."""
        if not reply:
            self._later = None
            self._unwanted = self._asked
            return
        response = self._responses.get(reply)
        if response is None or response.dropped:
            return
        response.dropped = True
        if not response.done and not (self._yields and self._hears):  # else the server has cancelled it
            self._send("response.cancel", response_id=reply)
        for item, received in response.items.items():
            received_ms = received // self._bytes_ms
            if heard_ms < received_ms:  # the server refuses to truncate at more than there is
                self._send("conversation.item.truncate", item_id=item, content_index=0, audio_end_ms=max(0, heard_ms))
            heard_ms = max(0, heard_ms - received_ms)

    def tell(self, message: Message) -> None:
        """An item of the conversation."""
        for item in items_of([message]):
            self._send("conversation.item.create", item=item)

    def tool_done(self, done: ToolDone) -> None:
        """The result; after the last one of a response, and its end, the server goes on."""
        item = {"type": "function_call_output", "call_id": done.call_id, "output": result(done)}
        self._send("conversation.item.create", item=item)
        if (response := self._calls.pop(done.call_id, None)) is not None:
            response.waiting.discard(done.call_id)
            self._go_on(response)

    def _go_on(self, response: _Response) -> None:
        if response.done and response.calls and not response.waiting and not response.dropped:
            response.calls.clear()
            self._create({})

    def configure(self, instructions: str, tools: Sequence[ToolSpec]) -> None:
        """A patch of the session."""
        self._instructions = instructions
        session = {"type": "realtime", "instructions": instructions, "tools": tool_list(tools)}
        self._send("session.update", session=session)

    async def close(self) -> None:
        """Whatever state it is in."""
        try:
            async with asyncio.timeout(0.8):
                await self._connection.close()
        except Exception as error:
            _log.info("connection_not_closed", error=type(error).__name__)

    # --- the connection

    async def run(self, tell: Callable[[DuplexEvent], None]) -> None:
        """Until the connection is gone."""
        from websockets.exceptions import ConnectionClosed

        self._tell = tell
        leaving = asyncio.get_running_loop().call_later(
            max(0.0, self._lives_s - LEAVE_BEFORE_S), lambda: tell(Leaving(int(LEAVE_BEFORE_S * 1000)))
        )
        try:
            async with asyncio.TaskGroup() as group:
                sending = group.create_task(self._outbox.send(self._connection))
                gone = await self._receive()
                sending.cancel()
            tell(gone)
        except* (ConnectionClosed, TimeoutError, OSError) as broken:
            tell(Gone(f"The connection broke ({type(broken.exceptions[0]).__name__})."))
        finally:
            leaving.cancel()

    async def _receive(self) -> Gone:
        """Every event, until there are no more."""
        from websockets.exceptions import ConnectionClosed

        while True:
            try:
                event = await self._connection.recv()
            except ConnectionClosed as closed:
                code = closed.rcvd.code if closed.rcvd else 1006
                # 1001 is how a server ends a session after an hour, or itself; both may be followed by another.
                return Gone(f"The server closed the connection ({code}).", self._expired or code == 1001)
            try:
                self._take(event)
            except (AttributeError, TypeError, KeyError, ValueError) as error:  # a bad message costs that message
                _log.warning("event_malformed", kind=str(getattr(event, "type", "")), error=type(error).__name__)

    # --- what the server says

    def _take(self, event: Any) -> None:
        match event.type:
            case "response.created":
                self._created(event.response.id)
            case "response.output_audio.delta":
                self._audio(event)
            case "response.output_audio_transcript.delta":
                if self._told(event.response_id):
                    self._tell(ReplyText(event.response_id, event.delta))
            case "response.output_item.done" if event.item.type == "function_call":
                self._called(event.response_id, event.item)
            case "response.done":
                self._done(event.response)
            case "input_audio_buffer.speech_started":
                self._hears, self._promised = True, False
                self._tell(CallerStarted(event.audio_start_ms))
                if self._yields:
                    self._tell(Interrupted())
            case "input_audio_buffer.speech_stopped":
                self._tell(CallerStopped(event.audio_end_ms))
            case "input_audio_buffer.committed":
                self._hears = False
                self._promised = self._detects
            case "conversation.item.input_audio_transcription.delta":
                text = self._heard[event.item_id] = self._heard.get(event.item_id, "") + (event.delta or "")
                self._tell(CallerWords(text, False, event.item_id))
            case "conversation.item.input_audio_transcription.completed":
                self._heard.pop(event.item_id, None)
                self._tell(CallerWords(event.transcript, True, event.item_id))
            case "conversation.item.input_audio_transcription.failed":
                self._heard.pop(event.item_id, None)
                _log.warning("transcription_failed", code=str(getattr(event.error, "code", "")))
            case "error":
                self._error(event.error)
            case _:
                pass

    def _created(self, reply: str) -> None:
        """Wanted if it was asked for, or is the server's own in a session where it may; else it is an orphan, made in
        the moment in which we cancelled."""
        asked, self._asked = self._asked > 0, max(0, self._asked - 1)
        unwanted, self._unwanted = self._unwanted > 0, max(0, self._unwanted - 1)
        response = self._responses[reply] = _Response(reply)
        self._forget()
        if unwanted or not (asked or self._detects):
            response.dropped = True
            self._send("response.cancel", response_id=reply)
            return
        self._promised = False
        self._tell(ReplyBegan(reply))

    def _forget(self) -> None:
        """Old responses; nothing comes of them any more."""
        while len(self._responses) > 16:
            self._responses.pop(next(iter(self._responses)))

    def _active(self) -> _Response | None:
        return next((each for each in self._responses.values() if not each.done and not each.dropped), None)

    def _told(self, reply: str) -> bool:
        response = self._responses.get(reply)
        return response is not None and not response.dropped

    def _audio(self, event: Any) -> None:
        if not self._told(event.response_id):
            return
        audio = b64decode(event.delta)
        items = self._responses[event.response_id].items
        items[event.item_id] = items.get(event.item_id, 0) + len(audio)
        self._tell(ReplyAudio(event.response_id, audio))

    def _called(self, reply: str, item: Any) -> None:
        response = self._responses.get(reply)
        if response is None or response.dropped or item.call_id in response.calls:
            return
        response.calls.add(item.call_id)
        response.waiting.add(item.call_id)
        self._calls[item.call_id] = response
        self._tell(ReplyCalls(reply, call_of(item)))

    def _done(self, done: Any) -> None:
        response = self._responses.get(done.id)
        if response is None or response.done:
            return
        response.done = True
        for item in done.output or ():
            if item.type == "function_call" and done.status == "completed":
                self._called(done.id, item)
        if not response.dropped:
            self._tell(ended(done, bool(response.items)))
        later, self._later = self._later, None
        if later is not None and self._active() is None:
            self._create(later)
        self._go_on(response)

    def _error(self, error: Any) -> None:
        """All of them leave the session up, but for its own end."""
        code = str(error.code or error.type)
        if code == "session_expired":
            self._expired = True
        elif code == "conversation_already_has_active_response":
            self._asked = max(0, self._asked - 1)
            if self._active() is None:  # one that nobody wants is in the way
                self._later = {}
        elif (of := str(error.event_id or "")).startswith("create-"):
            self._asked = max(0, self._asked - 1)
            self._tell(ReplyBegan(of))
            self._tell(ReplyEnded(of, How.FAILED, f"The server refused to reply ({code})."))
        if code not in HARMLESS:
            _log.warning("server_error", code=code)
