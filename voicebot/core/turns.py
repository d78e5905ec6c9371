"""The turn machine: who has the floor. Rules of this file:

1. Everything that decides a turn is here; nothing here does anything but decide. It has no clock: `feed(event,
   now_ms)` returns actions, `deadline()` says when to feed a `Tick`.
2. What may happen is the table at the end. A missing entry is not an error, for peers are many and asynchronous:
   it is ignored and counted.
3. In every state the caller is speaking, audio is queued for the caller, or a deadline at most 8 s away is armed.
4. Every `StartReply` gets exactly one end: `CommitHeard`, which is also where history learns what was heard.
5. An uninterruptible notice is cleared by nothing but hang-up and DTMF.

    LISTENING ── voice ──▶ HEARING ── pause ──▶ DECIDING ── final words ──▶ THINKING ── audio ──▶ SPEAKING
        ▲                     ▲  ◀── voice ───────┘                                        │ voice
        │                     └──────────── evidence ───────────── YIELDING ◀──────────────┘
        └──────────────────────────── all heard ───────────── SPEAKING ◀── cough ── YIELDING
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from voicebot.core.events import (
    Action,
    Answered,
    CancelReply,
    Close,
    CloseEar,
    CommitHeard,
    Drained,
    DropPlayout,
    EndCall,
    Event,
    FinishEar,
    Gone,
    HoldPlayout,
    Input,
    Key,
    OpenEar,
    Playing,
    ReplyAudio,
    ReplyDone,
    ReplyFailed,
    ResumePlayout,
    SayFixed,
    StartReply,
    Tick,
    ToolStarted,
    VoiceStarted,
    VoiceStopped,
    WordsHeard,
)
from voicebot.core.timeline import EndReason

MAX_WAIT_MS = 8000


class State(StrEnum):
    LISTENING = "listening"
    HEARING = "hearing"
    DECIDING = "deciding"
    THINKING = "thinking"
    SPEAKING = "speaking"
    YIELDING = "yielding"
    CLOSING = "closing"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Timing:
    """Milliseconds, all of them."""

    quick_ms: int = 350
    """Silence after which a settled utterance is a turn."""
    pause_ms: int = 700
    """… and an unsettled one."""
    final_ms: int = 1500
    """Wait for the recogniser's final words; then the last partial counts."""
    cough_ms: int = 600
    """Voice shorter than this, without words, was no turn."""
    confirm_ms: int = 400
    """Voice over the bot for this long is an interruption; less needs words."""
    filler_ms: int = 1800
    """Thinking longer than this is bridged by "one moment"."""
    first_audio_ms: int = 6000
    """A reply without audio for this long has failed."""
    silence_ms: int = 7000
    """Silence after a question before the caller is asked again."""
    noise_ms: int = 20000
    """Voice this long without a word is noise or music."""
    monologue_ms: int = 60000
    """Voice this long with words is cut in on politely."""
    keys_ms: int = 2000
    """Between keyed digits."""
    silences: int = 4
    """Silences in a row after which the call is closed, whatever the agent would still ask."""
    strikes: int = 3
    """Failed replies in a row before the call is closed."""


