"""What a native speech-to-speech engine says, and what it is told at its start: closed unions of plain data.

A *reply* is one stretch of speech that the engine makes, with an id of the engine's own. A turn of the call may be made
of several: what is said before a tool, and what after it. Times of the caller are milliseconds of the audio that was
pushed since the session was opened, times of a reply are milliseconds of that reply's own audio.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from voicebot.core.conversation import Message
from voicebot.core.dialogue import ToolCall
from voicebot.core.tool_specs import ToolSpec

# --- what an engine is -----------------------------------------------------------------------------------


class Coding(StrEnum):
    """How audio is represented on the way to the engine and back."""

    PCMU = "pcmu"
    """G.711 μ-law, a byte for each sample of 8 kHz: what the telephone has, nothing is resampled."""
    PCMA = "pcma"
    PCM16 = "pcm16"
    """int16 LE mono."""
    OPUS = "opus"
    TOKENS = "tokens"
    """Discrete units of a neural codec or of a self-supervised model."""


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """Mono. The call converts once, between the telephone's 8 kHz and this. Opus and tokens are coded by the engine,
    which has the codec: what it is pushed, and what it gives, is int16 LE at `rate`."""

    coding: Coding
    rate: int = 8000


class Decides(StrEnum):
    """Who decides when the caller has finished, and whether a voice over the bot is an interruption."""

    OURS = "ours"
    """The call's turn machine: the engine replies to `respond` only, and nothing but `cut` ends a reply."""
    ENGINE = "engine"
    """The engine: it replies when it thinks fit, and says `Interrupted` when the caller takes the floor."""
    BOTH = "both"
    """The engine replies when it thinks fit, or at `respond`; nothing but `cut` ends a reply."""


@dataclass(frozen=True, slots=True)
class Abilities:
    """What an engine can do; the call works with that, and does the rest itself."""

    takes: AudioFormat
    gives: AudioFormat
    decides: tuple[Decides, ...] = (Decides.OURS, Decides.ENGINE, Decides.BOTH)
    """Best first. What the dialplan wants is taken where it is among them, else the first."""
    obeys: bool = True
    """Whether it follows instructions, answers to `respond` with what they say, reads what it is told and calls tools.
    To one that does not, the call lends its own voice for greetings and notices, keys and transfers are the call's, and
    `respond` comes without instructions, at the end of a turn that we decide."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a session begins with. Another may follow in the middle of the call, and goes on where the first ended."""

    instructions: str
    tools: tuple[ToolSpec, ...] = ()
    history: tuple[Message, ...] = ()
    """The call so far: what the caller said, and of the bot's speech what was heard."""
    language: str = "en-US"
    """BCP 47."""
    voice: str = ""
    """The engine's own name for one; empty for what its options say, or its default."""
    decides: Decides = Decides.OURS
    target: str = ""
    """The language of an interpreter's translation, BCP 47; empty for everybody else."""


def deciding(wanted: Decides, able: Abilities) -> Decides:
    """Who decides, with an engine that may not be able to do what is wanted."""
    return wanted if wanted in able.decides else able.decides[0]


# --- what it says ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CallerStarted:
    """The engine hears the caller speak."""

    at_ms: int


@dataclass(frozen=True, slots=True)
class CallerStopped:
    at_ms: int


@dataclass(frozen=True, slots=True)
class CallerWords:
    """What the engine, or a recogniser beside it, understood. Often comes after the reply to it."""

    text: str
    """All of the utterance so far: a later one replaces an earlier one of the same utterance."""
    final: bool
    utterance: str = ""
    """Its id, where the engine has one."""


@dataclass(frozen=True, slots=True)
class ReplyBegan:
    """Always the first event of a reply. An engine that gives audio without end (full duplex) begins a reply with the
    first sound or word, and ends it after a second without either; what lies between replies is not given."""

    reply: str


@dataclass(frozen=True, slots=True)
class ReplyAudio:
    """In the format that the engine gives; as fast as it likes."""

    reply: str
    audio: bytes


@dataclass(frozen=True, slots=True)
class ReplyText:
    """What the audio says, a fragment; they concatenate. May run before or behind the audio."""

    reply: str
    text: str


@dataclass(frozen=True, slots=True)
class ReplyCalls:
    """A tool is asked for; the arguments are as the engine gave them. Its result goes to `tool_done`, in any order;
    when all calls of this reply have one, the engine goes on by itself, in another reply."""

    reply: str
    call: ToolCall


class How(StrEnum):
    """How a reply ended."""

    DONE = "done"
    INTERRUPTED = "interrupted"
    """By `cut`, or by the engine itself, which says `Interrupted`, too."""
    FAILED = "failed"
    """The engine gave it up; the session lives on."""


@dataclass(frozen=True, slots=True)
class ReplyEnded:
    """No more of this reply comes. After a `cut` it may be missing: the call waits for nothing of it."""

    reply: str
    how: How = How.DONE
    fault: str = ""
    """Why it failed, in our words."""


@dataclass(frozen=True, slots=True)
class CallsCancelled:
    """Nobody wants the results of these any more."""

    call_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The engine gives the floor to the caller (where it decides): all that is not heard yet of its replies is dropped,
    also of those it has made to their end. `cut` follows, so that it learns how much was heard."""


@dataclass(frozen=True, slots=True)
class Leaving:
    """The session ends soon, by its own rules: the call opens another one in a quiet moment."""

    in_ms: int


@dataclass(frozen=True, slots=True)
class Gone:
    """The last event. `expected`: a session's life was over; another one may be opened at once."""

    fault: str
    expected: bool = False


DuplexEvent = (
    CallerStarted | CallerStopped | CallerWords | ReplyBegan | ReplyAudio | ReplyText | ReplyCalls | ReplyEnded
    | CallsCancelled | Interrupted | Leaving | Gone
)  # fmt: skip
