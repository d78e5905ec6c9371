"""The same load on somebody else's server: pipecat's, in an environment of its own, on the same core.

It climbs until its callers are no longer as well off as the first, by the rule that holds for ours. A message of its
voice is late by what is missing of the lead that it keeps itself.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from voicebot.errors import PeerError, UsageError
from voicebot.replay import load, load_bed, stub_engines
from voicebot.replay.carrier import running
from voicebot.replay.load import Step
from voicebot.replay.load_talk import Clip
from voicebot.replay.telephone import Address

PROGRAM = Path(__file__).with_name("pipecat_server.py")
PEERS = {"pipecat": (), "pipecat-smart-turn": ("--smart-turn",)}
"""Name → flags of the server. The first ends turns by a timeout, the second by a model, which is its default."""
LEAD_MS = 40.0
"""The first two of its chunks of 40 ms go out together; from then on it sends as fast as is played."""
CLIMB = (4, 8, 12, 14, 16, 18, 20, 22, 24, 28, 32, 40)
"""Calls at once. It ends at the second step in a row that does not hold: the first may be somebody else's work on this
machine."""


@dataclass(frozen=True, slots=True)
class PeerRun:
    """`name` is one of `PEERS`, `python` that of an environment that has it. The server gets the first of `cores`."""

    name: str
    python: Path
    seconds: float
    """How long each step is measured."""
    barge_share: float
    record: bool
    cores: Sequence[int]


@dataclass(frozen=True, slots=True)
class Peer:
    """A server that answers every stream."""

    version: str
    pid: int
    url: str
    clips: Sequence[Clip]
    """What its callers say."""

    async def address(self, number: int) -> Address:
        """There is no web hook, and nothing to sign."""
        return Address(f"{self.url.replace('http', 'ws', 1)}/ws", {}, {}, f"CA{number:032}")


def check(names: Sequence[str], python: Path) -> None:
    """`UsageError` where they cannot be measured."""
    if unknown := set(names) - set(PEERS):
        raise UsageError(f"Nobody knows {', '.join(sorted(unknown))}: --peer is {' or '.join(PEERS)}, or both.")
    if names and not python.exists():
        raise UsageError(f"{python} is not there. `make bench-peer` makes it; --peer-python names another.")


async def measured(
    run: PeerRun, report: Callable[[str], None], counts: Sequence[int] = CLIMB
) -> tuple[str, list[Step]]:
    """(its version, the steps that it took); the last two steps may not hold."""
    async with answering(run) as peer:
        os.sched_setaffinity(0, set(run.cores[1:]) or {run.cores[0]})
        return peer.version, await _climb(peer, run, counts, report)


@asynccontextmanager
async def answering(run: PeerRun) -> AsyncIterator[Peer]:
    """Its engines hear, say and take what ours do. `PeerError` when it does not start."""
    with tempfile.TemporaryDirectory(prefix="voicebot-peer-") as name:
        folder = Path(name)
        wav = folder / "answer.wav"
        clips = await load_bed.voices(wav)
        given = {
            "heard": stub_engines.HEARD,
            "said": stub_engines.SAID,
            "wav": wav,
            "final-s": load_bed.FINAL_S,
            "first-token-s": load_bed.FIRST_TOKEN_S,
            "tokens-s": stub_engines.TOKENS_S,
            "first-audio-s": load_bed.FIRST_AUDIO_S,
            **({"record": folder} if run.record else {}),
        }
        told = [part for name, value in given.items() for part in (f"--{name}", str(value))]
        # -P: or this folder's modules would stand in for its own
        command = (str(run.python.absolute()), "-P", str(PROGRAM), *told, *PEERS[run.name])
        async with running(command, dict(os.environ), folder, {run.cores[0]}) as (pid, url, printed):
            version = re.search(r"pipecat (\S+) is at", printed)
            yield Peer(version[1] if version else "", pid, url, clips)


async def _climb(peer: Peer, run: PeerRun, counts: Sequence[int], report: Callable[[str], None]) -> list[Step]:
    steps: list[Step] = []
    async with load.exchange(peer.address, peer.clips, run.barge_share, LEAD_MS) as exchange:
        for count in counts:
            report(f"{count} calls of {run.name}…")
            try:
                await exchange.ramp(count)
                steps.append(await load.measure(exchange, peer.pid, run.seconds, _unknown))
            except PeerError:
                if not steps:
                    raise
                break  # it takes no more, or has ended some
            if len(steps) > 1 and not any(load.holds(step, steps[0]) for step in steps[-2:]):
                break
    return steps


async def _unknown() -> float:
    return -1.0


@dataclass(frozen=True, slots=True)
class Ratios:
    """Ours to theirs, each at the most calls that it holds."""

    calls: float
    cpu: float
    """Of a second of a call."""
    memory: float
    """Of all memory, for each call."""


def ratios(ours: Sequence[Step], theirs: Sequence[Step]) -> Ratios | None:
    """`None` where one of the two holds nothing."""
    one, other = most(ours), most(theirs)
    if one is None or other is None:
        return None
    return Ratios(
        calls=one.calls / other.calls,
        cpu=one.cpu_ms / other.cpu_ms,
        memory=one.rss_mb / one.calls / (other.rss_mb / other.calls),
    )


def most(steps: Sequence[Step]) -> Step | None:
    """The largest step that holds."""
    return max((step for step in steps if load.holds(step, steps[0])), key=lambda step: step.calls, default=None)
