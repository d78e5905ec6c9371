"""How well our own echo is told from the caller's voice, on a folder of recordings with a `MANIFEST.csv`.

Scenes are made of real voices (`echo_scenes`) and, where the folder has a far-end and a microphone recording of a
device (category `echo_aec`), of real echoes. Each runs frame by frame through the voice detector and the guard, as
on a call: the guard is told of the bot's audio in pieces of 80 ms, 200 ms before they are played.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from voicebot.audio.caller_voice import CallerVoice
from voicebot.audio.echo import EchoGuard
from voicebot.audio.frames import FRAME_BYTES, FRAME_SAMPLES, RATE
from voicebot.audio.voice import Offset, Onset
from voicebot.engines import registry
from voicebot.engines.base import EngineConfig, Vad, VoiceStarted, VoiceStopped
from voicebot.errors import UsageError
from voicebot.replay import mixing
from voicebot.replay.echo_scenes import BOT_DBFS, CALLER_DBFS, PATHS, Said, Scene, levelled, scene
from voicebot.replay.mixing import Sound
from voicebot.replay.spoken_tasks import Recording, recordings

RATIOS_DB = (6.0, 0.0, -6.0)
SENTENCES = 4
"""Of the bot, in one scene."""
NO_ECHO = "no echo"
HEADROOM = np.float32(0.5)
"""On recordings of devices, which are as loud as can be."""
AHEAD, PIECE = RATE * 200 // 1000, RATE * 80 // 1000
IN_TIME = RATE
"""A caller is found when an onset comes no later than this after the detector alone would have given it."""
EARLY = RATE // 10
LOUD = 0.25
"""Of the loudest 10 ms, in amplitude."""

DEFINITIONS = (
    "echo onsets: what the voice detector takes for a voice and is only our echo. kept back: no onset let through.",
    "callers: voices that begin inside the bot's sentence. found: an onset let through no later than 1 s after the "
    "detector alone would have given it, on the caller without echo.",
    "late: from there to the onset let through, half of them and 95 of 100; negative where the echo had the "
    "detector open already. own: callers' voices (20 ms frames) called our own echo, of those with voice.",
    "CPU: of guard and gate, a 20 ms frame, over the whole scene, pauses too.",
)


@dataclass(frozen=True, slots=True)
class Row:
    condition: str
    voices: str
    echoes: int = 0
    kept_back: int = 0
    callers: int = 0
    found: int = 0
    late_ms: tuple[float, ...] = ()
    """Of each caller found."""
    frames: int = 0
    """Of callers' voices without an echo."""
    own: int = 0
    """… of which called own echo."""
    cpu_ms: float = 0.0

    def __add__(self, other: Row) -> Row:
        return Row(
            self.condition,
            self.voices,
            self.echoes + other.echoes,
            self.kept_back + other.kept_back,
            self.callers + other.callers,
            self.found + other.found,
            self.late_ms + other.late_ms,
            self.frames + other.frames,
            self.own + other.own,
            max(self.cpu_ms, other.cpu_ms),
        )


@dataclass(frozen=True, slots=True)
class Case:
    """A scene and what is counted in it."""

    condition: str
    voices: str
    scene: Scene
    echo: bool = True


# --- one scene --------------------------------------------------------------------------------------------------


