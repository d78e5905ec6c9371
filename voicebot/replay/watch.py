"""Every call judged as it ends: finished call folders are found, scored, and counted for Prometheus.

It is a process of its own beside the service, and takes nothing from its calls but a little of the processor. A call's
report lies in its folder and goes when the call is deleted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge

from voicebot import log
from voicebot.core.timeline import decode
from voicebot.errors import VoicebotError
from voicebot.replay.inputs.load import load
from voicebot.replay.page import write_report
from voicebot.replay.scoring import score
from voicebot.replay.verdict import Verdict

REPORT = "report"
"""The folder of the report within the call's."""
TAIL_BYTES = 8192
"""Of a timeline: its end is in there."""
LOST_S = 3600.0
"""A call whose timeline has not grown for so long, and has no end, has none."""
_log = log.get("watch")


class Figures:
    """What Prometheus is told."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.scored = Counter("voicebot_calls_scored", "Finished calls that were judged.", registry=self.registry)
        self.failed = Counter(
            "voicebot_calls_not_scored", "Finished calls that could not be judged.", registry=self.registry
        )
        self.alarms = Counter(
            "voicebot_call_alarms", "Judged calls in which a metric was beyond its limit, by metric.", ["metric"],
            registry=self.registry,
        )  # fmt: skip
        self.alarming = Gauge(
            "voicebot_last_call_alarms", "Metrics of the call judged last that are beyond their limits.",
            registry=self.registry,
        )  # fmt: skip

    def count(self, verdict: Verdict) -> None:
        """One more."""
        alarms = [metric.name for metric in verdict.metrics if metric.alarm]
        self.scored.inc()
        self.alarming.set(len(alarms))
        for name in alarms:
            self.alarms.labels(name).inc()


class Watch:
    """Over a folder of calls. `old`: those that had ended before are judged, too."""

    def __init__(
        self, calls: Path, figures: Figures, old: bool = False, now_s: Callable[[], float] = time.time
    ) -> None:
        self._calls, self._figures, self._now_s = calls, figures, now_s
        self._seen: set[str] = set()
        if not old:
            self._seen = {folder.name for folder in self._finished()}

    def look(self) -> Iterator[Verdict]:
        """The calls that have ended since the last look, judged. One that cannot be judged is counted."""
        for folder in self._finished():
            self._seen.add(folder.name)
            try:
                verdict = judge(folder)
            except (VoicebotError, OSError) as error:
                self._figures.failed.inc()
                _log.warning("call_not_scored", call_id=folder.name, why=str(error))
                continue
            self._figures.count(verdict)
            yield verdict

    def _finished(self) -> Iterator[Path]:
        try:
            folders = sorted(self._calls.iterdir())
        except FileNotFoundError:
            return
        names = {folder.name for folder in folders}
        self._seen &= names  # what was deleted is forgotten
        for folder in folders:
            if folder.name not in self._seen and not (folder / REPORT / "report.json").exists() and self._over(folder):
                yield folder

    def _over(self, folder: Path) -> bool:
        try:
            with open(folder / "timeline.jsonl", "rb") as file:
                size = file.seek(0, 2)
                file.seek(max(0, size - TAIL_BYTES))
                tail = file.read()
            quiet_s = self._now_s() - (folder / "timeline.jsonl").stat().st_mtime
        except OSError:
            return False
        return quiet_s > LOST_S or any(record.kind == "call_ended" for record in decode(tail.splitlines()))


def judge(folder: Path) -> Verdict:
    """A finished call; its report goes into its folder. `UsageError` when it cannot be judged."""
    (call,) = load(folder)
    verdict = score(call)
    write_report(verdict, call, folder / REPORT)
    return verdict
