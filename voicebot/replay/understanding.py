"""How much a recogniser understands of real voices, on a folder of recordings with a `MANIFEST.csv`.

Every recording is heard as a telephone brings it (8 kHz, μ-law) and, for comparison, as recorded (16 kHz), in quiet
and with four other people talking 10 dB below the speaker.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voicebot.core.dialplan import Dialplan
from voicebot.core.expect import Expectation
from voicebot.core.words import Words
from voicebot.engines import registry
from voicebot.engines.base import Asr, EngineConfig
from voicebot.errors import UsageError
from voicebot.replay import mixing
from voicebot.replay.spoken_tasks import Recording, Task, recordings, tasks

TALKERS = 4
WIDE_RATE = 16_000
PHONE_RATE = 8_000


@dataclass(frozen=True, slots=True)
class Condition:
    name: str
    telephone: bool
    snr_db: float | None
    """Of speech over babble; None: quiet."""


CONDITIONS = (
    Condition("phone", True, None),
    Condition("phone, babble", True, 10.0),
    Condition("wide-band", False, None),
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
    planned = [task for task in tasks(found, coffee, limit) if only in task.name]
    if not planned:
        raise UsageError(f"No recording in {folder} is of a category that can be measured.")
    rows: list[Row] = []
    for wide in (False, True):
        here = [c for c in conditions if c.telephone is not wide]
        if not here:
            continue
        options = {**(config or {}), "rate": WIDE_RATE if wide else PHONE_RATE}
        asr: Asr = registry.load("asr", engine).create(EngineConfig(options=options, workers=workers))
        await asr.start()
        try:
            await asr.prepare([task.expectation for task in planned])
            for condition in here:
                for task in planned:
                    for row in await _run(asr, task, condition, found, workers):
                        rows.append(row)
                        report(row)
        finally:
            await asr.close()
    return rows


async def _run(asr: Asr, task: Task, condition: Condition, found: Sequence[Recording], workers: int) -> list[Row]:
    sums: dict[str, tuple[int, int]] = {}
    at_once = asyncio.Semaphore(workers)

    async def one(number: int, recording: Recording) -> None:
        async with at_once:
            sound = await asyncio.to_thread(_sound, recording, condition, found, number, asr.rate)
            words = await hear(asr, task.expectation, sound)
        for unit, (right, total) in task.score(recording, words).items():
            before = sums.get(unit, (0, 0))
            sums[unit] = (before[0] + right, before[1] + total)

    async with asyncio.TaskGroup() as group:
        for number, recording in enumerate(task.recordings):
            group.create_task(one(number, recording))
    return [Row(task.name, condition.name, right, total, unit) for unit, (right, total) in sums.items()]


async def hear(asr: Asr, expectation: Expectation, pcm: bytes) -> Words:
    """The final words of one utterance; empty ones when the engine gives none."""
    session = asr.open(expectation)
    frame = asr.rate // 50 * 2
    for at in range(0, len(pcm), frame):
        session.push(pcm[at : at + frame])
    session.finish()
    heard = [words async for words in session.words() if words.final]
    return heard[-1] if heard else Words("", final=True)


def _sound(recording: Recording, condition: Condition, found: Sequence[Recording], number: int, rate: int) -> bytes:
    """The recording as this condition brings it, at the engine's rate. The same for the same number."""
    source_rate = PHONE_RATE if condition.telephone else WIDE_RATE
    sound = mixing.edged(mixing.read(recording.file, source_rate), source_rate, number)
    if condition.snr_db is not None:
        chance = random.Random(number)
        crowd = [r for r in found if r.category == "read_an4" and r.speaker != recording.speaker] or [
            r for r in found if r.transcript and r.file != recording.file
        ]
        others = [mixing.read(r.file, source_rate) for r in chance.sample(crowd, min(TALKERS, len(crowd)))]
        sound = mixing.babble(sound, others, condition.snr_db, source_rate, number)
    if not condition.telephone:
        return mixing.pcm16(sound)
    pcm = mixing.telephone(sound)
    return pcm if rate == PHONE_RATE else mixing.resampled(pcm, PHONE_RATE, rate)
