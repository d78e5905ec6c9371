"""`voicebot serve`: take calls."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer
import uvicorn
from pydantic import ValidationError
from rich.console import Console

from voicebot import __version__, log
from voicebot.call.runtime import Runtime
from voicebot.config import Settings
from voicebot.errors import UsageError
from voicebot.service.app import create_app
from voicebot.service.store import Store

MAX_SOCKET_MESSAGE = 1024 * 1024
"""Beyond this the websocket itself closes. Far above what is understood (64 KiB), so that one message that is too
long costs that message, not the call."""
HURRY_S = 10.0
"""After a second signal, calls have this long."""
_log = log.get("serve")


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
    public_url: Annotated[str | None, typer.Option(help="https URL at which Twilio reaches this service.")] = None,
    dialplans: Annotated[Path | None, typer.Option(help="Folder of dialplans, or one file.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Recordings, timelines, call list, caches.")] = None,
) -> None:
    """Take calls from Twilio and from the web page, until told to stop."""
    given = {"host": host, "port": port, "public_url": public_url, "dialplans": dialplans, "data_dir": data_dir}
    settings = load_settings({key: value for key, value in given.items() if value is not None})
    if not settings.loopback and not settings.console_token.get_secret_value():
        raise UsageError(
            f"Listening on {settings.host} would show every call to everybody. Set VOICEBOT_CONSOLE_TOKEN to a long "
            "random text, or listen on 127.0.0.1 behind a proxy."
        )
    log.configure(settings.log_format, settings.log_level)
    store = Store.at(settings.data_dir)
    runtime = Runtime(settings, store)
    config = uvicorn.Config(
        create_app(settings, runtime, store),
        host=settings.host,
        port=settings.port,
        access_log=False,
        log_level="warning",
        ws_max_size=MAX_SOCKET_MESSAGE,
        ws_ping_interval=20,
        ws_ping_timeout=20,
        timeout_keep_alive=15,
        server_header=False,
    )
    _Server(config, settings, runtime).run()
    store.close()


def load_settings(given: dict[str, Any]) -> Settings:
    """Settings with flags over everything; what is wrong is one sentence for each."""
    try:
        return Settings(**given)
    except ValidationError as error:
        faults = [f"VOICEBOT_{str(e['loc'][0]).upper()}: {e['msg']}" for e in error.errors()]
        raise UsageError("Settings are wrong. " + " ".join(faults)) from error


class _Server(uvicorn.Server):
    """uvicorn, but a signal first lets calls finish: it would otherwise close every stream at once."""

    def __init__(self, config: uvicorn.Config, settings: Settings, runtime: Runtime) -> None:
        super().__init__(config)
        self._settings, self._runtime, self._signals = settings, runtime, 0

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        if self.started:
            banner(self._settings, self._runtime)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._signals += 1
        loop = asyncio.get_running_loop()
        if self._signals > 2 or not self.started or not self._runtime.calls:
            super().handle_exit(sig, frame)
            return
        seconds = self._settings.drain_seconds if self._signals == 1 and sig == signal.SIGTERM else HURRY_S
        _log.info("draining", calls=len(self._runtime.calls), seconds=seconds)
        self._draining = loop.create_task(self._drain(seconds, sig, frame))

    async def _drain(self, seconds: float, sig: int, frame: FrameType | None) -> None:
        await self._runtime.drain(seconds)
        super().handle_exit(sig, frame)


def banner(settings: Settings, runtime: Runtime) -> None:
    """What a person needs to know who has just started it."""
    console = Console(stderr=True)
    page = f"http://{settings.host}:{settings.port}/"
    console.print(f"\n[bold]voicebot {__version__}[/] is ready. Call it from the browser: [bold cyan]{page}[/]")
    names = ", ".join(sorted(runtime.dialplans))
    console.print(f"  dialplans  {names}")
    for stage, engines in runtime.engine_names().items():
        console.print(f"  {stage:<9}  {', '.join(sorted(engines))}")
    if settings.twilio_auth_token.get_secret_value() and settings.public_url:
        console.print(f"  Twilio     point your number's voice URL at {settings.public_url}/twilio/voice")
    else:
        missing = "VOICEBOT_TWILIO_AUTH_TOKEN and VOICEBOT_PUBLIC_URL"
        console.print(f"  Twilio     off: set {missing}, then `voicebot twilio configure +1…`")
    for file, fault in runtime.faults.items():
        console.print(f"  [red]not in use[/] {file}: {fault}")
    console.print("  Stop with Ctrl-C; calls that are up may finish.\n")