class TurnMachine:
    """One call's turns. `timing` may be replaced whenever what is expected next changes."""

    def __init__(self, timing: Timing | None = None) -> None:
        self.timing = timing or Timing()
        self.state = State.LISTENING
        self.turn = 0
        self.ignored: Counter[str] = Counter()
        self._now = 0
        self._deadlines: dict[str, int] = {}
        self._voice = False
        self._voice_since = 0
        self._voice_ms = 0
        self._stopped_at = 0
        self._ear = False
        self._finishing = False
        self._words: WordsHeard | None = None
        self._carried = ""  # words of an utterance that was being closed when the caller went on
        self._digits = ""
        self._replying = False  # the reply of `turn` has not ended yet
        self._reply_done = False
        self._failed = False
        self._tool = False
        self._ending: EndReason | None = None
        self._silences = 0
        self._failures = 0

    def feed(self, event: Event, now_ms: int) -> list[Action]:
        """The actions that `event` asks for. A smaller `now_ms` than before is taken as no time passed."""
        self._now = max(self._now, now_ms)
        if self.state is State.ENDED:
            return self._ignore(event)
        match event:
            case Gone(reason):
                return self._end(reason)
            case VoiceStarted():
                self._voice, self._voice_since = True, self._now
            case VoiceStopped(at_ms):
                if self._voice:
                    self._voice_ms += max(0, at_ms - self._voice_since)
                self._voice, self._stopped_at = False, min(at_ms, self._now)
            case Tick():
                if self._now < self.deadline():
                    return []
            case _:
                pass
        rule = TABLE.get((self.state, type(event)))
        return self._ignore(event) if rule is None else rule(self, event)

    def deadline(self) -> int:
        """When to feed a `Tick`, in the same milliseconds; far away when nothing is armed."""
        return min(self._deadlines.values(), default=2**62)

    # --- small steps

    def _ignore(self, event: Event) -> list[Action]:
        self.ignored[f"{self.state.value}/{type(event).__name__}"] += 1
        return []

    def _go(self, state: State, **deadlines_ms: int) -> None:
        self.state = state
        self._deadlines = {name: self._now + min(wait, MAX_WAIT_MS) for name, wait in deadlines_ms.items()}

    def _listen(self) -> list[Action]:
        if self._voice:  # the caller began while we could not listen, and is speaking still
            return self._hear()
        self._go(State.LISTENING, silence=self.timing.silence_ms)
        return []

    def _hear(self) -> list[Action]:
        """The caller has the floor."""
        self._go(State.HEARING)
        self._limit_voice()
        return self._open_ear()

    def _limit_voice(self) -> None:
        limit = self.timing.monologue_ms if self._words and self._words.text else self.timing.noise_ms
        self._deadlines = {"voice": self._voice_since + limit}

    def _open_ear(self) -> list[Action]:
        if self._ear and not self._finishing:
            return []
        actions: list[Action] = [CloseEar()] if self._ear else []
        self._ear, self._finishing, self._words, self._voice_ms = True, False, None, 0
        return [*actions, OpenEar()]

    def _close_ear(self) -> list[Action]:
        was, self._ear, self._finishing, self._words, self._carried = self._ear, False, False, None, ""
        return [CloseEar()] if was else []

    def _reply(self, input: Input, text: str = "", count: int = 0) -> list[Action]:
        actions = self._close_ear() + self._abandon_reply()
        self.turn += 1
        self._replying, self._reply_done, self._failed, self._tool = True, False, False, False
        self._digits, self._carried, self._ending = "", "", None
        self._silences = self._silences if input is Input.SILENCE else 0
        self._go(State.THINKING, filler=self.timing.filler_ms, first_audio=self.timing.first_audio_ms)
        return [*actions, StartReply(self.turn, input, text, count)]

    def _abandon_reply(self) -> list[Action]:
        """End the current reply early, if there is one: what was heard of it is committed."""
        if not self._replying:
            return []
        self._replying = False
        cancel: list[Action] = [] if self._reply_done else [CancelReply(self.turn)]
        return [*cancel, DropPlayout(), CommitHeard(self.turn, complete=False)]

    def _end(self, reason: EndReason) -> list[Action]:
        actions = self._close_ear() + self._abandon_reply()
        self._go(State.ENDED)
        return [*actions, EndCall(reason)]

    def _decide(self) -> None:
        """Arm the end-of-turn deadline, counted from where the voice really stopped."""
        settled = self._words is not None and bool(self._words.text) and self._words.settled
        wait = self.timing.quick_ms if settled else self.timing.pause_ms
        self._deadlines = {"endpoint": max(self._now, self._stopped_at + min(wait, MAX_WAIT_MS))}

    def _take_turn(self) -> list[Action]:
        """The caller's utterance is over and its words are in."""
        text = " ".join(t for t in (self._carried, self._words.text if self._words else "") if t)
        if text or self._voice_ms >= self.timing.cough_ms:
            return self._reply(Input.SPOKEN, text)
        return self._close_ear() + self._listen()

    # --- rules, by state

    def _on_answered(self, _: Answered) -> list[Action]:
        return self._reply(Input.OPENING)

    def _on_voice_listening(self, _: VoiceStarted) -> list[Action]:
        return self._hear()

    def _on_silence(self, _: Tick) -> list[Action]:
        self._silences += 1
        if self._silences >= self.timing.silences:
            return self._close(Close(EndReason.BOT_HANGUP, "goodbye"))
        return self._reply(Input.SILENCE, count=self._silences)

    def _on_pause(self, _: VoiceStopped) -> list[Action]:
        self._go(State.DECIDING)
        self._decide()
        return []

    def _on_words_hearing(self, event: WordsHeard) -> list[Action]:
        self._words = event
        self._limit_voice()
        return []

    def _on_voice_limit(self, _: Tick) -> list[Action]:
        if self._words and self._words.text:
            self._go(State.DECIDING, final=self.timing.final_ms)
            self._finishing = True
            return [FinishEar()]
        # Noise or hold music: take it for silence until it stops.
        self._voice = False
        return self._close_ear() + self._listen()

    def _on_voice_again(self, _: VoiceStarted) -> list[Action]:
        if self._digits:
            return []
        if self._finishing and self._words:  # too late to go on with this ear: carry its words over
            self._carried = f"{self._carried} {self._words.text}".strip()
        self._go(State.HEARING)
        self._limit_voice()
        return self._open_ear()

    def _on_words_deciding(self, event: WordsHeard) -> list[Action]:
        if self._digits:
            return []
        self._words = event
        if event.final:
            return self._take_turn()
        if not self._finishing:
            self._decide()
        return []

    def _on_endpoint(self, _: Tick) -> list[Action]:
        if self._digits:
            return self._reply(Input.KEYED, self._digits)
        if self._finishing:  # the recogniser did not answer in time
            return self._take_turn()
        self._finishing = True
        self._go(State.DECIDING, final=self.timing.final_ms)
        return [FinishEar()]

    def _on_voice_thinking(self, _: VoiceStarted) -> list[Action]:
        if self._tool:
            return []
        return self._abandon_reply() + self._hear()

    def _on_audio(self, event: ReplyAudio) -> list[Action]:
        if event.turn == self.turn:
            self._go(State.SPEAKING, stuck=MAX_WAIT_MS)
        return []

    def _on_playing(self, _: Playing) -> list[Action]:
        self._deadlines = {"stuck": self._now + MAX_WAIT_MS}
        return []

    def _on_done(self, event: ReplyDone) -> list[Action]:
        if event.turn == self.turn and self._replying:
            self._reply_done, self._ending, self._failures = True, event.ending, 0
            if self.state is State.THINKING:  # nothing was said at all
                return self._finish_reply()
            if self.state is State.SPEAKING:
                self._speak_on()
        return []

    def _speak_on(self) -> None:
        """A farewell is heard to its end: from here on voice does not interrupt."""
        closing = self._reply_done and self._ending is not None
        self._go(State.CLOSING if closing else State.SPEAKING, stuck=MAX_WAIT_MS)

    def _on_failed(self, event: ReplyFailed) -> list[Action]:
        if event.turn != self.turn or not self._replying:
            return self._ignore(event)
        return self._fail()

    def _fail(self) -> list[Action]:
        self._failures += 1
        if self._failures >= self.timing.strikes:
            return self._close(Close(EndReason.ENGINE_FAILED, "trouble"))
        actions: list[Action] = [] if self._reply_done else [CancelReply(self.turn)]
        self._reply_done = self._failed = True
        self._go(State.SPEAKING, stuck=MAX_WAIT_MS)
        return [*actions, SayFixed("sorry")]

    def _on_thinking_late(self, _: Tick) -> list[Action]:
        if self._now >= self._deadlines.get("first_audio", 2**62):
            return self._fail()
        if self._tool:  # a tool has its own deadline; keep the caller company
            self._deadlines = {"filler": self._now + self.timing.first_audio_ms}
        else:
            del self._deadlines["filler"]
        return [SayFixed("one_moment")]

    def _on_tool(self, event: ToolStarted) -> list[Action]:
        if event.turn == self.turn and self._replying:
            self._tool = True
            if self.state is State.THINKING:
                self._deadlines.pop("first_audio", None)
                self._deadlines.setdefault("filler", self._now + self.timing.first_audio_ms)
        return []

    def _on_voice_speaking(self, event: VoiceStarted) -> list[Action]:
        if not event.may_interrupt:
            return []
        self._go(State.YIELDING, confirm=self.timing.confirm_ms)
        return [HoldPlayout(), *self._open_ear()]

    def _on_drained(self, _: Drained) -> list[Action]:
        if self._reply_done or not self._replying:
            return self._finish_reply()
        # The reply goes on, but its next audio is late.
        self._deadlines = {"gap": self._now + self.timing.first_audio_ms}
        return []

    def _finish_reply(self) -> list[Action]:
        was, self._replying = self._replying, False
        actions: list[Action] = [CommitHeard(self.turn, not self._failed)] if was else []
        if self._ending is not None:
            ending, self._ending = self._ending, None
            return actions + self._end(ending)
        return actions + self._listen()

    def _on_speaking_late(self, _: Tick) -> list[Action]:
        if not self._reply_done and self._replying:
            return self._fail()
        # Audio was queued but nothing says that it was heard: take it for heard.
        return self._finish_reply()

    def _on_words_yielding(self, event: WordsHeard) -> list[Action]:
        if not self._finishing or event.final:
            self._words = event
        if event.text and event.real:
            return self._yield()
        return self._resume() if event.final else []

    def _on_stop_yielding(self, _: VoiceStopped) -> list[Action]:
        self._finishing = True
        self._go(State.YIELDING, final=self.timing.confirm_ms)
        return [FinishEar()]

    def _on_voice_yielding(self, _: VoiceStarted) -> list[Action]:
        self._go(State.YIELDING, confirm=self.timing.confirm_ms)
        return self._open_ear()

    def _on_confirm(self, _: Tick) -> list[Action]:
        return self._yield() if self._voice else self._resume()

    def _yield(self) -> list[Action]:
        """A real interruption: the caller has the floor."""
        actions = self._abandon_reply()
        self._tool = False
        if self._finishing and self._words and self._words.final:
            return actions + self._take_turn()
        if self._voice:
            self._go(State.HEARING)
            self._limit_voice()
        else:
            self._go(State.DECIDING, final=self.timing.final_ms)
        return actions

    def _resume(self) -> list[Action]:
        """A cough: go on from the sample heard last."""
        actions = self._close_ear()
        self._speak_on()
        return [*actions, ResumePlayout()]

    def _on_key(self, event: Key) -> list[Action]:
        actions = self._close_ear()
        if self.state in (State.THINKING, State.SPEAKING, State.YIELDING):
            actions += self._abandon_reply() or [DropPlayout()]
        self._digits += event.digit
        if event.complete:
            return actions + self._reply(Input.KEYED, self._digits)
        self._go(State.DECIDING, keys=self.timing.keys_ms)
        return actions

    def _on_close(self, event: Close) -> list[Action]:
        return self._close(event)

    def _close(self, event: Close) -> list[Action]:
        actions = self._close_ear() + self._abandon_reply()
        self._ending = event.reason
        self._go(State.CLOSING, stuck=MAX_WAIT_MS)
        return [*actions, SayFixed(event.sentence)]

    def _on_closed(self, _: Event) -> list[Action]:
        self._ending = self._ending or EndReason.BOT_HANGUP
        return self._finish_reply()


