"""What synthesisers in programs of their own share: the programs, the text's way in, and speech at 8 kHz out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any

import numpy as np

from voicebot import log
from voicebot.audio.resample import Resampler
from voicebot.core.tone import PLAIN, Manner
from voicebot.engines.base import Speech, SpokenWord
from voicebot.engines.espeak_text import Tokens, has_speech, pause_ms, pieces, plain, spelled
from voicebot.engines.speech_pipe import Kind, Program, Spoken
from voicebot.errors import PeerError, UsageError

RATE = 8000
AGAIN_S = 2.0
"""For a program to be started again during a call. One that takes longer goes on starting, for the calls after it."""
LEAD_MS = 10
"""Kept of the silence that some voices begin with (49 ms in Spanish)."""
QUIET = 100
"""Largest sample of what counts as silence."""
_log = log.get("speech")


class SpeechTts:
    """The synthesiser: `workers` programs of a kind, each answering its requests in order."""

    def __init__(
        self, kind: Kind, voice_id: str, settings: Mapping[str, Any], said: Mapping[str, str], workers: int
    ) -> None:
        self._kind, self._settings, self._said = kind, dict(settings), dict(said)
        self._programs = [Program(kind) for _ in range(workers)]
        self._starting = [asyncio.Lock() for _ in range(workers)]
        self.voice_id = voice_id + (f"/say={sorted(self._said.items())}" if said else "")

    @property
    def pids(self) -> list[int]:
        """Process ids of the programs."""
        return [program.pid for program in self._programs]

    async def start(self) -> None:
        """Start all programs. `PeerError` when one does not come up."""
        try:
            await asyncio.gather(*(self._alive(index, self._kind.start_s) for index in range(len(self._programs))))
        except BaseException:
            for program in self._programs:
                program.kill()
            raise

    async def close(self) -> None:
        await asyncio.gather(*(program.close() for program in self._programs))

    async def speak(self, clauses: AsyncIterator[str], manner: Manner = PLAIN) -> AsyncGenerator[Speech, None]:
        """Speech at 8 kHz, about 60 ms a chunk, its words concatenating to the clauses. `PeerError` when a
        program fails twice over one piece of text."""
        async for clause in clauses:
            for part in pieces(clause):
                async with aclosing(self._speak(part, manner.pace)) as chunks:
                    async for speech in chunks:
                        yield speech

    async def _speak(self, text: str, pace: float) -> AsyncGenerator[Speech, None]:
        form = spelled(plain(text), self._said)
        shaper = Shaper(text)
        if has_speech(form.text):
            async with aclosing(self._spoken(form.text, pace)) as chunks:
                async for rate, chunk in chunks:
                    events = [(form.source(position), sample) for position, sample in chunk.words]
                    if speech := shaper.push(rate, chunk.pcm, events):
                        yield speech
                        await asyncio.sleep(0)  # what is here already must not hold up other calls
        yield shaper.end(pause_ms(text))

    async def _spoken(self, text: str, pace: float) -> AsyncGenerator[tuple[int, Spoken], None]:
        """(rate, audio) of one request. When its program dies before the first audio, another one says it; half-way,
        only where the same text gives the same timing to within a few samples, from where the first one got to."""
        given_bytes = given_words = 0
        for last in (False, True):
            program = await self._least_busy()
            skip_bytes, skip_words = given_bytes, given_words
            try:
                async with aclosing(program.say(text, pace)) as chunks:
                    async for chunk in chunks:
                        new = Spoken(chunk.pcm[skip_bytes:], chunk.words[skip_words:])
                        skip_bytes = max(0, skip_bytes - len(chunk.pcm))
                        skip_words = max(0, skip_words - len(chunk.words))
                        given_bytes += len(new.pcm)
                        given_words += len(new.words)
                        yield program.rate, new
                return
            except PeerError as error:
                if last or not error.retryable or (given_bytes and not self._kind.repeatable):
                    raise
                _log.warning("speech_retried", program=self._kind.name, error=str(error))

    async def _least_busy(self) -> Program:
        """A running program; one that died is started again by whoever comes upon it."""
        waiting = [p.outstanding if p.alive else 0 for p in self._programs]
        return await self._alive(waiting.index(min(waiting)), AGAIN_S)

    async def _alive(self, index: int, deadline_s: float) -> Program:
        try:
            async with asyncio.timeout(deadline_s), self._starting[index]:
                if self._programs[index].starting:
                    await self._programs[index].wait()
                elif not self._programs[index].alive:
                    await self._replace(index)
                return self._programs[index]
        except TimeoutError:
            raise PeerError(f"The {self._kind.name} program did not start in time.", retryable=True) from None

    async def _replace(self, index: int) -> None:
        if old := self._programs[index].pid:
            _log.warning("speech_restarted", program=self._kind.name, pid=old)
            self._programs[index].kill()
        program = self._programs[index] = Program(self._kind)
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
        self._begun = self._timed = False
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
            self._timed = True
            self._words.append((text, max(at, self._out)))  # an event may come a moment after its audio
        return self._speech(self._resampler.push(pcm)) if pcm else None

    def end(self, silence_ms: int) -> Speech:
        """The tail, and the pause after it. Words without times of their own start before this chunk, too."""
        tail = self._resampler.flush() if self._resampler else b""
        spoken = len(tail) // 2
        if not self._timed and self._out + spoken:  # an engine without word times: spread over what was spoken
            self._words = self._tokens.spread(self._out + spoken)
        elif rest := self._tokens.rest():
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


def checked(
    name: str, options: Mapping[str, Any], bounds: Mapping[str, tuple[float, float, float]]
) -> tuple[dict[str, float], dict[str, str]]:
    """Numbers among an engine's options, by (default, least, most), and its `say`. `UsageError` for anything else."""
    given = dict(options)
    said = given.pop("say", {})
    if not isinstance(said, Mapping):
        raise UsageError(f"{name}'s say must map a term to how it sounds, such as {{Siobhan: shi vawn}}.")
    for key, value in given.items():
        if key not in bounds:
            raise UsageError(f"{name} has no option {key!r}. Use one of: {', '.join(bounds)}, say.")
        _, low, high = bounds[key]
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise UsageError(f"{name}'s {key} must be a number from {low} to {high}, not {value!r}.")
    numbers = {key: given.get(key, default) for key, (default, _, _) in bounds.items()}
    return numbers, {str(term): str(sound) for term, sound in said.items()}
