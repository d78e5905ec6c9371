"""OpenAI's own Whisper on PyTorch, made to stream; `asr_faster_whisper` is quicker on a CPU.

A model is one `.pt` file. Options: see `whisper_engine`.
"""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from voicebot.core.hallucinations import Segment
from voicebot.engines import models
from voicebot.engines.base import EngineConfig
from voicebot.engines.whisper_backend import RATE, Load, Sound, Wish, words_of
from voicebot.engines.whisper_engine import WhisperAsr, settings_of
from voicebot.errors import UsageError

MAX_TOKENS = 200
"""Of one hypothesis: 30 s of quick speech. A model in a loop stops there."""
FRAMES = 3000
"""Of 10 ms: the window that the model hears."""


def check() -> str | None:
    """None when it can run here, else what it needs."""
    if importlib.util.find_spec("whisper") is None or importlib.util.find_spec("torch") is None:
        return "Install openai-whisper: pip install 'voicebot[whisper]'."
    return None


def create(config: EngineConfig) -> WhisperAsr:
    """`UsageError` for a wrong option, or a model that is not on disk."""
    settings = settings_of("whisper", config.options)
    file = models.find("whisper", settings["model"])
    if not file.is_file():
        raise UsageError(f"{file} is no Whisper model: one is a single file that ends in .pt.")
    return WhisperAsr(__name__, file, settings, config)


def load(wanted: Load) -> Whisper:
    """In the worker's process."""
    return Whisper(wanted)


class Whisper:
    """The model; see `whisper_backend.Backend`."""

    def __init__(self, wanted: Load) -> None:
        import torch
        import whisper
        from whisper.timing import dtw

        dtw(torch.zeros(2, 2))  # compiled when it is first called, which takes seconds: no caller's seconds
        if wanted.threads:
            torch.set_num_threads(wanted.threads)
        device = None if wanted.device == "auto" else wanted.device
        self._model: Any = whisper.load_model(wanted.model, device=device)
        self._half = wanted.compute == "float16" or (wanted.compute == "auto" and self._model.device.type == "cuda")
        # The library knows which attention heads tell the time only of models that it fetched itself.
        heads = whisper._ALIGNMENT_HEADS.get(Path(wanted.model).stem)
        if heads:
            with contextlib.suppress(RuntimeError):  # a model of one's own by that name has other heads
                self._model.set_alignment_heads(heads)

    def hear(self, sounds: Sequence[Sound], wish: Wish) -> list[list[Segment]]:
        """One pass over all sounds, and one each that places the words in time."""
        import torch
        import whisper

        model = self._model
        mels = torch.stack(
            [whisper.log_mel_spectrogram(whisper.pad_or_trim(sound), n_mels=model.dims.n_mels) for sound in sounds]
        ).to(model.device)
        options = whisper.DecodingOptions(
            language=wish.language,
            beam_size=wish.beam if wish.beam > 1 else None,
            prompt=wish.prompt or None,
            sample_len=MAX_TOKENS,
            without_timestamps=True,
            fp16=self._half,
        )
        encoded = model.embed_audio(mels.half() if self._half else mels)
        if wish.beam > 1:  # the library's beam search takes one sound at a time
            results = [whisper.decode(model, one, options) for one in encoded]
        else:
            results = whisper.decode(model, encoded, options)
        return [self._segments(*each, wish.language) for each in zip(sounds, mels, results, strict=True)]

    def _segments(self, sound: Sound, mel: Any, result: Any, language: str) -> list[Segment]:
        from whisper.timing import find_alignment
        from whisper.tokenizer import get_tokenizer

        model = self._model
        tokenizer = get_tokenizer(
            model.is_multilingual, num_languages=model.num_languages, language=language, task="transcribe"
        )
        tokens = [token for token in result.tokens if token < tokenizer.eot]
        if not tokens:
            return []
        frames = min(FRAMES, len(sound) * 100 // RATE)
        timed = find_alignment(model, tokenizer, tokens, mel.half() if self._half else mel, frames)
        words = words_of([(word.word, word.start, word.end, word.probability) for word in timed])
        end_ms = len(sound) * 1000 // RATE
        return [Segment(result.text, 0, end_ms, result.no_speech_prob, result.avg_logprob, words)]
