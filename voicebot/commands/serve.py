"""`voicebot serve`: take calls, until told to stop, and then let those that are up finish.

SIGTERM: no new calls; those that are up have `drain_seconds`, then a polite goodbye; then stop. SIGINT (Ctrl-C): the
same with ten seconds. A second signal: goodbye now. A third: stop now. SIGHUP: look at the dialplans now.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
import uvicorn
from fastapi import FastAPI
from pydantic import ValidationError
from rich.console import Console

from voicebot import __version__, log
from voicebot.call.runtime import Runtime
from voicebot.config import Settings
from voicebot.errors import UsageError
from voicebot.service.app import create_app
from voicebot.service.desk import Desk
from voicebot.service.sockets import web_config
from voicebot.service.store import Store

HURRY_S = 10.0
"""After Ctrl-C, calls have this long."""
_log = log.get("serve")


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
    public_url: Annotated[str | None, typer.Option(help="https URL at which Twilio reaches this service.")] = None,
    dialplans: Annotated[Path | None, typer.Option(help="Folder of dialplans, or one file.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Recordings, timelines, call list, caches.")] = None,
    sip_port: Annotated[int | None, typer.Option(help="UDP port for SIP; 0 switches it off.")] = None,
    sip_workers: Annotated[int | None, typer.Option(help="SIP processes; 0 switches SIP off.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that carry calls, one for each core.")] = None,
) -> None:
    """Take calls over SIP, from Twilio and from the web page, until told to stop."""
    given = {"host": host, "port": port, "public_url": public_url, "dialplans": dialplans, "data_dir": data_dir}
    given |= {"sip_port": sip_port, "sip_workers": sip_workers, "workers": workers}
    settings = load_settings({key: value for key, value in given.items() if value is not None})
    if not settings.loopback and not settings.console_token.get_secret_value():
        raise UsageError(
            f"Listening on {settings.host} would show every call to everybody. Set VOICEBOT_CONSOLE_TOKEN to a long "
            "random text, or listen on 127.0.0.1 behind a proxy."
        )
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if settings.workers > cores:
        raise UsageError(
            f"VOICEBOT_WORKERS is {settings.workers}: it must be from 1 to {cores}, the number of cores here."
        )
    log.configure(settings.log_format, settings.log_level)
    with _listening(settings.host, settings.port) as listening:
        store = Store.at(settings.data_dir)
        try:
            runtime = Runtime(settings, store)
            _run(create_app(settings, runtime, store), settings, runtime, listening)
        finally:
            store.close()


def _run(app: FastAPI, settings: Settings, runtime: Runtime, listening: socket.socket) -> None:
    config = web_config(app)
    stop = _Stop(_Server(config), app.state.desk, settings.drain_seconds)

    async def life() -> None:
        with stop.signals():
            async with app.router.lifespan_context(app), asyncio.TaskGroup() as stop.group:
                gc.collect()
                gc.freeze()  # what is there now stays: to look through it in a call takes 50 ms
                banner(settings, runtime, listening.getsockname()[1], app.state.sip.fault)
                await stop.server.serve([listening])
                stop.cancel()

    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        try:
            runner.run(life())
        except asyncio.CancelledError:
            _log.info("stopped_before_ready")


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    """The port, before anything that takes time. It answers when everything is ready."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UsageError(f"Cannot listen on {host} port {port}: {reason}. Choose another with --port.") from error
    with listening:
        yield listening


def load_settings(given: dict[str, Any]) -> Settings:
    """Settings with flags over everything; what is wrong is one sentence for each."""
    try:
        return Settings(**given)
    except ValidationError as error:
        faults = [f"VOICEBOT_{str(e['loc'][0]).upper()}: {e['msg']}" for e in error.errors()]
        raise UsageError("Settings are wrong. " + " ".join(faults)) from error


class _Server(uvicorn.Server):
    """uvicorn, its signals left to us: it would close every stream at once."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@dataclass(slots=True)
class _Stop:
    """What signals do."""

    server: uvicorn.Server
    desk: Desk
    drain_seconds: float
    group: asyncio.TaskGroup | None = None
    """Set when everything is ready."""
    count: int = 0
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def cancel(self) -> None:
        """The server has stopped; nothing is waited for any more."""
        for task in self.tasks:
            task.cancel()

    @contextmanager
    def signals(self) -> Iterator[None]:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None

        def told(sig: signal.Signals) -> None:
            if self.group is None:
                task.cancel()
            else:
                self._stop(self.group, sig)

        def look() -> None:
            if self.group is not None:
                self.group.create_task(self.desk.reload())

        loop.add_signal_handler(signal.SIGINT, told, signal.SIGINT)
        loop.add_signal_handler(signal.SIGTERM, told, signal.SIGTERM)
        loop.add_signal_handler(signal.SIGHUP, look)
        try:
            yield
        finally:
            for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                loop.remove_signal_handler(sig)

    def _stop(self, group: asyncio.TaskGroup, sig: signal.Signals) -> None:
        self.count += 1
        if self.count > 2:
            self.server.should_exit = self.server.force_exit = True
            return
        seconds = 0.0 if self.count == 2 else self.drain_seconds if sig == signal.SIGTERM else HURRY_S
        _log.info("draining", calls=self.desk.calls, seconds=seconds)
        self.tasks.append(group.create_task(self._drain(seconds)))

    async def _drain(self, seconds: float) -> None:
        await self.desk.drain(seconds)
        self.server.should_exit = True


def banner(settings: Settings, runtime: Runtime, port: int, sip_fault: str) -> None:
    """What a person needs to know who has just started it."""
    console = Console(stderr=True, soft_wrap=True)
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    page = f"http://{host}:{port}/"
    console.print(f"\n[bold]voicebot {__version__}[/] is ready. Call it from the browser: [bold cyan]{page}[/]")
    names = ", ".join(sorted(runtime.dialplans))
    console.print(f"  dialplans  {names}")
    if settings.workers > 1:
        console.print(f"  processes  {settings.workers}, which calls are spread over")
    for stage, engines in runtime.engine_names().items():
        console.print(f"  {stage:<9}  {', '.join(sorted(engines))}")
    if settings.twilio_auth_token.get_secret_value() and settings.public_url:
        console.print(f"  Twilio     point your number's voice URL at {settings.public_url}/twilio/voice")
    else:
        missing = "VOICEBOT_TWILIO_AUTH_TOKEN and VOICEBOT_PUBLIC_URL"
        console.print(f"  Twilio     off: set {missing}, then `voicebot twilio configure +1…`")
    console.print(
        f"  SIP        {f'off: {sip_fault}' if sip_fault else f'sip:{settings.sip_host}:{settings.sip_port}'}"
    )
    if settings.public_url and not settings.console_token.get_secret_value():
        console.print("  page       from this machine only: set VOICEBOT_CONSOLE_TOKEN to use it from elsewhere")
    for file, fault in runtime.faults.items():
        console.print(f"  [red]not in use[/] {file}: {fault}")
    console.print("  Stop with Ctrl-C; calls that are up may finish.\n")
