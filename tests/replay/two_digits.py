"""A folder of recordings as the measurements of hearing want it: two spoken digits and their manifest."""

from __future__ import annotations

import csv
from pathlib import Path

DIGITS = Path(__file__).parent.parent / "data/digits"


def write_manifest(folder: Path) -> None:
    """The recordings stay where they are."""
    with (folder / "MANIFEST.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "category", "speaker", "transcript", "labels", "sample_rate"])
        for digit in ("two", "five"):
            name = DIGITS / f"{digit}.flac"
            writer.writerow([name, "alphanumeric_moonshine", "moonshine:petewarden", digit, "", 16000])
