"""One call: the turn machine's hands and ears.

The session carries events to the machine and does what it answers; it decides nothing itself. One `TaskGroup`
holds all that runs for the call: the loop over the line's events, the reply being made, the words being read.
The beat that all calls share paces playout, watches deadlines and flushes the record; a frame costs no task of its own.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack, aclosing
from pathlib import Path
from typing import Any, assert_never

from voicebot import log
from voicebot.audio.echo import EchoGuard
from voicebot.audio.tone import Tone
from voicebot.call.ear import Ear
from voicebot.call.leaving import leave
from voicebot.call.parts import Parts
from voicebot.call.pauses import Pauses
from voicebot.call.playback import Playback
from voicebot.call.recorder import Recorder
from voicebot.call.replies import Replies
from voicebot.call.transfers import Transfers
from voicebot.call.turn_input import MASK, caller_turn, logged, record_of
from voicebot.carriers.base import RATE, Audio, Digit, Hold, HungUp, Line, LineEvent, Malformed, Played
from voicebot.core import events as ev
from voicebot.core import manners
from voicebot.core.barge_in import Interruptions, evidence, interruptions, over_bot, retimed
from voicebot.core.dialogue import CallerTurn
from voicebot.core.dialplan import Dialplan
from voicebot.core.end_of_turn import settled
from voicebot.core.events import State, Timing
from voicebot.core.interpreting import silences_of
from voicebot.core.playout import HeardAudio
from voicebot.core.timeline import EndReason, Record
from voicebot.core.tone import Mirror, tag
from voicebot.core.turns import TurnMachine
from voicebot.core.words import Words
from voicebot.engines.base import Voice, VoiceStarted, VoiceStopped
from voicebot.errors import PeerError

FLUSH_BEATS = 10
MEDIA_LOST_S = 15.0
"""No caller audio for this long: the stream is dead, whatever the socket says."""
CLOSE_S = 5.0
"""The line has this long to end after a hang-up."""
_log = log.get("call")


class Session:
    """`run` carries the call from answer to end, and returns why it ended."""

    def __init__(
        self,
        line: Line,
        dialplan: Dialplan,
        parts: Parts,
        folder: Path,
        record: bool = True,
        watch: Callable[[Record], None] | None = None,
    ) -> None:
        self.line, self.dialplan, self._parts = line, dialplan, parts
        self.reason: EndReason | None = None
        self.turns = 0
        self.malformed: Counter[str] = Counter()
        silence_ms, eager = dialplan.limits.silence_s * 1000, dialplan.turns.eager
        silences = silences_of(dialplan)
        timing = Timing(silence_ms=silence_ms, eager=eager, final_ms=parts.final_ms, silences=silences)
        self.machine = TurnMachine(timing)
        self._recorder = Recorder(folder, record, watch)
        self._manners = manners.of(dialplan.language)
        self._mirror = Mirror()
        self._interruptions: Interruptions
        self._guard = EchoGuard()
        self._inbox: deque[ev.Event] = deque()
        self._busy = False
        self._words = Words("", final=True)
        self._beats = 0
        self._finished_s = 0.0
        self._last_audio_s = 0.0
        self._speech_ms = 0
        self._waits_ms = -1
        self._voice_end_ms = 0
        self._keys = 0
        self._leaving = ExitStack()

    # --- life

    async def run(self) -> EndReason:
        """Until the line is gone. Whatever happens, the record is closed and a reason given."""
        self._loop = asyncio.get_running_loop()
        self._last_audio_s = self._started_s = self._loop.time()
        self._playback = Playback(
            self.line, self._recorder, self._loop.time, self._heard, self._on_drained, self._on_lost, self._guard
        )
        try:
            await self._live()
        except TimeoutError:
            _log.warning("line_did_not_close", call_id=self.line.info.call_id)
        except ExceptionGroup as failed:
            _log.error("call_failed", call_id=self.line.info.call_id, exc_info=failed.exceptions[0])
            self.reason = self.reason or EndReason.ENGINE_FAILED
            await self.line.hangup(self.reason)
        finally:
            self._leaving.close()
            self.reason = self.reason or EndReason.CRASHED
            seconds = round(self._clock() / 1000, 3)
            self.note(
                "call_ended",
                reason=self.reason.value,
                seconds=seconds,
                ignored=dict(self.machine.ignored),
                malformed=dict(self.malformed),
                lost_marks=self._playback.ledger.lost_marks,
            )
            self._recorder.close()
        return self.reason

    def open_record(self, **fields: Any) -> None:
        """The first line of the timeline: what this call was made of."""
        self.note("call_started", at_ms=0, **fields)

    async def _live(self) -> None:
        async with asyncio.timeout(None) as self._scope, asyncio.TaskGroup() as self._group:
            self._replies = Replies(self._parts, self._playback, self._group, self.note, self._feed, self._expect)
            parts, gaps = self._parts, self.dialplan.engines.gaps
            self._ear = Ear(parts.vad, parts.asr, self._guard, self._group, self._on_words, self._on_voices, gaps)
            self._leaving.callback(self._ear.leave)
            self._pauses = Pauses(self.dialplan, self._parts.eot, self._group, self._weigh_pause)
            self._leaving.callback(self._parts.beat.join(self._beat))
            self._expect()
            self._transfers = Transfers(self.line, self.dialplan, self._parts, self._recorder, self._group, self._feed)
            self._feed(ev.Answered(self.dialplan.operator, self._parts.unreached))
            async with aclosing(self.line.events()) as events:
                async for event in events:
                    self._on_line(event)
            self._feed(ev.Gone(EndReason.MEDIA_LOST))  # a line's last event is HungUp; should it ever not be

    def close(self, reason: EndReason, sentence: str = "goodbye") -> None:
        """End the call politely: a fixed sentence, then hang up."""
        self._feed(ev.Close(reason, sentence))

    def _beat(self) -> None:
        self._playback.beat()
        self._replies.beat()
        self._tick()
        self._beats += 1
        if self._beats % FLUSH_BEATS:
            return
        now_s = self._loop.time()
        self._recorder.flush(self._clock() * RATE // 1000)
        if now_s - self._last_audio_s > MEDIA_LOST_S and self.reason is None:
            self._feed(ev.Gone(EndReason.MEDIA_LOST))
        limit_s = self.dialplan.limits.max_call_s
        if now_s - self._started_s > limit_s and self.machine.state not in (State.CLOSING, State.ENDED):
            self.close(EndReason.BOT_HANGUP)

    def _clock(self) -> int:
        return self.line.clock_ms()

    def note(self, kind: str, at_ms: int | None = None, **fields: Any) -> None:
        """A line of the timeline, at this moment of the media clock unless `at_ms` says otherwise."""
        self._recorder.note(Record(self._clock() if at_ms is None else at_ms, kind, fields))

    # --- in: from line and ear to the machine

    def _on_line(self, event: LineEvent) -> None:
        if isinstance(event, Audio):
            self._last_audio_s = self._loop.time()
        if self._transfers.take(event):
            return
        match event:
            case Audio():
                self._on_audio(event)
            case Played(epoch, sample):
                self._playback.acknowledge(epoch, sample)
            case Digit(digit):
                self._on_digit(digit)
            case Hold(on):
                self.note("held" if on else "taken_back")
                self._feed(ev.PutOnHold() if on else ev.TakenBack())
            case Malformed(reason):
                self.malformed[reason] += 1
                if self.malformed[reason] == 1:
                    self.note("malformed", reason=reason)
            case HungUp(reason):
                self._feed(ev.Gone(EndReason(reason)))
            case _:
                assert_never(event)

    def _on_audio(self, audio: Audio) -> None:
        self._recorder.caller(audio.pcm, audio.at)
        self._replies.hear(audio.pcm, self.machine.state is State.AWAY)
        self._ear.hear(audio, self._playback.speaking)
        if self._ear.machine_calls and self.reason is None:
            self._hang_up_on_machine()
        self._tick()

    def _on_voices(self, voices: Sequence[Voice]) -> None:
        """What the ear has heard in another 20 ms."""
        for voice in voices:
            at_ms = voice.at * 1000 // RATE
            match voice:
                case VoiceStarted():
                    self.note("voice_started", at_ms=self._clock(), onset_ms=at_ms)
                    if self.machine.state in (State.DECIDING, State.THINKING):
                        self._pauses.went_on(at_ms - self._voice_end_ms)
                    self._feed(ev.VoiceStarted(self._playback.ledger.interruptible()))
                case VoiceStopped():
                    self.note("voice_stopped", at_ms=self._clock(), end_ms=at_ms)
                    self._voice_end_ms = at_ms
                    self._feed(ev.VoiceStopped(at_ms))
                    if self.machine.state is State.DECIDING:
                        self._pauses.begin(self._ear.ending(), self._ear.lately() if self._parts.eot else b"")
                        self._weigh_pause()
        more = self._ear.speech_ms > self._speech_ms
        self._speech_ms = self._ear.speech_ms
        if more and self.machine.state in (State.SPEAKING, State.YIELDING):
            self._feed(ev.Speech(self._speech_ms, self._playback.ledger.interruptible()))

    def _weigh_pause(self) -> None:
        """Say how long this pause may be, as often as something new is known."""
        if self.machine.state is not State.DECIDING:
            return
        wait_ms = self._pauses.wait_ms(self._parts.agent.expectation, self.machine.said)
        if wait_ms != self._waits_ms:
            self._waits_ms = wait_ms
            self.note("pause", wait_ms=wait_ms, **self._pauses.terms)
        self._feed(ev.TurnMayEnd(wait_ms))

    def _hang_up_on_machine(self) -> None:
        self.note("note", text="a fax or a modem calls")
        self._ear.machine_calls = False
        self.close(EndReason.BOT_HANGUP)

    def _on_digit(self, digit: str) -> None:
        expectation = self._parts.agent.expectation
        self._keys += 1
        complete = digit == "#" or (expectation.keys > 0 and self._keys >= expectation.keys)
        self.note("digits", digits="•" if expectation.secret else digit)
        self._feed(ev.Key(digit, complete))

    def _on_words(self, words: Words) -> None:
        expectation = self._parts.agent.expectation
        self._words = words
        shown = MASK if expectation.secret and words.text else words.text
        took = {"took_ms": round((self._loop.time() - self._finished_s) * 1000)} if words.final else {}
        self.note("words", text=shown, final=words.final, confidence=round(words.confidence, 3), **took)
        found = evidence(words, self._interruptions)
        complete, may = settled(expectation, words.text), self._playback.ledger.interruptible()
        real = found.real and self._ear.stands_out
        self._feed(ev.WordsHeard(words.text, words.final, complete, real, found.go_on, may))
        self._weigh_pause()

    def _heard(self, heard: HeardAudio, end: int) -> None:
        """Audio that the caller has heard now."""
        for turn in heard.turns:
            if turn:
                self.note("heard_from", at_ms=(end - len(heard.pcm) // 2) * 1000 // RATE, turn=turn)
        self._feed(ev.Playing())

    def _on_drained(self) -> None:
        self._feed(ev.Drained())

    def _on_lost(self, error: PeerError) -> None:
        _log.warning("send_failed", call_id=self.line.info.call_id, error=str(error))
        self._feed(ev.Gone(EndReason.MEDIA_LOST))

    def _tick(self) -> None:
        if self._clock() >= self.machine.deadline():
            self._feed(ev.Tick())

    def _feed(self, event: ev.Event) -> None:
        """Feed the machine and do what it says; events that arise meanwhile wait their turn."""
        self._inbox.append(event)
        if self._busy:
            return
        self._busy = True
        try:
            while self._inbox:
                before, event, now_ms = self.machine.state, self._inbox.popleft(), self._clock()
                self._recorder.turn(logged(event, now_ms, self._parts.agent.expectation.secret))
                for action in self.machine.feed(event, now_ms):
                    self._act(action)
                if self.machine.state is not before:
                    self.note("state", state=self.machine.state.value)
                    self._replies.moved(self.machine.state)
        finally:
            self._busy = False

    # --- out: what the machine says

    def _act(self, action: ev.Action) -> None:
        match action:
            case ev.StartReply():
                self._start_reply(action)
            case ev.Prepare(text):
                self._prepare(text)
            case ev.DropPrepared():
                self._replies.drop_prepared()
            case ev.CancelReply():
                self._replies.stop()
            case ev.HoldPlayout():
                self.note("hold")
                self._playback.hold()
            case ev.ResumePlayout():
                self.note("resume")
                self._ear.nobody()
                self._playback.resume()
            case ev.DropPlayout():
                self._playback.drop()
            case ev.OpenEar():
                expectation = self._parts.agent.expectation
                over = self.machine.state in (State.SPEAKING, State.YIELDING) and not self._playback.ledger.empty
                self._ear.open(over_bot(expectation, self._manners) if over else expectation)
                self._replies.began()
            case ev.FinishEar():
                self._finished_s = self._loop.time()
                self._ear.finish()
            case ev.CloseEar():
                self._ear.close()
            case ev.SayFixed(sentence):
                self._replies.say_fixed(sentence, self.dialplan.sentences.named(sentence))
            case ev.CommitHeard(turn, complete):
                self._replies.commit(turn, complete)
            case ev.Transfer(to):
                ending = self._replies.ending
                self._transfers.start(to, ending.briefing if ending else "")
            case ev.DropTransfer():
                self._transfers.stop()
            case ev.EndCall(reason):
                self._end(reason)
            case _:
                assert_never(action)

    def _start_reply(self, start: ev.StartReply) -> None:
        self._keys = 0
        self._waits_ms = -1
        self._pauses.taken()
        tone = self._tone(start)
        turn = self._turn(start)
        self._ear.turn_taken()
        if start.input in (ev.Input.SPOKEN, ev.Input.KEYED):
            self.turns += 1
        secret = start.input is not ev.Input.OPENING and self._parts.agent.expectation.secret
        if (noted := record_of(turn, start, secret, self._clock(), tone)) is not None:
            self._recorder.note(noted)
        if tone and self.dialplan.tone.to_voice:
            self._mirror.heard(tone)
            self._parts.voice.manner = self._mirror.manner
        self._replies.start(start.turn, turn)

    def _expect(self) -> None:
        """What comes next decides how long a pause may be, and what is an interruption."""
        expectation = self._parts.agent.expectation
        self._interruptions = interruptions(self.dialplan.turns, self._manners, expectation)
        self._feed(ev.Retime(retimed(self.machine.timing, expectation)))

    def _prepare(self, text: str) -> None:
        self._replies.prepare(self._turn(ev.StartReply(self.machine.turn + 1, ev.Input.SPOKEN, text)))

    def _turn(self, start: ev.StartReply) -> CallerTurn:
        told = tag(tone) if self.dialplan.tone.to_agent and (tone := self._tone(start)) else ""
        return caller_turn(start, self._words, self._ear.onset * 1000 // RATE, self._voice_end_ms, told)

    def _tone(self, start: ev.StartReply) -> Tone | None:
        return self._ear.tone() if start.input is ev.Input.SPOKEN else None

    def _end(self, reason: EndReason) -> None:
        self.reason = reason
        self._replies.end()
        self._scope.reschedule(self._loop.time() + CLOSE_S)
        if not self._transfers.taken:
            self._group.create_task(leave(self.line, reason))
