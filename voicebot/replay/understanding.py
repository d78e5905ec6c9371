"""How much a recogniser understands of real voices, on a folder of recordings with a `MANIFEST.csv`.

Every recording is heard as a telephone brings it (8 kHz, μ-law) and, for comparison, as recorded (16 kHz), in quiet
and with four other people talking 10 dB below the speaker. Coffee orders are judged twice: as understood in one breath,
and as written down after the dialogue asked for what was missing and read back (`dialogues`).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voicebot.audio.jitter import Placed
from voicebot.core.dialplan import Dialplan
from voicebot.core.expect import Expectation
from voicebot.core.expectations import expectations
from voicebot.core.words import Words
from voicebot.engines import registry
from voicebot.engines.base import Asr, EngineConfig, Tts
from voicebot.errors import PeerError, UsageError
from voicebot.replay import dialogues, mixing
from voicebot.replay.hearing_treatments import SHIPPED, Treatment, treatment
from voicebot.replay.mixing import PHONE_RATE, WIDE_RATE
from voicebot.replay.spoken_tasks import Recording, Task, recordings, tasks

TALKERS = 4
TRIES, AGAIN_S = 6, 2.0
ORDERS = "coffee orders"
DIALOGUE = f"{ORDERS}, asked and read back"


@dataclass(frozen=True, slots=True)
class Condition:
    name: str
    telephone: bool
    snr_db: float | None
    """Of speech over babble; None: quiet."""


WIDE = Condition("wide-band", False, None)
CONDITIONS = (
    Condition("phone", True, None),
    Condition("phone, babble", True, 10.0),
    WIDE,
    Condition("wide-band, babble", False, 10.0),
)


@dataclass(frozen=True, slots=True)
class Row:
    task: str
    condition: str
    right: int
    total: int
    unit: str
    """What `right` and `total` count."""

    @property
    def share(self) -> float:
        return self.right / self.total if self.total else 0.0


# --- the measurement ----------------------------------------------------------------------------------------


async def measure(
    folder: Path,
    coffee: Dialplan,
    *,
    engine: str = "pocketsphinx",
    conditions: Sequence[Condition] = CONDITIONS,
    limit: int = 0,
    workers: int = 1,
    only: str = "",
    config: Mapping[str, Any] | None = None,
    report: Callable[[Row], None] = lambda row: None,
) -> list[Row]:
    """Rows as they come, and all at the end. `config` goes to the engine as its options."""
    found = recordings(folder)
    every = tasks(found, coffee, limit)
    planned = [task for task in every if only in task.name]
    orders = next((t.recordings for t in every if t.name == ORDERS and only in DIALOGUE), ())
    if not planned and not orders:
        raise UsageError(f"No recording in {folder} is of a category that can be measured.")
    rows: list[Row] = []

    def add(more: Sequence[Row]) -> None:
        rows.extend(more)
        for row in more:
            report(row)

    takes: dialogues.Takes = {}
    shipped = treatment(SHIPPED, engine)
    telephone = [c for c in conditions if c.telephone]
    for wide in (True, False):
        here = [c for c in conditions if c.telephone is not wide]
        if not here and not (orders and wide and telephone):
            continue
        options = {**(config or {}), "rate": WIDE_RATE if wide else PHONE_RATE}
        asr: Asr = registry.load("asr", engine).create(EngineConfig(options=options, workers=workers))
        await asr.start()
        try:
            await asr.prepare([*(task.expectation for task in planned), *(expectations(coffee) if orders else ())])
            if orders and wide and telephone:
                takes = await _cut(Ears(asr, WIDE, found, workers, shipped), every[0])
            for condition in here:
                ears = Ears(asr, condition, found, workers, shipped)
                for task in planned:
                    add(await _run(ears, task))
                if orders and condition.telephone:
                    add(await _dialogues(ears, coffee, orders, takes))
        finally:
            await asr.close()
    return rows


@dataclass(frozen=True, slots=True)
class Ears:
    """A recogniser in one condition."""

    asr: Asr
    condition: Condition
    found: Sequence[Recording]
    workers: int
    shipped: Treatment
    """What a call does to the line."""

    async def hear(self, expectation: Expectation, recording: Recording, number: int) -> Words:
        return await self.listen(expectation, await asyncio.to_thread(self._read, recording), recording, number)

    def _read(self, recording: Recording) -> mixing.Sound:
        return mixing.read(recording.file, PHONE_RATE if self.condition.telephone else WIDE_RATE)

    async def listen(self, expectation: Expectation, sound: mixing.Sound, recording: Recording, number: int) -> Words:
        """The words of a sound at the condition's rate. `recording`: who speaks, and so takes no part in the babble.
        The same for the same number."""
        return await hear(self.asr, expectation, await asyncio.to_thread(self._brought, sound, recording, number))

    def _brought(self, sound: mixing.Sound, recording: Recording, number: int) -> bytes:
        """The sound as this condition brings it, at the engine's rate."""
        rate = PHONE_RATE if self.condition.telephone else WIDE_RATE
        sound = mixing.edged(sound, rate, number)
        if self.condition.snr_db is not None:
            chance = random.Random(number)
            crowd = [r for r in self.found if r.category == "read_an4" and r.speaker != recording.speaker] or [
                r for r in self.found if r.transcript and r.file != recording.file
            ]
            others = [mixing.read(r.file, rate) for r in chance.sample(crowd, min(TALKERS, len(crowd)))]
            sound = mixing.babble(sound, others, self.condition.snr_db, rate, number)
        if not self.condition.telephone:
            return mixing.pcm16(sound)
        return self.shipped.pcm([Placed(mixing.telephone(sound), 0)], self.asr.rate)


