"""How people talk with each other, as a dialplan says it: turns and tone."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from voicebot.core.plan_base import Model, Says


class Turns(Model):
    """Who may speak over whom. A node may have its own `barge_in` and `min_words`."""

    barge_in: Literal["full", "keywords", "strict"] = "full"
    """`full`: the bot falls silent at once for whoever speaks over it, goes on after a cough or an "uh-huh", and yields
    to real words. `keywords`: it goes on until it hears "stop", "wait" or one of `keywords`. `strict`: it finishes."""
    min_words: Annotated[int, Field(ge=1, le=8)] = 1
    """Real words that make an interruption. With more than one, speech that was not understood is none."""
    patience_ms: Annotated[int, Field(ge=-200, le=3000)] = 0
    """Wait so much longer before a turn is taken: for callers who think while they speak."""
    decided_by: Literal["ours", "engine", "both"] = "ours"
    """With a native engine: who finds that the caller has finished, and what is an interruption. `ours`: voicebot, as
    with any responder. `engine`: the engine. `both`: the first of both ends the turn, voicebot says what interrupts."""
    duplex: Literal["full", "half"] = "full"
    """With a native engine, `half`: it hears nothing while it speaks, and nothing but keys interrupts it."""
    eager: bool = True
    """Ask the language model as soon as a turn looks complete, before the pause that ends it is over. Quicker by that
    pause; the question is asked in vain when the caller goes on."""
    keywords: Says = ()
    """Words that always interrupt, besides the language's own."""
    backchannels: Says = ()
    """Words that never do, besides the language's own."""


class Tone(Model):
    """What becomes of how a caller speaks: pace, loudness, pitch, pauses. It is measured and recorded in any case."""

    to_voice: bool = True
    """The bot's voice takes on a little of the caller's pace, and speaks calmly to a raised voice, as far as the engine
    can. Fixed sentences stay as they are."""
    to_agent: bool = False
    """The language model is told what stands out ("The caller sounds hurried, louder than before."): what the bot says
    may change with it."""
