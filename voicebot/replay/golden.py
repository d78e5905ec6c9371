"""Golden runs: a verdict that was accepted, and what became better or worse since, each metric by its own rule.

    exact       any difference: an outcome, a tool and what it was given, a count that has to stay
    tolerance   worse by more than the larger of so much and such a share of the golden value
    semantic    words: the same after normalisation, else a person has to look

After the bot has said something else than in the recording, what was said can no longer be compared; what the call
was for can: whether the order was written down, how the call ended, how long everybody waited.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median_low
from typing import Literal, assert_never

from voicebot.errors import UsageError
from voicebot.replay.measures.words import normalised
from voicebot.replay.verdict import Compared, Exact, Metric, Semantic, Tolerance, Verdict, read, write

Outcome = Literal["same", "better", "worse", "changed", "diverged"]
SHOWN = 60
"""Characters of a text that a sentence shows."""


# --- on disk -------------------------------------------------------------------------------------------------------


def file_of(folder: Path, verdict: Verdict) -> Path:
    """Where the golden run of a call lies; one for each mode."""
    return folder / f"{re.sub(r'[^A-Za-z0-9._-]', '_', verdict.name)}.{verdict.mode}.json"


def accept(folder: Path, verdict: Verdict) -> Path:
    """From now on this is what the call is measured by."""
    folder.mkdir(parents=True, exist_ok=True)
    file = file_of(folder, verdict)
    file.write_bytes(write(replace(verdict, compared=(), worst=())))
    return file


def golden_of(folder: Path, verdict: Verdict) -> Verdict | None:
    """The run that was accepted; None where there is none. `UsageError` when it cannot be read."""
    file = file_of(folder, verdict)
    try:
        return read(file.read_bytes(), str(file))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}.") from None


# --- comparison ----------------------------------------------------------------------------------------------------


def compare(golden: Verdict, now: Verdict) -> tuple[Compared, ...]:
    """Every metric that the golden run has, in its order; what is new has nothing to be compared with."""
    today = {metric.name: metric for metric in now.metrics}
    diverged = now.diverged_ms is not None and golden.diverged_ms is None
    return tuple(_compared(each, today.get(each.name), diverged) for each in golden.metrics)


def _compared(golden: Metric, now: Metric | None, diverged: bool) -> Compared:
    value = now.value if now else None
    found, delta = _judged(golden, value)
    if diverged and (golden.group == "language" or isinstance(golden.rule, Semantic)):
        found = "diverged"
    return Compared(golden.name, golden.value, value, delta, found, _sentence(golden, value, found))


def _judged(golden: Metric, value: float | str | None) -> tuple[Outcome, float | None]:
    """(outcome, value - golden where both are numbers)."""
    was = golden.value
    if was is None or value is None:
        return ("same" if was is None else "changed"), None
    delta = round(value - was, 3) if isinstance(value, int | float) and isinstance(was, int | float) else None
    match golden.rule:
        case Exact():
            if value == was:
                return "same", delta
            return ("worse" if delta is None else _direction(golden, delta)), delta
        case Tolerance(absolute, relative):
            if delta is None:
                return ("same" if value == was else "changed"), None
            most = max(absolute, relative * abs(float(was)))
            return ("same" if abs(delta) <= most else _direction(golden, delta)), delta
        case Semantic():
            return ("same" if normalised(str(was)) == normalised(str(value)) else "changed"), delta
        case _:
            assert_never(golden.rule)


def _direction(golden: Metric, delta: float) -> Outcome:
    """Of a difference that counts. Where neither way is the better one, a person has to look."""
    match golden.better:
        case "lower":
            return "worse" if delta > 0 else "better"
        case "higher":
            return "worse" if delta < 0 else "better"
        case "same":
            return "worse" if isinstance(golden.rule, Exact) else "changed"
        case _:
            assert_never(golden.better)


def _sentence(golden: Metric, value: float | str | None, found: Outcome) -> str:
    if found == "same":
        return ""
    if value is None:
        return f"{golden.title}: {_shown(golden, golden.value)}, and today it cannot be known."
    tail = " The bot's answers are others than in the recording." if found == "diverged" else ""
    return f"{golden.title}: {_shown(golden, value)} instead of {_shown(golden, golden.value)}.{tail}"


def _shown(golden: Metric, value: float | str | None) -> str:
    if isinstance(value, str):
        return f"“{value if len(value) <= SHOWN else value[: SHOWN - 1] + '…'}”" if value else "none"
    return f"{value:g} {golden.unit}".strip() if value is not None else "unknown"


def outcome_of(compared: Iterable[Compared]) -> Literal["pass", "worse", "changed"]:
    """Of a call: one metric that is worse makes it worse."""
    found = {each.outcome for each in compared}
    return "worse" if "worse" in found else "changed" if found & {"changed", "diverged"} else "pass"


# --- several runs --------------------------------------------------------------------------------------------------


def middle(runs: Sequence[Verdict]) -> Verdict:
    """The run that is shown of several: the first with every number the median of all. Texts are those that most runs
    have; of several as frequent, the first."""
    if len(runs) == 1:
        return runs[0]
    return replace(runs[0], metrics=tuple(_middle(runs, each) for each in runs[0].metrics))


def _middle(runs: Sequence[Verdict], first: Metric) -> Metric:
    values = [metric.value for run in runs for metric in run.metrics if metric.name == first.name]
    known = [value for value in values if value is not None]
    if not known:
        return first
    numbers = [value for value in known if isinstance(value, int | float)]
    value: float | str = median_low(numbers) if len(numbers) == len(known) else max(known, key=known.count)
    return replace(first, value=value)
