"""Phones that others wrote: SIPp and baresip, where they are installed (Debian: sip-tester, baresip-core)."""

from __future__ import annotations

import asyncio
import glob
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.peers.sip_caller import HOST, NUMBER, free_port
from tests.service.world import TONE, until
from tests.sip.world import needs_pjsua2, sip_of, sip_service
from voicebot.carriers.base import Audio, Digit
from voicebot.core.timeline import EndReason

PCAPS = Path("/usr/share/sip-tester")
pytestmark = needs_pjsua2
needs_sipp = pytest.mark.skipif(
    not shutil.which("sipp") or not PCAPS.exists() or os.geteuid() != 0, reason="needs sipp, its pcaps, and root"
)
needs_baresip = pytest.mark.skipif(not shutil.which("baresip"), reason="needs baresip")


async def run(*command: str | Path, seconds: float, cwd: Path) -> tuple[int, str]:
    """Exit code and output of a program that ends by itself."""
    process = await asyncio.create_subprocess_exec(
        *map(str, command), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, cwd=cwd,
        stdin=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        async with asyncio.timeout(seconds):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode is not None
    return process.returncode, output.decode("utf-8", "replace")


async def sipp(folder: Path, port: int, *more: str, seconds: float) -> tuple[int, str]:
    ports = ("-i", HOST, "-p", str(free_port()), "-mp", str(20_000 + os.getpid() % 20_000 // 2 * 2))
    return await run("sipp", f"{HOST}:{port}", "-s", NUMBER, *ports, "-nostdin", *more, seconds=seconds, cwd=folder)


def scenario(folder: Path, speaks_ms: int) -> str:
    text = (Path(__file__).parent / "call.xml").read_text().replace("PAUSE", str(speaks_ms))
    text = text.replace("SPEECH", str(PCAPS / "g711a.pcap")).replace("KEY", str(PCAPS / "dtmf_2833_9.pcap"))
    (folder / "call.xml").write_text(text)
    return str(folder / "call.xml")


@needs_sipp
async def test_sipp_fills_every_place_speaks_and_presses_a_key(tmp_path: Path) -> None:
    async with sip_service(tmp_path, sip_workers=2, max_calls_per_caller=50) as service:
        places = sum(worker.capacity for worker in sip_of(service).workers)
        port, count = service.settings.sip_port, str(places)
        code, output = await sipp(
            tmp_path, port, "-sf", scenario(tmp_path, 1500), "-m", count, "-l", count, "-r", count, seconds=30
        )
        assert 0 == code, output[-3000:]
        await until(lambda: places == len(service.runtime.ended))
        assert {EndReason.BOT_HANGUP} == set(service.runtime.ended)
        assert [Digit("9")] * places == service.runtime.got(Digit)
        assert any(np.abs(np.frombuffer(each.pcm, "<i2")).max() > 1000 for each in service.runtime.got(Audio))


@needs_sipp
@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_sipp_calls_a_hundred_times_speaks_and_presses_a_key_and_the_worker_is_as_it_was(tmp_path: Path) -> None:
    async with sip_service(tmp_path, max_calls_per_caller=50) as service:
        [worker] = sip_of(service).workers
        pid = worker.pid
        code, output = await sipp(
            tmp_path, service.settings.sip_port, "-sf", scenario(tmp_path, 100), "-m", "100", "-l", "1", seconds=100
        )
        assert 0 == code, output[-3000:]
        await until(lambda: 100 == len(service.runtime.ended))
        assert {EndReason.BOT_HANGUP} == set(service.runtime.ended)
        assert [Digit("9")] * 100 == service.runtime.got(Digit)
        assert (pid, worker.capacity) == (worker.pid, worker.free)


@needs_sipp
@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_twenty_calls_are_set_up_a_second_for_half_a_minute_and_none_fails(tmp_path: Path) -> None:
    async with sip_service(tmp_path, sip_workers=4, max_calls_per_caller=50) as service:
        rate = ("-sn", "uac", "-r", "20", "-m", "600", "-d", "200")
        code, output = await sipp(tmp_path, service.settings.sip_port, *rate, seconds=100)
        assert 0 == code, output[-3000:]
        await until(lambda: 600 == len(service.runtime.ended))
        assert [0] * 4 == [worker.restarts for worker in sip_of(service).workers]


BARESIP = """
module_path /usr/lib/baresip/modules
module account.so
module g711.so
module aufile.so
module menu.so
module sndfile.so
sip_listen {host}:{port}
audio_source aufile,{says}
audio_player aufile,{heard}
audio_srate 8000
audio_channels 1
ausrc_srate 8000
auplay_srate 8000
snd_path {folder}
"""


@needs_baresip
async def test_baresip_speaks_a_recording_and_hears_the_bot(tmp_path: Path) -> None:
    says = tmp_path / "says.wav"
    soundfile.write(says, np.frombuffer(TONE * 25, "<i2"), 8000, subtype="PCM_16")
    (tmp_path / "accounts").write_text(f"<sip:tester@{HOST}>;regint=0;audio_codecs=pcmu\n")
    config = BARESIP.format(host=HOST, port=free_port(), says=says, heard=tmp_path / "heard.wav", folder=tmp_path)
    (tmp_path / "config").write_text(config)
    async with sip_service(tmp_path / "service") as service:
        address = f"sip:{NUMBER}@{HOST}:{service.settings.sip_port}"
        code, output = await run(
            "baresip", "-f", tmp_path, "-e", f"/dial {address}", "-t", "4", seconds=15, cwd=tmp_path
        )
        assert 0 == code, output[-3000:]
        await until(lambda: service.runtime.ended)
        assert [EndReason.CALLER_HANGUP] == service.runtime.ended, output[-3000:]
        spoken = np.frombuffer(b"".join(each.pcm for each in service.runtime.got(Audio)), "<i2")
        assert np.abs(spoken).max() > 4000
        [dump] = glob.glob(str(tmp_path / "dump-*-dec.wav"))
        heard, rate = soundfile.read(dump, dtype="int16")
        assert 8000 == rate
        assert np.abs(heard).max() > 4000
