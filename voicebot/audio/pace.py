"""Where words lie in a voice that comes without word times: spread over the sound, pauses left out.

A character takes the same part of what is voiced; frames that are much softer than the loudest belong to no word. While
the voice still comes its pace is a guess, learned from clause to clause; at the end of a clause the words that are left
fill the sound that is left.
"""

from __future__ import annotations

import numpy as np

FRAME_MS = 10
QUIET = 0.03
"""A frame whose peak is below this part of the loudest one so far is a pause."""
USUAL = 15.0
"""Characters in a second of voiced speech, spaces included, before anything is known."""


class Pace:
    """One clause. `characters_s` is the pace of the clauses before it."""

    def __init__(self, text: str, rate: int, characters_s: float = USUAL) -> None:
        self._words = [word + " " for word in text.split()]
        self._frame = rate * FRAME_MS // 1000
        self._characters_s = characters_s
        self._voiced: list[bool] = []  # frame by frame
        self._rest = b""
        self._loudest = 1
        self._given = 0  # words
        self._samples = 0

    @property
    def left(self) -> str:
        """The text of the words that have not begun."""
        return "".join(self._words[self._given :])

    @property
    def characters_s(self) -> float:
        """The pace of this clause; what it began with where there was too little to tell."""
        seconds = sum(self._voiced) * FRAME_MS / 1000
        return sum(map(len, self._words)) / seconds if seconds > 0.5 else self._characters_s

    def push(self, pcm: bytes) -> list[tuple[str, int]]:
        """Words that begin in these samples (int16 LE), by guess: (text, sample of the clause)."""
        self._take(pcm)
        said = sum(self._voiced) * FRAME_MS / 1000 * self._characters_s
        found, before = [], sum(map(len, self._words[: self._given]))
        while self._given < len(self._words) and before < said:
            word = self._words[self._given]
            found.append((word, self._where(before / self._characters_s)))
            before += len(word)
            self._given += 1
        return found

    def end(self) -> list[tuple[str, int]]:
        """The words that are left, over the sound that is left."""
        words, total_s = self._words[self._given :], sum(self._voiced) * FRAME_MS / 1000
        before = sum(map(len, self._words[: self._given]))
        begun_s = min(total_s, before / self._characters_s)
        left, found, passed = sum(map(len, words)), [], 0
        for word in words:
            found.append((word, self._where(begun_s + (total_s - begun_s) * passed / left)))
            passed += len(word)
        self._given = len(self._words)
        return found

    def _take(self, pcm: bytes) -> None:
        self._samples += len(pcm) // 2
        pcm = self._rest + pcm
        whole = len(pcm) // (2 * self._frame) * 2 * self._frame
        self._rest = pcm[whole:]
        if whole:
            frames = np.frombuffer(pcm[:whole], "<i2").astype(np.int32).reshape(-1, self._frame)
            peaks = np.abs(frames).max(axis=1)
            self._loudest = max(self._loudest, int(peaks.max()))
            self._voiced += (peaks > QUIET * self._loudest).tolist()

    def _where(self, voiced_s: float) -> int:
        """The sample at which so much had been voiced."""
        wanted = voiced_s * 1000 / FRAME_MS
        for at, voiced in enumerate(self._voiced):
            if voiced and wanted < 1:
                return min(self._samples, at * self._frame)
            wanted -= voiced
        return self._samples
