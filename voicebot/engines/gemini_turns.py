"""What the messages of a Gemini Live session mean: one turn of the model after the other.

A turn begins with its first sound or word and ends with `turn_complete`, which the server holds back until it believes
that everything was played; `generation_complete` comes as soon as everything is made. An interruption goes
`interrupted`, then `turn_complete`. Transcripts come whenever they like.
"""

from __future__ import annotations

from typing import Any

from voicebot.core.dialogue import ToolCall
from voicebot.core.duplex import (
    CallerStarted,
    CallerStopped,
    CallerWords,
    CallsCancelled,
    DuplexEvent,
    How,
    Interrupted,
    ReplyAudio,
    ReplyBegan,
    ReplyCalls,
    ReplyEnded,
    ReplyText,
)

RATE_OUT = 24000
STALE_BYTES = 2 * RATE_OUT
"""After `interrupted`, so much may still come of what was interrupted; beyond, it is something new."""
UNREMARKABLE = ("", "TURN_COMPLETE_REASON_UNSPECIFIED", "NEED_MORE_INPUT")


class Turns:
    """Messages in, events out. `ours`: nobody interrupts the model but we."""

    def __init__(self, ours: bool, blocking: bool) -> None:
        self._ours, self._blocking = ours, blocking
        self.busy = False
        """The server believes that a turn of the model goes on."""
        self.reply = ""
        """That goes on, and of which we tell."""
        self.generated = False
        """All of it has been made."""
        self.calls: dict[str, tuple[str, str]] = {}
        """The tools that are asked for and have no result yet: id → (name, reply)."""
        self.offset_ms = 0
        """Of the caller's audio, where this connection began."""
        self._count = 0
        self._muted = False
        """Nothing of this turn is told any more."""
        self._stale_bytes = 0
        """Audio to be passed over, at most."""
        self.asked = self._before = False
        """A reply was asked for, and nothing of it has come; the turn before has not ended yet."""
        self._utterances, self._words, self._new_words = 0, "", True

    # --- what we do

    def ask(self, same_turn: bool = False) -> None:
        """A reply is due, in a turn of its own or (after a tool) in the one that goes on."""
        self.asked, self._before = True, self.busy and not same_turn
        self._afresh()

    def caller(self) -> None:
        """The caller begins to speak: the words that come belong together."""
        self._new_words = True
        self._afresh()

    def _afresh(self) -> None:
        """What was not wanted and has not come by now will not."""
        if not self.busy:
            self._muted, self._stale_bytes = False, 0

    def cut(self, reply: str) -> bool:
        """Whether it was going on, or (empty) was still to come. Nothing more of it is told; nobody waits for its
        tools."""
        self.calls = {call: of for call, of in self.calls.items() if not reply or of[1] != reply}
        going_on = reply == self.reply if reply else self.asked
        if going_on:
            self.reply, self.asked, self._muted = "", False, True
        return going_on

    def finish(self, how: How = How.DONE, fault: str = "") -> list[DuplexEvent]:
        """The reply that goes on, if one does, is over."""
        reply, self.reply, self.generated = self.reply, "", False
        return [ReplyEnded(reply, how, fault)] if reply else []

    # --- what the server says

    def heard(self, message: Any) -> list[DuplexEvent]:
        """A `LiveServerMessage`."""
        events: list[DuplexEvent] = []
        if (activity := message.voice_activity) is not None:
            events += self._activity(activity)
        if message.tool_call is not None:
            events += self._tools(message.tool_call.function_calls or ())
        if message.tool_call_cancellation is not None:
            ids = tuple(each for each in message.tool_call_cancellation.ids or () if self.calls.pop(each, None))
            events += [CallsCancelled(ids)] if ids else []
        if message.server_content is not None:
            events += self._content(message.server_content)
        return events

    def _activity(self, activity: Any) -> list[DuplexEvent]:
        at_ms = self.offset_ms + _milliseconds(activity.audio_offset)
        match _value(activity.voice_activity_type):
            case "ACTIVITY_START":
                self.caller()
                return [CallerStarted(at_ms)]
            case "ACTIVITY_END":
                return [CallerStopped(at_ms)]
            case _:
                return []

    def _tools(self, calls: Any) -> list[DuplexEvent]:
        if self._muted or not calls:
            return []
        events = self._begin()
        for call in calls:
            self.calls[call.id] = call.name, self.reply
            events.append(ReplyCalls(self.reply, ToolCall(call.id, call.name, call.args or {})))
        return events + self.finish() if self._blocking else events

    def _content(self, content: Any) -> list[DuplexEvent]:
        events = self._caller_words(content)
        for part in (content.model_turn.parts or ()) if content.model_turn else ():
            if part.inline_data and part.inline_data.data and not part.thought:
                events += self._sound(part.inline_data.data)
        if content.output_transcription and content.output_transcription.text and not self._unwanted():
            events += [*self._begin(), ReplyText(self.reply, content.output_transcription.text)]
        self.generated |= bool(content.generation_complete)
        if content.interrupted:
            events += self._interrupted()
        if content.turn_complete:
            events += self._over(_value(content.turn_complete_reason))
        return events

    def _unwanted(self) -> bool:
        self.busy = True
        return self._muted or self._stale_bytes > 0

    def _sound(self, audio: bytes) -> list[DuplexEvent]:
        if self._unwanted():
            self._stale_bytes = max(0, self._stale_bytes - len(audio))
            return []
        return [*self._begin(), ReplyAudio(self.reply, audio)]

    def _begin(self) -> list[DuplexEvent]:
        self.busy, self.asked = True, False
        if self.reply:
            return []
        self._count += 1
        self.reply, self.generated = f"reply_{self._count}", False
        return [ReplyBegan(self.reply)]

    def _interrupted(self) -> list[DuplexEvent]:
        self._muted, self._stale_bytes = False, STALE_BYTES
        ended = self.finish(How.INTERRUPTED)
        return ended if self._ours else [Interrupted(), *ended]

    def _over(self, reason: str) -> list[DuplexEvent]:
        """The turn is complete."""
        events = self._last_words()
        fault = "" if reason in UNREMARKABLE else f"The model gave it up ({reason.lower()})."
        if self.asked and not self._before and not self.calls:
            fault = fault or "The model gave no answer."
        if fault and not self._muted:
            events += self._begin()
        events += self.finish(How.FAILED if fault else How.DONE, fault)
        self.asked &= self._before
        self.busy = self._muted = self._before = False
        self._stale_bytes = 0
        return events

    # --- what the caller said

    def _caller_words(self, content: Any) -> list[DuplexEvent]:
        events: list[DuplexEvent] = []
        if (interim := content.interim_input_transcription) and interim.text:
            self._utterance()
            events.append(CallerWords((self._words + interim.text).strip(), False, self._id))
        if (said := content.input_transcription) and (said.text or said.finished):
            self._utterance()
            self._words += said.text or ""
            self._new_words = bool(said.finished)
            events.append(CallerWords(self._words.strip(), bool(said.finished), self._id))
        return events

    @property
    def _id(self) -> str:
        return f"utterance_{self._utterances}"

    def _utterance(self) -> None:
        if self._new_words:
            self._utterances += 1
            self._words, self._new_words = "", False

    def _last_words(self) -> list[DuplexEvent]:
        """A server that never says that a transcript is finished has finished it by the end of the answer."""
        if self._new_words or not self._words or self._before:
            return []
        self._new_words = True
        return [CallerWords(self._words.strip(), True, self._id)]


def _value(enum: Any) -> str:
    return str(getattr(enum, "value", enum) or "")


def _milliseconds(offset: str | None) -> int:
    """A duration in protobuf's JSON: `1.5s`."""
    try:
        return round(1000 * float((offset or "0s").rstrip("s")))
    except ValueError:
        return 0
