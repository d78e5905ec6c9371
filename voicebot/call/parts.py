"""What a call is made of."""

from __future__ import annotations

from dataclasses import dataclass

from voicebot.call.prompts import PromptCache
from voicebot.call.tools import Toolbox
from voicebot.engines.base import Asr, Eot, LlmSession, Tts, Vad


@dataclass(frozen=True, slots=True)
class Parts:
    """Warm engines, shared by all calls, and an agent of the call's own."""

    vad: Vad
    asr: Asr
    voice: Tts
    agent: LlmSession
    prompts: PromptCache
    toolbox: Toolbox
    eot: Eot | None = None
    """A model that knows the end of a turn, where the operator has one."""
