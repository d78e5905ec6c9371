"""A whole call from the web page, in a real browser, to the service as it is started: microphone to transcript."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest
import soundfile
import soxr
from websockets.asyncio.client import connect

from tests.e2e.chromium import Page, chromium, installed

ROOT = Path(__file__).parents[2]
ORDER = ROOT / "tests/data/coffee/iced_mocha.flac"
OTHER = """
name: bell
description: Says a word and hangs up.
start: hello
nodes: {hello: {say: Hello., do: [{hang_up: Goodbye.}]}}
"""
"""Something else to choose, and first in the list."""
CONSOLE_TOKEN = "open sesame, said the door"
GREETING_S = 5.0
"""Silence of the microphone before the order, so that the greeting is heard."""
IMPATIENT_S = 0.6
"""So little that the order begins, a second into the recording, while the bot still greets."""
DESKTOP, PHONE = (1280, 800), (390, 844)
HEARD = "[...document.querySelectorAll('#transcript .caller:not(.partial) .words')].map(e => e.textContent).join('\\n')"
SAID = "[...document.querySelectorAll('#transcript .bot .words')].map(e => e.textContent).join('\\n')"
STATE = "document.body.dataset.state"
READY = "!document.querySelector('#call').disabled"
PROBLEM = "document.querySelector('#problem').textContent"

PROGRAM = installed() or ""
pytestmark = [
    pytest.mark.skipif(not PROGRAM, reason="no Chromium on this machine: apt install chromium"),
    pytest.mark.timeout(120),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the service serves: coffee, and something else."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "dialplans").mkdir()
    shutil.copy(ROOT / "dialplans/coffee.yaml", folder / "dialplans")
    (folder / "dialplans/bell.yaml").write_text(OTHER)
    return folder


@pytest.fixture(scope="module")
def service(folder: Path) -> Iterator[str]:
    """The service, started as an operator starts it. Its URL."""
    with serving(folder) as url:
        yield url


@pytest.fixture
def guarded(folder: Path) -> Iterator[str]:
    """Another one, that asks for a token and takes one call at a time."""
    with serving(folder, VOICEBOT_CONSOLE_TOKEN=CONSOLE_TOKEN, VOICEBOT_MAX_CALLS="1") as url:
        yield url


@contextmanager
def serving(folder: Path, **settings: str) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    own = {name: value for name, value in os.environ.items() if not name.startswith(("VOICEBOT_", "OPENAI_"))}
    own |= {
        "VOICEBOT_DATA_DIR": str(folder / "data"),
        "VOICEBOT_DIALPLANS": str(folder / "dialplans"),
        "VOICEBOT_SIP_PORT": "0",
    }
    own |= settings
    log = (folder / "service.log").open("ab")
    command = [str(Path(sys.executable).with_name("voicebot")), "serve", "--port", str(port)]
    process = subprocess.Popen(command, cwd=folder, env=own, stdout=log, stderr=log)
    try:
        with httpx.Client(trust_env=False, base_url=f"http://127.0.0.1:{port}") as http:
            wait_until_ready(http, process, folder / "service.log")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        log.close()


def wait_until_ready(http: httpx.Client, process: subprocess.Popen[bytes], log: Path) -> None:
    ends_s = time.monotonic() + 60
    while time.monotonic() < ends_s and process.poll() is None:
        try:
            if http.get("/readyz").status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    raise AssertionError(f"The service did not start:\n{log.read_text()}")


def microphone(file: Path, silence_s: float) -> list[str]:
    """Flags for a microphone of 48 kHz that gives silence, the order, and silence for the rest of the call."""
    order, rate = soundfile.read(ORDER, dtype="float32")
    sound = soxr.resample(order, rate, 48000)
    before, after = np.zeros(int(silence_s * 48000), "float32"), np.zeros(60 * 48000, "float32")
    soundfile.write(file, np.concatenate([before, sound, after]), 48000, subtype="PCM_16")
    return ["--use-fake-ui-for-media-stream", f"--use-file-for-fake-audio-capture={file}%noloop"]


@asynccontextmanager
async def browser(folder: Path, *flags: str) -> AsyncIterator[Page]:
    async with chromium(PROGRAM, folder, *flags) as page:
        await page.resize(*DESKTOP)
        yield page


async def test_a_coffee_is_ordered_on_the_page(service: str, tmp_path: Path) -> None:
    async with browser(tmp_path, *microphone(tmp_path / "microphone.wav", GREETING_S)) as page:
        await page.open(service)
        await page.until("document.querySelectorAll('#dialplans input').length === 2", 10)
        assert "bell" == await page.evaluate("document.querySelector('#dialplans input').value")
        await page.screenshot(tmp_path / "idle.png")
        await page.click("input[value=coffee]")
        await page.click("#call")
        await page.until(f"/What can I get you/.test({SAID})", 20)
        assert "coffee" == await page.evaluate("document.querySelector('#called').textContent")

        heard = await page.until(f"/mocha/.test({HEARD}) && {HEARD}", 20)
        assert "iced mocha" in heard
        await page.until(f"/size/.test({SAID})", 15)
        assert await page.evaluate("document.querySelectorAll('.bot .latency').length") >= 1

        await page.key("2")
        said = await page.until(f"/Is that right/.test({SAID}) && {SAID}", 15)
        assert "medium iced mocha" in said
        await page.screenshot(tmp_path / "desktop.png")
        await page.resize(*PHONE, dark=True)
        assert await page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
        await page.screenshot(tmp_path / "phone.png")

        await page.click("#hangup")
        await page.until(f"{STATE} === 'ended'", 5)
        assert "You hung up" in await page.evaluate("document.querySelector('#status').textContent")
        await page.screenshot(tmp_path / "ended.png")
        assert [] == page.faults
    async with httpx.AsyncClient(trust_env=False, base_url=service) as http:
        calls = (await http.get("/api/calls")).json()
    assert ("browser", "coffee", "caller_hangup") == tuple(
        calls[0][key] for key in ("carrier", "dialplan", "end_reason")
    )


async def test_what_an_interrupted_bot_did_not_get_to_say_is_struck_out(service: str, tmp_path: Path) -> None:
    async with browser(tmp_path, *microphone(tmp_path / "microphone.wav", IMPATIENT_S)) as page:
        await page.open(service)
        await page.until(READY, 10)
        await page.click("input[value=coffee]")
        await page.click("#call")
        rest = await page.until("document.querySelector('.bot .cut s')?.textContent", 15)
        assert rest.endswith("get you?")
        said = await page.evaluate(SAID)
        assert "Bean Street, hello! What can I get you?" == said.split("\n")[0].replace(" — ", " ")
        assert "mocha" in await page.until(f"/mocha/.test({HEARD}) && {HEARD}", 15)
        await page.screenshot(tmp_path / "interrupted.png")
        assert [] == page.faults


async def test_a_bot_that_hangs_up_is_said_to_have_hung_up(service: str, tmp_path: Path) -> None:
    async with browser(tmp_path, "--use-fake-ui-for-media-stream") as page:
        await page.open(service)
        await page.until(READY, 10)
        await page.click("#call")
        await page.until(f"{STATE} === 'ended'", 20)
        assert "The bot hung up" in await page.evaluate("document.querySelector('#status').textContent")
        assert "Goodbye." in await page.evaluate(SAID)
        assert [] == page.faults


async def test_a_refused_microphone_is_said_to_be_refused(service: str, tmp_path: Path) -> None:
    async with browser(tmp_path) as page:
        await page.call("Browser.setPermission", permission={"name": "microphone"}, setting="denied", origin=service)
        await page.open(service)
        await page.until(READY, 10)
        await page.click("#call")
        told = await page.until(PROBLEM, 10)
        assert "microphone was refused" in told
        assert "idle" == await page.evaluate(STATE)
        await page.screenshot(tmp_path / "refused.png")


async def test_a_socket_that_cannot_be_opened_is_said_to_be_missing(service: str, tmp_path: Path) -> None:
    async with browser(tmp_path, "--use-fake-ui-for-media-stream") as page:
        await page.open(service)
        await page.until(READY, 10)
        # A port where nobody listens, as behind a proxy that passes no websockets on.
        await page.evaluate(
            "void (window.WebSocket = class extends WebSocket { constructor() { super('ws://127.0.0.1:9'); } })"
        )
        await page.click("#call")
        assert "No websocket could be opened" in await page.until(PROBLEM, 10)


async def test_the_console_token_is_asked_for_once_and_a_busy_service_says_so(guarded: str, tmp_path: Path) -> None:
    async with browser(tmp_path, "--use-fake-ui-for-media-stream") as page, held_call(guarded):
        await page.open(guarded)
        await page.until("document.querySelector('#door').open", 10)
        await page.screenshot(tmp_path / "door.png")
        for token, then in (("wrong", "#door[open] #door-wrong:not(:empty)"), (CONSOLE_TOKEN, "#door:not([open])")):
            await page.evaluate(f"document.querySelector('#token').value = {token!r}")
            await page.click("#door button")
            await page.until(f"document.querySelector('{then}') !== null", 5)
        await page.until(READY, 5)
        await page.click("#call")
        assert "No call can be taken now" in await page.until(PROBLEM, 10)
        assert "idle" == await page.evaluate(STATE)
        await page.open(guarded)
        await page.until(READY, 5)
        assert not await page.evaluate("document.querySelector('#door').open")


@asynccontextmanager
async def held_call(url: str) -> AsyncIterator[None]:
    """Somebody else's call, which goes on."""
    headers = {"Authorization": f"Bearer {CONSOLE_TOKEN}"}
    async with httpx.AsyncClient(trust_env=False, base_url=url, headers=headers) as http:
        token = (await http.post("/browser/call", json={"dialplan": "coffee"})).json()["token"]
        async with connect(url.replace("http", "ws") + "/browser/stream", proxy=None, max_queue=None) as line:
            start = {"streamSid": "MZ1", "callSid": "CA1", "customParameters": {"token": token}}
            await line.send(json.dumps({"event": "start", "start": start, "streamSid": "MZ1"}))
            await line.recv()
            yield
