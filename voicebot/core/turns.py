"""The turn machine: who has the floor. Rules of this file:

1. Everything that decides a turn is here; nothing here does anything but decide. It has no clock: `feed(event,
   now_ms)` returns actions, `deadline()` says when to feed a `Tick`.
2. What may happen is the table at the end, with its part for hold and transfers in `core.away`. A missing entry is
   not an error, for peers are many and asynchronous: it is ignored and counted.
3. In every state the caller is speaking, audio is queued for the caller, or a deadline at most 8 s away is armed.
4. Every `StartReply` gets exactly one end: `CommitHeard`, which is also where history learns what was heard.
5. An uninterruptible notice is cleared by nothing but hang-up and DTMF.
6. Barge-in has two stages. *Hold* at the first voice, which costs nothing: the bot can go on from the exact sample.
   *Yield* on evidence only: real words, or speech that lasts. The same holds while the bot thinks, so that a cough
   there costs no answer.
7. A transfer has a way back: until somebody has taken the caller, the call is ours, and whoever waits is kept company.

    LISTENING ── voice ──▶ HEARING ── pause ──▶ DECIDING ── final words ──▶ THINKING ── audio ──▶ SPEAKING
        ▲                     ▲  ◀── voice ───────┘                            │ voice             │ voice
        │                     └──────────── evidence ───────────── YIELDING ◀──┴───────────────────┘
        └──────────────────────────── all heard ───────────── SPEAKING ◀── cough ── YIELDING

    SPEAKING ── all heard ──▶ TRANSFERRING ── taken ──▶ JOINED ── hung up ──▶ ENDED
                                   └──── nobody took it ──▶ THINKING
"""

from __future__ import annotations

from collections import Counter

from voicebot.core import away
from voicebot.core import events as ev
from voicebot.core.engine_turns import ENGINE_RULES
from voicebot.core.events import MAX_WAIT_MS, Action, BargeIn, Event, State, Timing
from voicebot.core.floor import Floor, Table
from voicebot.core.timeline import EndReason


class TurnMachine:
    """One call's turns. `Retime` changes the timing whenever what is expected next changes."""

    def __init__(self, timing: Timing | None = None) -> None:
        self._floor = Floor(timing or Timing())

    @property
    def state(self) -> State:
        return self._floor.state

    @property
    def turn(self) -> int:
        return self._floor.turn

    @property
    def said(self) -> str:
        """What the caller said in this turn so far."""
        return self._floor.said()

    @property
    def timing(self) -> Timing:
        return self._floor.timing

    @property
    def ignored(self) -> Counter[str]:
        """`state/Event` → how often it came and meant nothing there."""
        return self._floor.ignored

    def feed(self, event: Event, now_ms: int) -> list[Action]:
        """The actions that `event` asks for. A smaller `now_ms` than before is taken as no time passed."""
        f = self._floor
        f.now = max(f.now, now_ms)
        if f.state is State.ENDED:
            return f.ignore(event)
        match event:
            case ev.Gone(reason):
                return away.gone(f, reason)
            case ev.Retime(timing):
                f.timing = timing
                return []
            case ev.VoiceStarted():
                f.voice, f.voice_since = True, f.now
            case ev.VoiceStopped(at_ms):
                if f.voice:
                    f.voice_ms += max(0, at_ms - f.voice_since)
                f.voice, f.stopped_at = False, min(at_ms, f.now)
            case ev.Tick():
                if f.now < self.deadline():
                    return []
            case _:
                pass
        rule = TABLE.get((f.state, type(event)))
        return f.ignore(event) if rule is None else rule(f, event)

    def deadline(self) -> int:
        """When to feed a `Tick`, in the same milliseconds; far away when nothing is armed."""
        return min(self._floor.deadlines.values(), default=2**62)


# --- rules, by state


def _on_answered(f: Floor, event: ev.Answered) -> list[Action]:
    f.operator = event.operator
    return f.reply(ev.Input.UNREACHED, event.unreached) if event.unreached else f.reply(ev.Input.OPENING)


def _on_silence(f: Floor, _: ev.Tick) -> list[Action]:
    return f.nothing_said(ev.Input.SILENCE)


def _hear(f: Floor, _: ev.VoiceStarted) -> list[Action]:
    return f.hear()


def _on_pause(f: Floor, _: ev.VoiceStopped) -> list[Action]:
    f.go(State.DECIDING)
    f.wait_ms = None
    return f.decide()


def _on_may_end(f: Floor, event: ev.TurnMayEnd) -> list[Action]:
    if f.digits or "endpoint" not in f.deadlines:
        return []
    f.wait_ms = event.wait_ms
    return f.decide()


def _on_words_hearing(f: Floor, event: ev.WordsHeard) -> list[Action]:
    f.words = event
    f.limit_voice()
    return []


def _on_voice_limit(f: Floor, _: ev.Tick) -> list[Action]:
    if f.words and f.words.text:
        f.go(State.DECIDING, final=f.timing.final_ms)
        f.finishing = True
        return [ev.FinishEar()]
    return f.nothing_said(ev.Input.SPOKEN)  # noise or music: a turn that nobody could understand


