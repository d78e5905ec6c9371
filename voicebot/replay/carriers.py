"""`voicebot measure carriers`: the same recorded callers over SIP and over Media Streams at the same time.

A service in a process of its own is called over loopback by two telephones that say the same at the same places of the
conversation. All times are theirs: what the service says of itself is not in it, but for the jitter buffer's depth.
"""

from __future__ import annotations

import asyncio
import json
import random
from bisect import bisect_right
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path

from voicebot.audio.frames import RATE
from voicebot.replay import marks
from voicebot.replay.carrier import Service
from voicebot.replay.listener import Listener, Phone
from voicebot.replay.sip_telephone import sip_calling
from voicebot.replay.telephone import Speech, calling, speech
from voicebot.replay.turn_bench import line_noise
from voicebot.replay.turn_clips import Clip

CARRIERS = ("SIP", "Media Streams")
PROGRAM = ("-m", "voicebot.commands.stub_serve")
TALKS, ECHOES = "+15550300000", "+1555030000"
PLAN = """
name: talks
description: Says something long, whatever it hears.
takes: {{numbers: ["{called}"]}}
limits: {{reprompts: 5}}
types: {{drink: [americano, espresso, iced coffee, iced mocha, latte, mocha]}}
start: talk
nodes:
  talk:
    say: {text}
    reprompts: ["{text}", "{text}"]
    intents:
      no: {{examples: ["no [thank you]"], do: {{say: "{text}"}}}}
      order: {{examples: ["[can i (get | have) | i'd like] [a | an] {{drink}} [please]"], do: {{say: "{text}"}}}}
"""
TEXT = (
    "While you think about it I will go on for a little while and tell you that the reading room on the first floor is "
    "open from nine in the morning until eight in the evening"
)
ECHO = """
name: echo_{number}
description: Says what it hears.
takes: {{numbers: ["{called}"]}}
engines: {{responder: native, native: [echo], options: {{echo: {{folder: "{folder}"}}}}}}
turns: {{decided_by: engine}}
start: hello
nodes: {{hello: {{say: Hello., intents: {{bye: {{examples: [goodbye], do: [{{hang_up: Bye.}}]}}}}}}}}
"""
BETWEEN_MS = (1200, 2000)
"""After the bot's first sound, when it is interrupted."""
DONE_MS = 900.0
"""A bot that was silent for so long has finished."""
QUIET_MS = 100.0
"""Before the end of the caller's speech, where what follows is to be an answer."""
ANSWER_MS, FINISH_MS, STOP_MS = 8000.0, 20_000.0, 3000.0
EXCHANGES = 4
"""Of a call."""
MARKED_S = 6.0
WRITTEN_S = 15.0
"""For the service to write down a call that is over."""


@dataclass(slots=True)
class Found:
    """Of one carrier. Milliseconds."""

    carrier: str
    greeting_ms: list[float] = field(default_factory=list)
    """The call is answered (200 OK, `start`) to the first audible of the greeting."""
    voice_to_voice_ms: list[float] = field(default_factory=list)
    """End of the caller's speech to the first audible of the answer."""
    later_ms: list[float] = field(default_factory=list)
    """… the same of SIP, less what it was of the same utterance over Media Streams."""
    stop_ms: list[float] = field(default_factory=list)
    """Onset of the caller's voice to the last sound of the bot that they speak over."""
    mouth_to_ear_ms: list[float] = field(default_factory=list)
    """A mark that the caller speaks, to the engine and back to their ear, less `buffer_ms`."""
    to_engine_ms: list[float] = field(default_factory=list)
    """… as far as the engine, less `buffer_ms`."""
    from_engine_ms: list[float] = field(default_factory=list)
    buffer_ms: list[float] = field(default_factory=list)
    """The jitter buffer's mean depth, by call."""
    late_ms: list[float] = field(default_factory=list)
    """How late the telephone itself was, at worst, by call."""
    ignored: int = 0
    """Interruptions that did not stop the bot."""
    unanswered: int = 0

    def add(self, more: Found) -> None:
        """Another call's."""
        for each in fields(self):
            if each.name != "carrier":
                setattr(self, each.name, getattr(self, each.name) + getattr(more, each.name))


# --- the service and its two carriers --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Bed:
    """What is called."""

    service: Service
    sip_port: int
    folder: Path
    """Of what the echo heard, by carrier's number."""

    def calling(self, carrier: str, caller: str, called: str, line: Speech) -> AbstractAsyncContextManager[Phone]:
        """A call that is up."""
        if carrier == CARRIERS[0]:
            return sip_calling(self.sip_port, caller, called, line)
        return self._streaming(caller, called, line)

    @asynccontextmanager
    async def _streaming(self, caller: str, called: str, line: Speech) -> AsyncIterator[Phone]:
        async with calling(await self.service.ring(caller, called), line=line) as phone:
            yield phone


def plans(folder: Path) -> dict[str, str]:
    """The dialplans by name; the echoes' folders are made."""
    found = {"talks": PLAN.format(called=TALKS, text=TEXT)}
    for number in range(len(CARRIERS)):
        (folder / str(number)).mkdir()
        called = f"{ECHOES}{number + 1}"
        found[f"echo_{number}"] = ECHO.format(number=number, called=called, folder=folder / str(number))
    return found


# --- what is measured ------------------------------------------------------------------------------------------------


