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

import asyncio
import importlib.util
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

import numpy as np

from voicebot import log
from voicebot.audio.resample import Resampler
from voicebot.engines.base import EngineConfig, Speech, SpokenWord
from voicebot.engines.espeak_pipe import DEADLINE_S, Program, Spoken
from voicebot.engines.espeak_text import Tokens, has_speech, pause_ms, pieces, plain, spelled
from voicebot.errors import PeerError, UsageError

RATE = 8000
START_DEADLINE_S = 5.0
"""When the service starts: a Python that has to be read from a cold disk."""
FORMAT = 1
"""Changes whenever the same text would sound different."""
LEAD_MS = 10
"""Kept of the silence that some voices begin with (49 ms in Spanish)."""
QUIET = 100
"""Largest sample of what counts as silence."""
_DEFAULTS = {"rate": 165, "pitch": 50, "range": 50}
_BOUNDS = {"rate": (80, 400), "pitch": (0, 99), "range": (0, 99), "volume": (0, 300)}
_VOICES = {"en": "en-us", "en-gb": "en-gb-x-rp", "fr-ch": "fr-ch", "es-mx": "es-419", "es-us": "es-419", "zh": "cmn"}
"""Where espeak's name is not the language tag in small letters."""
_log = log.get("tts_espeak")


def check() -> str | None:
    """None when it can run here, else what it needs."""
    if importlib.util.find_spec("espeakng_loader") is None:
        return "Install espeakng-loader, which brings espeak-ng."
    return None


def create(config: EngineConfig) -> EspeakTts:
    """`UsageError` for a language, variant or option that espeak-ng does not have."""
    options = dict(config.options)
    said = options.pop("say", {})
    if not isinstance(said, Mapping):
        raise UsageError("espeak's say must map a term to how it sounds, such as {Siobhan: shi vawn}.")
    variant = str(options.pop("variant", "")).removeprefix("+")
    settings = {**_DEFAULTS, **{name: _number(name, value) for name, value in options.items()}}
    voice = voice_for(config.language, config.voice, variant)
    return EspeakTts(voice, settings, said, max(1, config.workers))


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


class EspeakTts:
    """The synthesiser: `workers` programs, each answering its requests in order, a sentence in about 5 ms."""

    def __init__(self, voice: str, settings: Mapping[str, int], said: Mapping[str, str], workers: int) -> None:
        self._settings = {"voice": voice, **settings}
        self._said = dict(said)
        self._programs = [Program() for _ in range(workers)]
        self._starting = [asyncio.Lock() for _ in range(workers)]
        told = ",".join(f"{name}={value}" for name, value in sorted(settings.items()))
        respelled = f"/say={sorted(self._said.items())}" if said else ""
        self.voice_id = f"espeak-ng/{voice}/{told}/{FORMAT}{respelled}"

    @property
    def pids(self) -> list[int]:
        """Process ids of the programs."""
        return [program.pid for program in self._programs]

    async def start(self) -> None:
        """Start all programs. `PeerError` when one does not come up."""
        await asyncio.gather(*(self._alive(index, START_DEADLINE_S) for index in range(len(self._programs))))

    async def close(self) -> None:
        await asyncio.gather(*(program.close() for program in self._programs))

    async def speak(self, clauses: AsyncIterator[str]) -> AsyncGenerator[Speech, None]:
        """Speech at 8 kHz, about 60 ms a chunk, its words concatenating to the clauses. `PeerError` when a
        program fails twice over one piece of text."""
        async for clause in clauses:
            for part in pieces(clause):
                async with aclosing(self._speak(part)) as chunks:
                    async for speech in chunks:
                        yield speech

    async def _speak(self, text: str) -> AsyncGenerator[Speech, None]:
        form = spelled(plain(text), self._said)
        shaper = Shaper(text)
        if has_speech(form.text):
            async with aclosing(self._spoken(form.text)) as chunks:
                async for rate, chunk in chunks:
                    events = [(form.source(position), sample) for position, sample in chunk.words]
                    if speech := shaper.push(rate, chunk.pcm, events):
                        yield speech
                        await asyncio.sleep(0)  # what is here already must not hold up other calls
        yield shaper.end(pause_ms(text))

    async def _spoken(self, text: str) -> AsyncGenerator[tuple[int, Spoken], None]:
        """(rate, audio) of one request. When its program dies half-way, another says it again from where the
        first one got to: the same text gives the same timing to within a few samples."""
        given_bytes = given_words = 0
        for last in (False, True):
            program = await self._least_busy()
            skip_bytes, skip_words = given_bytes, given_words
            try:
                async with aclosing(program.say(text)) as chunks:
                    async for chunk in chunks:
                        new = Spoken(chunk.pcm[skip_bytes:], chunk.words[skip_words:])
                        skip_bytes = max(0, skip_bytes - len(chunk.pcm))
                        skip_words = max(0, skip_words - len(chunk.words))
                        given_bytes += len(new.pcm)
                        given_words += len(new.words)
                        yield program.rate, new
                return
            except PeerError as error:
                if last or not error.retryable:
                    raise
                _log.warning("espeak_retried", error=str(error))

    async def _least_busy(self) -> Program:
        """A running program; one that died is started again by whoever comes upon it."""
        waiting = [p.outstanding if p.alive else 0 for p in self._programs]
        return await self._alive(waiting.index(min(waiting)), DEADLINE_S)

    async def _alive(self, index: int, deadline_s: float) -> Program:
        try:
            async with asyncio.timeout(deadline_s), self._starting[index]:
                if not self._programs[index].alive:
                    await self._replace(index)
                return self._programs[index]
        except TimeoutError:
            raise PeerError("The espeak program did not start in time.", retryable=True) from None

    async def _replace(self, index: int) -> None:
        if old := self._programs[index].pid:
            _log.warning("espeak_restarted", pid=old)
            self._programs[index].kill()
        program = self._programs[index] = Program()
        await program.start(self._settings)