def _on_voice_again(f: Floor, _: ev.VoiceStarted) -> list[Action]:
    if f.digits:
        return []
    if f.finishing and f.words:  # too late to go on with this ear: carry its words over
        f.carried = f"{f.carried} {f.words.text}".strip()
    f.go(State.HEARING)
    f.limit_voice()
    return f.open_ear()


def _on_words_deciding(f: Floor, event: ev.WordsHeard) -> list[Action]:
    if f.digits or f.final_in:
        return []
    f.words = event
    pausing = "endpoint" in f.deadlines
    if not event.final:
        return f.decide() if pausing and not f.finishing else []
    if not pausing:
        return f.take_turn()
    f.finishing = f.final_in = True  # asked for or not, this ear is done
    f.prepared = bool(event.text)
    return [*f.decide(), *([ev.Prepare(f.said())] if f.prepared else [])]


def _on_endpoint(f: Floor, _: ev.Tick) -> list[Action]:
    """The pause is over; or the keys, or the wait for the recogniser."""
    if f.digits:
        return f.reply(ev.Input.KEYED, f.digits)
    if f.final_in or "final" in f.deadlines:
        return f.take_turn()
    late, f.finishing = f.finishing, True
    f.go(State.DECIDING, final=f.timing.final_ms)
    return [] if late else [ev.FinishEar()]


def _on_voice_thinking(f: Floor, event: ev.VoiceStarted) -> list[Action]:
    if not event.may_interrupt or f.tool or f.timing.barge_in is BargeIn.STRICT:
        return []
    return f.hold()


def _on_audio(f: Floor, event: ev.ReplyAudio) -> list[Action]:
    if event.turn == f.turn:
        f.spoke = True
        if f.state is State.THINKING:
            f.go(State.SPEAKING, stuck=MAX_WAIT_MS)
    return []


def _on_playing(f: Floor, _: ev.Playing) -> list[Action]:
    f.deadlines = {"stuck": f.now + MAX_WAIT_MS}
    return []


def _on_done(f: Floor, event: ev.ReplyDone) -> list[Action]:
    if event.turn == f.turn and f.replying:
        f.reply_done, f.ending, f.failures = True, event.ending, 0
        f.transfer_to = event.transfer_to
        if f.state is State.THINKING:  # nothing was said at all
            return f.finish_reply()
        if f.state is State.SPEAKING:
            f.speak_on()
    return []


def _on_failed(f: Floor, event: ev.ReplyFailed) -> list[Action]:
    return f.fail() if event.turn == f.turn and f.replying else f.ignore(event)


def _on_thinking_late(f: Floor, _: ev.Tick) -> list[Action]:
    if f.now >= f.deadlines.get("first_audio", 2**62):
        return f.fail()
    if f.tool:  # a tool has its own deadline; keep the caller company
        f.deadlines = {"filler": f.now + f.timing.first_audio_ms}
    else:
        del f.deadlines["filler"]
    return [ev.SayFixed("one_moment")]


def _on_tool(f: Floor, event: ev.ToolStarted) -> list[Action]:
    if event.turn == f.turn and f.replying:
        f.tool = True
        if f.state is State.THINKING:
            f.deadlines.pop("first_audio", None)
            f.deadlines.setdefault("filler", f.now + f.timing.first_audio_ms)
    return []


def _on_voice_speaking(f: Floor, event: ev.VoiceStarted) -> list[Action]:
    if not event.may_interrupt or f.timing.barge_in is BargeIn.STRICT:
        return []
    return f.open_ear() if f.timing.barge_in is BargeIn.KEYWORDS else f.hold()


def _on_stop_speaking(f: Floor, _: ev.VoiceStopped) -> list[Action]:
    if not f.ear or f.finishing:
        return []
    f.finishing = True
    return [ev.FinishEar()]


def _on_words_speaking(f: Floor, event: ev.WordsHeard) -> list[Action]:
    """Heard while the bot goes on: a keyword, or words in a voice that was taken for noise."""
    f.words = event
    if event.text and event.real and event.may_interrupt:
        return f.give_way()
    return f.close_ear() if event.final else []


def _on_speech(f: Floor, event: ev.Speech) -> list[Action]:
    return f.give_way() if event.may_interrupt and f.insists(event.ms) else []


def _on_drained(f: Floor, _: ev.Drained) -> list[Action]:
    if f.reply_done or not f.replying:
        return f.finish_reply()
    # The reply goes on, but its next audio is late.
    f.deadlines = {"gap": f.now + f.timing.first_audio_ms}
    return []


def _on_speaking_late(f: Floor, _: ev.Tick) -> list[Action]:
    if not f.reply_done and f.replying:
        return f.fail()
    # Audio was queued but nothing says that it was heard: take it for heard.
    return f.finish_reply()


def _on_words_yielding(f: Floor, event: ev.WordsHeard) -> list[Action]:
    if not f.finishing or event.final:
        f.words = event
    if event.text and event.real and event.may_interrupt:
        return f.give_way()
    return f.resume() if event.final else []


