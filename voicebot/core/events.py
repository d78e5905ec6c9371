"""What the turn machine is fed and what it answers, its states and its timing: closed unions of plain data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from voicebot.core.timeline import EndReason

MAX_WAIT_MS = 8000
"""No state of a call waits longer than this for anything: longer is dead air."""


class State(StrEnum):
    LISTENING = "listening"
    HEARING = "hearing"
    DECIDING = "deciding"
    THINKING = "thinking"
    SPEAKING = "speaking"
    YIELDING = "yielding"
    AWAY = "away"
    TRANSFERRING = "transferring"
    JOINED = "joined"
    CLOSING = "closing"
    ENDED = "ended"


class BargeIn(StrEnum):
    """What a voice over the bot may do."""

    STRICT = "strict"
    """Nothing: the bot finishes, then listens (half duplex). Keys still cut it short."""
    KEYWORDS = "keywords"
    """The bot goes on until a keyword was heard."""
    FULL = "full"
    """The bot holds at once, and yields to real words or to speech that lasts (full duplex)."""


@dataclass(frozen=True, slots=True)
class Timing:
    """How the call takes turns just now; what the dialplan expects next changes it. Milliseconds, but for counts."""

    barge_in: BargeIn = BargeIn.FULL
    words_only: bool = False
    """Only words are an interruption, however long somebody speaks."""

    quick_ms: int = 350
    """Silence after which a settled utterance is a turn."""
    pause_ms: int = 700
    """… and an unsettled one."""
    eager: bool = True
    """Where the turn looks complete, its words are closed and the reply prepared before the pause is over."""
    final_ms: int = 1500
    """Wait for the recogniser's final words; then the last partial counts."""
    cough_ms: int = 600
    """Voice shorter than this, without words, was no turn."""
    insist_ms: int = 440
    """Speech over the bot for this long, pauses not counted, is an interruption; less needs words."""
    confirm_ms: int = 400
    """After a voice over the bot has stopped: wait for its words; then it was none."""
    hold_ms: int = 1600
    """A voice over the bot that is neither words nor lasting speech holds it no longer than this."""
    filler_ms: int = 1800
    """Thinking longer than this is bridged by "one moment"."""
    silent_filler_ms: int = 800
    """… sooner where nobody has spoken for long: together it must not be dead air."""
    first_audio_ms: int = 6000
    """A reply without audio for this long has failed."""
    silence_ms: int = 7000
    """Silence after a question before the caller is asked again."""
    noise_ms: int = 12000
    """Voice this long without a word is noise or music."""
    monologue_ms: int = 60000
    """Voice this long with words is cut in on politely."""
    keys_ms: int = 2000
    """Between keyed digits."""
    away_ms: int = 600000
    """On hold for this long, the caller is gone."""
    company_ms: int = 6000
    """Who waits to be put through hears a word this often."""
    transfer_ms: int = 75000
    """A transfer that has come to nothing by then has failed, whatever is still being tried."""
    silences: int = 4
    """Silences in a row after which the call is closed, whatever the agent would still ask."""
    strikes: int = 3
    """Failed replies in a row before the call is closed."""


# --- events ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Answered:
    """The call is up: open it."""

    operator: str = ""
    """The transfer for a call whose engines fail."""
    unreached: str = ""
    """The transfer that failed, where the carrier gives back a caller that it had taken."""


@dataclass(frozen=True, slots=True)
class VoiceStarted:
    may_interrupt: bool = True
    """False while an uninterruptible notice plays."""


@dataclass(frozen=True, slots=True)
class VoiceStopped:
    at_ms: int
    """End of speech, hang-over removed."""


@dataclass(frozen=True, slots=True)
class Speech:
    """So much of the caller's current voice was speech: noise, echo, pauses and the detector's hang-over are not."""

    ms: int
    may_interrupt: bool = True


@dataclass(frozen=True, slots=True)
class TurnMayEnd:
    """The caller paused; so long after the voice the turn is over, if nothing more comes."""

    wait_ms: int


@dataclass(frozen=True, slots=True)
class WordsHeard:
    text: str
    final: bool
    settled: bool = True
    """Whether it looks complete: no trailing "and", no half phone number."""
    real: bool = True
    """Evidence of an interruption: not a backchannel, not doubtful."""
    go_on: bool = False
    """Nothing but sounds of listening: "mhm", "okay"."""
    may_interrupt: bool = True
    """False while an uninterruptible notice plays, or waits to."""


@dataclass(frozen=True, slots=True)
class ReplyAudio:
    """The first audio of the current reply was queued."""

    turn: int


@dataclass(frozen=True, slots=True)
class ReplyDone:
    """The agent has no more to say in this turn. `ending`: afterwards the call ends or is transferred."""

    turn: int
    ending: EndReason | None = None
    transfer_to: str = ""
    """With `EndReason.TRANSFER`: the name of the transfer."""


@dataclass(frozen=True, slots=True)
class ReplyFailed:
    turn: int
    stage: str


@dataclass(frozen=True, slots=True)
class ToolStarted:
    """A tool with side effects runs for this turn: it is not to be cancelled by a caller who goes on talking."""

    turn: int


