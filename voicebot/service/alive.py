"""Whether the process that took a call is still there: it holds a lock on a file for as long as it lives.

The kernel lets go of the lock however the process ends; a process number would say less, since numbers come back.
Where there are no such locks (Windows), every other process counts as gone.
"""

from __future__ import annotations

import secrets
import sys
from pathlib import Path
from typing import IO

if sys.platform != "win32":
    import fcntl


class Alive:
    """This process among those that share a data folder."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._name = folder, ""
        self._held: IO[bytes] | None = None

    def name(self) -> str:
        """Ours; from now on we are seen to be alive."""
        if self._held is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._name = secrets.token_hex(8)
            self._held = open(self._folder / self._name, "wb")  # noqa: SIM115 - held until the end
            _lock(self._held)
        return self._name

    def lives(self, name: str) -> bool:
        """Whether the process of that name is still there. What is left of one that is not is cleared away."""
        file = self._folder / name
        if not name or not file.is_file():
            return False
        with file.open("rb") as probe:
            if not _lock(probe):
                return True
        file.unlink(missing_ok=True)
        return False

    def close(self) -> None:
        """We are done with our calls."""
        if self._held is not None:
            (self._folder / self._name).unlink(missing_ok=True)
            self._held.close()
            self._held = None


def _lock(file: IO[bytes]) -> bool:
    if sys.platform == "win32":
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
