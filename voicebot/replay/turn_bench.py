"""`voicebot measure turns`: what the bot does when something is played over its voice.

One call for each clip: the bot begins a sentence of some 18 seconds, the clip starts a second or two later, and the
telephone listens on. Calls run in parallel, in real time, against a service in a process of its own or against any
other that speaks Media Streams.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import soundfile

from voicebot.audio.frames import FRAME_MS, RATE
from voicebot.audio.g711 import ulaw_encode
from voicebot.call.prompts import Prompt, PromptCache
from voicebot.core.timeline import Record
from voicebot.engines import registry
from voicebot.engines.base import EngineConfig
from voicebot.errors import PeerError
from voicebot.replay import mixing, turn_figures
from voicebot.replay.carrier import Service
from voicebot.replay.echo import Echo
from voicebot.replay.faults import Faults
from voicebot.replay.telephone import Address, Telephone, calling, speech
from voicebot.replay.turn_clips import Clip, Kind
from voicebot.replay.turn_figures import PER_MS, HeardText, Verdict

SENTENCES = (
    "Before we begin, let me tell you how the library works this week. The reading room on the first floor is open "
    "from nine in the morning until eight in the evening, and you can borrow up to twelve books at a time, for four "
    "weeks. If you need longer, you can ask for another two weeks on our website, or at the desk beside the entrance.",
    "Your parcel left the warehouse on Tuesday and has arrived at the depot near the river. The driver will bring it "
    "to your door between ten and noon tomorrow, and he will ring the bell twice. If nobody is at home, he will leave "
    "it with a neighbour, and put a card with the name and the number of the house into your letter box.",
    "The walk starts at the old mill, follows the stream for about a mile, and then climbs through the forest to the "
    "chapel on the hill. From there you can see the whole valley, and on a clear day even the mountains in the south. "
    "Take something to drink with you, because there is no water on the way, and the path lies in the sun.",
)
PLAN = """
name: bench_{number}
description: Speaks for a long time, to be interrupted.
takes: {{numbers: ["{called}"]}}
types:
  drink: [americano, cappuccino, coffee, drip coffee, espresso, house coffee, iced coffee, iced mocha, latte, mocha]
  size: [small, medium, large, eight ounce, twelve ounce, sixteen ounce, twenty ounce]
  shots: [single shot, double shot, triple shot]
  roast: [dark roast, light roast, medium roast]
  amount: [a bit of, a little bit of, a lot of, lots of, some]
  addition: ["[{{amount}}] [soy | almond | skim | whole] (milk | cream)", "[{{amount}}] (sugar | brown sugar | sweetener)"]
start: talk
nodes:
  talk:
    say: >-
      {text}
    reprompts: ["Is there anything else?", "What else can I do?"]
    intents:
      stop:
        examples: ["(stop | wait) [please | a moment | a minute]", hold on, "no [stop | wait | thank you]"]
        do: {{say: All right.}}
      go:
        examples: ["(start | go) [again | on]", "yes [please]"]
        do: {{say: Very well.}}
      order:
        examples:
          - "[i'd like | can i (get | have) | could i (get | have) | i want | i'll have | make me | get me] [a | an] [{{size}}] [{{shots}}] [{{roast}}] {{drink}} [{{size}}] [with {{addition}} [and {{addition}}]] [please]"
        do: {{say: I have noted that.}}
"""  # noqa: E501
CALLED = "+1555010000{number}"
BETWEEN_MS = (1500, 2500)
"""After the bot's first sound, when the clip starts."""
WATCH_MS = 3500
"""After the clip, for the bot to make up its mind."""
LONG_WATCH_MS = 20_000
"""… and to get stuck, where that is looked for."""
HELD_MS, UNDECIDED_MS = 1500, 5000
"""A bot that holds its breath at the end is heard until it goes on or has been silent for so long; not for ever."""
ANSWER_MS = 15_000
LEARN_MS = 60_000
FLOOR_S = 3
ECHOES = ((60, 20.0), (120, 26.0), (180, 14.0), (240, 32.0), (150, 20.0), (90, 10.0))
"""Delay in ms and loss in dB, in turn."""


@dataclass(frozen=True, slots=True)
class Options:
    faults: Faults = field(default_factory=Faults)
    parallel: int = 3
    watch_ms: int = WATCH_MS
    seed: int = 1
    keep: Path | None = None
    """Folder for a stereo recording of each call: left caller, right as heard."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One clip played over the bot. Times in milliseconds; events and decisions from the onset of the clip."""

    clip: Clip
    number: int
    onset_ms: float
    """In the call."""
    seen_ms: float
    """From the onset to the hang-up."""
    verdict: Verdict | None
    """None where the bot said nothing that is known."""
    silence_ms: int
    """The longest mutual silence of the call, from its first sound on."""
    late_ms: float
    """How late the telephone itself was at worst."""
    strange: tuple[str, ...] = ()
    commit_ms: float | None = None
    """When the call's own record gives the floor to the caller."""
    text: HeardText | None = None
    events: tuple[tuple[float, str], ...] = ()
    """The call's own record from the onset on."""


def plans() -> dict[str, str]:
    """The bench's dialplans by name."""
    return {
        f"bench_{number}": PLAN.format(number=number, called=CALLED.format(number=number), text=text)
        for number, text in enumerate(SENTENCES)
    }


def line_noise(seed: int = 1) -> bytes:
    """Three seconds of a telephone line at rest, -72 dBFS, μ-law."""
    noise = np.random.default_rng(seed).standard_normal(FLOOR_S * RATE).astype(np.float32) * np.float32(mixing.FLOOR)
    return ulaw_encode(mixing.pcm16(noise))


