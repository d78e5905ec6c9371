"""Random calls led by random native engines, in virtual time: whatever they do, no dead air, and a call that ends."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.call.guarded_world import ANSWER, agent
from tests.call.native_world import NativeWorld
from tests.call.world import silence, tone
from tests.peers.duplex_engine import BROKEN, Engine, Session
from tests.virtual_time import run
from voicebot.core.dialogue import Text, ToolCall
from voicebot.core.duplex import CallerWords, Gone, How, Interrupted, Leaving
from voicebot.core.timeline import EndReason, decode

WORDS = "one two three four five six seven".split()
TOOLS = ("choose", "note_answers", "caller_agreed", "hang_up", "transfer", "nonsense")
ARGUMENTS: tuple[dict[str, str], ...] = (
    {},
    {"intent": "order"},
    {"intent": "person"},
    {"size": "large"},
    {"to": "desk"},
)
DEAD_AIR_MS = 8000


def step(chance: random.Random, number: int) -> Any:
    """Something in a reply."""
    steps: list[Callable[[], Any]] = [
        lambda: " ".join(chance.choices(WORDS, k=chance.randint(1, 14))),
        lambda: "hello there",
        lambda: "yes",
        lambda: 0.2,
        lambda: chance.random() * chance.choice((0.5, 3.0, 12.0)),
        lambda: ToolCall(f"c{number}", chance.choice(TOOLS), chance.choice(ARGUMENTS)),
        lambda: BROKEN,
        lambda: Gone("broke"),
        lambda: Gone("over", expected=True),
        lambda: How.FAILED,
        Interrupted,
        lambda: Leaving(5000),
        lambda: CallerWords("some words", True),
    ]
    return chance.choice(steps)()


def engine(chance: random.Random) -> Engine:
    acts: list[Callable[[Session], None]] = [
        Session.speak_up,
        Session.speak_up,
        lambda session: session.say(Interrupted()),
        lambda session: session.say(Leaving(4000)),
        lambda session: session.say(Gone("later", expected=chance.random() < 0.5)),
    ]
    return Engine(
        [[step(chance, n) for n in range(chance.randint(0, 4))] for _ in range(chance.randint(0, 8))],
        opens=[chance.choice((0.3, 3.0, BROKEN)) if chance.random() < 0.3 else 0.05 for _ in range(3)],
        later=[(chance.random() * 15, chance.choice(acts)) for _ in range(chance.randint(0, 3))],
    )


def live(folder: Path, seed: int) -> None:
    chance = random.Random(seed)
    world = NativeWorld(folder / str(seed))
    world.decided_by = chance.choice(("ours", "engine", "both"))
    world.duplex = chance.choice(("full", "full", "half"))
    world.natives = tuple(engine(chance) for _ in range(chance.randint(1, 2)))
    world.llm = (agent([Text("Hello from the cascade.")], ANSWER, ANSWER),)
    world.pace, world.stays_ms = chance.choice(("recorded", "turns")), 6000
    said = [silence(chance.randint(0, 3000)) + tone(chance.randint(200, 2700)) for _ in range(chance.randint(1, 4))]

    session = run(world.call(*said))

    assert world.longest_silence_ms() < DEAD_AIR_MS, f"dead air in life {seed}"
    assert session.reason in (EndReason.CALLER_HANGUP, EndReason.BOT_HANGUP, EndReason.TRANSFER), f"life {seed}"
    written = list(decode((world.folder / "timeline.jsonl").read_bytes().splitlines()))
    assert "call_ended" == written[-1].kind


def test_whatever_an_engine_does_there_is_no_dead_air(tmp_path: Path) -> None:
    for seed in range(60):
        live(tmp_path, seed)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_five_hundred_engines(tmp_path: Path) -> None:
    for seed in range(60, 560):
        live(tmp_path, seed)
