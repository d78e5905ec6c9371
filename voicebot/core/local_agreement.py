"""A recogniser of whole recordings made to stream: it hears the growing recording again and again, and a word is
taken for said once two hypotheses in a row agree on everything up to it.

LocalAgreement-2 of Liu, Spanakis and Niehues (2020), in the form of Macháček, Dabre and Bojar, "Turning Whisper into
Real-Time Transcription System" (2023). Times are milliseconds from the start of the utterance.
"""

from __future__ import annotations

from collections.abc import Sequence

from voicebot.core.grammar import normalise
from voicebot.core.words import Word

KEEP_MS = 15_000
"""Audio that is heard again while it is this short; above it, what is agreed on is cut off."""
MOST_MS = 25_000
"""Audio that is never exceeded, agreed on or not: Whisper hears 30 s at once."""
_SENTENCE_ENDS = (".", "?", "!", "。", "？", "！")


class LocalAgreement:
    """One utterance. The caller feeds every hypothesis about the audio from `cut_ms` on."""

    def __init__(self) -> None:
        self.stable: tuple[Word, ...] = ()
        """Agreed on. It only grows."""
        self.cut_ms = 0
        """Audio before this need not be heard again."""
        self._before: list[Word] = []
        """What the last hypothesis said beyond `stable`."""

    def push(self, heard: Sequence[Word], end_ms: int) -> bool:
        """A hypothesis about the audio from `cut_ms` to `end_ms`; whether `stable` grew."""
        new = self._beyond(heard)
        agreed = 0
        for before, now in zip(self._before, new, strict=False):
            if normalise(before.text) != normalise(now.text):
                break
            agreed += 1
        self.stable += tuple(new[:agreed])
        self._before = new[agreed:]
        self._cut(end_ms)
        return agreed > 0

    def final(self, heard: Sequence[Word]) -> tuple[Word, ...]:
        """All words, the last hypothesis believed as far as its audio goes back: hearing all of an utterance at
        once beats what was agreed on half-way."""
        return (*(word for word in self.stable if _middle(word) < self.cut_ms), *self._in_order(heard, self.cut_ms))

    def _beyond(self, heard: Sequence[Word]) -> list[Word]:
        return self._in_order(heard, max(self.cut_ms, self.stable[-1].end_ms if self.stable else 0))

    @staticmethod
    def _in_order(heard: Sequence[Word], from_ms: int) -> list[Word]:
        """Words that lie, for the most part, after `from_ms`. Two hypotheses place a word up to half of it apart."""
        return [word for word in heard if _middle(word) >= from_ms]

    def _cut(self, end_ms: int) -> None:
        if end_ms - self.cut_ms > KEEP_MS and self.stable:
            ends = [word.end_ms for word in self.stable if word.text.endswith(_SENTENCE_ENDS)]
            sentence = max((end for end in ends if end <= end_ms), default=0)
            last = min(self.stable[-1].end_ms, end_ms)
            self.cut_ms = max(self.cut_ms, sentence if end_ms - sentence <= KEEP_MS else last)
        if end_ms - self.cut_ms > MOST_MS:  # nothing that two hypotheses agree on: believe the last one
            self.cut_ms = end_ms - KEEP_MS
            self.stable += tuple(word for word in self._before if _middle(word) < self.cut_ms)
            self._before = self._in_order(self._before, self.cut_ms)


def _middle(word: Word) -> float:
    return (word.start_ms + word.end_ms) / 2
