"""What a recogniser says it heard."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Word:
    text: str
    start_ms: int
    """Milliseconds from the start of the utterance."""
    end_ms: int
    confidence: float
    """Posterior in 0..1; 1.0 where the engine gives none."""


@dataclass(frozen=True, slots=True)
class Words:
    """One hypothesis of what the caller said; a later one replaces an earlier one of the same utterance."""

    text: str
    final: bool
    confidence: float = 1.0
    """Of the whole utterance, 0..1."""
    words: tuple[Word, ...] = ()
    nbest: tuple[str, ...] = ()
    """Best first, `text` included; empty where the engine gives one hypothesis only."""
