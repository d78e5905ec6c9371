"""Real speech as a call's end-of-turn decision meets it: every silence, and whether the speaker went on.

From a folder with a `MANIFEST.csv`: one-sided recordings (each is one turn, its last silence the end), a stereo call
(a turn ends where the other side speaks next), meetings with speaker turns, and word times. All of it goes through
μ-law at 8 kHz and through the voice activity engine of the calls; a silence is one that the engine reports.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soundfile
import soxr

from voicebot.audio.frames import FRAME_BYTES, FRAME_SAMPLES, RATE
from voicebot.audio.prosody import Intonation, Prosody
from voicebot.core.dialplan import Dialplan
from voicebot.core.expect import Expectation, Mode
from voicebot.core.expectations import expectations
from voicebot.engines.base import Vad, VoiceStarted, VoiceStopped
from voicebot.errors import UsageError
from voicebot.replay import mixing
from voicebot.replay.spoken_tasks import SPELLED_AND_NUMBERS, Recording

ANYTHING = Expectation("measure/anything", Mode.FREE, ())
SPELLED = replace(SPELLED_AND_NUMBERS, quick_ms=600, pause_ms=1100, bare=True)
"""As a dialplan waits for a name that is spelled."""
LONGEST_PAUSE_MS = 3000
"""Longer silences without anybody else speaking are left out: nobody says what they were."""
BACKCHANNEL_MS = 700
"""Less voice of the other side in a silence may be listening: such silences are left out, too."""
NEAR_MS = 1000
"""In a mixed recording nobody else may speak this long before a silence, nor in its first half of that."""
SURE_MS = (1000, 3000)
"""Where one side of a call was kept, shorter silences are taken for pauses and longer ones for the other's turn."""
CLOSING_MS = 800
"""Quiet line after a recording, so that its last voice ends."""
HEARD_MS = 240
"""After the end of a voice, when the voice activity engine has reported it: so much more audio was heard."""


@dataclass(frozen=True, slots=True)
class Silence:
    """One chance to take the turn."""

    group: str
    speaker: str
    part: str
    """Of which recording, for listening to it."""
    at_ms: int
    """End of the voice in the recording."""
    pause_ms: int | None
    """Until the speaker went on; None: the turn was over."""
    turn_pcm: bytes
    """The turn so far, 8 kHz int16 LE, as heard when the engine reported the silence."""
    prosody: Prosody | None
    expectation: Expectation
    text: str = ""
    """Words so far, from time-aligned transcripts; empty where they are to be recognised, or where there are none."""


@dataclass(frozen=True, slots=True)
class Track:
    """One speaker, or a mix in which one of them is told apart by `turns_ms`."""

    group: str
    speaker: str
    part: str
    pcm: bytes
    expectation: Expectation
    turns_ms: Sequence[tuple[int, int]] = ()
    """Turns to take silences from; empty: all is one turn."""
    others_ms: Sequence[tuple[int, int]] = ()
    """Where somebody else speaks."""
    words: Sequence[tuple[str, int]] = ()
    """(word, ms at which it ended)."""


