"""A browser to test the page with: headless Chromium, driven by the DevTools protocol over its websocket."""

from __future__ import annotations

import asyncio
import json
import shutil
from asyncio.subprocess import Process
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage --mute-audio --remote-debugging-port=0 "
    "--use-fake-device-for-media-stream"
).split()
START_S = 30.0
CALL_S = 20.0


def installed() -> str | None:
    """The path of a Chromium on this machine."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Page:
    """The one tab. One request at a time; what the page throws or logs as an error is kept in `faults`."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket, self._ids = socket, count(1)
        self.faults: list[str] = []

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """One method of the protocol, and its result."""
        number = next(self._ids)
        await self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        async with asyncio.timeout(CALL_S):
            while True:
                message: dict[str, Any] = json.loads(await self._socket.recv())
                if message.get("id") == number:
                    assert "error" not in message, f"{method}: {message['error']}"
                    result: dict[str, Any] = message["result"]
                    return result
                self._event(message)

    def _event(self, message: dict[str, Any]) -> None:
        params = message.get("params", {})
        match message.get("method"):
            case "Runtime.exceptionThrown":
                details = params["exceptionDetails"]
                self.faults.append(str(details.get("exception", {}).get("description", details["text"])))
            case "Log.entryAdded" if params["entry"]["level"] == "error":
                self.faults.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
            case _:
                pass

    async def open(self, url: str) -> None:
        await self.call("Page.navigate", url=url)
        await self.until(f"location.href.startsWith({json.dumps(url)}) && document.readyState === 'complete'", CALL_S)

    async def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression; a promise is waited for."""
        answer = await self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True, userGesture=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    async def until(self, expression: str, seconds: float) -> Any:
        """Wait until the expression is true. What the page shows instead is the failure's message."""
        for _ in range(int(seconds * 10)):
            if value := await self.evaluate(expression):
                return value
            await asyncio.sleep(0.1)
        shown = await self.evaluate("document.body.innerText")
        raise AssertionError(f"not within {seconds} s: {expression}\nfaults: {self.faults}\n{shown}")

    async def click(self, selector: str) -> None:
        """A real click, with the mouse, in the middle of an element."""
        where = await self.evaluate(
            f"(() => {{ const b = document.querySelector({json.dumps(selector)}).getBoundingClientRect();"
            " return [b.x + b.width / 2, b.y + b.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            await self.call("Input.dispatchMouseEvent", type=kind, x=where[0], y=where[1], button="left", clickCount=1)

    async def key(self, text: str) -> None:
        """A key of the keyboard."""
        for kind in ("keyDown", "keyUp"):
            await self.call("Input.dispatchKeyEvent", type=kind, key=text, text=text if kind == "keyDown" else "")

    async def resize(self, width: int, height: int, dark: bool = False) -> None:
        """The window's size in CSS pixels, and the visitor's taste."""
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.call("Emulation.setEmulatedMedia", features=[scheme])

    async def screenshot(self, file: Path) -> None:
        shot = await self.call("Page.captureScreenshot", format="png")
        await asyncio.to_thread(file.write_bytes, b64decode(shot["data"]))


@asynccontextmanager
async def chromium(program: str, folder: Path, *flags: str) -> AsyncIterator[Page]:
    """A browser of its own, its profile in `folder`, gone afterwards with all its processes."""
    profile = folder / "profile"
    command = [program, *FLAGS, f"--user-data-dir={profile}", *flags, "about:blank"]
    with (folder / "chromium.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log)
    try:
        url = await _tab(process, profile / "DevToolsActivePort")
        async with connect(url, max_size=None, proxy=None) as socket:
            page = Page(socket)
            for domain in ("Page", "Runtime", "Log"):
                await page.call(f"{domain}.enable")
            try:
                yield page
            finally:
                await _quit(page)
    finally:
        try:
            async with asyncio.timeout(10):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


async def _tab(process: Process, port_file: Path) -> str:
    """The websocket of the first tab, once the browser is up."""
    async with httpx.AsyncClient(trust_env=False) as http:
        for _ in range(int(START_S * 10)):
            await asyncio.sleep(0.1)
            assert process.returncode is None, "Chromium did not start"
            try:
                port = (await asyncio.to_thread(port_file.read_text)).split()[0]
                tabs = (await http.get(f"http://127.0.0.1:{port}/json/list")).json()
                return next(str(tab["webSocketDebuggerUrl"]) for tab in tabs if tab["type"] == "page")
            except (OSError, IndexError, httpx.HTTPError, StopIteration):
                continue
    raise AssertionError("Chromium opened no tab")


async def _quit(page: Page) -> None:
    try:
        await page.call("Browser.close")
    except (OSError, TimeoutError, AssertionError, ConnectionClosed):
        pass
