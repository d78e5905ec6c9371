"""One recording, replayed and judged: what a suite gives to each of its processes.

Runs to its end whatever the recording is: what cannot be replayed is a result, too.
"""

from __future__ import annotations

import gc
import hashlib
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import orjson

from voicebot import __version__, log
from voicebot.config import Settings
from voicebot.errors import UsageError, VoicebotError
from voicebot.replay import clock, golden
from voicebot.replay.cassette import Cassette, Mode
from voicebot.replay.inputs.load import Told, load
from voicebot.replay.measures import timeline
from voicebot.replay.page import write_report
from voicebot.replay.plans import plan_of
from voicebot.replay.recording import CallAudio
from voicebot.replay.rehear import rehear
from voicebot.replay.rerun import rerun
from voicebot.replay.scoring import score
from voicebot.replay.verdict import Suite, SuiteCall, Verdict, read_suite, write

RESULT = "result.json"
CALL, NEW = "call", "new.wav"
"""What a replay makes: a call's folder like any other, within the report's; and its sound again, beside the report."""
SPEED = "speed.json"
"""What the last run cost (`rehear.Heard`): beside what is the same every time, for this is not."""
_log = log.get("replay")


@dataclass(frozen=True, slots=True)
class Task:
    path: Path
    mode: Literal["score", "rehear", "rerun"]
    out: Path
    golden: Path
    accept: bool = False
    """Store what comes out as golden run, whatever it is."""
    dialplan: str = ""
    pace: str = "recorded"
    cassette: Path | None = None
    engines: Mode = "auto"
    repeat: int = 1
    least: float = 0.5
    """Share of the runs that must not be worse."""
    told: Told | None = None
    """What the operator says of the recording."""
    name: str = ""
    """Of its folder under `out`; a recording with several calls has one for each."""

    @property
    def folder(self) -> Path:
        return self.out / _safe(self.name or self.path.stem)


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("._") or "call"


# --- results that are there already --------------------------------------------------------------------------------


def earlier(task: Task, settings: Settings) -> list[SuiteCall] | None:
    """What an earlier run of the same task found; None where there was none, or anything has changed since. Engines
    that are asked live may answer otherwise today: of them only a run that was broken off is gone on with."""
    try:
        found = orjson.loads((task.folder / RESULT).read_bytes())
        if task.accept or found["of"] != _of(task, settings):
            return None
        whole = task.out / "suite.json"
        if task.engines == "live" and whole.exists() and _age(whole) >= _age(task.folder / RESULT):
            return None
        return list(read_suite(orjson.dumps(found["suite"])).calls)
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError, VoicebotError):
        return None


def _age(file: Path) -> int:
    return file.stat().st_mtime_ns


def _keep(task: Task, settings: Settings, calls: Sequence[SuiteCall]) -> None:
    suite = orjson.loads(write(Suite(task.name, task.mode, tuple(calls))))
    task.folder.mkdir(parents=True, exist_ok=True)
    (task.folder / RESULT).write_bytes(orjson.dumps({"of": _of(task, settings), "suite": suite}))


def _of(task: Task, settings: Settings) -> str:
    """Changes with anything that the result depends on."""
    told = [__version__, settings.vad, settings.eot_model, repr(replace(task, out=Path(), accept=False, cassette=None))]
    sound = [task.path, *(sorted(task.path.iterdir()) if task.path.is_dir() else ())]
    stamps = [(file.name, file.stat().st_mtime_ns, file.stat().st_size) for file in sound]
    small = [*sorted(task.golden.glob(f"*.{task.mode}.json")), Path(task.dialplan)]
    small += sorted(settings.dialplans.glob("*.y*ml")) if settings.dialplans.is_dir() else [settings.dialplans]
    contents = [hashlib.sha256(file.read_bytes()).hexdigest() for file in small if file.is_file()]
    return hashlib.sha256(orjson.dumps([told, stamps, contents])).hexdigest()[:32]


# --- the work ------------------------------------------------------------------------------------------------------


def work(task: Task, settings: Settings) -> list[SuiteCall]:
    """Every call of the recording."""
    found = list(_calls(task, settings))
    gc.collect()  # a call's engines and sound hang in cycles: a few of them are more than all the rest
    _keep(task, settings, found)
    return found