async def talks(bed: Bed, clips: Sequence[Clip], number: int) -> list[Found]:
    """One call over each carrier at the same time: the bot is spoken over with every second clip, and answered with the
    others when it has finished."""

    async def one(carrier: str) -> Found:
        found = Found(carrier)
        line = speech(line_noise(number))
        async with bed.calling(carrier, f"+155504{CARRIERS.index(carrier)}{number:04}", TALKS, line) as phone:
            await _talk(phone, clips, random.Random(number), found)
            found.late_ms.append(max(phone.late_ms, default=0.0))
        return found

    sip, streams = await asyncio.gather(*(one(carrier) for carrier in CARRIERS))
    if len(sip.voice_to_voice_ms) == len(streams.voice_to_voice_ms):
        pairs = zip(sip.voice_to_voice_ms, streams.voice_to_voice_ms, strict=True)
        sip.later_ms = [one - other for one, other in pairs]
    return [sip, streams]


async def _talk(phone: Phone, clips: Sequence[Clip], chance: random.Random, found: Found) -> None:
    bot = Listener(phone)
    await phone.until(lambda: bot.speaks, ANSWER_MS)
    if (greeting_ms := bot.first_ms(0.0)) is not None:
        found.greeting_ms.append(greeting_ms)
    spoke_ms = 0.0
    for number, clip in enumerate(clips):
        if number % 2 == 0:
            await phone.until(lambda: bot.first_ms(spoke_ms) is not None, ANSWER_MS)  # noqa: B023
            await phone.waits(chance.randint(*BETWEEN_MS))
        else:
            await phone.until(lambda: bot.quiet_ms >= DONE_MS, FINISH_MS)
        speaks = bot.quiet_ms < DONE_MS
        begins_ms = phone.plays(clip.speech)
        onset_ms, spoke_ms = begins_ms + clip.onset_ms, float(begins_ms + clip.end_ms)
        await phone.waits(clip.speech.ms)
        if not await phone.until(lambda: bot.first_ms(spoke_ms) is not None, ANSWER_MS):  # noqa: B023
            found.unanswered += 1
        if speaks:
            stopped_ms = bot.stopped_ms(onset_ms)
            if stopped_ms is None or stopped_ms - onset_ms > STOP_MS:
                found.ignored += 1
            else:
                found.stop_ms.append(stopped_ms - onset_ms)
        answer_ms = bot.first_ms(spoke_ms - QUIET_MS)
        if answer_ms is not None and answer_ms >= spoke_ms:  # else it spoke on, and what is heard is no answer
            found.voice_to_voice_ms.append(answer_ms - spoke_ms)


async def echoes(bed: Bed, number: int) -> list[Found]:
    """Marks to an engine that says what it hears, over each carrier at the same time."""
    return list(await asyncio.gather(*(_echo(bed, carrier, number) for carrier in CARRIERS)))


async def _echo(bed: Bed, carrier: str, number: int) -> Found:
    found, which = Found(carrier), CARRIERS.index(carrier)
    caller = f"+155505{which}{number:04}"
    said, begins = marks.track(MARKED_S, number)
    async with bed.calling(carrier, caller, f"{ECHOES}{which + 1}", speech(line_noise(number))) as phone:
        bot = Listener(phone)
        await phone.until(lambda: bot.speaks, ANSWER_MS)
        await phone.until(lambda: bot.quiet_ms >= DONE_MS, FINISH_MS)
        began_ms = phone.plays(speech(said))
        await phone.waits(MARKED_S * 1000 + marks.WITHIN_MS)
    depth_ms = await _depth_ms(bed.service, caller, carrier)
    found.buffer_ms.append(depth_ms)
    sent_ms = [began_ms + at * 1000 / RATE for at in begins]
    back = marks.ways(sent_ms, marks.found(phone.heard), phone.at_ms)
    there = dict(await _there(bed.folder / str(which), phone.began_s, sent_ms))
    for mark, ms in back:
        if mark in there and mark > 0:  # with the first one the echo wakes up
            found.mouth_to_ear_ms.append(ms - depth_ms)
            found.to_engine_ms.append(there[mark] - depth_ms)
            found.from_engine_ms.append(ms - there[mark])
    return found


async def _there(folder: Path, began_s: float, sent_ms: Sequence[float]) -> list[tuple[int, float]]:
    """How long each mark took to the engine: the clock is the same for both processes."""
    async with asyncio.timeout(WRITTEN_S):
        while not (written := _taken(folder)):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    heard, pushes = written
    firsts = [first for first, _ in pushes]

    def at_ms(sample: int) -> float:
        """An engine hears all of a push at once."""
        return float(pushes[bisect_right(firsts, sample) - 1][1] - began_s) * 1000

    return marks.ways(sent_ms, marks.found(heard), at_ms)


def _taken(folder: Path) -> tuple[bytes, list[tuple[int, float]]] | None:
    """What the engine wrote of its session, away from there; None while it has not."""
    for times in folder.glob("*.json"):
        sound = times.with_suffix(".ulaw")
        found = sound.read_bytes(), json.loads(times.read_text())
        times.unlink()
        sound.unlink()
        return found
    return None


async def _depth_ms(service: Service, caller: str, carrier: str) -> float:
    """What PJSIP says of its jitter buffer. Over Media Streams a frame that is in order waits for nothing."""
    if carrier != CARRIERS[0]:
        return 0.0
    records = await service.written(caller, "network", WRITTEN_S)
    return next(float(record.fields["buffer_ms"]) for record in records if record.kind == "network")
