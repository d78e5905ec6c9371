"""Contracts of the engines. Each engine is one file `engines/<stage>_<name>.py` with a function

    def create(config: EngineConfig) -> Vad | Eot | Asr | Llm | Tts

and, beside it, `def check() -> str | None`: None when it can run here, else one sentence that says what it
needs (no imports of heavy libraries, no network). Engines load by name (see `registry.py`); a third-party
package adds one through the entry-point group `voicebot.engines`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from voicebot.core.dialogue import CallerTurn, LlmEvent, Past
from voicebot.core.expect import Expectation
from voicebot.core.tone import PLAIN, Manner
from voicebot.core.words import Words


@dataclass(frozen=True, slots=True)
class EngineConfig:
    language: str = "en-US"
    """BCP 47."""
    voice: str = ""
    """The engine's own voice name; empty for its default for the language."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """The dialplan's `engines.options.<engine name>` table."""
    cache_dir: str = ""
    """A folder the engine may keep built artefacts in; empty for none."""
    workers: int = 1
    """Worker processes, for engines that compute."""
    bandwidth: str = "auto"
    """Of a recogniser: how the line's 8 kHz become 16, see `engines.bandwidth`."""
    level: str = "auto"
    noise: str = "auto"
    """Of a recogniser: what else is done to the line's audio, see `engines.treatment`."""


class Engine(Protocol):
    """Part of every engine that holds something: started once per process, shared by all calls. One that keeps
    connections may have `async def warm(self)`, called while a call rings or greets: `PeerError` when it cannot."""

    async def start(self) -> None: ...

    async def close(self) -> None: ...


# --- voice activity ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class VoiceStarted:
    at: int
    """Media-clock sample at which speech began (onset, not the moment of decision)."""


@dataclass(frozen=True, slots=True)
class VoiceStopped:
    at: int
    """Media-clock sample at which speech ended (hang-over removed)."""


Voice = VoiceStarted | VoiceStopped


class VadSession(Protocol):
    """One call's ears. Synchronous: well under a millisecond per frame, no thread hop (measured, see bench)."""

    @property
    def speech(self) -> bool:
        """Whether what was judged last is speech: no hang-over, no back-dating."""
        ...

    def push(self, pcm: bytes, at: int) -> Sequence[Voice]:
        """One 20 ms frame, 8 kHz int16 LE; `at` is its media-clock sample."""
        ...

    def ask(self, pcm: bytes, at: int, answer: Callable[[Sequence[Voice]], None]) -> None:
        """As `push`, answered at once or within 10 ms: then other calls are judged with this one. The next frame is
        brought after the answer."""
        ...

    def close(self) -> None:
        """The call is over: what was not answered yet never is."""
        ...


class Vad(Engine, Protocol):
    def open(self) -> VadSession: ...


# --- end of turn -------------------------------------------------------------------------------------


class Eot(Engine, Protocol):
    """A model with a vote on whether the caller has finished. Optional: a call does without."""

    async def judge(self, pcm: bytes) -> float | None:
        """Probability 0..1 that the turn is over whose audio ends here, 8 kHz int16 LE; None: no vote (it failed, or
        was late). Answers within the engine's deadline and never raises."""
        ...


# --- recogniser ---------------------------------------------------------------------------------------


class AsrSession(Protocol):
    """One utterance: from voice onset (with pre-roll) to `finish`."""

    def push(self, pcm: bytes) -> None:
        """int16 LE mono at `Asr.rate`; never blocks; a bounded backlog, beyond which the oldest is kept and
        the newest dropped (counted)."""
        ...

    def words(self) -> AsyncIterator[Words]:
        """Partials as they change, then exactly one final after `finish` (empty text: nothing understood).
        `PeerError` when there will be no words: the guard asks another engine."""
        ...

    def finish(self) -> None:
        """No more audio; the final follows."""
        ...

    def cancel(self) -> None:
        """Nobody wants the result; frees the decoder. `words` ends."""
        ...


class Ears(Protocol):
    """What a call needs of a recogniser."""

    @property
    def rate(self) -> int:
        """Sample rate it wants: 8000 or 16000."""
        ...

    def open(self, expectation: Expectation) -> AsrSession: ...