async def sentences(service: Service) -> list[Prompt]:
    """The bench's sentences as the service speaks them, their words in their places."""
    voice = registry.load("tts", "espeak").create(EngineConfig("en-US", options={"say": {}}))
    await voice.start()
    try:
        cache = PromptCache(service.data / "cache" / "prompts")
        await cache.prepare(voice, SENTENCES)
        found = [cache.get(voice.voice_id, text) for text in SENTENCES]
    finally:
        await voice.close()
    return [each for each in found if each is not None]


Dial = Callable[[str, int], Awaitable[Address]]
"""The address of a call from a number, in which the bot says a sentence (by its index)."""


async def learn(dial: Dial) -> bytes:
    """What a service says of its own accord when nobody interrupts it (μ-law), up to its first silence of a second."""
    async with calling(await dial(caller(9999), 0), line=speech(line_noise())) as phone:
        runs = phone.handset.runs
        if not await phone.until(lambda: bool(runs), ANSWER_MS):
            raise PeerError("The service took the call and said nothing.")
        await phone.until(lambda: phone.ticks * FRAME_MS > runs[-1].end / PER_MS + 1000, LEARN_MS)
    return bytes(phone.handset.heard[runs[0].at : runs[-1].end])


async def run(
    clips: Sequence[Clip],
    dial: Dial,
    prompts: Sequence[bytes],
    options: Options,
    report: Callable[[Clip], None] = lambda clip: None,
) -> list[Trial]:
    """A trial for each clip, in their order. `prompts`: the sentences as they are spoken, μ-law."""
    at_once = asyncio.Semaphore(options.parallel)

    async def one(number: int, clip: Clip) -> _Call:
        async with at_once:
            call = await _call(await dial(caller(number), number % len(prompts)), clip, number, options)
            report(clip)
            return call

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(number, clip)) for number, clip in enumerate(clips)]
    except* PeerError as failed:
        raise failed.exceptions[0] from None
    # Judged when all is over: no call waits for the arithmetic of another.
    return [_judged(task.result(), n, prompts[n % len(prompts)], options.keep) for n, task in enumerate(tasks)]


def caller(number: int) -> str:
    """The number from which a trial's call comes."""
    return f"+1555020{number:04}"


@dataclass(frozen=True, slots=True)
class _Call:
    clip: Clip
    phone: Telephone
    onset_ms: float


async def _call(address: Address, clip: Clip, number: int, options: Options) -> _Call:
    seed = options.seed * 1000 + number
    echo = Echo(*ECHOES[number % len(ECHOES)], seed=number) if clip.kind is Kind.ECHO else None
    async with calling(address, options.faults, seed, speech(line_noise(number)), echo) as phone:
        await phone.until(lambda: bool(phone.handset.runs), ANSWER_MS)
        answered_ms = phone.ticks * FRAME_MS
        await phone.waits(random.Random(seed).randint(*BETWEEN_MS))
        begin_ms = phone.plays(clip.speech)
        await phone.waits(clip.end_ms + options.watch_ms)
        await phone.until(lambda: _settled(phone), UNDECIDED_MS)
    return _Call(clip, phone, answered_ms if echo else begin_ms + clip.onset_ms)


def _settled(phone: Telephone) -> bool:
    """Whether the bot is speaking, or has stopped for longer than a hold lasts."""
    quiet_ms = phone.ticks * FRAME_MS - phone.handset.runs[-1].end / PER_MS if phone.handset.runs else UNDECIDED_MS
    return quiet_ms <= 2 * FRAME_MS or quiet_ms >= HELD_MS


def _judged(call: _Call, number: int, prompt: bytes, folder: Path | None) -> Trial:
    phone, onset_ms = call.phone, call.onset_ms
    if folder:
        keep(folder / f"{number:03} {call.clip.kind.value.replace(' ', '_')} {call.clip.name}.wav", phone)
    heard, runs = phone.handset.heard, phone.handset.runs
    first = runs[0].at if runs else 0
    spoken = turn_figures.placed(heard, runs, prompt)
    return Trial(
        call.clip,
        number,
        onset_ms,
        len(heard) / PER_MS - onset_ms,
        turn_figures.judge(heard, spoken, prompt, onset_ms, phone.clears) if spoken else None,
        turn_figures.longest_silence_ms(phone.said[first:], heard[first:]),
        max(phone.late_ms, default=0.0),
        tuple(phone.strange),
    )


def keep(file: Path, phone: Telephone) -> None:
    """Both sides as heard, stereo: left the caller, right the bot."""
    size = min(len(phone.said), len(phone.handset.heard))
    both = [turn_figures.pcm(side[:size]) for side in (phone.said, phone.handset.heard)]
    soundfile.write(file, np.stack(both, axis=1), RATE, subtype="PCM_16")


def with_record(trial: Trial, records: Sequence[Record], prompt: Prompt) -> Trial:
    """The trial, with what the call's own record says of it."""
    after = [(r.ms - trial.onset_ms, r) for r in records]
    after = [(ms, r) for ms, r in after if 0 <= ms < trial.seen_ms - FRAME_MS]
    events = tuple((ms, _told(r)) for ms, r in after)
    ms, said = next(((ms, r) for ms, r in after if r.kind == "said"), (0.0, None))
    if said is None or said.fields.get("complete") or trial.verdict is None:
        return replace(trial, events=events)
    words = [(word.at, word.text) for word in prompt.words]
    text = turn_figures.heard_text(str(said.fields["heard"]), words, trial.verdict.heard, len(prompt.ulaw))
    return replace(trial, commit_ms=ms, text=text, events=events)


def _told(record: Record) -> str:
    what = str(record.fields.get("text") or record.fields.get("state") or "")
    return f"{record.kind} {what[:60]}".strip()
