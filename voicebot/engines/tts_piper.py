"""Piper: neural voices that are quick on a CPU, in a program of their own. Word times where `onnx` is installed.

The voice is the dialplan's `engines.voice`: a name that `voicebot models get` fetches (`en_US-lessac-medium`) or the
path of an `.onnx` file with its `.onnx.json` beside it. Left empty, it is one of the dialplan's language.

Options (`engines.options.piper` of a dialplan):

    speaker  number of the speaker, of a voice that has several; default 0
    speed    0.5–2.0, default 1.0
    say      {term: how it sounds}: respelled for the voice, while the transcript keeps the term
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path

from voicebot.engines import models
from voicebot.engines.base import EngineConfig
from voicebot.engines.speech_engine import SpeechTts, checked
from voicebot.engines.speech_pipe import Kind
from voicebot.errors import UsageError

PROGRAM = Kind("piper", "voicebot.engines.piper_program", start_s=30.0, answer_s=5.0)
FORMAT = 1
"""Changes whenever the same text would sound different."""
_VOICES: Mapping[str, str] = {
    "en": "en_US-lessac-medium",
    "en-us": "en_US-lessac-medium",
    "en-gb": "en_GB-alan-medium",
    "de": "de_DE-thorsten-medium",
    "es": "es_ES-davefx-medium",
    "es-mx": "es_MX-claude-high",
    "fr": "fr_FR-siwis-medium",
    "it": "it_IT-paola-medium",
    "nl": "nl_NL-mls-medium",
    "pt": "pt_BR-faber-medium",
}


def check() -> str | None:
    """None when it can run here, else what it needs."""
    if importlib.util.find_spec("piper") is None:
        return "Install Piper: pip install 'voicebot[piper]'."
    return None


def create(config: EngineConfig) -> SpeechTts:
    """`UsageError` for a voice that is not on disk, or a wrong option."""
    options, said = checked("piper", config.options, {"speaker": (0, 0, 999), "speed": (1.0, 0.5, 2.0)})
    file = models.find("piper", config.voice or voice_for(config.language))
    if not Path(f"{file}.json").is_file():
        raise UsageError(f"{file} lacks its settings: {file}.json must lie beside it.")
    settings = {"model": str(file), "speaker": int(options["speaker"]), "speed": float(options["speed"])}
    told = f"{file.stem}/{models.fingerprint(file)}/{settings['speaker']}/{settings['speed']}/{FORMAT}"
    return SpeechTts(PROGRAM, f"piper/{told}", settings, said, max(1, config.workers))


def voice_for(language: str) -> str:
    """A voice of the catalogue. `UsageError` when there is none of this language."""
    tag = language.lower()
    name = _VOICES.get(tag) or _VOICES.get(tag.partition("-")[0])
    if name is None:
        raise UsageError(f"No piper voice is set for {language}. Name one under engines.voice; see piper's own list.")
    return name
