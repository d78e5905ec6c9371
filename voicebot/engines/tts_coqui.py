"""Coqui's models (XTTS, VITS and others of coqui-tts) in a program of their own. XTTS streams as it generates.

Options (`engines.options.coqui` of a dialplan), beside the dialplan's `language` and `engines.voice`, which is the
speaker (a name of the model's list; for XTTS also the path of a recording of a few seconds):

    model     a name that `voicebot models get` fetches, or a folder with config.json and a .pth file; default xtts_v2
    device    cpu or cuda; default cpu
    speed     0.5–2.0, default 1.0 (XTTS, VITS, Glow-TTS)
    threads   of one program, 0: the library decides; default 0
    stand_in  true: put inert modules in the place of a torchaudio or torchcodec that cannot be imported. VITS never
              calls them; XTTS with a recording as its voice does, and then says so. Default false
    say       {term: how it sounds}: respelled for the voice, while the transcript keeps the term
"""

from __future__ import annotations

import importlib.util

from voicebot.engines import models
from voicebot.engines.base import EngineConfig
from voicebot.engines.speech_engine import SpeechTts, checked
from voicebot.engines.speech_pipe import Kind
from voicebot.errors import UsageError

PROGRAM = Kind("coqui", "voicebot.engines.coqui_program", start_s=180.0, answer_s=15.0)
FORMAT = 1
"""Changes whenever the same text would sound different."""
_LANGUAGES = {"zh": "zh-cn"}
"""Where XTTS's name is not the first part of the tag."""


def check() -> str | None:
    """None when it can run here, else what it needs."""
    missing = [name for name in ("TTS", "torch") if importlib.util.find_spec(name) is None]
    if missing:
        return "Install coqui-tts, and torch before it: pip install torch, then pip install 'voicebot[coqui]'."
    return None


def create(config: EngineConfig) -> SpeechTts:
    """`UsageError` for a model that is not on disk, or a wrong option."""
    options = dict(config.options)
    model, device = str(options.pop("model", "xtts_v2")), str(options.pop("device", "cpu"))
    stand_in = options.pop("stand_in", False)
    if not isinstance(stand_in, bool):
        raise UsageError(f"coqui's stand_in must be true or false, not {stand_in!r}.")
    numbers, said = checked("coqui", options, {"speed": (1.0, 0.5, 2.0), "threads": (0, 0, 64)})
    folder = models.find("coqui", model)
    if not (folder / "config.json").is_file():
        raise UsageError(f"{folder} is no Coqui model: it lacks config.json.")
    primary = config.language.partition("-")[0].lower()
    language = _LANGUAGES.get(primary, primary)
    settings = {
        "folder": str(folder),
        "device": device,
        "language": language,
        "speaker": config.voice,
        "speed": float(numbers["speed"]),
        "threads": int(numbers["threads"]),
        "stand_in": stand_in,
    }
    stamp = models.fingerprint(folder / "config.json")
    told = f"{folder.name}/{stamp}/{language}/{config.voice}/{settings['speed']}/{FORMAT}"
    return SpeechTts(PROGRAM, f"coqui/{told}", settings, said, max(1, config.workers))
