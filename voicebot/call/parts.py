"""What a call is made of."""

from __future__ import annotations

from dataclasses import dataclass, field

from voicebot.call.beat import Beat
from voicebot.call.duplex import Native
from voicebot.call.interpreter import Side
from voicebot.call.prompts import Prompts
from voicebot.call.tools import Tools
from voicebot.carriers.base import Dial
from voicebot.core.events import Timing
from voicebot.engines.base import Agent, Ears, Eot, Mouth, Vad


@dataclass(frozen=True, slots=True)
class Parts:
    """Warm engines behind this call's guards, and what its agent can use."""

    vad: Vad
    asr: Ears
    voice: Mouth
    agent: Agent
    prompts: Prompts
    toolbox: Tools
    eot: Eot | None = None
    """A model that knows the end of a turn, where the operator has one."""
    final_ms: int = Timing().final_ms
    """How long the recogniser's final words are waited for."""
    beat: Beat = field(default_factory=Beat)
    """The clock that this call shares with all others."""
    native: Native | Side | None = None
    """The speech-to-speech engine that leads the call, in the place of agent and voice; `agent` is this, too, then."""
    dial: Dial | None = None
    """How somebody else is called while this call is up, where that can be done."""
    unreached: str = ""
    """The transfer that failed, where the carrier gives back a caller that it had taken; `agent` knows the call."""
