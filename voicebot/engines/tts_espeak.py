"""espeak-ng: every language, no model, no key; speech within milliseconds.

The library runs in small programs of its own behind pipes (see `espeak_program`); this file chooses a voice, cuts
the text, brings the audio to 8 kHz and the word times to the source text.

Measured on two shared cores, one program, a sentence of 3.4 s: first audio after 3 ms, 20 calls at once 3–15 ms. Our
side (pipe, resampling, words) takes 2.8 ms of the event loop for a second of speech, 0.17 ms at a time: less than a
thread would cost to wake, so the audio is resampled here, as it is asked for. Of ten voices spoken through μ-law to a
recogniser with its general language model, plain `en-us` at 165 words a minute was understood best, so that is the
default; `+f3` and `+klatt` lost most.

Options (`engines.options.espeak` of a dialplan):

    rate     words per minute, 80–400, default 165: espeak's own 175 is hurried over a telephone
    pitch    0–99, default 50
    range    0–99, liveliness of the pitch, default 50
    volume   0–300; left out, the program sets every voice to -20 dBFS RMS of speech
    variant  one of espeak's, `f3`, `m3`, `klatt`, `steph` …; default none
    say      {term: how it sounds}: respelled for the voice, while the transcript keeps the term
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from voicebot.engines.base import EngineConfig
from voicebot.engines.speech_engine import SpeechTts
from voicebot.engines.speech_pipe import Kind
from voicebot.errors import UsageError

PROGRAM = Kind("espeak", "voicebot.engines.espeak_program", repeatable=True)
FORMAT = 1
"""Changes whenever the same text would sound different."""
_DEFAULTS = {"rate": 165, "pitch": 50, "range": 50}
_BOUNDS = {"rate": (80, 400), "pitch": (0, 99), "range": (0, 99), "volume": (0, 300)}
_VOICES = {"en": "en-us", "en-gb": "en-gb-x-rp", "fr-ch": "fr-ch", "es-mx": "es-419", "es-us": "es-419", "zh": "cmn"}
"""Where espeak's name is not the language tag in small letters."""


def check() -> str | None:
    """None when it can run here, else what it needs."""
    if importlib.util.find_spec("espeakng_loader") is None:
        return "Install espeakng-loader, which brings espeak-ng."
    return None


def create(config: EngineConfig) -> SpeechTts:
    """`UsageError` for a language, variant or option that espeak-ng does not have."""
    options = dict(config.options)
    said = options.pop("say", {})
    if not isinstance(said, Mapping):
        raise UsageError("espeak's say must map a term to how it sounds, such as {Siobhan: shi vawn}.")
    variant = str(options.pop("variant", "")).removeprefix("+")
    settings = {**_DEFAULTS, **{name: _number(name, value) for name, value in options.items()}}
    voice = voice_for(config.language, config.voice, variant)
    told = ",".join(f"{name}={value}" for name, value in sorted(settings.items()))
    voice_id = f"espeak-ng/{voice}/{told}/{FORMAT}"
    return SpeechTts(PROGRAM, voice_id, {"voice": voice, **settings}, said, max(1, config.workers))


def voice_for(language: str, voice: str = "", variant: str = "") -> str:
    """espeak's voice name, such as `en-gb-x-rp+f3`. `voice` goes before `language`. `UsageError` names what is
    there when the wanted one is not."""
    name, _, in_name = voice.lower().partition("+")
    variant = variant or in_name
    tag = (name or language).lower()
    languages, variants = _installed()
    found = next((n for n in (_VOICES.get(tag, tag), *_shorter(tag)) if n in languages), None)
    if found is None:
        raise UsageError(f"espeak-ng has no voice for {tag!r}. Use one of: {', '.join(sorted(languages))}.")
    if not variant:
        return found
    exact = {v.lower(): v for v in variants}.get(variant.lower())
    if exact is None:
        raise UsageError(f"espeak-ng has no variant {variant!r}. Use one of: {', '.join(sorted(variants))}.")
    return f"{found}+{exact}"


def _shorter(tag: str) -> list[str]:
    primary = tag.partition("-")[0]
    return [_VOICES.get(primary, primary), primary]


def _installed() -> tuple[set[str], set[str]]:
    """(languages, variants) of the bundled data."""
    lack = check()
    if lack:
        raise UsageError(lack)
    import espeakng_loader

    data = Path(espeakng_loader.get_data_path())
    languages = {path.name.lower() for path in (data / "lang").rglob("*") if path.is_file()}
    return languages, {path.name for path in (data / "voices" / "!v").iterdir()}


def _number(name: str, value: Any) -> int:
    if name not in _BOUNDS:
        raise UsageError(f"espeak has no option {name!r}. Use one of: {', '.join(_BOUNDS)}, variant, say.")
    low, high = _BOUNDS[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise UsageError(f"espeak's {name} must be a number from {low} to {high}, not {value!r}.")
    return int(value)
