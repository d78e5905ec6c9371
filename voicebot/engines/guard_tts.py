"""The guard around the voice of one call.

A clause that one engine has not begun, the next one says; one that broke off in the middle is said from the word that
was cut, so that nothing is lost and no word counts twice. What comes out is 8 kHz with the words in their places, by
the engine or by `audio.pace`. An engine known to be slower than speech gets a head start for every clause.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from voicebot.audio.pace import USUAL as USUAL_PACE
from voicebot.audio.pace import Pace
from voicebot.audio.resample import Resampler
from voicebot.core.tone import PLAIN
from voicebot.engines.base import Speech, SpokenWord, Tts
from voicebot.engines.guard import Chain, Member, Patience, Relay, Watch, in_time, patience_of
from voicebot.errors import PeerError

RATE = 8000
USUAL = Patience(first_s=1.5, gap_s=1.5, whole_s=30.0)
NOBODY_ELSE_S = 4.0
"""The last engine may take this long to begin: late is better than an apology."""
SLOW = 1.15
"""Seconds of speech in a second below which a voice may fall behind."""
LEAD_S = 0.4
MOST_LEAD_S = 1.5
"""The head start of a slow voice: a little, and what the clause will fall behind, up to this."""
ENOUGH = 0.75
"""Of the time that a word takes, so much must have been heard for it to be said."""
SILENCE = Speech(bytes(2 * RATE // 10), RATE)
"""For a clause in which there is nothing to say."""


class GuardedTts:
    """One call's. `voice_id` is that of the fixed sentences."""

    def __init__(self, chain: Chain[Tts], watch: Watch, voice_id: str = "") -> None:
        self._chain, self._watch = chain, watch
        self.voice_id = voice_id or chain.members[0].engine.voice_id
        self.manner = PLAIN
        """How the next clauses are said; what was spoken before the call is not touched."""

    async def speak(self, clauses: AsyncIterator[str]) -> AsyncGenerator[Speech, None]:
        """Speech at 8 kHz. `PeerError` when no engine of the chain could say a clause to its end."""
        async for clause in clauses:
            async with aclosing(self._clause(clause)) as speeches:
                async for speech in speeches:
                    yield speech

    async def _clause(self, text: str) -> AsyncGenerator[Speech, None]:
        if not any(c.isalnum() for c in text):
            yield SILENCE
            return
        relay, left, cut = Relay(self._chain, self._watch), text, False
        while (member := relay.next()) is not None:
            take = Take(left, cut)
            try:
                async with aclosing(self._spoken(member, take)) as speeches:
                    async for speech in speeches:
                        yield speech
                relay.done(member)
                return
            except Exception as error:  # a library may raise anything; the caller must not suffer from it
                relay.failed(member, error)
                yield take.broken_off()
                left, cut = take.left()
                if not left:  # all was said; only the end of the stream did not come
                    relay.enough()
                    return
        raise relay.error

    async def _spoken(self, member: Member[Tts], take: Take) -> AsyncGenerator[Speech, None]:
        """One engine's go at the text of `take`."""
        patience = patience_of(member.engine, USUAL)
        if not self._chain.others(member):
            patience = replace(patience, first_s=max(patience.first_s, NOBODY_ELSE_S))
        clock = _Clock(member, take.text)
        held: list[Speech] = []
        try:
            async with (
                aclosing(_generator(member.engine.speak(_one(take.text), self.manner))) as source,
                aclosing(in_time(source, patience, lambda speech: bool(speech.pcm))) as chunks,
            ):
                async for chunk in chunks:
                    clock.came(chunk)
                    held.append(take.push(chunk))
                    while held and clock.ahead():
                        yield held.pop(0)
            if not take.samples:
                raise PeerError("It gave no audio.", retryable=True)
        except Exception:
            for speech in held:
                yield speech
            raise
        clock.over()
        for speech in [*held, take.end()]:
            yield speech


class Take:
    """One engine saying one text: its audio brought to 8 kHz, and how far it got."""

    def __init__(self, text: str, cut: bool) -> None:
        """`cut`: the first word was begun by another engine, and has been counted."""
        self.text, self.samples = text, 0
        self._cut = cut
        self._resampler: Resampler | None = None
        self._odd = b""
        self._pace = Pace(text, RATE)
        self._words: list[tuple[str, int]] = []
        """Every word so far, and where it starts."""
        self._guessed: list[tuple[str, int]] = []
        self._timed = False

    def push(self, speech: Speech) -> Speech:
        """What to play of it."""
        if speech.rate != RATE and self._resampler is None:
            self._resampler = Resampler(speech.rate, RATE)
        pcm = self._odd + speech.pcm
        pcm, self._odd = (pcm[:-1], pcm[-1:]) if len(pcm) % 2 else (pcm, b"")
        pcm = self._resampler.push(pcm) if self._resampler else pcm
        words = [(w.text, self.samples + w.at * RATE // speech.rate) for w in speech.words]
        self._timed = self._timed or bool(words)
        self._guessed += self._pace.push(pcm)
        return self._out(pcm, words)

    def end(self) -> Speech:
        """What is still to be played after the last of it."""
        tail = self._resampler.flush() if self._resampler else b""
        if self._timed:
            return self._out(tail, [])
        self._guessed += self._pace.push(tail) + self._pace.end()
        return self._out(tail, self._guessed)

    def broken_off(self) -> Speech:
        """The same, when there will be no more."""
        return self._out(b"", [] if self._timed else self._guessed)

    def left(self) -> tuple[str, bool]:
        """(the text that was not said, whether its first word had begun and was cut)."""
        if not self.samples or not self._words:
            return self.text, self._cut
        spoken = sum(len(word) for word, _ in self._words)
        word, at = self._words[-1]
        rest = self.text[spoken:] if self._timed else self._pace.left
        if (self.samples - at) / RATE >= ENOUGH * len(word.strip()) / USUAL_PACE:
            return rest.strip(), False
        return word + rest, True

    def _out(self, pcm: bytes, words: list[tuple[str, int]]) -> Speech:
        start, self.samples = self.samples, self.samples + len(pcm) // 2
        self._words += words
        given = [SpokenWord(text, at - start) for text, at in words]
        if self._cut and given:
            self._cut = False
            del given[0]
        return Speech(pcm, RATE, tuple(given))


class _Clock:
    """How fast an engine gives its audio, and whether there is enough of it to begin."""

    def __init__(self, member: Member[Tts], text: str) -> None:
        self._member, self._loop = member, asyncio.get_running_loop()
        self._began_s = self._last_s = 0.0
        self._given_s = self._first_s = 0.0
        behind_s = max(0.0, 1 - member.speed) * len(text) / USUAL_PACE
        self._lead_s = min(MOST_LEAD_S, LEAD_S + behind_s) if 0 < member.speed < SLOW else 0.0

    def came(self, speech: Speech) -> None:
        self._last_s = self._loop.time()
        seconds = len(speech.pcm) / 2 / speech.rate
        if not self._began_s:
            self._began_s, self._first_s = self._last_s, seconds
        self._given_s += seconds

    def ahead(self) -> bool:
        return self._given_s >= self._lead_s

    def over(self) -> None:
        """Learn from a clause that was long enough to tell."""
        took_s, gave_s = self._last_s - self._began_s, self._given_s - self._first_s
        if gave_s > 0.5:
            speed = gave_s / max(took_s, 0.01)
            self._member.speed = speed if not self._member.speed else (self._member.speed + speed) / 2


def _generator(source: Any) -> Any:
    """Engines are async generators; `aclosing` wants to know."""
    return source


async def _one(text: str) -> AsyncIterator[str]:
    yield text
