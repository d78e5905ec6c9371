"""Every silence of a speaker as a call's end-of-turn decision meets it, and whether the speaker went on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from voicebot.audio.frames import FRAME_BYTES, FRAME_SAMPLES, RATE
from voicebot.audio.prosody import Intonation, Prosody
from voicebot.core.expect import Expectation
from voicebot.engines.base import Vad, VoiceStarted, VoiceStopped

NEAR_MS = 1000
"""In a mixed recording nobody else may speak this long before a silence, nor half as long after an end."""
PREROLL_MS = 300
HEARD_MS = 240
"""After the end of a voice, when the voice activity engine has reported it: so much more audio was heard."""


@dataclass(frozen=True, slots=True)
class Track:
    """One speaker, or a mix in which one of them is told apart by `turns_ms`."""

    group: str
    speaker: str
    part: str
    """Which recording."""
    pcm: bytes
    """8 kHz int16 LE."""
    expectation: Expectation
    turns_ms: Sequence[tuple[int, int]] | None = None
    """Turns to take silences from; None: all is one turn."""
    others_ms: Sequence[tuple[int, int]] = ()
    """Where somebody else speaks."""
    words: Sequence[tuple[str, int]] = ()
    """(word, ms at which it ended)."""


@dataclass(frozen=True, slots=True)
class Silence:
    """One chance to take the turn."""

    track: Track
    at_ms: int
    """End of the voice in the recording."""
    pause_ms: int | None
    """Until the speaker went on; None: the turn was over."""
    turn_pcm: bytes
    """The turn so far, 8 kHz int16 LE, as heard when the engine reported the silence."""
    prosody: Prosody | None
    text: str = ""
    """Words so far, from time-aligned transcripts; empty where they are to be recognised, or where there are none."""
    model: float | None = None
    """What an end-of-turn model says of it."""
    second_ms: int | None = None
    """By how much later a second engine heard the voice end; None: it heard no end before the speaker went on."""


def silences(track: Track, vad: Vad, second: Vad) -> Iterator[Silence]:
    """The silences of a track in order, as `vad` finds them."""
    voices, others = voiced(track.pcm, vad), voiced(track.pcm, second)
    whole = ((0, len(track.pcm) * 1000 // RATE // 2),)
    intonation = Intonation()
    for first, last in whole if track.turns_ms is None else track.turns_ms:
        mine = [v for v in voices if v[0] < last and v[1] > first]
        intonation.begin()
        for number, (start, stop) in enumerate(mine):
            for at in range(_byte(start), _byte(stop), FRAME_BYTES):
                intonation.push(track.pcm[at : at + FRAME_BYTES])
            following = mine[number + 1][0] if number + 1 < len(mine) else None
            if _clear(track.others_ms, stop, following):
                yield Silence(
                    track=track,
                    at_ms=stop,
                    pause_ms=None if following is None else following - stop,
                    turn_pcm=track.pcm[_byte(max(0, mine[0][0] - PREROLL_MS)) : _byte(stop + HEARD_MS)],
                    prosody=intonation.summary(),
                    text=" ".join(word for word, ended in track.words if ended <= stop + HEARD_MS),
                    second_ms=_later(others, stop, following),
                )


def voiced(pcm: bytes, vad: Vad) -> list[tuple[int, int]]:
    """(from, to) in ms of every voice that a voice activity engine finds."""
    session, found = vad.open(), list[tuple[int, int]]()
    start = 0
    for at in range(0, len(pcm) // 2 - FRAME_SAMPLES + 1, FRAME_SAMPLES):
        for event in session.push(pcm[at * 2 : at * 2 + FRAME_BYTES], at):
            match event:
                case VoiceStarted():
                    start = event.at * 1000 // RATE
                case VoiceStopped():
                    found.append((start, event.at * 1000 // RATE))
    return found


def _clear(others: Sequence[tuple[int, int]], stop: int, following: int | None) -> bool:
    """Whether nobody else could be taken for the speaker around a silence of a mixed recording."""
    until = stop + NEAR_MS // 2 if following is None else following
    return not any(start < until and end > stop - NEAR_MS for start, end in others)


def _later(voices: Sequence[tuple[int, int]], stop: int, following: int | None) -> int | None:
    """How much after `stop` the first voice ends whose silence reaches beyond it."""
    nexts = [start for start, _ in voices[1:]] + [2**31]
    for (_, end), resumed in zip(voices, nexts, strict=False):
        if resumed > stop and (following is None or end < following):
            return end - stop
    return None


def _byte(ms: int) -> int:
    return ms * RATE // 1000 * 2
