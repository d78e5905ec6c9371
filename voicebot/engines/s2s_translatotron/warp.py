"""How far two sequences are apart: spectrograms whatever their tempo (dynamic time warping), symbols. No torch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Frames = npt.NDArray[np.float32]
"""[T, width]."""
EVERY = 2
"""Only every second frame is looked at: 25 ms are near enough."""


def distances(made: Sequence[Frames], wanted: Sequence[Frames]) -> npt.NDArray[np.float64]:
    """Mean distance along the best path, for every one made against every one wanted: [made, wanted]."""
    return np.array([[_distance(one[::EVERY], other[::EVERY]) for other in wanted] for one in made])


def _distance(one: Frames, other: Frames) -> float:
    cost = np.abs(one[:, None] - other[None]).mean(axis=2, dtype=np.float64)
    rows, columns = cost.shape
    best = np.full((rows + 1, columns + 1), np.inf)
    best[0, 0] = 0.0
    for diagonal in range(rows + columns - 1):  # the cells of one diagonal do not depend on each other
        i = np.arange(max(0, diagonal - columns + 1), min(diagonal, rows - 1) + 1)
        j = diagonal - i
        best[i + 1, j + 1] = cost[i, j] + np.minimum(best[i, j], np.minimum(best[i, j + 1], best[i + 1, j]))
    return float(best[rows, columns] / (rows + columns))


def edits(said: Sequence[object], meant: Sequence[object]) -> int:
    """Levenshtein's distance."""
    row = list(range(len(meant) + 1))
    for at, each in enumerate(said, 1):
        before, row[0] = row[0], at
        for place, other in enumerate(meant, 1):
            before, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, before + (each != other))
    return row[-1]
