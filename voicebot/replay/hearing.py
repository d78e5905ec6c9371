"""`make bench-hearing`: what the telephone takes from a recogniser, and what each treatment of the line wins back.

Recogniser × line × treatment on recordings of people, judged on voices that nothing was fitted on (`hearing_sets`). A
line is what the network makes of a wide-band recording; a treatment is what stands between the line and the recogniser.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from voicebot.audio.jitter import Placed
from voicebot.core.dialplan import Dialplan
from voicebot.core.expectations import expectations
from voicebot.engines import denoise, registry
from voicebot.engines.bandwidth import MODES, chosen
from voicebot.engines.base import Asr, EngineConfig
from voicebot.errors import UsageError
from voicebot.replay import mixing
from voicebot.replay.hearing_sets import Part, parts
from voicebot.replay.hearing_treatments import AS_IT_IS, SHIPPED, UNTREATED, Treatment, treatment
from voicebot.replay.line_copies import brought
from voicebot.replay.mixing import PHONE_RATE, WIDE_RATE, Sound
from voicebot.replay.spoken_tasks import Recording, Task, recordings, tasks
from voicebot.replay.understanding import TALKERS, hear

POCKETSPHINX, WHISPERS = "pocketsphinx", ("whisper", "faster_whisper")
FIRST = 40
"""Orders that earlier figures were about."""
BUNDLED_MEAN = "40,3,-1"


@dataclass(frozen=True, slots=True)
class Line:
    name: str
    telephone: bool = True
    noise: str = ""
    """babble, or what a noise recording's file or label says."""
    snr_db: float = 10.0
    loss: float = 0.0
    gain_db: float = 0.0
    more: Sequence[str] = ()
    """What else is tried on this line, besides what extends the engine's band best."""


WIDE = Line("16 kHz", telephone=False)
PHONE = Line("8 kHz μ-law", more=("level", "noise"))
LINES = (
    WIDE,
    Line("16 kHz, babble", telephone=False, noise="babble"),
    PHONE,
    Line("μ-law, babble 10 dB", noise="babble", more=("noise",)),
    Line("μ-law, street 10 dB", noise="traffic", more=("noise",)),
    Line("μ-law, 5 % lost", loss=0.05, more=("silence", "cut", "gaps")),
    Line("μ-law, 10 dB softer", gain_db=-10.0, more=("level",)),
    Line("μ-law, 20 dB softer", gain_db=-20.0, more=("level",)),
)