def _on_stop_yielding(f: Floor, _: ev.VoiceStopped) -> list[Action]:
    f.finishing = True
    f.go(State.YIELDING, final=f.timing.confirm_ms)
    return [ev.FinishEar()]


def _on_voice_yielding(f: Floor, _: ev.VoiceStarted) -> list[Action]:
    f.go(State.YIELDING, hold=f.timing.hold_ms)
    return f.open_ear()


def _on_no_evidence(f: Floor, _: ev.Tick) -> list[Action]:
    """Neither words nor lasting speech. A voice that is still there goes on being heard, under the bot's."""
    return f.resume(keep_ear=not f.finishing)


def _on_key(f: Floor, event: ev.Key) -> list[Action]:
    actions = f.close_ear()
    if f.state in (State.THINKING, State.SPEAKING, State.YIELDING):
        actions += f.abandon_reply() or [ev.DropPlayout()]
    f.digits += event.digit
    if event.complete:
        return actions + f.reply(ev.Input.KEYED, f.digits)
    f.go(State.DECIDING, keys=f.timing.keys_ms)
    return actions


def _close(f: Floor, event: ev.Close) -> list[Action]:
    return f.close(event)


def _on_closed(f: Floor, _: Event) -> list[Action]:
    f.ending = f.ending or EndReason.BOT_HANGUP
    return f.finish_reply()


TABLE: Table = {
    **away.TABLE,
    (State.LISTENING, ev.Answered): _on_answered,
    (State.LISTENING, ev.VoiceStarted): _hear,
    (State.LISTENING, ev.Tick): _on_silence,
    (State.LISTENING, ev.Key): _on_key,
    (State.LISTENING, ev.PutOnHold): away.on_hold,
    (State.LISTENING, ev.Close): _close,
    (State.HEARING, ev.VoiceStopped): _on_pause,
    (State.HEARING, ev.WordsHeard): _on_words_hearing,
    (State.HEARING, ev.Tick): _on_voice_limit,
    (State.HEARING, ev.Key): _on_key,
    (State.HEARING, ev.PutOnHold): away.on_hold,
    (State.HEARING, ev.Close): _close,
    (State.DECIDING, ev.VoiceStarted): _on_voice_again,
    (State.DECIDING, ev.TurnMayEnd): _on_may_end,
    (State.DECIDING, ev.WordsHeard): _on_words_deciding,
    (State.DECIDING, ev.Tick): _on_endpoint,
    (State.DECIDING, ev.Key): _on_key,
    (State.DECIDING, ev.PutOnHold): away.on_hold,
    (State.DECIDING, ev.Close): _close,
    (State.THINKING, ev.VoiceStarted): _on_voice_thinking,
    (State.THINKING, ev.ReplyAudio): _on_audio,
    (State.THINKING, ev.ReplyDone): _on_done,
    (State.THINKING, ev.ReplyFailed): _on_failed,
    (State.THINKING, ev.ToolStarted): _on_tool,
    (State.THINKING, ev.Tick): _on_thinking_late,
    (State.THINKING, ev.Key): _on_key,
    (State.THINKING, ev.PutOnHold): away.on_hold,
    (State.THINKING, ev.Close): _close,
    (State.SPEAKING, ev.VoiceStarted): _on_voice_speaking,
    (State.SPEAKING, ev.VoiceStopped): _on_stop_speaking,
    (State.SPEAKING, ev.Speech): _on_speech,
    (State.SPEAKING, ev.WordsHeard): _on_words_speaking,
    (State.SPEAKING, ev.ReplyDone): _on_done,
    (State.SPEAKING, ev.ReplyFailed): _on_failed,
    (State.SPEAKING, ev.ToolStarted): _on_tool,
    (State.SPEAKING, ev.Playing): _on_playing,
    (State.SPEAKING, ev.Drained): _on_drained,
    (State.SPEAKING, ev.Tick): _on_speaking_late,
    (State.SPEAKING, ev.Key): _on_key,
    (State.SPEAKING, ev.PutOnHold): away.on_hold,
    (State.SPEAKING, ev.Close): _close,
    (State.YIELDING, ev.VoiceStarted): _on_voice_yielding,
    (State.YIELDING, ev.VoiceStopped): _on_stop_yielding,
    (State.YIELDING, ev.Speech): _on_speech,
    (State.YIELDING, ev.WordsHeard): _on_words_yielding,
    (State.YIELDING, ev.ReplyAudio): _on_audio,
    (State.YIELDING, ev.ReplyDone): _on_done,
    (State.YIELDING, ev.ReplyFailed): _on_failed,
    (State.YIELDING, ev.ToolStarted): _on_tool,
    (State.YIELDING, ev.Tick): _on_no_evidence,
    (State.YIELDING, ev.Key): _on_key,
    (State.YIELDING, ev.PutOnHold): away.on_hold,
    (State.YIELDING, ev.Close): _close,
    (State.CLOSING, ev.Playing): _on_playing,
    (State.CLOSING, ev.Drained): _on_closed,
    (State.CLOSING, ev.Tick): _on_closed,
    **ENGINE_RULES,
}
