"""One call with Gemini Live: the caller's audio and turns out, events in, from one connection to the next."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

from voicebot import log
from voicebot.core.conversation import Message
from voicebot.core.dialogue import ToolDone
from voicebot.core.duplex import Context, Decides, DuplexEvent, Gone, How, Leaving
from voicebot.core.tool_specs import ToolSpec
from voicebot.engines.duplex_outbox import Outbox, Send
from voicebot.engines.gemini_link import (
    RATE_IN,
    Closed,
    Link,
    Manner,
    activity_end,
    activity_start,
    note,
    results,
    stream_end,
    update,
    words,
)
from voicebot.engines.gemini_turns import Turns
from voicebot.errors import PeerError

BYTES_MS = 2 * RATE_IN // 1000
PRE_ROLL_MS = 700
"""Heard before `began`, which comes some 200 ms late."""
MOST_KEPT_MS = 20_000
"""Of a caller who speaks while the model does, or in a connection that breaks."""
MOST_PIECES = MOST_KEPT_MS // 20
WAITING_MS = 3000
PIECE_BYTES = 100 * BYTES_MS
TAIL_S = 0.5
"""After everything is made, transcripts may come for so long before the reply is said to be over."""
LAST_S = 1.5
"""Before the server goes, quiet or not."""
CUT_NOTE = "(You were cut off here; the caller did not hear the rest.)"
_log = log.get("s2s_gemini_live")

Linked = Callable[[Context, str], Awaitable[Link]]
"""A new connection of this session, which goes on where the handle says."""


class GeminiSession:
    """A `DuplexSession`."""

    def __init__(self, manner: Manner, context: Context, link: Link, linked: Linked) -> None:
        self._manner, self._context, self._link, self._linked = manner, context, link, linked
        self._ours = context.decides is Decides.OURS
        self._turns = Turns(self._ours, manner.blocking)
        self._outbox = Outbox(WAITING_MS * BYTES_MS)
        self._recent: deque[bytes] = deque()
        """What the caller said last and the server was not told."""
        self._recent_bytes = self._pushed_bytes = 0
        self._turn: list[bytes | Send] = []
        """What the server was told of the caller's turn, until it answers: should the connection break."""
        self._speaking = self._wanting = False
        """The server was told that the caller speaks; it will be, once the model was cut."""
        self._notes: list[Message] = []
        self._results: list[dict[str, Any]] = []
        self._handle = ""
        self._goes_at: float | None = None
        self._closed = False
        self._loop = asyncio.get_running_loop()

    # --- the call's side

    def push(self, audio: bytes) -> None:
        self._pushed_bytes += len(audio)
        if not self._ours:
            self._outbox.audio(audio)
        elif self._speaking:
            self._outbox.audio(audio)
            if len(self._turn) < MOST_PIECES:
                self._turn.append(audio)
        else:
            self._recent.append(audio)
            self._recent_bytes += len(audio)
            while self._recent_bytes > (MOST_KEPT_MS if self._wanting else PRE_ROLL_MS) * BYTES_MS:
                self._recent_bytes -= len(self._recent.popleft())

    def began(self) -> None:
        if not self._ours or self._speaking:
            return
        self._turns.caller()
        if self._turns.busy:
            self._wanting = True
        else:
            self._start()

    def _start(self) -> None:
        """The server hears that the caller speaks, and what was kept of it."""
        self._wanting, self._speaking = False, True
        self._flush_notes()
        self._turn = list(self._recent)
        self._forget()
        self._say(activity_start, *self._turn)

    def _forget(self) -> None:
        self._recent.clear()
        self._recent_bytes = 0

    def _say(self, *items: bytes | Send) -> None:
        for item in items:
            if isinstance(item, bytes):
                self._outbox.audio(item)
            else:
                self._outbox.put(item)

    def respond(self, instructions: str = "") -> None:
        if self._turns.reply:
            return
        if self._ours:
            self._finish(instructions)
        else:
            self._flush_notes()
            self._outbox.put(words(instructions) if instructions else stream_end)
        self._turns.ask()

    def _finish(self, instructions: str) -> None:
        """The caller's turn is over; one without a caller is nothing but instructions."""
        if not self._speaking:
            if instructions and not self._wanting:
                self._forget()
            self._start()
        end = [words(instructions), activity_end] if instructions else [activity_end]
        self._turn += end
        self._say(*end)
        self._speaking = False

    def cut(self, reply: str, heard_ms: int) -> None:
        going_on = self._turns.cut(reply)
        if self._wanting:
            self._start()
        elif going_on:
            self._outbox.put(note(Message("user", CUT_NOTE)))

    def tell(self, message: Message) -> None:
        self._notes.append(message)
        if not self._turns.busy:
            self._flush_notes()

    def _flush_notes(self) -> None:
        """A note ends what the model is saying, so it waits for the end of that."""
        for message in self._notes:
            self._outbox.put(note(message))
        self._notes.clear()

    def tool_done(self, done: ToolDone) -> None:
        """A model that waits gets all results at once."""
        if (of := self._turns.calls.pop(done.call_id, None)) is None:
            return
        response = {"output" if done.ok else "error": dict(done.result)}
        result: dict[str, Any] = {"id": done.call_id, "name": of[0], "response": response}
        if not self._manner.blocking:
            result["scheduling"] = self._manner.scheduling
        self._results.append(result)
        if self._manner.blocking and self._turns.calls:
            return
        self._outbox.put(results(self._results))
        self._results = []
        if self._manner.blocking:
            self._turn = []
            self._turns.ask(same_turn=True)

    def configure(self, instructions: str, tools: Sequence[ToolSpec]) -> None:
        self._context = replace(self._context, instructions=instructions, tools=tuple(tools))
        self._outbox.put(update(instructions, tools, self._manner.blocking))

    async def close(self) -> None:
        self._closed = True
        await self._link.close()

    # --- the server's side

    async def run(self, tell: Callable[[DuplexEvent], None]) -> None:
        """Returns after `Gone` was told."""
        try:
            while True:
                if (broken := await self._serve(tell)) is not None:
                    await self._again(broken)
        except PeerError as error:
            _log.info("session_over", why=str(error), dropped_ms=self._outbox.dropped_bytes // BYTES_MS)
            for event in self._turns.finish(How.FAILED, str(error)):
                tell(event)
            tell(Gone(str(error), expected=isinstance(error, Closed) and error.expected))
        finally:
            await self._link.close()

    async def _serve(self, tell: Callable[[DuplexEvent], None]) -> PeerError | None:
        """One connection: until there is another one (None), or why it broke."""
        link, broken = self._link, None
        try:
            async with asyncio.TaskGroup() as group:
                sending = group.create_task(self._send(link))
                await self._receive(link, tell)
                self._outbox.pause()
                await sending
        except* PeerError as errors:
            broken = next((error for error in errors.exceptions if isinstance(error, PeerError)), None)
        await link.close()
        return broken

    async def _send(self, link: Link) -> None:
        while (item := await self._outbox.next(PIECE_BYTES)) is not None:
            try:
                await link.send(item)
            except PeerError:
                self._outbox.put_back(item)
                raise

    async def _receive(self, link: Link, tell: Callable[[DuplexEvent], None]) -> None:
        """Returns when another connection was made."""
        while True:
            message = await self._message(link)
            if message is not None:
                self._about_the_session(message, tell)
                events = self._turns.heard(message)
            else:
                events = self._turns.finish() if self._turns.generated else []
            for event in events:
                tell(event)
            if self._notes and not self._turns.busy:
                self._flush_notes()
            if self._goes_at is not None and await self._moved(tell):
                return

    async def _message(self, link: Link) -> Any:
        """None when the reply that was made counts as over, or the time of the connection is."""
        due = self._loop.time() + TAIL_S if self._turns.reply and self._turns.generated else None
        if self._goes_at is not None:
            due = min(due or self._goes_at, self._goes_at)
        try:
            async with asyncio.timeout_at(due):
                return await link.recv()
        except TimeoutError:
            return None

    def _about_the_session(self, message: Any, tell: Callable[[DuplexEvent], None]) -> None:
        if (resumed := message.session_resumption_update) is not None:
            self._handle = resumed.new_handle if resumed.resumable and resumed.new_handle else ""
        if (going := message.go_away) is not None:
            left_s = _seconds(going.time_left)
            _log.info("server_goes_away", in_s=left_s, resumable=bool(self._handle))
            if self._handle:
                self._goes_at = self._loop.time() + max(0.0, left_s - LAST_S)
            else:
                tell(Leaving(round(1000 * left_s)))

    async def _moved(self, tell: Callable[[DuplexEvent], None]) -> bool:
        """Whether another connection goes on with this session: made in a quiet moment, or when there is no time left.
        Until it is there, the old one is."""
        late = self._loop.time() >= (self._goes_at or 0.0)
        engaged = self._turns.busy or self._turns.calls or self._turns.asked or self._speaking or self._wanting
        if engaged and not late:
            return False
        handle, self._handle, self._goes_at = self._handle, "", None
        try:
            if not handle:
                raise PeerError("The session cannot be resumed.")
            link = await self._linked(self._context, handle)
        except PeerError as error:
            _log.info("session_not_resumed", why=str(error))
            tell(Leaving(round(1000 * LAST_S)))
            return False
        for event in self._turns.finish(How.FAILED, "The connection's time was over."):
            tell(event)
        self._adopt(link)
        return True

    async def _again(self, error: PeerError) -> None:
        """The connection broke. In the middle of a reply, or of tools, nobody knows what the server will remember;
        else the session goes on, with what the caller was saying."""
        asked, turns = self._turns.asked, self._turns
        lost = turns.reply or turns.calls or (turns.busy and not asked) or (asked and not self._turn)
        task = asyncio.current_task()
        unwanted = self._closed or (task is not None and task.cancelling())  # which an error may have hidden
        if unwanted or lost or not self._handle:
            raise error
        handle, self._handle, self._goes_at = self._handle, "", None
        try:
            self._adopt(await self._linked(self._context, handle))
        except PeerError as refused:
            _log.info("session_not_resumed", why=str(refused))
            raise Closed(1000, "not resumed") from None
        if asked or self._speaking:
            self._outbox = Outbox(MOST_KEPT_MS * BYTES_MS)
            self._say(activity_start, *self._turn)
            if asked:
                turns.ask()

    def _adopt(self, link: Link) -> None:
        self._link = link
        self._turns.busy = False
        self._turns.offset_ms = self._pushed_bytes // BYTES_MS


def _seconds(left: str | None) -> float:
    """A duration in protobuf's JSON; half a minute where it cannot be read."""
    try:
        return float((left or "30s").rstrip("s"))
    except ValueError:
        return 30.0
