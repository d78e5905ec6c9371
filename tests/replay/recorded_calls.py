"""Recorded calls for tests: a recording of somebody who says no, a bot that is noise, or one that was really called."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from tests.call.world import noise
from voicebot.carriers.wavline import read
from voicebot.config import Settings
from voicebot.core.timeline import Record
from voicebot.replay.cassette import Cassette
from voicebot.replay.clock import run
from voicebot.replay.recording import CallAudio, Samples
from voicebot.replay.rerun import rerun
from voicebot.replay.verdict import Source

ROOT = Path(__file__).parents[2]
NO = ROOT / "tests/data/turns/no.flac"
PLAN = """
name: shop
engines: {llm: scripted}
start: hello
nodes:
  hello:
    say: Do you want a bag with that?
    intents:
      yes_please: {examples: ["yes", "yes please"], do: [{say: With a bag.}, {goto: more}]}
      no_thanks: {examples: ["no", "no thanks"], do: [{say: Without a bag.}, {goto: more}]}
  more:
    say: Anything else?
    intents:
      more: {examples: ["yes", "yes please"], do: [{goto: hello}]}
      done: {examples: ["no", "no thanks"], do: [{hang_up: "Goodbye, and thank you."}]}
"""


def channel(seconds: float, *spoken: tuple[float, bytes]) -> Samples:
    """Sounds at their seconds, silence elsewhere."""
    sound = np.zeros(int(seconds * 8000), np.int16)
    for at, pcm in spoken:
        part = np.frombuffer(pcm, "<i2")
        sound[int(at * 8000) : int(at * 8000) + len(part)] = part
    return sound


def call(caller: Samples, bot: Samples | None, *records: Record, name: str = "made") -> CallAudio:
    return CallAudio(name, Source("stereo file", ("made.wav",), "told", 8000), 8000, caller, bot, records=records)


def two_nos() -> CallAudio:
    """The bot asks twice, and twice the caller says no; nobody wrote down what was said."""
    no = read(NO)[: 2 * 24000]
    caller = channel(12, (2.2, no), (7.2, no))
    return call(caller, channel(12, (0.1, noise(1600)), (5, noise(1400)), (10.6, noise(900))))


def settings(folder: Path, plan: str = PLAN) -> Settings:
    """Everything under `folder`, with a dialplan in it."""
    (folder / "plans").mkdir(exist_ok=True)
    (folder / "plans" / "shop.yaml").write_text(plan)
    return Settings(data_dir=folder / "data", dialplans=folder / "plans", _env_file=None)  # type: ignore[call-arg]


def write_call(file: Path, recorded: CallAudio) -> None:
    """As a stereo file, the caller left."""
    both = [side if side is not None else recorded.caller for side in (recorded.caller, recorded.bot)]
    soundfile.write(file, np.stack([np.asarray(side) for side in both], axis=1), recorded.rate)


def taken(folder: Path, world: Settings, recorded: CallAudio | None = None) -> Path:
    """The folder of a call that today's stack took: what our own recordings look like."""
    made = folder / "taken"
    cassette = Cassette(folder / "cassette")
    run(rerun(recorded or two_nos(), world.dialplans / "shop.yaml", world, made, "turns", cassette))
    return made