async def _run(ears: Ears, task: Task) -> list[Row]:
    sums: dict[str, tuple[int, int]] = {}
    at_once = asyncio.Semaphore(ears.workers)

    async def one(number: int, recording: Recording) -> None:
        async with at_once:
            words = await ears.hear(task.expectation, recording, number)
        for unit, (right, total) in task.score(recording, words).items():
            before = sums.get(unit, (0, 0))
            sums[unit] = (before[0] + right, before[1] + total)

    async with asyncio.TaskGroup() as group:
        for number, recording in enumerate(task.recordings):
            group.create_task(one(number, recording))
    return [Row(task.name, ears.condition.name, right, total, unit) for unit, (right, total) in sums.items()]


async def _cut(wide: Ears, task: Task) -> dialogues.Takes:
    async def heard(recording: Recording) -> Words:
        return await hear(wide.asr, task.expectation, mixing.pcm16(mixing.read(recording.file, WIDE_RATE)))

    return await dialogues.cut(wide.found, task.recordings, heard)


async def _dialogues(ears: Ears, coffee: Dialplan, orders: Sequence[Recording], takes: dialogues.Takes) -> list[Row]:
    at_once = asyncio.Semaphore(ears.workers)
    voice: Tts = registry.load("tts", "espeak").create(EngineConfig(voice=dialogues.VOICE))

    async def one(number: int, recording: Recording) -> dialogues.Outcome:
        mouth = dialogues.Mouth(takes, voice, recording, number)

        async def listen(expectation: Expectation, sound: mixing.Sound) -> Words:
            return await ears.listen(expectation, sound, recording, number)

        async with at_once:
            return await dialogues.order(coffee, dialogues.wishes(recording, number), mouth, listen)

    await voice.start()
    try:
        ended = await asyncio.gather(*(one(number, recording) for number, recording in enumerate(orders)))
    finally:
        await voice.close()
    counts = {
        "orders": sum(each.right for each in ended),
        "orders, amounts too": sum(each.wanted == each.written for each in ended),
        "in three turns": sum(each.right and each.turns <= 3 for each in ended),
    }
    return [Row(DIALOGUE, ears.condition.name, right, len(ended), unit) for unit, right in counts.items()]


async def hear(asr: Asr, expectation: Expectation, pcm: bytes) -> Words:
    """The final words of one utterance; empty ones when the engine gives none. Nothing is live here: an engine that was
    too late, on a machine that does other things as well, is asked again. `PeerError` when that does not help."""
    for _ in range(TRIES - 1):
        try:
            return await _once(asr, expectation, pcm)
        except PeerError:
            await asyncio.sleep(AGAIN_S)
    return await _once(asr, expectation, pcm)


async def _once(asr: Asr, expectation: Expectation, pcm: bytes) -> Words:
    session = asr.open(expectation)
    frame = asr.rate // 50 * 2
    for at in range(0, len(pcm), frame):
        session.push(pcm[at : at + frame])
    session.finish()
    heard = [words async for words in session.words() if words.final]
    return heard[-1] if heard else Words("", final=True)
