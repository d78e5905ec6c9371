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
from typing import Any

from voicebot.core import events as ev
from voicebot.core.events import MAX_WAIT_MS, Action, Event, State, Timing
from voicebot.core.timeline import EndReason


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
        self._words: ev.WordsHeard | None = None
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
            case ev.Gone(reason):
                return self._end(reason)
            case ev.VoiceStarted():
                self._voice, self._voice_since = True, self._now
            case ev.VoiceStopped(at_ms):
                if self._voice:
                    self._voice_ms += max(0, at_ms - self._voice_since)
                self._voice, self._stopped_at = False, min(at_ms, self._now)
            case ev.Tick():
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
        self.ignored[f"{self.state}/{type(event).__name__}"] += 1
        return []

    def _go(self, state: State, **deadlines_ms: int) -> None:
        self.state = state
        self._deadlines = {name: self._now + min(wait, MAX_WAIT_MS) for name, wait in deadlines_ms.items()}

    def _listen(self) -> list[Action]:
        if self._voice:  # the caller began while we could not listen, and is speaking still
            return self._hear()
        self._go(State.LISTENING, silence=self.timing.silence_ms)
        return []

    def _hear(self, _: Event | None = None) -> list[Action]:
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
        actions: list[Action] = [ev.CloseEar()] if self._ear else []
        self._ear, self._finishing, self._words, self._voice_ms = True, False, None, 0
        return [*actions, ev.OpenEar()]

    def _close_ear(self) -> list[Action]:
        was, self._ear, self._finishing, self._words, self._carried = self._ear, False, False, None, ""
        return [ev.CloseEar()] if was else []

    def _reply(self, input: ev.Input, text: str = "", count: int = 0) -> list[Action]:
        actions = self._close_ear() + self._abandon_reply()
        self.turn += 1
        self._replying, self._reply_done, self._failed, self._tool = True, False, False, False
        self._digits, self._carried, self._ending = "", "", None
        self._silences = self._silences if input is ev.Input.SILENCE else 0
        self._go(State.THINKING, filler=self.timing.filler_ms, first_audio=self.timing.first_audio_ms)
        return [*actions, ev.StartReply(self.turn, input, text, count)]

    def _abandon_reply(self) -> list[Action]:
        """End the current reply early, if there is one: what was heard of it is committed."""
        if not self._replying:
            return []
        self._replying = False
        cancel: list[Action] = [] if self._reply_done else [ev.CancelReply(self.turn)]
        return [*cancel, ev.DropPlayout(), ev.CommitHeard(self.turn, complete=False)]

    def _end(self, reason: EndReason) -> list[Action]:
        actions = self._close_ear() + self._abandon_reply()
        self._go(State.ENDED)
        return [*actions, ev.EndCall(reason)]

    def _decide(self) -> None:
        """Arm the end-of-turn deadline, counted from where the voice really stopped."""
        settled = self._words is not None and bool(self._words.text) and self._words.settled
        wait = self.timing.quick_ms if settled else self.timing.pause_ms
        self._deadlines = {"endpoint": max(self._now, self._stopped_at + min(wait, MAX_WAIT_MS))}

    def _take_turn(self) -> list[Action]:
        """The caller's utterance is over and its words are in."""
        text = " ".join(t for t in (self._carried, self._words.text if self._words else "") if t)
        if text or self._voice_ms >= self.timing.cough_ms:
            return self._reply(ev.Input.SPOKEN, text)
        return self._close_ear() + self._listen()

    # --- rules, by state

    def _on_answered(self, _: ev.Answered) -> list[Action]:
        return self._reply(ev.Input.OPENING)

    def _on_silence(self, _: ev.Tick) -> list[Action]:
        self._silences += 1
        if self._silences >= self.timing.silences:
            return self._close(ev.Close(EndReason.BOT_HANGUP, "goodbye"))
        return self._reply(ev.Input.SILENCE, count=self._silences)

    def _on_pause(self, _: ev.VoiceStopped) -> list[Action]:
        self._go(State.DECIDING)
        self._decide()
        return []

    def _on_words_hearing(self, event: ev.WordsHeard) -> list[Action]:
        self._words = event
        self._limit_voice()
        return []

    def _on_voice_limit(self, _: ev.Tick) -> list[Action]:
        if self._words and self._words.text:
            self._go(State.DECIDING, final=self.timing.final_ms)
            self._finishing = True
            return [ev.FinishEar()]
        # Noise or hold music: take it for silence until it stops.
        self._voice = False
        return self._close_ear() + self._listen()

    def _on_voice_again(self, _: ev.VoiceStarted) -> list[Action]:
        if self._digits:
            return []
        if self._finishing and self._words:  # too late to go on with this ear: carry its words over
            self._carried = f"{self._carried} {self._words.text}".strip()
        self._go(State.HEARING)
        self._limit_voice()
        return self._open_ear()

    def _on_words_deciding(self, event: ev.WordsHeard) -> list[Action]:
        if self._digits:
            return []
        self._words = event
        if event.final:
            return self._take_turn()
        if not self._finishing:
            self._decide()
        return []

    def _on_endpoint(self, _: ev.Tick) -> list[Action]:
        if self._digits:
            return self._reply(ev.Input.KEYED, self._digits)
        if self._finishing:  # the recogniser did not answer in time
            return self._take_turn()
        self._finishing = True
        self._go(State.DECIDING, final=self.timing.final_ms)
        return [ev.FinishEar()]

    def _on_voice_thinking(self, _: ev.VoiceStarted) -> list[Action]:
        if self._tool:
            return []
        return self._abandon_reply() + self._hear()

    def _on_audio(self, event: ev.ReplyAudio) -> list[Action]:
        if event.turn == self.turn:
            self._go(State.SPEAKING, stuck=MAX_WAIT_MS)
        return []

    def _on_playing(self, _: ev.Playing) -> list[Action]:
        self._deadlines = {"stuck": self._now + MAX_WAIT_MS}
        return []

    def _on_done(self, event: ev.ReplyDone) -> list[Action]:
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

    def _on_failed(self, event: ev.ReplyFailed) -> list[Action]:
        return self._fail() if event.turn == self.turn and self._replying else self._ignore(event)

    def _fail(self) -> list[Action]:
        self._failures += 1
        if self._failures >= self.timing.strikes:
            return self._close(ev.Close(EndReason.ENGINE_FAILED, "trouble"))
        actions: list[Action] = [] if self._reply_done else [ev.CancelReply(self.turn)]
        self._reply_done = self._failed = True
        self._go(State.SPEAKING, stuck=MAX_WAIT_MS)
        return [*actions, ev.SayFixed("sorry")]

    def _on_thinking_late(self, _: ev.Tick) -> list[Action]:
        if self._now >= self._deadlines.get("first_audio", 2**62):
            return self._fail()
        if self._tool:  # a tool has its own deadline; keep the caller company
            self._deadlines = {"filler": self._now + self.timing.first_audio_ms}
        else:
            del self._deadlines["filler"]
        return [ev.SayFixed("one_moment")]

    def _on_tool(self, event: ev.ToolStarted) -> list[Action]:
        if event.turn == self.turn and self._replying:
            self._tool = True
            if self.state is State.THINKING:
                self._deadlines.pop("first_audio", None)
                self._deadlines.setdefault("filler", self._now + self.timing.first_audio_ms)
        return []

    def _on_voice_speaking(self, event: ev.VoiceStarted) -> list[Action]:
        if not event.may_interrupt:
            return []
        self._go(State.YIELDING, confirm=self.timing.confirm_ms)
        return [ev.HoldPlayout(), *self._open_ear()]

    def _on_drained(self, _: ev.Drained) -> list[Action]:
        if self._reply_done or not self._replying:
            return self._finish_reply()
        # The reply goes on, but its next audio is late.
        self._deadlines = {"gap": self._now + self.timing.first_audio_ms}
        return []

    def _finish_reply(self) -> list[Action]:
        was, self._replying = self._replying, False
        actions: list[Action] = [ev.CommitHeard(self.turn, not self._failed)] if was else []
        if self._ending is not None:
            ending, self._ending = self._ending, None
            return actions + self._end(ending)
        return actions + self._listen()

    def _on_speaking_late(self, _: ev.Tick) -> list[Action]:
        if not self._reply_done and self._replying:
            return self._fail()
        # Audio was queued but nothing says that it was heard: take it for heard.
        return self._finish_reply()

    def _on_words_yielding(self, event: ev.WordsHeard) -> list[Action]:
        if not self._finishing or event.final:
            self._words = event
        if event.text and event.real:
            return self._yield()
        return self._resume() if event.final else []

    def _on_stop_yielding(self, _: ev.VoiceStopped) -> list[Action]:
        self._finishing = True
        self._go(State.YIELDING, final=self.timing.confirm_ms)
        return [ev.FinishEar()]

    def _on_voice_yielding(self, _: ev.VoiceStarted) -> list[Action]:
        self._go(State.YIELDING, confirm=self.timing.confirm_ms)
        return self._open_ear()

    def _on_confirm(self, _: ev.Tick) -> list[Action]:
        return self._yield() if self._voice else self._resume()

    def _yield(self) -> list[Action]:
        """A real interruption: the caller has the floor."""
        actions = self._abandon_reply()
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
        return [*actions, ev.ResumePlayout()]

    def _on_key(self, event: ev.Key) -> list[Action]:
        actions = self._close_ear()
        if self.state in (State.THINKING, State.SPEAKING, State.YIELDING):
            actions += self._abandon_reply() or [ev.DropPlayout()]
        self._digits += event.digit
        if event.complete:
            return actions + self._reply(ev.Input.KEYED, self._digits)
        self._go(State.DECIDING, keys=self.timing.keys_ms)
        return actions

    def _close(self, event: ev.Close) -> list[Action]:
        actions = self._close_ear() + self._abandon_reply()
        self._ending = event.reason
        self._go(State.CLOSING, stuck=MAX_WAIT_MS)
        return [*actions, ev.SayFixed(event.sentence)]

    def _on_closed(self, _: Event) -> list[Action]:
        self._ending = self._ending or EndReason.BOT_HANGUP
        return self._finish_reply()


