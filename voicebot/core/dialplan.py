"""The dialplan: which calls it takes, who answers, what may be said, what to do when something fails.

YAML in, frozen pydantic models out; published as JSON Schema. Reading files is the caller's business:
`parse(text, file)` is pure.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Takes(Model):
    """Which calls this dialplan takes. All that are given must match; patterns may end in `*`."""

    numbers: tuple[str, ...] = ()
    """Called numbers (E.164) or SIP users."""
    callers: tuple[str, ...] = ()
    hours: tuple[str, ...] = ()
    """`mon-fri 08:00-18:00`, in `timezone`; outside them another dialplan may take the call."""


class Persona(Model):
    name: str = ""
    style: str = ""
    """For a language model: how it speaks."""


class Engines(Model):
    responder: Literal["cascade", "native"] = "cascade"
    asr: tuple[str, ...] = ("pocketsphinx",)
    llm: tuple[str, ...] = ("openai", "scripted")
    """In order; one that cannot run here (no key) is passed over, one that fails is replaced by the next."""
    tts: tuple[str, ...] = ("espeak",)
    voice: str = ""
    options: dict[str, dict[str, Any]] = Field(default_factory=dict)


class Limits(Model):
    max_call_s: int = Field(1800, ge=10, le=14400)
    silence_s: int = Field(7, ge=2, le=8)
    """Silence after a question before the bot asks again."""
    reprompts: int = Field(2, ge=0, le=5)


class Sentences(Model):
    """Fixed sentences, synthesised before the first call."""

    one_moment: str = "One moment, please."
    sorry: str = "I'm sorry, something went wrong on my side. Could you say that again?"
    trouble: str = "I'm sorry, I am having trouble just now. Please call again later. Goodbye."
    still_there: tuple[str, ...] = (
        "Are you still there?",
        "I can't hear you. Please say something, or press a key.",
    )
    goodbye: str = "Thank you for calling. Goodbye."
    busy: str = "I'm sorry, all lines are busy. Please call again later."
