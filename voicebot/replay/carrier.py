"""A service of our own to measure, and the carrier's part before a stream: a signed web hook that says where to.

The service is `voicebot serve` in a process of its own, on a free port, with data that is gone afterwards.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import secrets
import socket
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator, Mapping, Sequence, Set
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from voicebot.core import twilio_signature
from voicebot.core.timeline import Record
from voicebot.errors import PeerError
from voicebot.replay.telephone import Address

TOKEN = secrets.token_hex(16)
PUBLIC = "https://voicebot.test"
"""What Twilio believes it calls: signatures are over this."""
START_S, STOP_S = 120.0, 15.0
SERVE = ("-c", "from voicebot.start import main; main()", "serve")


@dataclass(frozen=True, slots=True)
class Service:
    """A running service, measured from outside."""

    web: httpx.AsyncClient
    pid: int
    data: Path

    async def ring(self, caller: str, called: str) -> Address:
        """As Twilio does for a call that comes in. `PeerError` when the service does not take it."""
        sid = "CA" + secrets.token_hex(16)
        form = {"CallSid": sid, "From": caller, "To": called, "CallStatus": "ringing", "Direction": "inbound"}
        signed = twilio_signature.signature(TOKEN, PUBLIC + "/twilio/voice", form.items())
        answer = await self.web.post("/twilio/voice", data=form, headers={"X-Twilio-Signature": signed})
        stream = ET.fromstring(answer.text).find("Connect/Stream") if answer.status_code == 200 else None
        if stream is None:
            raise PeerError(f"The service does not take the call: {answer.status_code} {answer.text[:200]}")
        url = stream.attrib["url"]
        path = url.removeprefix(PUBLIC.replace("http", "ws", 1))
        return Address(
            str(self.web.base_url).replace("http", "ws", 1).rstrip("/") + path,
            {"X-Twilio-Signature": twilio_signature.signature(TOKEN, url)},
            {each.attrib["name"]: each.attrib["value"] for each in stream.findall("Parameter")},
            sid,
        )

    async def timelines(self) -> dict[str, list[Record]]:
        """By the caller's number, of the last 500 calls."""
        rows = (await self.web.get("/api/calls", params={"limit": 500})).json()
        found = {}
        for row in rows:
            records = (await self.web.get(f"/api/calls/{row['id']}/timeline")).json()
            found[str(row["caller"])] = [_record(each) for each in records]
        return found

    async def written(self, caller: str, kind: str, seconds: float) -> list[Record]:
        """The timeline of a caller's call, once there is a record of that kind. `TimeoutError` when none comes."""
        async with asyncio.timeout(seconds):
            while True:
                records = (await self.timelines()).get(caller, [])
                if any(each.kind == kind for each in records):
                    return records
                await asyncio.sleep(0.1)


def free_port(kind: socket.SocketKind = socket.SOCK_DGRAM) -> int:
    """A port of this machine that nobody has just now."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _record(data: Mapping[str, Any]) -> Record:
    return Record(int(data["ms"]), str(data["kind"]), {k: v for k, v in data.items() if k not in ("ms", "kind")})


@asynccontextmanager
async def serving(
    dialplans: Mapping[str, str], program: Sequence[str] = SERVE, cores: Set[int] = frozenset(), **settings: str
) -> AsyncIterator[Service]:
    """`dialplans`: name → YAML. Other settings are the defaults, whatever the environment says; no language model.
    `program`: what Python runs; `cores`: those that it may use, where not all."""
    with tempfile.TemporaryDirectory(prefix="voicebot-measure-") as name:
        folder = Path(name)
        (folder / "dialplans").mkdir()
        for plan, text in dialplans.items():
            (folder / "dialplans" / f"{plan}.yaml").write_text(text, "utf-8")
        given = {
            "data_dir": str(folder / "data"),
            "dialplans": str(folder / "dialplans"),
            "public_url": PUBLIC,
            "twilio_auth_token": TOKEN,
            "drain_seconds": "1",
            **settings,
        }
        everything = environment() | {f"VOICEBOT_{name.upper()}": value for name, value in given.items()}
        command = (sys.executable, *program, "--port", "0")
        async with (
            running(command, everything, folder, cores) as (pid, url, _),
            httpx.AsyncClient(base_url=url, timeout=15, trust_env=False) as web,
        ):
            yield Service(web, pid, folder / "data")


def environment() -> dict[str, str]:
    """Ours, without what the operator of this machine has set; our own modules are found."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("VOICEBOT_", "OPENAI_"))}
    root = str(Path(__file__).parents[2])
    return kept | {"PYTHONPATH": os.pathsep.join(filter(None, (root, kept.get("PYTHONPATH", ""))))}


@asynccontextmanager
async def running(
    command: Sequence[str], environment: Mapping[str, str], folder: Path, cores: Set[int]
) -> AsyncIterator[tuple[int, str, str]]:
    """A server in a process of its own: (pid, URL, what it said), from the end of its banner on; `PeerError` when that
    does not come. Stopped as an operator stops it, by force if that does not help."""
    log = folder / "log"
    with log.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            *command, env=environment, cwd=folder, stdout=asyncio.subprocess.DEVNULL, stderr=file
        )
    if cores:
        os.sched_setaffinity(process.pid, cores)  # before it has a thread: all that it starts is bound, too
    try:
        async with asyncio.timeout(START_S):
            while process.returncode is None and "Stop with" not in log.read_text("utf-8", "replace"):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        printed = log.read_text("utf-8", "replace")
        url = re.search(r"http://127\.0\.0\.1:\d+", printed)
        if url is None or process.returncode is not None:
            raise PeerError(f"The service did not start. {printed[-2000:]}")
        yield process.pid, url[0], printed
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(STOP_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
