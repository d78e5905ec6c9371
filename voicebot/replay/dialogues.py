"""Orders after the dialogue has asked and read back: a caller who says an order, answers the bot's questions, corrects
what is read back wrong, and gives up after a while. What counts is what the bot writes down in the end.

Everything the caller says was said by people: the order is a whole recording, "yes" and "no" are others, and "dark
roast" or "sixteen ounce" are cut out of other people's orders, where the wide-band recogniser finds them. Only what
nobody else said is synthesised.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from voicebot.core.dialogue import Heard, Opening, ToolCall
from voicebot.core.dialplan import Dialplan
from voicebot.core.expect import Expectation
from voicebot.core.flow import Flow
from voicebot.core.prompts import Change, Check, Form, State
from voicebot.core.words import Words
from voicebot.engines.base import Tts
from voicebot.replay import mixing
from voicebot.replay.spoken_tasks import Recording, ordered, plain

PATIENCE = 12
"""Turns of the caller."""
VOICE = "en-us+f2"
"""For what nobody said. The bot's is plain en-us."""
SIZES = ("small", "medium", "large", "twelve ounce", "sixteen ounce", "twenty ounce")
"""What somebody who named no size wants, one for an order: the bot asks for it."""
NOW = datetime(2026, 1, 5, 9)
LEVEL = 0.07
"""RMS of the speech in each piece, -23 dBFS."""
MARGIN_MS = 60
"""Around words that are cut out."""
PAUSE_S = 0.12
"""Between a "no" and what follows."""

Listen = Callable[[Expectation, mixing.Sound], Awaitable[Words]]


@dataclass(frozen=True, slots=True)
class Take:
    """Somebody says something: a stretch of a recording, to its end where `end_ms` is 0."""

    recording: Recording
    start_ms: int = 0
    end_ms: int = 0

    def sound(self) -> mixing.Sound:
        """8 kHz."""
        whole = mixing.read(self.recording.file, mixing.PHONE_RATE)
        at = slice(max(0, self.start_ms - MARGIN_MS) * 8, (self.end_ms + MARGIN_MS) * 8 if self.end_ms else None)
        return whole[at]


Takes = Mapping[str, Sequence[Take]]
"""By what is said in them."""


@dataclass(frozen=True, slots=True)
class Outcome:
    wanted: Mapping[str, str]
    written: Mapping[str, str]
    """Slot to value; empty where no order came about."""
    turns: int
    """Of the caller."""

    @property
    def right(self) -> bool:
        """As wanted; "some" or "a bit of" aside."""
        return _plainly(self.wanted) == _plainly(self.written)


def _plainly(order: Mapping[str, str]) -> dict[str, str]:
    return {slot: plain(value) for slot, value in order.items()}


# --- the caller ---------------------------------------------------------------------------------------------


def wishes(recording: Recording, number: int) -> dict[str, str]:
    """What the caller wants: all that was said, and a size."""
    return {"size": SIZES[number % len(SIZES)], **ordered(recording)}


def answer(state: State, known: Mapping[str, str], wanted: Mapping[str, str]) -> tuple[str, ...]:
    """What the caller says to the bot's question, a piece at a time. A read-back is corrected one thing at a time,
    but for how much of the milk."""
    known, wanted = _plainly(known), _plainly(wanted)
    match state:
        case Form(asked=slot):
            return (wanted.get(slot or "drink", "no"),)
        case Check(slot) if known.get(slot) == wanted.get(slot):
            return ("yes",)
        case Check(slot):
            return ("no", wanted[slot]) if slot in wanted else ("no",)
        case _:
            wrong = next((slot for slot in (*wanted, *known) if known.get(slot) != wanted.get(slot)), "")
            if not wrong:
                return ("yes",)
            value = wanted.get(wrong, known.get(wrong, ""))
            return (value,) if isinstance(state, Change) and wrong in wanted else ("no", value)


@dataclass(frozen=True, slots=True)
class Mouth:
    """Of one caller. Each answer is another person's."""

    takes: Takes
    voice: Tts
    order: Recording
    number: int

    async def say(self, pieces: Sequence[str], turn: int) -> mixing.Sound:
        """8 kHz."""
        gap = np.zeros(int(PAUSE_S * mixing.PHONE_RATE), np.float32)
        sounds = [await self._piece(piece, turn) for piece in pieces]
        return np.concatenate([part for sound in sounds for part in (sound, gap)][:-1])

    async def _piece(self, text: str, turn: int) -> mixing.Sound:
        others = [take for take in self.takes.get(text, ()) if take.recording.file != self.order.file]
        if others:
            return mixing.levelled(others[(self.number + turn) % len(others)].sound(), mixing.PHONE_RATE, LEVEL)
        return mixing.levelled(await spoken(self.voice, text), mixing.PHONE_RATE, LEVEL)


async def spoken(voice: Tts, text: str) -> mixing.Sound:
    """A sentence, synthesised; 8 kHz."""

    async def once() -> AsyncIterator[str]:
        yield text

    return np.concatenate([mixing.sound_of(s.pcm, s.rate, mixing.PHONE_RATE) async for s in voice.speak(once())])


async def cut(
    found: Sequence[Recording], orders: Sequence[Recording], hear: Callable[[Recording], Awaitable[Words]]
) -> Takes:
    """Who says what: yes and no, and the values in the orders, where `hear` (wide-band) finds their words."""
    takes: defaultdict[str, list[Take]] = defaultdict(list)
    for recording in found:
        if recording.transcript in ("yes", "no"):
            takes[recording.transcript].append(Take(recording))
    for recording in orders:
        words = (await hear(recording)).words
        said = [word.text for word in words]
        for value in map(plain, ordered(recording).values()):
            length = len(value.split())
            for at in range(len(said) - length + 1):
                if said[at : at + length] == value.split():
                    takes[value].append(Take(recording, words[at].start_ms, words[at + length - 1].end_ms))
                    break
    return takes


# --- the dialogue -------------------------------------------------------------------------------------------


async def order(plan: Dialplan, wanted: Mapping[str, str], mouth: Mouth, listen: Listen) -> Outcome:
    """One call's dialogue, without its audio path: the recogniser listens, the scripted agent answers."""
    flow = Flow(plan, NOW)
    flow.feed(Opening())
    sound = Take(mouth.order).sound()
    for turn in range(1, PATIENCE + 1):
        step = flow.feed(Heard(await listen(flow.expectation, sound)))
        for event in step.events:
            if isinstance(event, ToolCall) and event.name in plan.tools:
                return Outcome(wanted, {slot: str(value) for slot, value in event.args.items()}, turn)
        if step.ended:
            return Outcome(wanted, {}, turn)
        sound = await mouth.say(answer(flow.state, flow.slots, wanted), turn)
    return Outcome(wanted, {}, PATIENCE)
