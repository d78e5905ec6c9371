"""The unit vocoder as a program of its own, see `speech_program`: `{"folder": "…", "device": "cpu"}`.

A text is `BEFORE NEW`, each units with commas between: the last ones that were spoken already, so that what is new
goes on from them without a seam, and those to be spoken.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from voicebot.engines.speech_program import Heard, run

CHUNK_MS = 60


class Units:
    """See `speech_program.Voice`."""

    def __init__(self, settings: dict[str, Any]) -> None:
        import torch

        from voicebot.engines.unit_vocoder import UnitVocoder

        torch.set_num_threads(int(settings.get("threads", 1)))
        self._vocoder = UnitVocoder(Path(settings["folder"]), settings.get("device", "cpu"))
        self.rate: int = self._vocoder.rate
        self.version: str = f"unit hifi-gan, torch {torch.__version__}"
        self._vocoder.speak([0] * 40)  # what is done lazily is done now

    def say(self, text: str, heard: Heard, pace: float = 1.0) -> None:
        """One stretch, cancelled between chunks of `CHUNK_MS`. The units have their own pace."""
        before, new = ([int(unit) for unit in part.split(",") if unit] for part in text.split(" "))
        samples = self._vocoder.speak(before + new, len(before))
        pcm = np.clip(np.rint(samples * 32767), -32768, 32767).astype("<i2").tobytes()
        size = 2 * (self.rate * CHUNK_MS // 1000)
        for at in range(0, len(pcm), size):
            if not heard(pcm[at : at + size], []):
                return


if __name__ == "__main__":
    sys.exit(run(Units))