def _calls(task: Task, settings: Settings) -> Iterator[SuiteCall]:
    try:
        calls = load(task.path, task.told)
    except VoicebotError as error:
        yield SuiteCall(task.name or task.path.name, "", "failed", note=str(error))
        return
    for number, call in enumerate(calls):
        folder = task.folder / _safe(call.name) if len(calls) > 1 else task.folder
        name = f"{task.name or call.name}{f'/{number + 1}' if len(calls) > 1 else ''}"
        try:
            yield _judged(task, settings, call, folder, name)
        except VoicebotError as error:
            yield SuiteCall(name, "", "failed", call.duration_ms, str(error))
        except Exception as error:  # one call must not end the suite
            _log.error("replay_broke", call=name, exc_info=error)
            yield SuiteCall(name, "", "failed", call.duration_ms, f"{call.name}: it broke ({type(error).__name__}).")


def _judged(task: Task, settings: Settings, call: CallAudio, folder: Path, name: str) -> SuiteCall:
    folder.mkdir(parents=True, exist_ok=True)
    call = replace(call, name=name)
    runs: list[Verdict] = []
    for _ in range(task.repeat):
        made, verdict = one(task, settings, call, folder)
        runs.append(verdict)
    verdict = golden.middle(runs)
    if task.accept:
        golden.accept(task.golden, verdict)
    before = golden.golden_of(task.golden, verdict)
    passed = sum(golden.outcome_of(golden.compare(before, run)) != "worse" for run in runs) if before else task.repeat
    verdict = replace(verdict, compared=golden.compare(before, verdict) if before else ())
    _report(verdict, made, folder)
    outcome = golden.outcome_of(verdict.compared)
    if task.repeat > 1:  # a median that looks worse is not, when most runs are as good as ever; nor the other way round
        outcome = "worse" if passed < task.least * task.repeat else "changed" if outcome != "pass" else "pass"
    return SuiteCall(
        name, folder.relative_to(task.out).as_posix(), outcome, verdict.duration_ms,
        "" if before else "no golden run yet: --accept makes this one it", verdict.metrics, verdict.compared,
        passed if task.repeat > 1 else None, task.repeat if task.repeat > 1 else None,
    )  # fmt: skip


def one(task: Task, settings: Settings, call: CallAudio, folder: Path) -> tuple[CallAudio, Verdict]:
    """(the call as it is now, its verdict) of one run. `UsageError` when it cannot be run."""
    if task.mode == "score":
        return call, score(call)
    if call.mixed and task.told and task.told.caller != "find":  # one channel, and it was said whose it is
        call = replace(call, mixed=False)
    shutil.rmtree(made_in := folder / CALL, ignore_errors=True)
    plan, diverged = plan_of(call, settings, task.dialplan), None
    if task.mode == "rehear":
        heard = clock.run(rehear(call, plan[0] if plan else None, settings, made_in))
    elif plan is None:
        raise UsageError(f"{call.name} does not say which dialplan took it; say --dialplan.")
    else:
        tape = Cassette(task.cassette, task.engines)
        reran = clock.run(rerun(call, plan[1], settings, made_in, task.pace, tape))
        heard, diverged = reran.heard, reran.diverged_ms
    (folder / SPEED).write_bytes(orjson.dumps(heard))
    (found,) = load(made_in)
    timed = task.mode == "rehear" or task.pace == "recorded"
    said = call.reference if timed else tuple(replace(each, start_ms=None, end_ms=None) for each in call.reference)
    made = replace(found, name=call.name, reference=said)
    verdict = score(made, task.mode)
    return made, replace(verdict, diverged_ms=diverged, versions=_versions(task, verdict, call))


def _versions(task: Task, verdict: Verdict, then: CallAudio) -> dict[str, str]:
    """Today's, and those of the recording that were others."""
    today = verdict.versions | ({"pace": task.pace} if task.mode == "rerun" else {})
    before = timeline.versions(then.records)
    return today | {f"{name}, then": value for name, value in before.items() if today.get(name) != value}


def _report(verdict: Verdict, call: CallAudio, folder: Path) -> None:
    write_report(verdict, call, folder)
    (folder / NEW).unlink(missing_ok=True)
    if (sound := folder / CALL / "audio.wav").exists():
        try:
            (folder / NEW).hardlink_to(sound)
        except OSError:  # a file system without links
            shutil.copy(sound, folder / NEW)