class Asr(Engine, Ears, Protocol):
    async def prepare(self, expectations: Sequence[Expectation]) -> None:
        """Build and cache what these need, when a dialplan loads and before any call."""
        ...


class AsrForCall(Protocol):
    """An engine that holds something for each call (a connection) has `for_call(self) -> AsrForCall`."""

    async def warm(self) -> None:
        """The call rings or greets: make ready what can be. `PeerError` when it cannot."""
        ...

    def open(self, expectation: Expectation) -> AsrSession:
        """As `Asr.open`; `AsrSession.words` may raise `PeerError`."""
        ...

    async def close(self) -> None:
        """The call is over."""
        ...


# --- language model / agent ---------------------------------------------------------------------------


class Agent(Protocol):
    """The agent of one call. It owns the conversation; the call tells it what was truly heard."""

    @property
    def expectation(self) -> Expectation:
        """What the caller may say next; valid once the first event of a reply came."""
        ...

    def reply(self, turn: CallerTurn) -> AsyncIterator[LlmEvent]:
        """Closing the iterator early cancels the reply."""
        ...

    async def prepare(self, turn: CallerTurn) -> None:
        """`turn` is likely to come: begin what can begin without changing anything. Runs until the reply is generated,
        or is cancelled when the caller goes on; a `reply` to the same words goes on from it. Never raises."""
        ...

    def committed(self, text: str, complete: bool) -> None:
        """The caller heard `text` of the last reply; `complete` unless it was cut."""
        ...


class LlmSession(Agent, Protocol):
    """An agent as an engine makes it."""

    def take_over(self, past: Sequence[Past], begun: str) -> None:
        """Called first, if at all: another agent led the call so far, and failed in the turn that comes next. `begun`
        of the answer has been said already; the next `reply` goes on from there."""
        ...


@dataclass(frozen=True, slots=True)
class AgentContext:
    """What an agent knows of its call."""

    dialplan: Any
    """A `core.dialplan.Dialplan`."""
    caller: str
    called: str
    now_iso: str
    """Local date and time at the dialplan's place, for "tomorrow"."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """That came with the call, as `call_headers.kept` gives them."""


class Llm(Engine, Protocol):
    def prepare(self, dialplan: Any) -> Sequence[Expectation]:
        """When a dialplan loads: what callers may say to this agent, for the recogniser's `prepare`."""
        ...

    def open(self, context: AgentContext) -> LlmSession: ...


# --- synthesiser ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SpokenWord:
    text: str
    """The slice of the source text from this word up to the next, so that the words concatenate to it."""
    at: int
    """Sample within the chunk's `pcm` at which it starts."""


@dataclass(frozen=True, slots=True)
class Speech:
    pcm: bytes
    """int16 LE mono."""
    rate: int
    words: tuple[SpokenWord, ...] = ()
    """Words that start in this chunk; empty where the engine gives no times."""


class Tts(Engine, Protocol):
    @property
    def voice_id(self) -> str:
        """Engine, voice and version: the key of cached sentences."""
        ...

    def speak(self, clauses: AsyncIterator[str], manner: Manner = PLAIN) -> AsyncIterator[Speech]:
        """Speak clauses as they come, in that manner as far as the engine can; the first audio of a clause within
        30 ms where the engine allows. Closing the iterator early stops the synthesis at once."""
        ...


class Mouth(Protocol):
    """What a call needs of a synthesiser."""

    manner: Manner
    """How the next clauses are said."""

    @property
    def voice_id(self) -> str:
        """Engine, voice and version: the key of cached sentences."""
        ...

    def speak(self, clauses: AsyncIterator[str]) -> AsyncIterator[Speech]: ...


# --- text translator ------------------------------------------------------------------------------------


class Mt(Engine, Protocol):
    """Of an interpreter that goes by way of text."""

    def translate(self, text: str, source: str, target: str) -> AsyncIterator[str]:
        """`text` in another language (BCP 47), in pieces that concatenate. `PeerError` when there is none."""
        ...
