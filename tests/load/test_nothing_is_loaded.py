"""A call over Media Streams to a service in a process of its own, with the engines that are built in: after its answer
nothing is imported, and no file of a model is opened by the service."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from voicebot.audio.g711 import ulaw_encode
from voicebot.carriers.wavline import read
from voicebot.replay.carrier import Service, serving
from voicebot.replay.telephone import Speech, Telephone, calling, speech

SAID = Path(__file__).parents[1] / "data" / "coffee" / "iced_mocha.flac"
ROOT = Path(__file__).parents[2]
DIALPLAN = """
name: drinks
description: Takes an order for one drink.
takes: {numbers: ["+15550100000"]}
types: {drink: [mocha, latte]}
start: hello
nodes:
  hello:
    say: Hello and welcome! Which of our drinks would you like to have today?
    examples: ["[an] [iced] {drink} [with a bit of sugar]"]
    collect: {drink: {required: true, ask: "A mocha, or a latte?", dtmf: {1: mocha, 2: latte}}}
    do: [{hang_up: "One {drink}. Goodbye."}]
"""


async def modules(service: Service, file: Path) -> set[str]:
    os.kill(service.pid, signal.SIGUSR1)
    async with asyncio.timeout(10):
        while not (told := read_once(file)):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    return told


def read_once(file: Path) -> set[str]:
    try:
        told = set(file.read_text().split("\n"))
    except FileNotFoundError:
        return set()
    file.unlink()
    return told


def files(service: Service) -> set[str]:
    """Open ones, sockets and the call's own aside."""
    links = [os.readlink(each) for each in Path(f"/proc/{service.pid}/fd").iterdir() if each.is_symlink()]
    return {link for link in links if link.startswith("/") and "/data/" not in link}


async def order(phone: Telephone, said: Speech) -> None:
    """Interrupts the greeting with an order, and presses a key until the bot hangs up."""
    assert await phone.until(lambda: any(phone.handset.heard[-160:].strip(b"\xff")), 8000)
    await phone.waits(600)
    phone.plays(said)
    await phone.until(lambda: phone.over, 6000)
    while not phone.over:
        phone.presses("1")
        await phone.until(lambda: phone.over, 3000)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="open files are read from /proc")
async def test_nothing_is_loaded_after_a_call_was_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = tmp_path / "modules"
    monkeypatch.setenv("MODULES", str(told))
    program = ("-m", "tests.load.telling_serve")
    async with serving({"drinks": DIALPLAN}, program, sip_workers="0") as service:
        address = await service.ring("+15550001111", "+15550100000")
        before, opened = await modules(service, told), files(service)
        async with asyncio.timeout(40), calling(address) as phone:
            await order(phone, speech(ulaw_encode(read(SAID))))
        after, left = await modules(service, told), files(service)
        (records,) = (await service.timelines()).values()
    assert {"turn", "hold"} <= {record.kind for record in records}
    assert "call_ended" == records[-1].kind
    assert {"voicebot.call.session", "onnxruntime"} <= before
    assert set() == {name for name in before if name.startswith(("voicebot.replay", "voicebot.cli", "jiwer"))}
    assert set() == after - before
    assert set() == left - opened
    assert not any("onnxruntime" in file for file in left)  # its maker would be told of every model
