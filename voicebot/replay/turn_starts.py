"""How well speech is found in a recording, against people's labels: where turns begin, and how much of them.

`Labels` come from a MANIFEST.csv (`speaker_turns`: from, to in seconds, who) or from a transcript with times beside
the recording. People label turns, with the pauses in them, so both sides are joined over pauses of `JOIN_MS`.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from voicebot.errors import UsageError
from voicebot.replay.inputs.load import load, recordings
from voicebot.replay.measures import speech
from voicebot.replay.measures.exchange import Span
from voicebot.replay.recording import at_phone_rate

JOIN_MS = 1000
NEAR_MS = 300
"""A start this near a labelled one is that one."""
DEFINITIONS = (
    f"Labels of all speakers and voices found are joined over pauses of {JOIN_MS} ms. A start is right within "
    f"{NEAR_MS} ms of a label's, each used once; precision: of the starts found; recall: of the labels'. Speech: by "
    "time."
)


@dataclass(frozen=True, slots=True)
class Row:
    """Of one recording."""

    name: str
    labelled: int
    found: int
    right: int
    labelled_ms: int
    found_ms: int
    both_ms: int


def measure(folder: Path) -> list[Row]:
    """Every recording of a folder that has labels. `UsageError` when none has."""
    rows = [_row(path, labels) for path, labels in _labelled(folder)]
    if not rows:
        raise UsageError(f"No recording in {folder} has labels: neither a MANIFEST.csv nor a transcript with times.")
    return rows


def total(rows: Sequence[Row], name: str = "together") -> Row:
    """Their sum."""
    counts = [(r.labelled, r.found, r.right, r.labelled_ms, r.found_ms, r.both_ms) for r in rows]
    return Row(name, *(sum(column) for column in zip(*counts, strict=True)))


def _labelled(folder: Path) -> Iterator[tuple[Path, list[Span]]]:
    manifest = next(
        (each / "MANIFEST.csv" for each in (folder, folder.parent) if (each / "MANIFEST.csv").is_file()), None
    )
    known: dict[Path, list[Span]] = {}
    if manifest:
        with manifest.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                turns = json.loads(row.get("labels") or "{}")
                spans = turns.get("speaker_turns", []) if isinstance(turns, dict) else []
                known[manifest.parent / row["path"]] = [(round(a * 1000), round(b * 1000)) for a, b, *_ in spans]
    for path in recordings(folder):
        if spans := known.get(path) or _transcript(path):
            yield path, spans


def _transcript(path: Path) -> list[Span]:
    """The times of a transcript beside the recording; none where it cannot be read or has none."""
    try:
        [call] = load(path)
    except (UsageError, ValueError):
        return []
    return [
        (said.start_ms, said.end_ms) for said in call.reference if said.start_ms is not None and said.end_ms is not None
    ]


def _row(path: Path, labels: list[Span]) -> Row:
    call = at_phone_rate(load(path)[0])
    sides = [side for side in (call.caller, call.bot) if side is not None]
    voices = [(voice.start_ms, voice.end_ms) for side in sides for voice in speech.voices(side)]
    truth, found = joined(labels), joined(voices)
    said, heard = (_marks(spans, call.duration_ms) for spans in (labels, voices))
    return Row(
        path.name, len(truth), len(found), right(truth, found),
        int(said.sum()), int(heard.sum()), int((said & heard).sum()),
    )  # fmt: skip


def joined(spans: Sequence[Span]) -> list[Span]:
    """Whoever speaks, as one: joined over short pauses."""
    found: list[Span] = []
    for start, end in sorted(spans):
        if found and start - found[-1][1] < JOIN_MS:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return found


def right(truth: Sequence[Span], found: Sequence[Span]) -> int:
    """How many labelled starts have a found one near, each used once."""
    free = [start for start, _ in found]
    count = 0
    for start, _ in truth:
        near = min(free, key=lambda each: abs(each - start), default=None)
        if near is not None and abs(near - start) <= NEAR_MS:
            free.remove(near)
            count += 1
    return count


def _marks(spans: Sequence[Span], ms: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    marks = np.zeros(ms, np.bool_)
    for start, end in spans:
        marks[start:end] = True
    return marks
