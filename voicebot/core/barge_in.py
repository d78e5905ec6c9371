"""A voice over the bot's own: which words are an interruption, and what may be said there at all.

The sounds by which people say "I am listening" are no interruption, and the words by which they stop somebody are one
at once; both belong to a language (`core.manners`), and a dialplan may add to them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from voicebot.core.events import BargeIn, Timing
from voicebot.core.expect import Expectation, Mode
from voicebot.core.grammar import normalise
from voicebot.core.manners import Manners
from voicebot.core.plan import Turns
from voicebot.core.words import Words

DOUBTFUL = 0.28
"""An utterance of lower confidence, heard over the bot's own voice, is no evidence of words. On recordings, 23 of 24
short orders had 0.35 and more, 7 of 8 backchannels 0.18 and less."""


Phrase = tuple[str, ...]
"""Words in a row."""


@dataclass(frozen=True, slots=True)
class Interruptions:
    """What counts on one call."""

    keywords: tuple[Phrase, ...]
    """Each of these alone is an interruption."""
    listening: tuple[Phrase, ...]
    """These only say "go on"."""
    keywords_only: bool = False
    min_words: int = 1


@dataclass(frozen=True, slots=True)
class Evidence:
    real: bool
    """The caller wants the floor."""
    go_on: bool
    """The caller only says that they are listening."""


def interruptions(turns: Turns, manners: Manners, expectation: Expectation) -> Interruptions:
    """Those of a dialplan at one place; what it names counts before what the language has."""
    keywords, listening = _phrases(turns.keywords), _phrases(turns.backchannels)
    keywords += tuple(each for each in _phrases(manners.stop_words) if each not in listening)
    listening += tuple(each for each in _phrases(manners.backchannels) if each not in keywords)
    keywords_only = expectation.barge_in == BargeIn.KEYWORDS
    return Interruptions(keywords, listening, keywords_only, expectation.min_words)


def retimed(timing: Timing, expectation: Expectation) -> Timing:
    """How turns are taken where this is expected."""
    return replace(
        timing,
        barge_in=BargeIn(expectation.barge_in),
        words_only=expectation.min_words > 1,
        quick_ms=expectation.quick_ms,
        pause_ms=expectation.pause_ms,
    )


def _phrases(texts: Iterable[str]) -> tuple[Phrase, ...]:
    return tuple(tuple(normalise(text)) for text in texts if text.strip())


def evidence(words: Words, what: Interruptions) -> Evidence:
    """What `words`, heard over the bot, say. A hypothesis that still grows has no confidence, and a small recogniser
    makes words of any noise. So of words alone it proves a keyword that stands, and only where nothing else counts:
    elsewhere the bot is silent already, and can wait for the end of a word or for speech that lasts."""
    said = normalise(words.text)
    spoken = len(said) - _covered(said, what.listening)
    go_on = bool(said) and not spoken
    if not words.final:
        return Evidence(what.keywords_only and _covered(said[:-1], what.keywords) > 0, go_on)
    if words.confidence < DOUBTFUL:
        return Evidence(False, go_on)
    if _covered(said, what.keywords):
        return Evidence(True, False)
    return Evidence(spoken >= what.min_words and not what.keywords_only, go_on)


def _covered(said: Sequence[str], phrases: Iterable[Phrase]) -> int:
    """How many of the words are part of one of the phrases."""
    found: set[int] = set()
    for phrase in phrases:
        for at in range(len(said) - len(phrase) + 1):
            if tuple(said[at : at + len(phrase)]) == phrase:
                found |= set(range(at, at + len(phrase)))
    return len(found)


def over_bot(expectation: Expectation, manners: Manners) -> Expectation:
    """What the recogniser should expect over the bot's voice: besides all else, sounds of listening and words that
    stop it. Without them it would take an "uh-huh" for whatever of the dialplan sounds most like it."""
    if expectation.mode is Mode.FREE or not expectation.phrases:
        return expectation
    said = dict.fromkeys((*manners.backchannels, *manners.stop_words))
    phrases = (*expectation.phrases, f"({' | '.join(said)})")
    return replace(expectation, name=f"{expectation.name}, over the bot", phrases=phrases)
