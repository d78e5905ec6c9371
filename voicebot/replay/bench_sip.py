"""`make bench`: what a SIP call costs. Two workers call each other, as many calls as one takes, both sides speaking;
all calls are symmetrical, so half of what this process uses is one side's. Linux only: it reads `/proc`."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from voicebot.carriers.base import RATE, Audio, CallInfo
from voicebot.carriers.sip import SipLine
from voicebot.carriers.sip_process import Worker
from voicebot.carriers.sip_setup import Setup
from voicebot.core.sip_link import Kind, Message, message

SECONDS = 10.0
READY_S = 10.0
CHUNK_S = 0.1


@dataclass(frozen=True, slots=True)
class SipCost:
    """CPU milliseconds for each second of one call."""

    calls: int
    worker_ms: float
    """PJSIP's process: SIP, RTP, G.711, jitter buffer, the bridge to us."""
    service_ms: float
    """Ours: the link, the line, its events."""


async def sip_cost(seconds: float = SECONDS) -> SipCost | None:
    """None where SIP cannot be had, or no Linux."""
    if sys.platform != "linux":
        return None
    async with _pair() as pair:
        if pair is None:
            return None
        taker, lines = pair
        assert taker.pid
        before, own, calls = _cpu_s(taker.pid), time.process_time(), len(taker.calls)
        async with asyncio.TaskGroup() as group:
            talks = [group.create_task(_talk(line)) for line in lines]
            started = time.monotonic()
            await asyncio.sleep(seconds)
            call_seconds = (time.monotonic() - started) * calls
            worker_s, service_s = _cpu_s(taker.pid) - before, (time.process_time() - own) / 2
            for talk in talks:
                talk.cancel()
        return SipCost(calls, worker_s * 1000 / call_seconds, service_s * 1000 / call_seconds)


@asynccontextmanager
async def _pair() -> AsyncIterator[tuple[Worker, list[SipLine]] | None]:
    """A worker that takes calls, and all lines of the calls that another has with it."""
    changed, lines = asyncio.Event(), list[SipLine]()

    def line(worker: Worker, number: int) -> None:
        worker.calls[number] = SipLine(CallInfo(str(number), "sip", "", ""), worker, number, str)
        lines.append(worker.calls[number])  # type: ignore[arg-type]

    def incoming(worker: Worker, told: Message) -> None:
        worker.send(message(Kind.ANSWER, told.call, code=200))
        line(worker, told.call)

    setups = (Setup(), Setup(dials=True))
    taker, placer = workers = [Worker(each.facts, incoming, lambda _: changed.set()) for each in setups]
    try:
        async with asyncio.timeout(READY_S):
            while not all(worker.ready or worker.fault for worker in workers):
                changed.clear()
                await changed.wait()
        if not (taker.ready and placer.ready):
            yield None
            return
        for _ in range(taker.capacity):
            line(placer, placer.dial(f"sip:bench@127.0.0.1:{taker.port}", -1, {}))
            assert await lines[-1].answered(READY_S)
        yield taker, lines
    finally:
        for worker in workers:
            worker.close()


async def _talk(line: SipLine) -> None:
    """Speak all the time, as a bot would: a tenth of a second at a time, a little ahead."""
    sent, chunk = 0, bytes(int(RATE * CHUNK_S) * 2)
    async for event in line.events():
        if isinstance(event, Audio) and event.at >= sent:
            sent += len(chunk) // 2
            line.send(chunk, 0, sent)


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