def detected(vad: Vad, pcm: bytes) -> list[Onset | Offset | None]:
    """What the detector says in each frame."""
    session = vad.open()
    found: list[Onset | Offset | None] = []
    for at in range(0, len(pcm) // 2 - FRAME_SAMPLES + 1, FRAME_SAMPLES):
        events = session.push(pcm[at * 2 : at * 2 + FRAME_BYTES], at)
        found.append(_event(events[-1]) if events else None)
    return found


def _event(voice: VoiceStarted | VoiceStopped) -> Onset | Offset:
    return Onset(voice.at) if isinstance(voice, VoiceStarted) else Offset(voice.at)


@dataclass(frozen=True, slots=True)
class Told:
    """What the gate said of one scene: when (sample at which the frame ended) and what; and own echo by frame."""

    events: tuple[tuple[int, Onset | Offset], ...]
    own: tuple[bool, ...]
    cpu_ms: float


def guarded(said: Scene, voice: Sequence[Onset | Offset | None]) -> Told:
    """The scene through guard and gate, in the pieces of a call."""
    guard = EchoGuard()
    gate = CallerVoice(guard)
    pieces = [
        (at + start, pcm[start * 2 : (start + PIECE) * 2])
        for at, pcm in said.far
        for start in range(0, len(pcm) // 2, PIECE)
    ][::-1]
    events, own = [], []
    began = time.process_time()
    for number, found in enumerate(voice):
        at = number * FRAME_SAMPLES
        while pieces and pieces[-1][0] <= at + AHEAD:
            place, pcm = pieces.pop()
            guard.played(pcm, place)
        event = gate.push(said.near[at * 2 : at * 2 + FRAME_BYTES], at, found)
        own.append(gate.verdict.own)
        if event:
            events.append((at + FRAME_SAMPLES, event))
    return Told(tuple(events), tuple(own), (time.process_time() - began) * 1000 / max(1, len(voice)))


def judged(case: Case, vad: Vad) -> Row:
    """The figures of one scene."""
    raw = detected(vad, case.scene.near)
    told = guarded(case.scene, raw)
    through = [at for at, event in told.events if isinstance(event, Onset)]
    if not case.scene.callers:
        heard = [(began, ended) for began, ended in _voices(raw) if any(b.start <= began <= b.end for b in case.scene.bot)]
        held = sum(any(began <= at <= ended for at in through) for began, ended in heard)
        return Row(case.condition, case.voices, len(heard), len(heard) - held, cpu_ms=told.cpu_ms)
    late: list[float] = []
    wanted = frames = own = 0
    alone = detected(vad, case.scene.alone)
    for said in case.scene.callers:
        ends = ((n + 1) * FRAME_SAMPLES for n, event in enumerate(alone) if isinstance(event, Onset))
        due = next((end for end in ends if said.start - EARLY <= end <= said.start + IN_TIME), None)
        if due is None:
            continue
        wanted += 1
        found = next((at for at in through if said.start - EARLY <= at <= due + IN_TIME), None)
        if found is not None:
            late.append((found - due) * 1000 / RATE)
        if not case.echo:
            heard = told.own[said.start // FRAME_SAMPLES : said.end // FRAME_SAMPLES]
            frames, own = frames + len(heard), own + sum(heard)
    return Row(case.condition, case.voices, 0, 0, wanted, len(late), tuple(late), frames, own, told.cpu_ms)


def _voices(found: Sequence[Onset | Offset | None]) -> list[tuple[int, int]]:
    """Where each voice was told and ended, by the detector."""
    voices, began = [], None
    for number, event in enumerate([*found, Offset(0)]):
        at = (number + 1) * FRAME_SAMPLES
        if isinstance(event, Onset):
            began = at
        elif event and began is not None:
            voices.append((began, at))
            began = None
    return voices


# --- all scenes ---------------------------------------------------------------------------------------------------


def trimmed(sound: Sound) -> Sound:
    """From just before the first loud sound to the last: a breath before it would count as the caller's onset."""
    level = np.sqrt(np.mean(sound[: len(sound) // 80 * 80].reshape(-1, 80) ** 2, axis=1))
    loud = np.flatnonzero(level > level.max() * LOUD)
    return sound[max(0, loud[0] - 2) * 80 : (loud[-1] + 3) * 80]


class Voices:
    """The folder's voices: bots, callers, and noise; drawn by number, always the same."""

    def __init__(self, found: Sequence[Recording]) -> None:
        self.found = found
        self._bots = self._all("read_lj", "wideband")
        self._callers = self._all("read_an4")
        noises = [r for r in found if r.category == "noise" and "street" in str(r.labels)] or [
            r for r in found if r.category == "noise"
        ]
        if not self._bots or not self._callers:
            raise UsageError("Echo is measured on voices of the categories read_lj or wideband, and read_an4.")
        self.noise = mixing.read(noises[0].file, RATE) if noises else np.zeros(RATE, np.float32)

    def _all(self, *categories: str) -> list[Path]:
        files = [r.file for r in self.found if r.category in categories]
        random.Random(1).shuffle(files)
        return files

    def bots(self, number: int) -> list[Sound]:
        files = [self._bots[(number * SENTENCES + k) % len(self._bots)] for k in range(SENTENCES)]
        return [trimmed(mixing.read(file, RATE))[: 6 * RATE] for file in files]

    def callers(self, number: int) -> list[Sound]:
        files = [self._callers[(number * SENTENCES + k) % len(self._callers)] for k in range(SENTENCES)]
        return [trimmed(mixing.read(file, RATE)) for file in files]


def cases(found: Sequence[Recording], scenes: int, vad: Vad) -> Iterator[Case]:
    """Synthesised echoes, callers without echo, and what the folder has of real echoes."""
    voices = Voices(found)
    for path in PATHS:
        for number in range(scenes):
            bots, callers = voices.bots(number), voices.callers(number)
            yield Case(path.name, "echo only", scene(bots, [], path, None, voices.noise, number))
            for ratio in RATIOS_DB:
                yield Case(path.name, f"caller {ratio:+.0f} dB", scene(bots, callers, path, ratio, voices.noise, number))
    yield from _without_echo(voices, scenes, vad)
    yield from _real_echoes(voices, scenes)


def _without_echo(voices: Voices, scenes: int, vad: Vad) -> Iterator[Case]:
    """Callers who speak while the bot does, with nothing of it on their line."""
    for number in range(3 * scenes):
        bots, callers = voices.bots(number), voices.callers(number)
        yield Case(NO_ECHO, "read letters and numbers", scene(bots, callers, None, None, voices.noise, number), False)
    number = 0
    for recording in voices.found:
        side = {"vad_ami": "meeting", "calls": "telephone calls"}.get(recording.category)
        if side is None or recording.file.suffix not in (".flac", ".wav"):
            continue
        both = mixing.channels(recording.file, RATE)
        two_sides = recording.labels.get("channel_0") == "caller"
        caller = both[0] if two_sides else np.mean(both, axis=0)
        near = mixing.telephone(levelled(caller, CALLER_DBFS))
        other = both[1] if two_sides else np.resize(np.concatenate(voices.bots(number)), len(caller))
        number += 1
        yield Case(NO_ECHO, side, _scene(near, near, other, vad), False)


def _scene(near: bytes, alone: bytes, bot: Sound, vad: Vad) -> Scene:
    """With the callers that the detector finds when there is no echo."""
    far = mixing.telephone(levelled(bot, BOT_DBFS))
    voices = [Said(began, ended) for began, ended in _voices(detected(vad, alone))]
    return Scene(((0, far),), near, (), tuple(voices), alone)


def _real_echoes(voices: Voices, scenes: int) -> Iterator[Case]:
    """A device's far end and microphone, as recorded; and with callers mixed into the microphone."""
    pairs: dict[str, dict[str, Path]] = {}
    for recording in voices.found:
        if recording.category == "echo_aec":
            kind = "mic" if recording.labels.get("signal") == "microphone" else "far"
            pairs.setdefault(str(recording.labels.get("scenario")), {})[kind] = recording.file
    for scenario, files in pairs.items():
        far, mic = (HEADROOM * mixing.read(files[kind], RATE) for kind in ("far", "mic"))
        sent = ((0, mixing.telephone(far)),)
        name = f"real device, {scenario}"
        if "double" in scenario:
            yield Case(name, "as recorded", Scene(sent, mixing.telephone(mic), (Said(0, len(mic)),), (), b""))
            continue
        yield Case(name, "echo only", Scene(sent, mixing.telephone(mic), (Said(0, len(mic)),), (), b""))
        for ratio in RATIOS_DB:
            for number in range(2 * scenes):
                yield Case(name, f"caller {ratio:+.0f} dB", _mixed(sent, mic, voices.callers(number), ratio, number))


def _mixed(sent: tuple[tuple[int, bytes], ...], mic: Sound, callers: Sequence[Sound], ratio: float, seed: int) -> Scene:
    """One caller, somewhere from the second second on."""
    chance = np.random.default_rng(seed)
    alone = chance.standard_normal(len(mic)).astype(np.float32) * np.float32(mixing.FLOOR / 2)
    voice = levelled(callers[0], 10 * float(np.log10(mixing.speech_power(mic, RATE))) + ratio)
    begins = int(chance.uniform(2 * RATE, max(2 * RATE + 1, len(mic) - 2 * RATE)))
    voice = voice[: len(mic) - begins]
    alone[begins : begins + len(voice)] += voice
    said = Said(begins, begins + len(voice))
    return Scene(sent, mixing.telephone(mic + alone), (), (said,), mixing.telephone(alone))


async def measure(
    folder: Path, *, engine: str = "silero", scenes: int = 6, only: str = "", report: Callable[[Case], None]
) -> list[Row]:
    """One row for each condition and kind of voices whose condition contains `only`."""
    vad: Vad = registry.load("vad", engine).create(EngineConfig())
    await vad.start()
    rows: dict[tuple[str, str], Row] = {}
    try:
        for case in cases(recordings(folder), scenes, vad):
            if only in case.condition:
                report(case)
                key = (case.condition, case.voices)
                row = judged(case, vad)
                rows[key] = rows[key] + row if key in rows else row
    finally:
        await vad.close()
    return list(rows.values())