Rule = Callable[[Any, Any], list[Action]]
_M = TurnMachine
TABLE: dict[tuple[State, type], Rule] = {
    (State.LISTENING, ev.Answered): _M._on_answered,
    (State.LISTENING, ev.VoiceStarted): _M._hear,
    (State.LISTENING, ev.Tick): _M._on_silence,
    (State.LISTENING, ev.Key): _M._on_key,
    (State.LISTENING, ev.Close): _M._close,
    (State.HEARING, ev.VoiceStopped): _M._on_pause,
    (State.HEARING, ev.WordsHeard): _M._on_words_hearing,
    (State.HEARING, ev.Tick): _M._on_voice_limit,
    (State.HEARING, ev.Key): _M._on_key,
    (State.HEARING, ev.Close): _M._close,
    (State.DECIDING, ev.VoiceStarted): _M._on_voice_again,
    (State.DECIDING, ev.WordsHeard): _M._on_words_deciding,
    (State.DECIDING, ev.Tick): _M._on_endpoint,
    (State.DECIDING, ev.Key): _M._on_key,
    (State.DECIDING, ev.Close): _M._close,
    (State.THINKING, ev.VoiceStarted): _M._on_voice_thinking,
    (State.THINKING, ev.ReplyAudio): _M._on_audio,
    (State.THINKING, ev.ReplyDone): _M._on_done,
    (State.THINKING, ev.ReplyFailed): _M._on_failed,
    (State.THINKING, ev.ToolStarted): _M._on_tool,
    (State.THINKING, ev.Tick): _M._on_thinking_late,
    (State.THINKING, ev.Key): _M._on_key,
    (State.THINKING, ev.Close): _M._close,
    (State.SPEAKING, ev.VoiceStarted): _M._on_voice_speaking,
    (State.SPEAKING, ev.ReplyDone): _M._on_done,
    (State.SPEAKING, ev.ReplyFailed): _M._on_failed,
    (State.SPEAKING, ev.ToolStarted): _M._on_tool,
    (State.SPEAKING, ev.Playing): _M._on_playing,
    (State.SPEAKING, ev.Drained): _M._on_drained,
    (State.SPEAKING, ev.Tick): _M._on_speaking_late,
    (State.SPEAKING, ev.Key): _M._on_key,
    (State.SPEAKING, ev.Close): _M._close,
    (State.YIELDING, ev.VoiceStarted): _M._on_voice_yielding,
    (State.YIELDING, ev.VoiceStopped): _M._on_stop_yielding,
    (State.YIELDING, ev.WordsHeard): _M._on_words_yielding,
    (State.YIELDING, ev.ReplyDone): _M._on_done,
    (State.YIELDING, ev.ReplyFailed): _M._on_failed,
    (State.YIELDING, ev.ToolStarted): _M._on_tool,
    (State.YIELDING, ev.Tick): _M._on_confirm,
    (State.YIELDING, ev.Key): _M._on_key,
    (State.YIELDING, ev.Close): _M._close,
    (State.CLOSING, ev.Playing): _M._on_playing,
    (State.CLOSING, ev.Drained): _M._on_closed,
    (State.CLOSING, ev.Tick): _M._on_closed,
}