Rule = Callable[[Any, Any], list[Action]]
_M = TurnMachine
TABLE: dict[tuple[State, type], Rule] = {
    (State.LISTENING, Answered): _M._on_answered,
    (State.LISTENING, VoiceStarted): _M._on_voice_listening,
    (State.LISTENING, Tick): _M._on_silence,
    (State.LISTENING, Key): _M._on_key,
    (State.LISTENING, Close): _M._on_close,
    (State.HEARING, VoiceStopped): _M._on_pause,
    (State.HEARING, WordsHeard): _M._on_words_hearing,
    (State.HEARING, Tick): _M._on_voice_limit,
    (State.HEARING, Key): _M._on_key,
    (State.HEARING, Close): _M._on_close,
    (State.DECIDING, VoiceStarted): _M._on_voice_again,
    (State.DECIDING, WordsHeard): _M._on_words_deciding,
    (State.DECIDING, Tick): _M._on_endpoint,
    (State.DECIDING, Key): _M._on_key,
    (State.DECIDING, Close): _M._on_close,
    (State.THINKING, VoiceStarted): _M._on_voice_thinking,
    (State.THINKING, ReplyAudio): _M._on_audio,
    (State.THINKING, ReplyDone): _M._on_done,
    (State.THINKING, ReplyFailed): _M._on_failed,
    (State.THINKING, ToolStarted): _M._on_tool,
    (State.THINKING, Tick): _M._on_thinking_late,
    (State.THINKING, Key): _M._on_key,
    (State.THINKING, Close): _M._on_close,
    (State.SPEAKING, VoiceStarted): _M._on_voice_speaking,
    (State.SPEAKING, ReplyDone): _M._on_done,
    (State.SPEAKING, ReplyFailed): _M._on_failed,
    (State.SPEAKING, ToolStarted): _M._on_tool,
    (State.SPEAKING, Playing): _M._on_playing,
    (State.SPEAKING, Drained): _M._on_drained,
    (State.SPEAKING, Tick): _M._on_speaking_late,
    (State.SPEAKING, Key): _M._on_key,
    (State.SPEAKING, Close): _M._on_close,
    (State.YIELDING, VoiceStarted): _M._on_voice_yielding,
    (State.YIELDING, VoiceStopped): _M._on_stop_yielding,
    (State.YIELDING, WordsHeard): _M._on_words_yielding,
    (State.YIELDING, ReplyDone): _M._on_done,
    (State.YIELDING, ReplyFailed): _M._on_failed,
    (State.YIELDING, ToolStarted): _M._on_tool,
    (State.YIELDING, Tick): _M._on_confirm,
    (State.YIELDING, Key): _M._on_key,
    (State.YIELDING, Close): _M._on_close,
    (State.CLOSING, Playing): _M._on_playing,
    (State.CLOSING, Drained): _M._on_closed,
    (State.CLOSING, Tick): _M._on_closed,
}
