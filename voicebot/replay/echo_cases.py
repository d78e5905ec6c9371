"""What the echo guard is measured on: scenes of synthesised echo, callers without one, and real devices."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from voicebot.audio.frames import RATE
from voicebot.errors import UsageError
from voicebot.replay import mixing
from voicebot.replay.echo_scenes import BOT_DBFS, CALLER_DBFS, PATHS, Said, Scene, levelled, scene
from voicebot.replay.mixing import Sound
from voicebot.replay.spoken_tasks import Recording

RATIOS_DB = (6.0, 0.0, -6.0)
"""Of a caller in double-talk over the echo, as speech levels."""
SENTENCES = 4
"""Of the bot, in one scene."""
ECHO_ONLY, NO_ECHO, AS_RECORDED = "echo only", "no echo", "as recorded"
HEADROOM = np.float32(0.5)
"""On recordings of devices, which are as loud as can be."""
LOUD = 0.25
"""Of the loudest 10 ms, in amplitude."""


@dataclass(frozen=True, slots=True)
class Case:
    """A scene and what is counted in it."""

    condition: str
    voices: str
    scene: Scene
    echo: bool = True


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
        noises = [r.file for r in found if r.category == "noise"]
        noises.sort(key=lambda file: ("street" not in file.name, file.name))
        if not self._bots or not self._callers:
            raise UsageError("Echo is measured on voices of the categories read_lj or wideband, and read_an4.")
        self.noise = mixing.read(noises[0], RATE) if noises else np.zeros(RATE, np.float32)

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


def cases(found: Sequence[Recording], scenes: int, only: str = "") -> Iterator[Case]:
    """`scenes` of each condition whose name contains `only`."""
    voices = Voices(found)
    for path in PATHS:
        for number in range(scenes if only in path.name else 0):
            bots, callers = voices.bots(number), voices.callers(number)
            yield Case(path.name, ECHO_ONLY, scene(bots, [], path, None, voices.noise, number))
            for ratio in RATIOS_DB:
                yield Case(path.name, over(ratio), scene(bots, callers, path, ratio, voices.noise, number))
    if only in NO_ECHO:
        yield from _without_echo(voices, scenes)
    yield from (case for case in _real_echoes(voices, scenes) if only in case.condition)


def over(ratio_db: float) -> str:
    """The name of callers who are so much louder than the echo."""
    return f"caller {ratio_db:+.0f} dB"


def _without_echo(voices: Voices, scenes: int) -> Iterator[Case]:
    """Callers who speak while the bot does, with nothing of it on their line."""
    for number in range(3 * scenes):
        bots, callers = voices.bots(number), voices.callers(number)
        made = scene(bots, callers, None, None, voices.noise, number)
        yield Case(NO_ECHO, "letters and numbers", made, echo=False)
    long = [r for r in voices.found if r.category in ("calls", "vad_ami") and r.file.suffix in (".flac", ".wav")]
    for number, recording in enumerate(long):
        both = mixing.channels(recording.file, RATE)
        two_sides = recording.labels.get("channel_0") == "caller"
        caller = both[0] if two_sides else np.asarray(np.mean(both, axis=0), np.float32)
        other = both[1] if two_sides else np.resize(np.concatenate(voices.bots(number)), len(caller))
        far, near = mixing.telephone(levelled(other, BOT_DBFS)), mixing.telephone(levelled(caller, CALLER_DBFS))
        side = "meetings" if recording.category == "vad_ami" else "telephone calls"
        yield Case(NO_ECHO, side, Scene(((0, far),), near, (), (), near), echo=False)


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
        name, whole = f"device, {scenario}", (Said(0, len(mic)),)
        if "double" in scenario:  # nobody wrote down when the caller speaks
            yield Case(name, AS_RECORDED, Scene(sent, mixing.telephone(mic), whole, (), b""))
            continue
        yield Case(name, ECHO_ONLY, Scene(sent, mixing.telephone(mic), whole, (), b""))
        for ratio in RATIOS_DB:
            for number in range(scenes):
                yield Case(name, over(ratio), _mixed(sent, mic, voices.callers(number)[0], ratio, number))


def _mixed(sent: tuple[tuple[int, bytes], ...], mic: Sound, caller: Sound, ratio_db: float, seed: int) -> Scene:
    """One caller, who begins somewhere from the second second on."""
    chance = np.random.default_rng(seed)
    alone = chance.standard_normal(len(mic)).astype(np.float32) * np.float32(mixing.FLOOR / 2)
    begins = int(chance.uniform(2 * RATE, max(2 * RATE + 1, len(mic) - 2 * RATE)))
    voice = levelled(caller, 10 * float(np.log10(mixing.speech_power(mic, RATE))) + ratio_db)[: len(mic) - begins]
    alone[begins : begins + len(voice)] += voice
    said = Said(begins, begins + len(voice))
    return Scene(sent, mixing.telephone(mic + alone), (), (said,), mixing.telephone(alone))
