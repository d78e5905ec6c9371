"""`make bench`: how long `voicebot serve` takes to be there, as shipped: to its first answer over HTTP, and over SIP.

The first start builds what the recogniser needs of each dialplan and speaks the fixed sentences; later ones find both
on disk. Linux only: CPU is read from `/proc`.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import httpx

from voicebot.core.sip import Address, Response, options, parse
from voicebot.replay.carrier import SERVE, environment, free_port
from voicebot.replay.load_figures import cpu_with_children_s

LOOPBACK = "127.0.0.1"
LATER = 5
DEADLINE_S = 120.0
LOOK_EVERY_S = 0.02


@dataclass(frozen=True, slots=True)
class Start:
    """Seconds since the process was started."""

    ready_s: float
    """`/readyz` says so."""
    sip_s: float
    """OPTIONS are answered with 200; -1 where there is no SIP."""
    cpu_s: float
    """Until then, of all its processes, those that are gone included."""


async def starts(later: int = LATER, sip: bool = True) -> tuple[Start, Start] | None:
    """(the first with nothing on disk, the median of those that follow). None where no Linux."""
    if sys.platform != "linux":
        return None
    with tempfile.TemporaryDirectory(prefix="voicebot-start-") as data:
        first = await start(Path(data), sip)
        return first, middle([await start(Path(data), sip) for _ in range(later)])


def middle(found: Sequence[Start]) -> Start:
    """The median of each."""
    return Start(*(median(getattr(each, name) for each in found) for name in Start.__dataclass_fields__))


async def start(data: Path, sip: bool = True, settings: Mapping[str, str] = {}) -> Start:
    """One, stopped again. The dialplans are those of the folder we are in. `TimeoutError` when it does not come."""
    ports = free_port(socket.SOCK_STREAM), free_port()
    given = {"PORT": str(ports[0]), "SIP_PORT": str(ports[1]) if sip else "0", "DATA_DIR": str(data), **settings}
    everything = environment() | {f"VOICEBOT_{name}": value for name, value in given.items()}
    began_s = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        sys.executable, *SERVE, env=everything, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(DEADLINE_S):
            sip_s = await _sip(ports[1], began_s) if sip else -1.0
            await _ready(ports[0])
            return Start(time.monotonic() - began_s, sip_s, cpu_with_children_s(process.pid))
    finally:
        process.terminate()
        await process.wait()


async def _ready(port: int) -> None:
    """It listens from the beginning, and answers when it is ready."""
    async with httpx.AsyncClient(base_url=f"http://{LOOPBACK}:{port}", timeout=None, trust_env=False) as web:
        while True:
            try:
                if (await web.get("/readyz")).status_code == 200:
                    return
            except httpx.TransportError:  # nobody is there yet
                pass
            await asyncio.sleep(LOOK_EVERY_S)


async def _sip(port: int, began_s: float) -> float:
    loop, to = asyncio.get_running_loop(), Address(LOOPBACK, port)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
        phone.setblocking(False)
        phone.connect(to)
        ours = Address(*phone.getsockname())
        number = 0
        while True:
            number += 1
            try:
                phone.send(options(to, ours, f"start{number}").encode())
                async with asyncio.timeout(10 * LOOK_EVERY_S):
                    answer = parse(await loop.sock_recv(phone, 2000))
            except (TimeoutError, OSError):  # nobody is there yet
                await asyncio.sleep(LOOK_EVERY_S)
                continue
            if isinstance(answer, Response) and answer.code == 200:
                return time.monotonic() - began_s