def silences(track: Track, vad: Vad) -> Iterator[Silence]:
    """The silences of a track in order."""
    voices = voiced(track.pcm, vad)
    whole = ((0, len(track.pcm) * 1000 // RATE // 2),)
    intonation = Intonation()
    for first, last in track.turns_ms or whole:
        mine = [v for v in voices if v[0] < last and v[1] > first]
        intonation.begin()
        for number, (start, stop) in enumerate(mine):
            for at in range(_byte(start), _byte(stop), FRAME_BYTES):
                intonation.push(track.pcm[at : at + FRAME_BYTES])
            following = mine[number + 1][0] if number + 1 < len(mine) else None
            if not track.others_ms or _clear(track.others_ms, stop, following):
                yield Silence(
                    group=track.group,
                    speaker=track.speaker,
                    part=track.part,
                    at_ms=stop,
                    pause_ms=None if following is None else following - stop,
                    turn_pcm=track.pcm[_byte(max(0, mine[0][0] - 300)) : _byte(stop + HEARD_MS)],
                    prosody=intonation.summary(),
                    expectation=track.expectation,
                    text=" ".join(word for word, ended in track.words if ended <= stop + HEARD_MS),
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


def _byte(ms: int) -> int:
    return ms * RATE // 1000 * 2


# --- the recordings ----------------------------------------------------------------------------------------------


def tracks(found: Sequence[Recording], coffee: Dialplan, vad: Vad) -> Iterator[Track]:
    """Every recording that tells where turns end; the vad finds who speaks when in a stereo call."""
    order = next(each for each in expectations(coffee) if each.mode is Mode.OPEN)
    for recording in found:
        match recording.category:
            case "read_an4":
                yield _alone(recording, "answers", SPELLED)
            case "commands_s2i":
                yield _alone(recording, "answers", order)
            case "speech_libri_many" | "vad_aligned_libri":
                yield _alone(recording, "read aloud", ANYTHING)
            case "vad_ami":
                yield from _meeting(recording)
            case "calls" if "activity_json" in recording.labels:
                yield from _call(recording, vad)
            case "calls" if "side" in recording.labels:
                yield _one_side(recording, vad)
            case _:
                pass


def _alone(recording: Recording, group: str, expectation: Expectation) -> Track:
    sound = mixing.edged(mixing.read(recording.file, RATE), RATE, seed=1)
    quiet = mixing.edged(np.zeros((CLOSING_MS - 600) * RATE // 1000, np.float32), RATE, seed=2)
    words = [(str(word), round(1000 * (end + mixing.EDGE_S))) for word, _, end in recording.labels.get("words", ())]
    pcm = mixing.telephone(np.concatenate([sound, quiet]))
    name = recording.file.stem
    return Track(group, recording.speaker or name, name, pcm, expectation, words=words)


def _meeting(recording: Recording) -> Iterator[Track]:
    """One track for each speaker of a mixed recording."""
    pcm = mixing.telephone(mixing.read(recording.file, RATE))
    turns = [(round(a * 1000), round(b * 1000), who) for a, b, who in recording.labels["speaker_turns"]]
    for who in sorted({who for _, _, who in turns}):
        mine = [(a, b) for a, b, speaker in turns if speaker == who]
        # A turn that the recording cuts off has no end to find.
        mine = [(a, b) for a, b in mine if b + CLOSING_MS < len(pcm) * 1000 // RATE // 2]
        others = [(a, b) for a, b, speaker in turns if speaker != who]
        if mine:
            yield Track("two-party", who, recording.file.stem, pcm, ANYTHING, _joined(mine, others), others)


def _call(recording: Recording, vad: Vad) -> Iterator[Track]:
    """One track for each side of a stereo call; a turn goes on until the other side speaks."""
    sides = [mixing.telephone(side) for side in _channels(recording.file)]
    voices = [voiced(pcm, vad) for pcm in sides]
    for side, name in enumerate(("caller", "agent")):
        turns = _taken_up(voices[side], voices[1 - side])
        yield Track("two-party", f"{recording.file.stem}:{name}", name, sides[side], ANYTHING, turns)


def _one_side(recording: Recording, vad: Vad) -> Track:
    """A call of which one side was kept: a long silence is the other side's turn, a short one is not."""
    pcm = mixing.telephone(mixing.read(recording.file, RATE))
    voices = voiced(pcm, vad)
    others = [(a + 100, b - 100) for (_, a), (b, _) in zip(voices, voices[1:], strict=False) if b - a > SURE_MS[0]]
    unsure = [(a, b) for a, b in others if b - a < SURE_MS[1]]
    turns = _taken_up(voices, [each for each in others if each not in unsure], unsure)
    return Track("one side", recording.file.stem, recording.file.stem, pcm, ANYTHING, turns)


def _channels(path: Path) -> list[mixing.Sound]:
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (OSError, soundfile.SoundFileError) as error:
        raise UsageError(f"{path} cannot be read as a recording ({error}).") from None
    return [np.asarray(soxr.resample(side, rate, RATE, quality="VHQ"), np.float32) for side in samples.T]


def _joined(mine: Sequence[tuple[int, int]], others: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Turns of one speaker with nobody in between are one turn."""
    found: list[tuple[int, int]] = []
    for start, end in sorted(mine):
        between = found and any(a < start and b > found[-1][1] for a, b in others)
        if found and not between and start - found[-1][1] <= LONGEST_PAUSE_MS:
            found[-1] = (found[-1][0], end)
        else:
            found.append((start, end))
    return found


def _taken_up(
    mine: Sequence[tuple[int, int]], others: Sequence[tuple[int, int]], unsure: Sequence[tuple[int, int]] = ()
) -> list[tuple[int, int]]:
    """Voices of one side joined into turns, those turns only that the other side then took up for sure."""
    found: list[tuple[int, int]] = []
    start = mine[0][0] if mine else 0
    for (_, stop), (following, _) in zip(mine, mine[1:], strict=False):
        heard = sum(min(b, following) - max(a, stop) for a, b in others if a < following and b > stop)
        if heard >= BACKCHANNEL_MS:
            found.append((start, stop))
            start = following
        elif heard or following - stop > LONGEST_PAUSE_MS or any(a < following and b > stop for a, b in unsure):
            start = following  # whose turn it was then is not known
    return found
