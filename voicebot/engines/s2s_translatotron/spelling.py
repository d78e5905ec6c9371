"""Words from phonemes, for the transcript of a model that says phonemes only. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from voicebot.engines.s2s_translatotron.warp import edits

SPELLINGS = Mapping[str, Sequence[str]]
"""Word → its phonemes, of every word that the model was taught to say."""
WORST = 0.4
"""Phonemes of a text that may be off, at most; beyond it the phonemes themselves are the better transcript."""


def spelled(phonemes: Sequence[str], words: SPELLINGS) -> str:
    """The words whose phonemes fit best, one after the other; the phonemes between strokes where none do."""
    best: list[tuple[float, str]] = [(0.0, "")]
    for end in range(1, len(phonemes) + 1):
        best.append(min(_last(phonemes, words, best, end), default=(float("inf"), "")))
    cost, text = best[-1]
    if not phonemes or cost > WORST * len(phonemes):
        return f"/{''.join(phonemes)}/" if phonemes else ""
    return text.strip()


def _last(
    phonemes: Sequence[str], words: SPELLINGS, best: Sequence[tuple[float, str]], end: int
) -> list[tuple[float, str]]:
    """Ways to spell up to `end`, by the last word."""
    found = []
    for word, sounds in words.items():
        for size in {len(sounds), len(sounds) - 1, len(sounds) + 1}:
            if 0 < size <= end:
                off = edits(phonemes[end - size : end], sounds)
                found.append((best[end - size][0] + off, f"{best[end - size][1]} {word}"))
    return found