@dataclass(frozen=True, slots=True)
class EngineSpeaks:
    """A native engine begins a reply that we did not ask for: it answers what it has heard, or speaks up."""


@dataclass(frozen=True, slots=True)
class EngineYields:
    """A native engine that decides who has the floor gives it to the caller, and speaks no more."""

    may_interrupt: bool = True
    """False while an uninterruptible notice plays."""


@dataclass(frozen=True, slots=True)
class Playing:
    """Some more audio was heard."""


@dataclass(frozen=True, slots=True)
class Drained:
    """All queued audio was heard."""


@dataclass(frozen=True, slots=True)
class Key:
    digit: str
    complete: bool
    """Whether this digit completes the entry (menu key, `#`, last of a fixed count)."""


@dataclass(frozen=True, slots=True)
class PutOnHold:
    """The caller put us on hold: nobody listens, and what comes in is music."""


@dataclass(frozen=True, slots=True)
class TakenBack:
    """The caller is back from hold."""


@dataclass(frozen=True, slots=True)
class Joined:
    """Somebody has taken the caller: the two talk to each other, over us."""


@dataclass(frozen=True, slots=True)
class PutThrough:
    """The caller is somebody else's now, or was, and they have hung up."""


@dataclass(frozen=True, slots=True)
class TransferFailed:
    """Nobody took the caller, who is with us still."""

    why: str


@dataclass(frozen=True, slots=True)
class Retime:
    """From now on turns are taken like this."""

    timing: Timing


@dataclass(frozen=True, slots=True)
class Close:
    """End the call politely: a fixed sentence, heard to its end, then hang up."""

    reason: EndReason
    sentence: str


@dataclass(frozen=True, slots=True)
class Gone:
    """The far end is gone."""

    reason: EndReason


@dataclass(frozen=True, slots=True)
class Tick:
    """A deadline may have passed."""


Event = (
    Answered | VoiceStarted | VoiceStopped | Speech | TurnMayEnd | WordsHeard | ReplyAudio | ReplyDone | ReplyFailed
    | ToolStarted | EngineSpeaks | EngineYields | Playing | Drained | Key | PutOnHold | TakenBack | Joined | PutThrough
    | TransferFailed | Retime | Close | Gone | Tick
)  # fmt: skip

# --- actions ----------------------------------------------------------------------------------------------


class Input(StrEnum):
    OPENING = "opening"
    SPOKEN = "spoken"
    KEYED = "keyed"
    SILENCE = "silence"
    RETURN = "return"
    """The caller is back from hold."""
    UNASKED = "unasked"
    """Nobody spoke that we had heard, and a native engine speaks."""
    UNREACHED = "unreached"
    """A transfer failed, and the caller is back with us."""


@dataclass(frozen=True, slots=True)
class StartReply:
    turn: int
    input: Input
    text: str = ""
    """Words spoken, digits keyed, or the name of the transfer that failed."""
    count: int = 0
    """Silences in a row."""


@dataclass(frozen=True, slots=True)
class Prepare:
    """The caller may have finished with these words: what can begin for free may begin. Followed by `StartReply` with
    the same words, or by `DropPrepared`."""

    text: str


@dataclass(frozen=True, slots=True)
class DropPrepared:
    """The caller went on."""


@dataclass(frozen=True, slots=True)
class CancelReply:
    turn: int


@dataclass(frozen=True, slots=True)
class HoldPlayout:
    pass


@dataclass(frozen=True, slots=True)
class ResumePlayout:
    pass


@dataclass(frozen=True, slots=True)
class DropPlayout:
    pass


@dataclass(frozen=True, slots=True)
class OpenEar:
    """Start recognising, pre-roll included."""


@dataclass(frozen=True, slots=True)
class FinishEar:
    """No more audio: a final `WordsHeard` must follow."""


@dataclass(frozen=True, slots=True)
class CloseEar:
    """Nobody wants the words any more."""


@dataclass(frozen=True, slots=True)
class SayFixed:
    sentence: str
    """Name of a fixed sentence of the dialplan: one_moment, sorry, goodbye, …"""


@dataclass(frozen=True, slots=True)
class CommitHeard:
    """The one end of a turn's reply: what was heard of it enters the conversation."""

    turn: int
    complete: bool


@dataclass(frozen=True, slots=True)
class Transfer:
    """Put the caller through. Followed by one of `PutThrough`, `TransferFailed` and the action `DropTransfer`."""

    to: str
    """Its name in the dialplan."""


@dataclass(frozen=True, slots=True)
class DropTransfer:
    """Nobody wants it any more."""


@dataclass(frozen=True, slots=True)
class EndCall:
    """The one clean-up: hang up, where the line has not ended, and finish the record."""

    reason: EndReason


Action = (
    StartReply | Prepare | DropPrepared | CancelReply | HoldPlayout | ResumePlayout | DropPlayout | OpenEar | FinishEar
    | CloseEar | SayFixed | CommitHeard | Transfer | DropTransfer | EndCall
)  # fmt: skip
