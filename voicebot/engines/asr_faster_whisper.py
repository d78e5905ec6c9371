"""Whisper by CTranslate2 (faster-whisper): the quickest on a CPU, batched over calls, made to stream.

A model is a folder with `model.bin`, `config.json` and `tokenizer.json`. Options: see `whisper_engine`.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from voicebot.core.hallucinations import Segment
from voicebot.engines import models
from voicebot.engines.base import EngineConfig
from voicebot.engines.whisper_backend import RATE, Load, Sound, Wish, words_of
from voicebot.engines.whisper_engine import WhisperAsr, settings_of
from voicebot.errors import UsageError

FILES = ("model.bin", "config.json", "tokenizer.json")
"""Without its tokenizer the library would fetch one from the network."""
MAX_TOKENS = 200
"""Of one hypothesis: 30 s of quick speech. A model in a loop stops there."""
FRAMES = 3000
"""Of 10 ms: the window that the model hears."""


def check() -> str | None:
    """None when it can run here, else what it needs."""
    if importlib.util.find_spec("faster_whisper") is None:
        return "Install faster-whisper: pip install 'voicebot[faster-whisper]'."
    return None


def create(config: EngineConfig) -> WhisperAsr:
    """`UsageError` for a wrong option, or a model that is not on disk."""
    settings = settings_of("faster_whisper", config.options)
    folder = models.find("faster-whisper", settings["model"])
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise UsageError(f"{folder} is no faster-whisper model: it lacks {', '.join(missing)}.")
    return WhisperAsr(__name__, folder, settings, config)


def load(wanted: Load) -> FasterWhisper:
    """In the worker's process."""
    return FasterWhisper(wanted)


class FasterWhisper:
    """The model; see `whisper_backend.Backend`."""

    def __init__(self, wanted: Load) -> None:
        from faster_whisper import WhisperModel

        self._model: Any = WhisperModel(
            str(Path(wanted.model)),
            device=wanted.device,
            compute_type="default" if wanted.compute == "auto" else wanted.compute,
            cpu_threads=wanted.threads,
            local_files_only=True,
        )

    def hear(self, sounds: Sequence[Sound], wish: Wish) -> list[list[Segment]]:
        """One pass of the encoder and the decoder over all sounds, and one that places the words in time."""
        model, tokenizer = self._model, self._tokenizer(wish.language)
        windows = [model.feature_extractor(sound)[:, :FRAMES] for sound in sounds]
        encoded = model.encode(np.stack([_padded(window) for window in windows]))
        prompt = model.get_prompt(tokenizer, [], without_timestamps=True, hotwords=wish.prompt or None)
        results = model.model.generate(
            encoded,
            [prompt] * len(sounds),
            beam_size=wish.beam,
            max_length=min(model.max_length, len(prompt) + MAX_TOKENS),
            return_scores=True,
            return_no_speech_prob=True,
            suppress_blank=True,
            suppress_tokens=[-1],
        )
        tokens = [[t for t in result.sequences_ids[0] if t < tokenizer.eot] for result in results]
        frames = [min(FRAMES, len(sound) * 100 // RATE) for sound in sounds]
        places = [at for at, each in enumerate(tokens) if each]
        timed = self._aligned(tokenizer, [tokens[at] for at in places], encoded, places, frames)
        heard: list[list[Segment]] = [[] for _ in sounds]
        for at, words in zip(places, timed, strict=True):
            end_ms = len(sounds[at]) * 1000 // RATE
            score = float(results[at].scores[0])  # length penalty 1: already a mean
            text = tokenizer.decode(tokens[at])
            heard[at] = [Segment(text, 0, end_ms, float(results[at].no_speech_prob), score, words_of(words))]
        return heard

    def _aligned(
        self, tokenizer: Any, tokens: list[list[int]], encoded: Any, places: list[int], frames: list[int]
    ) -> list[list[tuple[str, float, float, float]]]:
        """(word, start s, end s, probability) of each text."""
        if not tokens:
            return []
        import ctranslate2

        some = ctranslate2.StorageView.from_array(np.asarray(encoded.to_device(ctranslate2.Device.cpu))[places])
        found = self._model.find_alignment(tokenizer, tokens, some, [frames[at] for at in places])
        return [[(w["word"], w["start"], w["end"], w["probability"]) for w in words] for words in found]

    def _tokenizer(self, language: str) -> Any:
        from faster_whisper.tokenizer import Tokenizer

        model = self._model
        return Tokenizer(model.hf_tokenizer, model.model.is_multilingual, task="transcribe", language=language)


def _padded(features: Any) -> Any:
    """80 or 128 mel bands by `FRAMES`, silence behind."""
    return np.pad(features, ((0, 0), (0, FRAMES - features.shape[1])))
