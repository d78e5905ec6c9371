"""A whole conversation with each dialplan that ships, on recorded voices, over both carriers at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from voicebot.audio.frames import FRAME_MS, RATE
from voicebot.core.timeline import Record
from voicebot.errors import UsageError
from voicebot.replay import mixing
from voicebot.replay.carriers import ANSWER_MS, CARRIERS, DONE_MS, FINISH_MS, Bed
from voicebot.replay.listener import Listener, Phone
from voicebot.replay.telephone import speech
from voicebot.replay.turn_bench import line_noise
from voicebot.replay.turn_clips import Clip, Kind, clip


@dataclass(frozen=True, slots=True)
class Step:
    """What the caller does when the bot has finished; then the bot says something."""

    says: str = ""
    """A recording, by its place in the folder."""
    keys: str = ""
    """… and keys after it."""


SCRIPTS: Mapping[str, Sequence[Step]] = {
    "coffee": (Step("coffee/iced_mocha"), Step(keys="2"), Step("answers/yes")),
    "clinic": (
        Step(keys="3"),
        Step("answers/smith"),
        Step(keys="03121985"),
        Step("answers/yes"),
        Step("answers/no"),
    ),
    "frontdesk": (Step("answers/help"), Step(keys="5"), Step("turns/glad_to_see_you", keys="#")),
}
"""By dialplan."""
KEY_MS = 300
ENDS_MS = 15_000.0
LISTED_S = 10.0


@dataclass(slots=True)
class Whole:
    """A conversation, from its answer to its end. Milliseconds."""

    dialplan: str
    carrier: str
    greeting_ms: float | None = None
    voice_to_voice_ms: list[float] = field(default_factory=list)
    ended: str = ""
    """The reason in the call's record."""
    seconds: float = 0.0
    tools: list[tuple[str, Any]] = field(default_factory=list)
    """Those that were called with something, and with what."""
    heard: str = ""
    """What the caller heard, in words."""


def voices(folder: Path) -> dict[str, Clip]:
    """What the scripts need. `UsageError` when a recording is missing."""
    names = {step.says for steps in SCRIPTS.values() for step in steps if step.says}
    files = {name: folder / f"{name}.flac" for name in names}
    if missing := [str(file) for file in files.values() if not file.exists()]:
        raise UsageError(f"Recordings are missing: {', '.join(sorted(missing))}.")
    return {name: clip(name, Kind.SENTENCE, mixing.read(file, RATE)) for name, file in files.items()}


def plans(folder: Path) -> dict[str, str]:
    """The dialplans by name, as they are in `folder`."""
    try:
        return {name: (folder / f"{name}.yaml").read_text("utf-8") for name in SCRIPTS}
    except OSError as error:
        raise UsageError(f"The dialplans that ship are not in {folder} ({error.strerror}).") from None


async def conversations(bed: Bed, clips: Mapping[str, Clip], carriers: Sequence[str] = CARRIERS) -> list[Whole]:
    """All of them at once, in real time."""
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(_one(bed, carrier, name, number, clips))
            for carrier in carriers
            for number, name in enumerate(SCRIPTS)
        ]
    return [task.result() for task in tasks]


async def _one(bed: Bed, carrier: str, name: str, number: int, clips: Mapping[str, Clip]) -> Whole:
    found, caller = Whole(name, carrier), f"+155506{CARRIERS.index(carrier)}{number:04}"
    async with bed.calling(carrier, caller, name, speech(line_noise(number))) as phone:
        bot = Listener(phone)
        for step in SCRIPTS[name]:
            await phone.until(lambda: bot.speaks and bot.quiet_ms >= DONE_MS, FINISH_MS)
            await _take(phone, bot, step, clips, found)
        found.greeting_ms = bot.first_ms(0.0)
        await phone.until(lambda: False, ENDS_MS)  # the bot hangs up
    for record in await bed.service.written(caller, "call_ended", LISTED_S):
        _note(found, record)
    return found


async def _take(phone: Phone, bot: Listener, step: Step, clips: Mapping[str, Clip], found: Whole) -> None:
    ends_ms = phone.ticks * FRAME_MS + 0.0
    if step.says:
        said = clips[step.says]
        ends_ms = float(phone.plays(said.speech) + said.end_ms)
        await phone.waits(said.speech.ms)
    for key in step.keys:
        phone.presses(key)
        await phone.waits(KEY_MS)
    await phone.until(lambda: bot.first_ms(ends_ms) is not None, ANSWER_MS)
    answer_ms = bot.first_ms(ends_ms)
    if not step.keys and answer_ms is not None:
        found.voice_to_voice_ms.append(answer_ms - ends_ms)


def _note(found: Whole, record: Record) -> None:
    match record.kind:
        case "call_ended":
            found.ended, found.seconds = str(record.fields["reason"]), float(record.fields["seconds"])
        case "said":
            found.heard = f"{found.heard} {record.fields['heard']}".strip()
        case "tool" if args := record.fields.get("args"):
            found.tools.append((str(record.fields["name"]), args))
        case _:
            pass