class Shaper:
    """One request's audio at the engine's rate in, 8 kHz with words in their places out.

    The resampler gives its samples a little later than it gets them, so a word waits until the sample at which
    it starts comes out.
    """

    def __init__(self, source: str) -> None:
        self._tokens = Tokens(source)
        self._resampler: Resampler | None = None
        self._lead = 0
        """Samples of leading silence dropped, at the engine's rate."""
        self._begun = False
        self._words: list[tuple[str, int]] = []
        """(text, 8 kHz sample), not yet given out."""
        self._out = 0
        """8 kHz samples given out."""

    def push(self, rate: int, pcm: bytes, events: list[tuple[int, int]]) -> Speech | None:
        """`events` are (position in the source, sample since the request's start)."""
        self._resampler = self._resampler or Resampler(rate, RATE)
        if not self._begun:
            pcm = self._without_lead(pcm, rate)
        for text, sample in self._tokens.at(events):
            at = max(0, sample - self._lead) * RATE // rate
            self._words.append((text, max(at, self._out)))  # an event may come a moment after its audio
        return self._speech(self._resampler.push(pcm)) if pcm else None

    def end(self, silence_ms: int) -> Speech:
        """The tail, and the pause after it."""
        tail = self._resampler.flush() if self._resampler else b""
        spoken = len(tail) // 2
        if rest := self._tokens.rest():
            self._words.append((rest, self._out + max(0, spoken - 1)))
        end = self._out + spoken
        self._words = [(text, min(at, end)) for text, at in self._words]
        return self._speech(tail + bytes(2 * silence_ms * RATE // 1000))

    def _without_lead(self, pcm: bytes, rate: int) -> bytes:
        loud = np.flatnonzero(np.abs(np.frombuffer(pcm, "<i2").astype(np.int32)) > QUIET)
        self._begun = bool(loud.size)
        drop = len(pcm) // 2 if not loud.size else max(0, int(loud[0]) - LEAD_MS * rate // 1000)
        self._lead += drop
        return pcm[2 * drop :]

    def _speech(self, pcm: bytes) -> Speech:
        end = self._out + len(pcm) // 2
        here = [SpokenWord(text, at - self._out) for text, at in self._words if at < end]
        del self._words[: len(here)]
        self._out = end
        return Speech(pcm, RATE, tuple(here))
