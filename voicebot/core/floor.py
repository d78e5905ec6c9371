"""Who has the floor: what a call knows of its turns, and the steps that the rules of `core.turns` are made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from voicebot.core import events as ev
from voicebot.core.events import MAX_WAIT_MS, Action, BargeIn, Event, State, Timing
from voicebot.core.timeline import EndReason


class Floor:
    """Plain state; every step returns the actions that follow from it. All times are milliseconds of one clock."""

    def __init__(self, timing: Timing) -> None:
        self.timing = timing
        self.state = State.LISTENING
        self.turn = 0
        self.ignored: Counter[str] = Counter()
        self.now = 0
        self.deadlines: dict[str, int] = {}
        self.voice = False
        self.voice_since = 0
        self.voice_ms = 0
        self.stopped_at = 0
        self.wait_ms: int | None = None  # how long the pause after this voice may be, where somebody said so
        self.ear = False
        self.finishing = False  # the utterance is being closed: its final words are to come
        self.final_in = False  # … or are there, and the pause is not over yet
        self.prepared = False
        self.words: ev.WordsHeard | None = None
        self.carried = ""  # words of an utterance that was being closed when the caller went on
        self.digits = ""
        self.replying = False  # the reply of `turn` has not ended yet
        self.spoke = False  # … and some of its audio was queued
        self.reply_done = False
        self.failed = False
        self.tool = False
        self.ending: EndReason | None = None
        self.unasked = False  # a native engine has begun another reply, which waits for this one's end
        self.silences = 0
        self.failures = 0
        self.audio_by = 0  # when the reply must have audio
        self.away_until = 0
        self.operator = ""
        self.transfer_to = ""
        self.passing = False  # a transfer has begun, and nothing has come of it yet
        self.passing_until = 0
        self.last_resort = False  # … because our engines have failed: there is no way back to them
        self.held = False  # by a telephone that calls somebody else meanwhile
        self.unreached = ""  # the transfer that failed while we were held

    def ignore(self, event: Event) -> list[Action]:
        self.ignored[f"{self.state}/{type(event).__name__}"] += 1
        return []

    def go(self, state: State, **deadlines_ms: int) -> None:
        self.state = state
        self.deadlines = {name: self.now + min(wait, MAX_WAIT_MS) for name, wait in deadlines_ms.items()}

    def listen(self) -> list[Action]:
        if self.voice:  # the caller began while we could not listen, and is speaking still
            self.voice_since = self.now
            return self.hear()
        if self.unasked:
            return self.reply(ev.Input.UNASKED)
        self.go(State.LISTENING, silence=self.timing.silence_ms)
        return []

    def hear(self) -> list[Action]:
        """The caller has the floor."""
        self.go(State.HEARING)
        self.limit_voice()
        return self.open_ear()

    def limit_voice(self) -> None:
        limit = self.timing.monologue_ms if self.words and self.words.text else self.timing.noise_ms
        self.deadlines = {"voice": self.voice_since + limit}

    def open_ear(self, only_if_none: bool = False) -> list[Action]:
        if self.ear and (only_if_none or not self.finishing):
            return []
        actions: list[Action] = [ev.CloseEar()] if self.ear else []
        self.ear, self.finishing, self.final_in, self.words, self.voice_ms = True, False, False, None, 0
        return [*actions, *self.drop_prepared(), ev.OpenEar()]

    def close_ear(self) -> list[Action]:
        was, self.ear, self.finishing, self.final_in = self.ear, False, False, False
        self.words, self.carried = None, ""
        return [*([ev.CloseEar()] if was else []), *self.drop_prepared()]

    def drop_prepared(self) -> list[Action]:
        was, self.prepared = self.prepared, False
        return [ev.DropPrepared()] if was else []

    def reply(self, input: ev.Input, text: str = "", count: int = 0) -> list[Action]:
        if input is ev.Input.SPOKEN:
            self.prepared = False  # it is for this turn
        actions = self.close_ear() + self.abandon_reply()
        self.turn += 1
        self.replying, self.reply_done, self.failed, self.tool = True, False, False, False
        self.digits, self.carried, self.ending, self.spoke, self.unasked = "", "", None, False, False
        if input is ev.Input.KEYED or (input is ev.Input.SPOKEN and text):
            self.silences = 0
        filler_ms = self.timing.silent_filler_ms if input is ev.Input.SILENCE else self.timing.filler_ms
        self.go(State.THINKING, filler=filler_ms, first_audio=self.timing.first_audio_ms)
        self.audio_by = self.deadlines["first_audio"]
        return [*actions, ev.StartReply(self.turn, input, text, count)]

    def abandon_reply(self) -> list[Action]:
        """End the current reply early, if there is one: what was heard of it is committed."""
        if not self.replying:
            return []
        self.replying = False
        cancel: list[Action] = [] if self.reply_done else [ev.CancelReply(self.turn)]
        return [*cancel, ev.DropPlayout(), ev.CommitHeard(self.turn, complete=False)]

    def end(self, reason: EndReason) -> list[Action]:
        actions = self.close_ear() + self.abandon_reply() + self.drop_transfer()
        if reason is EndReason.TRANSFER and self.last_resort:
            reason = EndReason.ENGINE_FAILED
        self.go(State.ENDED)
        return [*actions, ev.EndCall(reason)]

    def decide(self) -> list[Action]:
        """Arm the end-of-turn deadline, counted from where the voice really stopped. What looks complete is closed
        already."""
        settled = self.words is not None and bool(self.words.text) and self.words.settled
        wait = self.timing.quick_ms if settled else self.timing.pause_ms
        if self.wait_ms is not None:
            wait = self.wait_ms
        self.deadlines = {"endpoint": max(self.now, self.stopped_at + min(wait, MAX_WAIT_MS))}
        if not settled or not self.timing.eager or self.finishing:
            return []
        self.finishing = True
        return [ev.FinishEar()]

    def said(self) -> str:
        """All that the caller said in this turn so far."""
        return " ".join(t for t in (self.carried, self.words.text if self.words else "") if t)

    def take_turn(self) -> list[Action]:
        """The caller's utterance is over and its words are in."""
        text = self.said()
        if text or self.voice_ms >= self.timing.cough_ms:
            return self.reply(ev.Input.SPOKEN, text)
        return self.close_ear() + self.listen()

    def nothing_said(self, input: ev.Input) -> list[Action]:
        """Silence or noise: the agent asks again, but nobody is asked for ever."""
        self.silences += 1
        if self.silences >= self.timing.silences:
            return self.close(ev.Close(EndReason.BOT_HANGUP, "goodbye"))
        return self.reply(input, count=self.silences if input is ev.Input.SILENCE else 0)

    def speak_on(self) -> None:
        """A farewell is heard to its end: from here on voice does not interrupt."""
        closing = self.reply_done and self.ending is not None
        self.go(State.CLOSING if closing else State.SPEAKING, stuck=MAX_WAIT_MS)

    def fail(self) -> list[Action]:
        self.failures += 1
        if self.failures >= self.timing.strikes:
            return self.close(ev.Close(EndReason.ENGINE_FAILED, "trouble"))
        actions: list[Action] = [] if self.reply_done else [ev.CancelReply(self.turn)]
        self.reply_done = self.failed = self.spoke = True
        if self.state is State.YIELDING:
            actions.append(ev.ResumePlayout())
        self.go(State.SPEAKING, stuck=MAX_WAIT_MS)
        return [*actions, ev.SayFixed("sorry")]

    def hold(self) -> list[Action]:
        """Stage one: be silent and listen."""
        self.go(State.YIELDING, hold=self.timing.hold_ms)
        return [ev.HoldPlayout(), *self.open_ear()]

    def insists(self, speech_ms: int) -> bool:
        """Whether speech alone, this long, is an interruption. A string of "mhm, yeah" must be twice as long."""
        timing = self.timing
        if timing.words_only or timing.barge_in is not BargeIn.FULL:
            return False
        listening = self.words is not None and self.words.go_on
        return speech_ms >= timing.insist_ms * (2 if listening else 1)

    def finish_reply(self) -> list[Action]:
        was, self.replying = self.replying, False
        actions: list[Action] = [ev.CommitHeard(self.turn, not self.failed)] if was else []
        if self.ending is not None:
            ending, self.ending = self.ending, None
            return actions + (self.transfer() if ending is EndReason.TRANSFER else self.end(ending))
        return actions + self.listen()

    def give_way(self) -> list[Action]:
        """Stage two, a real interruption: the caller has the floor."""
        self.unasked = False
        actions = self.abandon_reply() + self.open_ear(only_if_none=True)
        if self.finishing and self.words and self.words.final:
            return actions + self.take_turn()
        if self.voice:
            self.go(State.HEARING)
            self.limit_voice()
        else:
            self.go(State.DECIDING, final=self.timing.final_ms)
        return actions

    def resume(self, keep_ear: bool = False) -> list[Action]:
        """A cough: go on from the sample heard last."""
        actions: list[Action] = [] if keep_ear else self.close_ear()
        actions.append(ev.ResumePlayout())
        if self.spoke or not self.replying:
            self.speak_on()
            return actions
        if self.reply_done:
            return actions + self.finish_reply()
        self.go(State.THINKING)
        self.deadlines["first_audio"] = max(self.audio_by, self.now + self.timing.confirm_ms)
        return actions

    def close(self, event: ev.Close) -> list[Action]:
        actions = self.close_ear() + self.abandon_reply() + self.drop_transfer()
        self.ending, sentence = event.reason, event.sentence
        if event.reason is EndReason.ENGINE_FAILED and self.operator and not self.last_resort:
            self.ending, self.transfer_to, self.last_resort = EndReason.TRANSFER, self.operator, True
            sentence = "putting_through"
        self.go(State.CLOSING, stuck=MAX_WAIT_MS)
        return [*actions, ev.SayFixed(sentence)]

    # --- transfer

    def transfer(self) -> list[Action]:
        """Let somebody else take the caller."""
        self.passing, self.held, self.passing_until = True, False, self.now + self.timing.transfer_ms
        self.go(State.TRANSFERRING, company=self.timing.company_ms)
        return [*self.close_ear(), ev.Transfer(self.transfer_to)]

    def drop_transfer(self) -> list[Action]:
        was, self.passing = self.passing, False
        return [ev.DropTransfer()] if was else []

    def come_back(self) -> list[Action]:
        """Nobody took the caller: we go on, once we are heard."""
        actions = self.drop_transfer()
        if self.last_resort:
            return actions + self.close(ev.Close(EndReason.ENGINE_FAILED, "trouble"))
        if not self.held:
            return actions + self.reply(ev.Input.UNREACHED, self.transfer_to)
        self.unreached = self.transfer_to
        return actions + self.wait_away(self.timing.away_ms)

    def wait_away(self, ms: int) -> list[Action]:
        """On hold: nobody listens."""
        self.away_until = self.now + ms
        self.go(State.AWAY, away=ms)
        return []


Rule = Callable[[Floor, Any], list[Action]]
Table = dict[tuple[State, type], Rule]
"""What an event means in a state."""
