"""Coqui's models as a program of their own, see `speech_program`:
`{"folder": "…", "device": "cpu", "language": "en", "speaker": "", "speed": 1.0, "threads": 0, "stand_in": false}`.

XTTS streams as it generates; VITS and the others speak a sentence at a time.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import os
import sys
import types
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from voicebot.engines.speech_level import levelled
from voicebot.engines.speech_program import Heard, run

CHUNK_MS = 60
XTTS_LEVEL = 0.5
"""What XTTS gives, brought to a telephone's level: a stream cannot be levelled by what is still to come."""
STOOD_IN = ("torchaudio", "torchcodec")


class Coqui:
    """One model with one speaker; see `speech_program.Voice`."""

    def __init__(self, settings: dict[str, Any]) -> None:
        os.environ["HF_HUB_OFFLINE"] = "1"  # no library may fetch anything behind our back
        if settings["stand_in"]:
            stand_in()
        import torch
        from TTS.api import TTS

        if settings["threads"]:
            torch.set_num_threads(settings["threads"])
        folder = Path(settings["folder"])
        config = folder / "config.json"
        whole = any(folder.glob("speakers_xtts*"))  # XTTS is loaded as a folder, the others as a file
        model = folder if whole else next(iter(sorted(folder.glob("*.pth"))), None)
        if model is None:
            raise OSError(f"{folder} holds no .pth file.")
        api = TTS(model_path=str(model), config_path=str(config), progress_bar=False).to(settings["device"])
        self._api: Any = api
        self._model: Any = api.synthesizer.tts_model
        self._streams = hasattr(self._model, "inference_stream")
        self._length = float(getattr(self._model, "length_scale", 0.0))
        self._settings = settings
        self._speaker = self._chosen(settings["speaker"])
        self.rate = int(api.synthesizer.output_sample_rate)
        self.version = f"coqui {version('coqui-tts')}"
        self._latents = self._conditioned() if self._streams else None
        self.say("One.", lambda pcm, words: True)  # what is loaded lazily is loaded now

    def _chosen(self, wanted: str) -> str | None:
        """The speaker: the wanted one, the first of a model that has several, else none."""
        known = list(self._api.speakers or []) if self._api.is_multi_speaker else []
        if wanted and known and wanted not in known and not Path(wanted).is_file():
            raise ValueError(f"This model has no speaker {wanted!r}. Use one of: {', '.join(map(str, known[:20]))}.")
        return wanted or (str(known[0]) if known else None)

    def _conditioned(self) -> tuple[Any, Any]:
        """What XTTS knows of a speaker: from its own list, or from a recording of a few seconds."""
        if self._speaker is None:
            raise ValueError("This model needs a speaker: a name of its list or the path of a recording.")
        if Path(self._speaker).is_file():
            latent, embedding = self._model.get_conditioning_latents(audio_path=[self._speaker])
        else:
            latent, embedding = self._model.speaker_manager.speakers[self._speaker].values()
        return latent, embedding

    def say(self, text: str, heard: Heard, pace: float = 1.0) -> None:
        """Cancelled between chunks; a sentence of a model that does not stream is generated to its end."""
        for pcm in self._streamed(text, pace) if self._streams else self._sentences(text, pace):
            size = 2 * (self.rate * CHUNK_MS // 1000)
            for start in range(0, len(pcm), size):
                if not heard(pcm[start : start + size], []):
                    return

    def _streamed(self, text: str, pace: float) -> Iterator[bytes]:
        assert self._latents is not None
        language, speed = self._settings["language"], self._settings["speed"] * pace
        stream = self._model.inference_stream(text, language, *self._latents, speed=speed, enable_text_splitting=True)
        for chunk in stream:
            samples = np.clip(chunk.cpu().numpy() * XTTS_LEVEL, -1, 1)
            yield (samples * 32767).astype("<i2").tobytes()

    def _sentences(self, text: str, pace: float) -> Iterator[bytes]:
        if self._length:  # of a sound, in the models that have one (VITS, Glow-TTS); the others keep their pace
            self._model.length_scale = self._length / (self._settings["speed"] * pace)
        language = self._settings["language"] if self._api.is_multi_lingual else None
        for sentence in self._api.synthesizer.split_into_sentences(text):
            if any(c.isalnum() for c in sentence):
                audio = self._api.tts(sentence, speaker=self._speaker, language=language, split_sentences=False)
                yield levelled(audio)


def stand_in() -> None:
    """Inert modules in the place of torchaudio and torchcodec, which Coqui imports and VITS never calls; PyPI's are
    for CUDA alone. Only where the real import fails; whatever touches one of them after all says what is missing."""
    for name in STOOD_IN:
        try:
            importlib.import_module(name)
        except (ImportError, OSError, RuntimeError):
            for gone in [known for known in sys.modules if known.partition(".")[0] == name]:
                del sys.modules[gone]
            for module in (name, f"{name}.functional", f"{name}.transforms"):
                sys.modules[module] = _inert(module)


def _inert(name: str) -> types.ModuleType:
    module = types.ModuleType(name)
    module.__spec__ = importlib.machinery.ModuleSpec(name, None, is_package=True)
    module.__path__ = []

    def missing(attribute: str) -> Any:
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        if f"{name}.{attribute}" in sys.modules:
            return sys.modules[f"{name}.{attribute}"]
        raise RuntimeError(f"{name}.{attribute} was called, and {name} is not installed for this machine.")

    module.__dict__.update(__getattr__=missing, __version__="0.0")
    return module


if __name__ == "__main__":
    sys.exit(run(Coqui))
