"""What a Whisper-like model has to do for the process that streams it (`whisper_worker`), and what it is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from voicebot.core.expect import Expectation
from voicebot.core.hallucinations import Segment
from voicebot.core.words import Word

RATE = 16_000
WINDOW_S = 30
"""What a model of this kind hears at once."""
PROMPT_CHARACTERS = 500
"""About half of the prompt that a model takes (224 tokens): names are spelled out in many."""

Sound = npt.NDArray[np.float32]
"""Mono at `RATE`, -1..1."""


@dataclass(frozen=True, slots=True)
class Wish:
    """How to hear. Utterances with the same wish are heard in one batch."""

    language: str
    """ISO 639-1: Whisper's own names."""
    prompt: str
    """Names and words to expect, as running text."""
    beam: int
    """1: greedy."""


class Backend(Protocol):
    """A loaded model, in the worker's process."""

    def hear(self, sounds: Sequence[Sound], wish: Wish) -> list[list[Segment]]:
        """Segments of each sound, all of one wish; a sound is at most `WINDOW_S` long."""
        ...


@dataclass(frozen=True, slots=True)
class Load:
    """How a model is loaded."""

    model: str
    """Path of a file or folder."""
    device: str
    """cpu, cuda, or auto."""
    compute: str
    """The engine's own name of a number format, or auto."""
    threads: int

    @classmethod
    def of(cls, settings: dict[str, Any]) -> Load:
        return cls(settings["model"], settings["device"], settings["compute"], settings["threads"])


def prompt_of(expectation: Expectation) -> str:
    """Names and jargon first, then the words of the dialplan's types, as far as a prompt goes. Whisper writes on in
    the style of its prompt, so this is a plain list."""
    terms = [*expectation.hints, *(p for name, phrases in expectation.types for p in phrases if not _pattern(name, p))]
    text = ""
    for term in dict.fromkeys(terms):
        if len(text) + len(term) + 2 > PROMPT_CHARACTERS:
            break
        text += f", {term}" if text else term
    return f"{text}." if text else ""


def _pattern(name: str, phrase: str) -> bool:
    """Whether a phrase is notation, or of a type that any model knows (digits, letters) and no name."""
    return any(mark in phrase for mark in "[](){}|") or len(phrase) < 3 or name in ("digit", "letter", "number")


def words_of(timed: Sequence[tuple[str, float, float, float]]) -> tuple[Word, ...]:
    """Words of a model's own (text, start s, end s, probability), empty ones left out."""
    return tuple(
        Word(text.strip(), round(start * 1000), round(max(start, end) * 1000), min(1.0, max(0.0, float(probability))))
        for text, start, end, probability in timed
        if text.strip()
    )
