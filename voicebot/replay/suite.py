"""Many recordings at once: in parallel, each in a process of a pool, with what an earlier run found taken as it is."""

from __future__ import annotations

import multiprocessing
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import orjson

from voicebot import log
from voicebot.config import Settings
from voicebot.replay.inputs.load import recordings
from voicebot.replay.task import SPEED, Task, earlier, work
from voicebot.replay.verdict import SuiteCall

TASKS_EACH = 16
"""Recordings for each process of a pool; then there is a fresh pool, and what the old one held is given back."""
COSTS = ("media_s", "wall_s", "recogniser_s")
SAME, WORSE, NOT_RUN = 0, 1, 2
"""Exit codes."""


def sources(paths: Sequence[Path]) -> Iterator[tuple[Path, str]]:
    """(recording, its name) of all under `paths`. What is in a folder is named by its way from there; no two have the
    same name."""
    names = Counter[str]()
    for path in paths:
        for each in recordings(path):
            name = each.relative_to(path).with_suffix("").as_posix() if each != path else path.stem
            names[name] += 1
            yield each, name if names[name] == 1 else f"{name}-{names[name]}"


def run(
    tasks: Sequence[Task], settings: Settings, jobs: int, fresh: bool, on_done: Callable[[Task, bool], None]
) -> list[SuiteCall]:
    """Every call, in the order of the tasks. `on_done(task, earlier)` is called as each is there. `fresh`: nothing is
    taken from an earlier run."""
    found: dict[int, list[SuiteCall]] = {}
    left: list[int] = []
    for number, task in enumerate(tasks):
        before = None if fresh else earlier(task, settings)
        if before is None:
            left.append(number)
        else:
            found[number] = before
            on_done(task, True)
    if jobs == 1 or len(left) == 1:
        for number in left:
            found[number] = work(tasks[number], settings)
            on_done(tasks[number], False)
    elif left:
        for number, calls in _pool(tasks, settings, left, jobs):
            found[number] = calls
            on_done(tasks[number], False)
    return [call for number in range(len(tasks)) for call in found[number]]


def _pool(
    tasks: Sequence[Task], settings: Settings, left: Sequence[int], jobs: int
) -> Iterator[tuple[int, list[SuiteCall]]]:
    """A pool for so many recordings, then a fresh one: `max_tasks_per_child` may hang (CPython issue 115634)."""
    for start in range(0, len(left), TASKS_EACH * jobs):
        batch = left[start : start + TASKS_EACH * jobs]
        pool = ProcessPoolExecutor(min(jobs, len(batch)), multiprocessing.get_context("spawn"), _quiet)
        try:
            waiting: dict[Future[list[SuiteCall]], int] = {pool.submit(work, tasks[n], settings): n for n in batch}
            for done in as_completed(waiting):
                yield waiting[done], _result(done, tasks[waiting[done]])
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _result(done: Future[list[SuiteCall]], task: Task) -> list[SuiteCall]:
    try:
        return done.result()
    except BrokenProcessPool:
        note = "A process that replayed calls was killed, perhaps for its memory; run it again to go on."
        return [SuiteCall(task.name, "", "failed", note=note)]


def _quiet() -> None:
    """A process of the pool: Ctrl-C is for who started it, and ends it when its call is done."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    log.configure(level="error")


@dataclass(frozen=True, slots=True)
class Cost:
    """Of all calls together: how long they were, and what went into them by the wall of the processes that did it."""

    media_s: float
    wall_s: float
    """Without starting engines, judging and pages."""
    recogniser_s: float


def cost(out: Path, calls: Sequence[SuiteCall]) -> Cost | None:
    """Of those that were replayed. None where none was."""
    told = []
    for call in calls:
        try:
            told.append(orjson.loads((out / call.folder / SPEED).read_bytes()))
        except (OSError, orjson.JSONDecodeError):
            continue
    media_s, wall_s, recogniser_s = (sum(each[name] for each in told) for name in COSTS)
    return Cost(media_s, wall_s, recogniser_s) if wall_s > recogniser_s else None


def exit_code(calls: Sequence[SuiteCall]) -> int:
    """0: all the same or better; 1: some are worse; 2: some could not be run, and of the others none is worse."""
    outcomes = {call.outcome for call in calls}
    return WORSE if "worse" in outcomes else NOT_RUN if "failed" in outcomes else SAME
