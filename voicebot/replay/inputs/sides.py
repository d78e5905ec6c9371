"""Which side of a recording is the caller, where nobody says: guessed from how a bot sounds, and how calls begin.

A synthesised voice has digital silence between its words, a person a room; and who is called speaks first. Each is a
hint; the first that is plain decides.
"""

from __future__ import annotations

import numpy as np

from voicebot.replay.recording import Samples

QUIET = 1
"""Largest |sample| of digital silence; A-law's smallest step is 8, and counts where nothing else comes."""
A_LAW_QUIET = 8
MOST = 0.35
"""Share of a bot's samples that are digital silence, at the least; and how much more it has than the caller."""
APART = 0.25
FIRST_MS = 300
"""Who speaks first by more than this answered the call."""
PIECE_MS = 20
LOUD_DBFS = -45.0


def caller_is_left(left: Samples, right: Samples, rate: int) -> tuple[bool, str]:
    """Whether the first channel is the caller, and why it is thought so, for the report."""
    first, second = _silence(left), _silence(right)
    if abs(first - second) > APART and max(first, second) > MOST:
        return second > first, "found: the other side is digitally silent between words, as a synthesised voice is"
    starts = [_first_sound_ms(side, rate) for side in (left, right)]
    if abs(starts[0] - starts[1]) > FIRST_MS:
        return starts[1] < starts[0], "found: the other side speaks first, as who answers does"
    return True, "assumed: the caller is on the left"


def _silence(samples: Samples) -> float:
    """Share of digital silence between a side's first and last sound."""
    some = np.abs(samples[: 1 << 23].astype(np.int32))
    heard = np.flatnonzero(some > A_LAW_QUIET)
    some = some[heard[0] : heard[-1]] if len(heard) else some[:0]
    return max(float((some <= QUIET).mean()), float((some == A_LAW_QUIET).mean())) if len(some) else 0.0


def _first_sound_ms(samples: Samples, rate: int) -> int:
    size = rate * PIECE_MS // 1000
    pieces = samples[: len(samples[: 1 << 24]) // size * size].reshape(-1, size).astype(np.float64)
    levels = np.sqrt((pieces**2).mean(1)) / 32768 if len(pieces) else np.zeros(0)
    loud = levels > max(10 ** (LOUD_DBFS / 20), float(levels.max(initial=0.0)) * 0.05)
    lasting = np.flatnonzero(loud[:-2] & loud[1:-1] & loud[2:]) if len(loud) > 2 else np.zeros(0, int)
    return int(lasting[0]) * PIECE_MS if len(lasting) else 1 << 30
