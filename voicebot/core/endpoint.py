"""Does what the caller said so far look complete? The words' share of the end-of-turn decision.

Also the words' share of the barge-in decision: is it a real word, or a backchannel that only says "go on"?
"""

from __future__ import annotations

from voicebot.core.expect import Expectation, Mode
from voicebot.core.grammar import complete
from voicebot.core.words import Words

UNFINISHED = frozenset(
    "a an and at but by can could for from have i i'd i'll i'm in is it's like my no-wait of on or so than that the "
    "then to uh um er erm hmm want was we well with would".split()
)
"""A turn that ends in one of these goes on."""

BACKCHANNELS = frozenset("ah aha hm hmm huh mhm mm mmm mm-hmm oh ok okay right sure uh uh-huh um yeah yep".split())
"""English sounds of listening; over the bot's voice they are no interruption."""

DOUBTFUL = 0.3
"""An utterance of lower confidence, heard over the bot's own voice, is no evidence of words."""


def settled(expectation: Expectation, text: str) -> bool:
    """Whether `text` looks like all the caller wants to say now. No words are never settled."""
    words = text.split()
    if not words or words[-1] in UNFINISHED:
        return False
    match expectation.mode:
        case Mode.CLOSED:
            return complete(expectation, text)
        case Mode.OPEN:
            return True
        case Mode.FREE:
            return False


def real(words: Words) -> bool:
    """Whether `words`, heard over the bot, are an interruption. A partial needs two words: one may be noise."""
    spoken = [w for w in words.text.split() if w not in BACKCHANNELS]
    if words.final:
        return bool(spoken) and words.confidence >= DOUBTFUL
    return len(spoken) >= 2
