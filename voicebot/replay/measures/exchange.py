"""Who spoke when, and to what: voices of two sides → turns, answers, barge-ins, talk-over, silence. Pure.

A turn is a side's speech up to a pause of 2 s, or to one in which the other side begins. A caller's sound of less than
600 ms that lies within the bot's speech is no turn to be answered: an "uh-huh", a cough.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field

from voicebot.replay.measures.speech import Voice
from voicebot.replay.recording import RATE
from voicebot.replay.verdict import Side

PAUSE_MS = 2000
"""A longer pause ends a turn; mutual silence of more is dead air."""
SOUND_MS = 600
"""A shorter sound over the bot's voice need be no words."""
RUN_MS = 400
"""Pauses in running speech: between sentences."""
AHEAD_MS = 200
"""The bot has spoken for so long before somebody can be said to speak over it."""
YIELD_MS = 800
"""Silence that comes later has nothing to do with a short sound."""
OVER_MS = 2000
"""Speaking on for so long over an interruption is no yielding."""
WAIT_MS = 15_000
"""Who has not answered by then has not."""

Span = tuple[int, int]
"""From and to, ms."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """A turn by its voices."""

    side: Side
    voices: tuple[Voice, ...]

    @property
    def start_ms(self) -> int:
        return self.voices[0].start_ms

    @property
    def end_ms(self) -> int:
        return self.voices[-1].end_ms


@dataclass(frozen=True, slots=True)
class Answered:
    caller: Spoken
    bot: Spoken | None
    gap_ms: int | None
    """Negative: the bot began before the caller had ended."""


@dataclass(frozen=True, slots=True)
class Over:
    """The caller's voice over the bot's."""

    start_ms: int
    sound_ms: int
    """How long the caller's voice lasts, short pauses in it."""
    stop_ms: int
    """From the onset to the bot's silence."""
    silent_ms: int
    """How long nobody spoke after both had stopped."""

    @property
    def short(self) -> bool:
        return self.sound_ms < SOUND_MS


@dataclass(frozen=True, slots=True)
class Exchange:
    """The call as an exchange of words without the words."""

    duration_ms: int
    voices: dict[Side, list[Voice]]
    turns: list[Spoken] = field(default_factory=list)
    """Of both sides, by their beginning."""
    answers: list[Answered] = field(default_factory=list)
    over: list[Over] = field(default_factory=list)
    both: list[tuple[Side, Span]] = field(default_factory=list)
    """Talk-over, and who began."""
    silences: list[Span] = field(default_factory=list)
    """Longer than `PAUSE_MS`, from the first sample to the last."""


def exchange(voices: dict[Side, list[Voice]], duration_ms: int) -> Exchange:
    """What the voices make."""
    turns = sorted(_turns("caller", voices) + _turns("bot", voices), key=lambda turn: turn.start_ms)
    found = Exchange(duration_ms, voices, turns, both=_both(voices), silences=_silences(voices, duration_ms))
    found.over.extend(_over(voices, duration_ms))
    found.answers.extend(_answers(turns))
    return found


def runs(voices: Sequence[Voice], join_ms: int = RUN_MS) -> list[Span]:
    """Voices joined over short pauses."""
    found: list[Span] = []
    for voice in voices:
        if found and voice.start_ms - found[-1][1] < join_ms:
            found[-1] = (found[-1][0], max(found[-1][1], voice.end_ms))
        else:
            found.append((voice.start_ms, voice.end_ms))
    return found


def _turns(side: Side, voices: dict[Side, list[Voice]]) -> list[Spoken]:
    others = [voice.start_ms for voice in voices["bot" if side == "caller" else "caller"]]
    groups: list[list[Voice]] = []
    for voice in voices[side]:
        last = groups[-1][-1].end_ms if groups else 0
        spoken_into = bisect_left(others, last) < bisect_left(others, voice.start_ms)
        if groups and voice.start_ms - last < PAUSE_MS and not spoken_into:
            groups[-1].append(voice)
        else:
            groups.append([voice])
    return [Spoken(side, tuple(group)) for group in groups]


def _answers(turns: list[Spoken]) -> list[Answered]:
    found = []
    callers = [turn for turn in turns if turn.side == "caller"]
    bots = [turn for turn in turns if turn.side == "bot"]
    for number, turn in enumerate(callers):
        following = callers[number + 1].start_ms if number + 1 < len(callers) else 1 << 62
        at = bisect_left(bots, turn.end_ms, key=_start_ms)
        during = bots[at - 1] if at and bots[at - 1].end_ms > turn.end_ms else None
        if during is not None and during.start_ms > turn.start_ms:
            found.append(Answered(turn, during, during.start_ms - turn.end_ms))
        elif during is None or not _is_speaking(during, turn.end_ms):  # else the bot spoke before, and speaks on
            bot = bots[at] if at < len(bots) else None
            if bot is None or bot.start_ms >= following or bot.start_ms - turn.end_ms > WAIT_MS:
                found.append(Answered(turn, None, None))
            else:
                found.append(Answered(turn, bot, bot.start_ms - turn.end_ms))
    return found


def _start_ms(turn: Spoken) -> int:
    return turn.start_ms


def _is_speaking(turn: Spoken, at_ms: int) -> bool:
    """Rather than pausing between two of its voices."""
    return any(start <= at_ms < end for start, end in runs(turn.voices))


def _over(voices: dict[Side, list[Voice]], duration_ms: int) -> list[Over]:
    found = []
    sounds, speech = runs(voices["caller"], 300), runs(voices["bot"])
    onsets = sorted(start for start, _ in (*sounds, *speech))
    for start, end in sounds:
        at = bisect_left(speech, (start - AHEAD_MS + 1, 0))  # the last that began so long before
        if not at or speech[at - 1][1] <= start:
            continue
        under = speech[at - 1]
        quiet = max(end, under[1])
        after = bisect_left(onsets, quiet)
        until = onsets[after] if after < len(onsets) else duration_ms
        found.append(Over(start, end - start, under[1] - start, until - quiet))
    return found


def _both(voices: dict[Side, list[Voice]]) -> list[tuple[Side, Span]]:
    """Where both speak, and who began the later."""
    found: list[tuple[Side, Span]] = []
    bots, at = voices["bot"], 0
    for mine in voices["caller"]:
        while at < len(bots) and bots[at].end_ms <= mine.start_ms:
            at += 1
        for theirs in bots[at:]:
            if theirs.start_ms >= mine.end_ms:
                break
            span = max(mine.start_ms, theirs.start_ms), min(mine.end_ms, theirs.end_ms)
            found.append(("caller" if mine.start_ms > theirs.start_ms else "bot", span))
    return found


def _silences(voices: dict[Side, list[Voice]], duration_ms: int) -> list[Span]:
    found, quiet_from = [], 0
    for voice in sorted((*voices["caller"], *voices["bot"]), key=lambda each: each.start):
        if voice.start_ms - quiet_from > PAUSE_MS:
            found.append((quiet_from, voice.start_ms))
        quiet_from = max(quiet_from, voice.end_ms)
    if duration_ms - quiet_from > PAUSE_MS:
        found.append((quiet_from, duration_ms))
    return found


def total_ms(spans: Sequence[Span]) -> int:
    """Their length together."""
    return sum(end - start for start, end in spans)


def speaking_ms(voices: Sequence[Voice]) -> int:
    """How long these voices speak."""
    return sum(voice.end - voice.start for voice in voices) * 1000 // RATE
