"""The bot's side of a call's turns: replies as they are prepared, made, cut short and heard."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Protocol

from voicebot import log
from voicebot.call.cascade import Cascade, Ending, Mouth
from voicebot.call.duplex_turn import Around
from voicebot.call.parts import Parts
from voicebot.call.playback import Playback
from voicebot.core import events as ev
from voicebot.core.dialogue import CallerTurn, ToolCall, ToolDone
from voicebot.core.timeline import EndReason
from voicebot.engines.base import SpokenWord
from voicebot.errors import PeerError

_log = log.get("replies")


class Note(Protocol):
    """Writes a line of the timeline."""

    def __call__(self, kind: str, at_ms: int | None = None, **fields: object) -> None: ...


class Replies:
    """One call's, as long as `group` lives. `feed` takes what becomes of them to the turn machine; `on_made` says that
    the agent has spoken, and knows what it expects next."""

    def __init__(
        self,
        parts: Parts,
        playback: Playback,
        group: asyncio.TaskGroup,
        note: Note,
        feed: Callable[[ev.Event], None],
        on_made: Callable[[], None],
    ) -> None:
        self._parts, self._playback, self._group, self._note, self._feed = parts, playback, group, note, feed
        self._on_made = on_made
        native = self._native = parts.native
        agent = parts.agent if native is None else native.agent
        cascade = Cascade(agent, parts.voice, parts.prompts, self._run_tool)
        self._responder = cascade.reply if native is None else native.answer
        if native is not None:
            native.begin(Around(cascade, playback, group, note, feed, on_made, self._run_tool))
        self._said: dict[int, str] = {}
        self._turn = 0
        self._spoke = 0  # the last turn that had audio
        self._reply: asyncio.Task[None] | None = None
        self._prepared: asyncio.Task[None] | None = None
        self.ending: Ending | None = None
        """How the last reply wants the call to end."""

    # --- as the machine says

    def prepare(self, turn: CallerTurn) -> None:
        """Work that starts early: the words are in, the pause is not over."""
        self._prepared = self._group.create_task(self._parts.agent.prepare(turn))

    def drop_prepared(self) -> None:
        """The caller went on."""
        if self._prepared:
            self._prepared.cancel()
        self._prepared = None

    def start(self, turn: int, input: CallerTurn) -> None:
        """Answer the caller's turn number `turn`."""
        self._turn, self._said[turn], self.ending = turn, "", None
        self._note("reply_started", turn=turn)
        self._reply = self._group.create_task(self._answer(turn, input))

    def stop(self) -> None:
        """Nobody wants the reply any more, nor one that was prepared."""
        self.drop_prepared()
        if self._reply and not self._reply.done():
            self._reply.cancel()
        self._reply = None

    def end(self) -> None:
        """The call wants nothing more."""
        self.stop()
        if self._native:
            self._native.end()

    # --- what a native engine hears

    def hear(self, pcm: bytes, away: bool) -> None:
        """Caller audio, 8 kHz int16 LE; music when the caller is `away`."""
        if self._native:
            self._native.hear(pcm, away)

    def beat(self) -> None:
        """Now and then."""
        if self._native:
            self._native.beat()

    def began(self) -> None:
        """The turn machine listens to the caller."""
        if self._native:
            self._native.began()

    def moved(self, state: ev.State) -> None:
        """Somebody else has the floor."""
        if self._native:
            self._native.moved(state)

    # --- what was heard of them

    def commit(self, turn: int, complete: bool) -> None:
        """What was heard of the reply enters the conversation; the rest was never said."""
        ledger = self._playback.ledger
        heard, said = ledger.heard_text(turn), self._said.pop(turn, "")
        ledger.forget(turn)
        self._parts.agent.committed(heard, complete)
        self._note("said", turn=turn, text=said, heard=heard, complete=complete)

    def say_fixed(self, name: str, text: str) -> None:
        """A sentence that was synthesised before the call."""
        prompt = self._parts.prompts.get(self._parts.voice.voice_id, text)
        if prompt is None:
            _log.error("fixed_sentence_missing", sentence=name)
            self._feed(ev.Drained())
            return
        self._note("fixed", sentence=name, text=text)
        self._play(0, prompt.pcm, prompt.words, True)

    # --- the work

    async def _answer(self, turn: int, input: CallerTurn) -> None:
        mouth = Mouth(partial(self._say, turn), partial(self._play, turn), self._playback.room, turn)
        try:
            ending = self.ending = await self._responder(input, mouth)
        except PeerError as error:
            _log.warning("reply_failed", error=str(error))
            self._note("engine", stage="reply", name="cascade", fault=str(error))
            self._feed(ev.ReplyFailed(turn, "reply"))
            return
        self._on_made()
        reason = None if ending is None else EndReason.TRANSFER if ending.transfer_to else EndReason.BOT_HANGUP
        self._feed(ev.ReplyDone(turn, reason, ending.transfer_to if ending else ""))
        self._playback.check_drained(again=self._spoke == turn)  # its end may come after its last sound was heard

    async def _run_tool(self, call: ToolCall) -> ToolDone:
        acts = self._parts.toolbox.acts(call.name)
        self._note("tool", name=call.name, args=dict(call.args), started=True)
        if acts:
            self._feed(ev.ToolStarted(self._turn))
        loop = asyncio.get_running_loop()
        started = loop.time()
        work = self._group.create_task(self._parts.toolbox.run(call))
        done = await asyncio.shield(work) if acts else await work
        seconds = round(loop.time() - started, 3)
        self._note("tool", name=call.name, ok=done.ok, seconds=seconds, result=dict(done.result))
        return done

    def _say(self, turn: int, text: str) -> None:
        if turn in self._said:
            self._said[turn] += text

    def _play(self, turn: int, pcm: bytes, words: tuple[SpokenWord, ...], interruptible: bool) -> None:
        self._playback.queue(turn, pcm, words, interruptible)
        if turn > self._spoke and pcm:
            self._spoke = turn
            self._note("reply_audio", turn=turn)
            self._feed(ev.ReplyAudio(turn))
        self._playback.pump()