@dataclass(frozen=True, slots=True)
class Cell:
    """One task, as heard over one line through one treatment."""

    engine: str
    line: str
    treatment: str
    task: str
    part: str
    """Whose voices: judge's, or those that also chose."""
    right: int
    total: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured."""

    engine: str = POCKETSPHINX
    options: Mapping[str, Any] = field(default_factory=dict)
    """The engine's: a model's path, say."""
    lines: Sequence[Line] = LINES
    treatments: Sequence[str] = ()
    """By name, see `hearing_treatments`; empty: all ways of extension, what a call does, and what a line has `more`."""
    limit: int = 0
    """Of each task; 0: all."""
    noisy_limit: int = 60
    """Of each task on every line but the plain ones: those are many."""
    workers: int = 1


def judged(found: Sequence[Recording], coffee: Dialplan, limit: int = 0) -> list[tuple[Task, Part]]:
    """The tasks with the voices they are judged on, orders in two: the first forty, and the others."""
    part = parts(found)
    every: list[tuple[Task, Part]] = []
    for task in tasks(found, coffee):
        if task.name == "single letters":
            continue
        of = Part.CHOOSE if "moonshine" in task.name else Part.JUDGE
        fit = [each for each in task.recordings if part[each.file] is of]
        halves = {f"{task.name}, first {FIRST}": fit[:FIRST], f"{task.name}, the others": fit[FIRST:]}
        named = halves if task.recordings[0].category == "commands_s2i" else {task.name: fit}
        for name, those in named.items():
            some = random.Random(1).sample(those, limit) if 0 < limit < len(those) else those
            if some:
                every.append((replace(task, name=name, recordings=some), of))
    return every


def wide_recordings(folder: Path, coffee: Dialplan, most: int = 20) -> list[Recording]:
    """Of each task some of the voices it is judged on, where they were recorded in wide band."""
    every = judged(recordings(folder), coffee, most)
    return [each for task, _ in every for each in task.recordings if each.rate >= WIDE_RATE]


async def measure(folder: Path, coffee: Dialplan, plan: Plan, report: Callable[[Cell], None]) -> list[Cell]:
    """All cells, and each as it comes. `UsageError` where the engine cannot run here, or there is nothing to hear."""
    if missing := registry.check("asr", plan.engine):
        raise UsageError(f"{plan.engine} cannot be measured here: {missing}")
    found = recordings(folder)
    if not judged(found, coffee, 1):
        raise UsageError(f"No recording in {folder} is of a category that can be measured.")
    cells: list[Cell] = []
    asr: Asr | None = None
    try:
        for line in (each for each in plan.lines if not each.noise or noises(found, each)):
            few = plan.limit if line in (WIDE, PHONE) else min(plan.limit or plan.noisy_limit, plan.noisy_limit)
            wanted = judged(found, coffee, few)
            for name in treatments(plan, line):
                if asr is None or plan.engine == POCKETSPHINX:  # whose settings go by line and treatment
                    if asr is not None:
                        await asr.close()
                    asr = await _started(plan, line, name)
                await asr.prepare([*(task.expectation for task, _ in wanted), *expectations(coffee)])
                source = Source(found, line, treatment(name, plan.engine), asr.rate)
                for task, part in wanted:
                    if line is WIDE and task.recordings[0].rate < WIDE_RATE:
                        continue  # no wide-band recording was made of these
                    right, total = await _heard(asr, source, task, plan.workers)
                    cells.append(Cell(plan.engine, line.name, name, task.name, part, right, total))
                    report(cells[-1])
    finally:
        if asr is not None:
            await asr.close()
    return cells


def treatments(plan: Plan, line: Line) -> Sequence[str]:
    """What is measured on this line, as far as it can be here."""
    if not line.telephone:
        return (AS_IT_IS,)
    if plan.treatments:
        return plan.treatments
    ways = MODES[:3] if plan.engine == POCKETSPHINX else MODES[1:3]  # of others, `off` is `untreated`
    best = chosen("auto", plan.engine).mode
    more = [each for each in line.more if each != "noise" or denoise.check() is None]
    return (UNTREATED, *ways, *(f"{best}+{each}" for each in more), SHIPPED)


async def _started(plan: Plan, line: Line, name: str) -> Asr:
    options: dict[str, Any] = dict(plan.options)
    if plan.engine == POCKETSPHINX:
        options["rate"] = PHONE_RATE if line.telephone else WIDE_RATE
        if name == UNTREATED:
            options["tuning"] = {"mean": BUNDLED_MEAN}
    elif plan.engine in WHISPERS:
        options.setdefault("deadline_s", 60)  # nothing is live here
    mode = treatment(name, plan.engine).hears.bandwidth.mode
    config = EngineConfig(options=options, workers=plan.workers, bandwidth=mode)
    asr: Asr = registry.load("asr", plan.engine).create(config)
    await asr.start()
    return asr


async def _heard(asr: Asr, source: Source, task: Task, at_once: int) -> tuple[int, int]:
    """(right, total), in the task's first unit."""
    room = asyncio.Semaphore(at_once)
    scores: list[tuple[int, int]] = []

    async def one(number: int, recording: Recording) -> None:
        async with room:
            words = await hear(asr, task.expectation, await asyncio.to_thread(source.pcm, recording, number))
        scores.append(next(iter(task.score(recording, words).values())))

    async with asyncio.TaskGroup() as group:
        for number, recording in enumerate(task.recordings):
            group.create_task(one(number, recording))
    return sum(right for right, _ in scores), sum(total for _, total in scores)


@dataclass(frozen=True, slots=True)
class Source:
    """A line, and the treatment at its end, for an engine that takes `rate`."""

    found: Sequence[Recording]
    line: Line
    treatment: Treatment
    rate: int

    def pcm(self, recording: Recording, number: int) -> bytes:
        """int16 LE at `rate`; the same for the same number."""
        if not self.line.telephone:
            return mixing.pcm16(self._sound(recording, number, WIDE_RATE))
        pcm = mixing.telephone(self._sound(recording, number, PHONE_RATE))
        line = [Placed(pcm, 0)]
        if self.line.loss:
            line = brought(pcm, self.line.loss, np.random.default_rng(number))
        return self.treatment.pcm(line, self.rate)

    def _sound(self, recording: Recording, number: int, rate: int) -> Sound:
        line = self.line
        sound = mixing.edged(mixing.read(recording.file, rate), rate, number)
        if line.noise:
            some = noises(self.found, line, recording.speaker, number)
            sound = mixing.babble(sound, [mixing.read(each.file, rate) for each in some], line.snr_db, rate, number)
        return sound * np.float32(10 ** (line.gain_db / 20))


def noises(found: Sequence[Recording], line: Line, speaker: str = "", number: int = 0) -> list[Recording]:
    """Four people other than the speaker, or the one noise of that name; nothing where the folder has none."""
    if line.noise == "babble":
        crowd = [r for r in found if r.category == "read_an4" and r.speaker != speaker]
        return random.Random(number).sample(crowd, min(TALKERS, len(crowd)))
    return [r for r in found if r.category == "noise" and line.noise in r.file.name][:1]


def won_back(cells: Sequence[Cell], cell: Cell) -> float | None:
    """Of what the untreated line loses against 16 kHz on this task, the share that the treatment brings back. None
    where nothing is lost, or nobody listened to one of the two."""
    alike = [each for each in cells if (each.task, each.engine) == (cell.task, cell.engine)]
    shares = {(each.line, each.treatment): each.right / each.total for each in alike}
    wide, bare = shares.get((WIDE.name, AS_IT_IS)), shares.get((PHONE.name, UNTREATED))
    if cell.line != PHONE.name or wide is None or bare is None or wide <= bare:
        return None
    return (cell.right / cell.total - bare) / (wide - bare)
