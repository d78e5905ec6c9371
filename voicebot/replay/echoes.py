"""How well our own echo is told from the caller's voice, on a folder of recordings with a `MANIFEST.csv`.

Scenes are made of real voices (`echo_scenes`) and, where the folder has a far-end and a microphone recording of a
device (category `echo_aec`), of real echoes. Each runs frame by frame through the voice detector and the guard, as
on a call: the guard is told of the bot's audio in pieces of 80 ms, 200 ms before they are played.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from voicebot.audio.caller_voice import CallerVoice
from voicebot.audio.echo import EchoGuard
from voicebot.audio.frames import FRAME_BYTES, FRAME_SAMPLES, RATE
from voicebot.audio.voice import Offset, Onset
from voicebot.engines import registry
from voicebot.engines.base import EngineConfig, Vad, VoiceStarted
from voicebot.errors import UsageError
from voicebot.replay.echo_cases import AS_RECORDED, Case, cases
from voicebot.replay.echo_scenes import Said, Scene
from voicebot.replay.spoken_tasks import recordings

AHEAD, PIECE = RATE * 200 // 1000, RATE * 80 // 1000
IN_TIME = RATE
"""A caller is found when an onset comes no later than this after the detector alone would have given it."""
EARLY = RATE // 10

DEFINITIONS = """\
kept back: voices that the detector alone takes for somebody and that are our echo; how many of them began no onset.
found: callers' voices that the detector finds when there is no echo; how many of them are found in the echo, at most
  1 s later. Late: how much later, in the middle and for 95 of 100. +6 dB: the caller is louder than the echo.
own: 20 ms frames while a caller speaks, without any echo; how many of them were called our own.
CPU: of guard and gate, for a 20 ms frame, the pauses included."""


@dataclass(frozen=True, slots=True)
class Row:
    condition: str
    voices: str
    echoes: int = 0
    kept_back: int = 0
    callers: int = 0
    late_ms: tuple[float, ...] = ()
    """Of each caller found."""
    frames: int = 0
    """Of callers' voices without an echo."""
    own: int = 0
    """… of which called own echo."""
    heard: int = 0
    """Frames in all."""
    cpu_ms: float = 0.0
    """For all of them."""
    onsets_s: tuple[float, ...] = ()
    """Where nobody wrote down who speaks when: the onsets let through."""

    def __add__(self, other: Row) -> Row:
        return Row(
            self.condition,
            self.voices,
            self.echoes + other.echoes,
            self.kept_back + other.kept_back,
            self.callers + other.callers,
            self.late_ms + other.late_ms,
            self.frames + other.frames,
            self.own + other.own,
            self.heard + other.heard,
            self.cpu_ms + other.cpu_ms,
            self.onsets_s + other.onsets_s,
        )


async def measure(
    folder: Path,
    *,
    engine: str = "silero",
    scenes: int = 6,
    only: str = "",
    report: Callable[[Case], None] = lambda case: None,
) -> list[Row]:
    """One row for each condition and kind of voices, of the conditions whose name contains `only`."""
    vad: Vad = registry.load("vad", engine).create(EngineConfig())
    await vad.start()
    rows: dict[tuple[str, str], Row] = {}
    try:
        for case in cases(recordings(folder), scenes, only):
            report(case)
            row, key = judged(case, vad), (case.condition, case.voices)
            rows[key] = rows[key] + row if key in rows else row
    finally:
        await vad.close()
    if not rows:
        raise UsageError(f"No condition contains {only!r}.")
    return list(rows.values())


# --- one scene --------------------------------------------------------------------------------------------------


def judged(case: Case, vad: Vad) -> Row:
    """The figures of one scene."""
    raw = detected(vad, case.scene.near)
    told = guarded(case.scene, raw)
    cost = Row(case.condition, case.voices, heard=len(raw), cpu_ms=told.cpu_ms)
    if case.voices == AS_RECORDED:
        return cost + Row(case.condition, case.voices, onsets_s=tuple(at / RATE for at in told.onsets))
    if case.echo and not case.scene.callers:
        return cost + _kept_back(case, raw, told)
    return cost + _found(case, detected(vad, case.scene.alone), told)


def _kept_back(case: Case, raw: Sequence[Onset | Offset | None], told: Told) -> Row:
    echoes = [v for v in voices_of(raw) if any(bot.start <= v.start <= bot.end for bot in case.scene.bot)]
    begun = sum(any(v.start <= at <= v.end for at in told.onsets) for v in echoes)
    return Row(case.condition, case.voices, len(echoes), len(echoes) - begun)


def _found(case: Case, alone: Sequence[Onset | Offset | None], told: Told) -> Row:
    without_echo = voices_of(alone)
    late: list[float] = []
    callers = frames = own = 0
    for said in case.scene.callers or without_echo:
        due = next((v.start for v in without_echo if said.start - EARLY <= v.start <= said.start + IN_TIME), None)
        if due is None:
            continue
        callers += 1
        when = next((at for at in told.onsets if said.start - EARLY <= at <= due + IN_TIME), None)
        if when is not None:
            late.append((when - due) * 1000 / RATE)
        if not case.echo:
            heard = told.own[said.start // FRAME_SAMPLES : said.end // FRAME_SAMPLES]
            frames, own = frames + len(heard), own + sum(heard)
    return Row(case.condition, case.voices, 0, 0, callers, tuple(late), frames, own)


def detected(vad: Vad, pcm: bytes) -> list[Onset | Offset | None]:
    """What the detector says in each frame."""
    session = vad.open()
    found: list[Onset | Offset | None] = []
    for start in range(0, len(pcm) - FRAME_BYTES + 1, FRAME_BYTES):
        events = session.push(pcm[start : start + FRAME_BYTES], start // 2)
        last = events[-1] if events else None
        found.append(None if last is None else Onset(last.at) if isinstance(last, VoiceStarted) else Offset(last.at))
    return found


def voices_of(found: Sequence[Onset | Offset | None]) -> list[Said]:
    """Each voice from the sample at which it was told to that at which its end was."""
    voices: list[Said] = []
    began: int | None = None
    for number, event in enumerate([*found, Offset(0)]):
        at = (number + 1) * FRAME_SAMPLES
        if isinstance(event, Onset):
            began = at
        elif event and began is not None:
            voices.append(Said(began, at))
            began = None
    return voices


@dataclass(frozen=True, slots=True)
class Told:
    """What the gate said of one scene."""

    onsets: tuple[int, ...]
    """Samples at which an onset was told."""
    own: tuple[bool, ...]
    """By frame."""
    cpu_ms: float


def guarded(scene: Scene, found: Sequence[Onset | Offset | None]) -> Told:
    """The scene through guard and gate, in the pieces of a call."""
    guard = EchoGuard()
    gate = CallerVoice(guard)
    pieces = [
        (at + start, pcm[start * 2 : (start + PIECE) * 2])
        for at, pcm in scene.far
        for start in range(0, len(pcm) // 2, PIECE)
    ][::-1]
    onsets, own = [], []
    began = time.process_time()
    for number, event in enumerate(found):
        at = number * FRAME_SAMPLES
        while pieces and pieces[-1][0] <= at + AHEAD:
            place, pcm = pieces.pop()
            guard.played(pcm, place)
        if isinstance(gate.push(scene.near[at * 2 : at * 2 + FRAME_BYTES], at, event), Onset):
            onsets.append(at + FRAME_SAMPLES)
        own.append(gate.verdict.own)
    return Told(tuple(onsets), tuple(own), (time.process_time() - began) * 1000)
