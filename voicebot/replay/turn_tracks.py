"""Recordings that tell where turns end, read into tracks: real speech, through μ-law at 8 kHz.

From a folder with a `MANIFEST.csv`: one-sided recordings (each is one turn), a stereo call (a turn ends where the
other side speaks next), one side of a call, meetings with speaker turns. And one kind that is made: numbers of real
digits, with the pauses of real speakers between their groups.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import soundfile
import soxr

from voicebot.audio.frames import RATE
from voicebot.core.dialplan import Dialplan
from voicebot.core.expect import Expectation, Mode
from voicebot.core.expectations import DIGITS_MS, SPELLED_MS, expectations
from voicebot.engines.base import Vad
from voicebot.errors import UsageError
from voicebot.replay import mixing
from voicebot.replay.spoken_tasks import DIGITS, SPELLED_AND_NUMBERS, Recording
from voicebot.replay.turn_spans import Track, voiced

ANYTHING = Expectation("measure/anything", Mode.FREE, ())
SPELLED = replace(SPELLED_AND_NUMBERS, quick_ms=SPELLED_MS[0], pause_ms=SPELLED_MS[1], bare=True)
PHONE_NUMBER = Expectation(
    "measure/phone", Mode.OPEN, (" ".join(["{digit}"] * 10),), (("digit", DIGITS),),
    quick_ms=DIGITS_MS[0], pause_ms=DIGITS_MS[1], bare=True,
)  # fmt: skip
READ = "read aloud"
MADE = "dictated (made)"
GROUPED = (3, 3, 4)
NUMBERS = 6
"""Made for each speaker."""
LONGEST_PAUSE_MS = 3000
"""Longer silences without anybody else speaking are left out: nobody says what they were."""
BACKCHANNEL_MS = 700
"""Less voice of the other side in a silence may be listening: such silences are left out, too."""
SURE_MS = (1000, 3000)
"""Where one side of a call was kept, shorter silences are taken for pauses and longer ones for the other's turn."""
CLOSING_MS = 800
"""Quiet line after a recording, so that its last voice ends."""


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
                yield _alone(recording, READ, ANYTHING)
            case "vad_ami":
                yield from _meeting(recording)
            case "calls" if "activity_json" in recording.labels:
                yield from _call(recording, vad)
            case "calls" if "side" in recording.labels:
                yield _one_side(recording, vad)
            case _:
                pass


def _alone(recording: Recording, group: str, expectation: Expectation) -> Track:
    edge = _quiet(round(1000 * mixing.EDGE_S))
    sound = np.concatenate([edge, mixing.read(recording.file, RATE), _quiet(CLOSING_MS)])
    words = [(str(word), round(1000 * (end + mixing.EDGE_S))) for word, _, end in recording.labels.get("words", ())]
    pcm = mixing.telephone(sound)
    name = recording.file.stem
    return Track(group, recording.speaker or name, name, pcm, expectation, words=words)


def dictated(found: Sequence[Recording], pauses_ms: Sequence[int], seed: int = 1) -> Iterator[Track]:
    """Phone numbers made of single digits of one speaker, grouped, with pauses drawn from `pauses_ms`."""
    chance = random.Random(seed)
    spoken = [r for r in found if r.category == "digits_fsdd"]
    for speaker in sorted({r.speaker for r in spoken}) if pauses_ms else ():
        own = {digit: [r for r in spoken if r.speaker == speaker and r.transcript == digit] for digit in DIGITS}
        for number in range(NUMBERS):
            sounds: list[mixing.Sound] = []
            for group in GROUPED:
                for _ in range(group):
                    sounds += [mixing.read(chance.choice(own[chance.choice(DIGITS)]).file, RATE), _quiet(60)]
                sounds.append(_quiet(chance.choice(pauses_ms)))
            pcm = mixing.telephone(np.concatenate([_quiet(300), *sounds, _quiet(CLOSING_MS)]))
            yield Track(MADE, speaker, f"{speaker} {number}", pcm, PHONE_NUMBER)


def _quiet(ms: int) -> mixing.Sound:
    noise = np.random.default_rng(ms).standard_normal(ms * RATE // 1000) * mixing.FLOOR
    return np.asarray(noise, np.float32)


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
    others = [(a + 100, b - 100) for (_, a), (b, _) in pairwise(voices) if b - a > SURE_MS[0]]
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
    for (_, stop), (following, _) in pairwise(mine):
        heard = sum(min(b, following) - max(a, stop) for a, b in others if a < following and b > stop)
        if heard >= BACKCHANNEL_MS:
            found.append((start, stop))
            start = following
        elif heard or following - stop > LONGEST_PAUSE_MS or any(a < following and b > stop for a, b in unsure):
            start = following  # whose turn it was then is not known
    return found
