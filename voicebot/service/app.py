"""The web application: everything the service answers over HTTP, and its start and stop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, nullcontext

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from voicebot import __version__, log
from voicebot.call.runtime import Runtime
from voicebot.config import Settings
from voicebot.service import browser_routes
from voicebot.service.crew import COMMAND, Crew
from voicebot.service.desk import Desk
from voicebot.service.shield import Shield
from voicebot.service.sip import Sip
from voicebot.service.store import Store
from voicebot.service.twilio_routes import Twilio
from voicebot.service.watchdog import watched

RELOAD_EVERY_S = 5.0
"""How often dialplans on disk are looked at."""
PURGE_EVERY_S = 3600.0
_log = log.get("service")


def create_app(settings: Settings, runtime: Runtime, store: Store, crew: Sequence[str] = COMMAND) -> FastAPI:
    """The application. Its lifespan starts and stops `runtime`; `app.state.desk` is what the routes share. `crew`: what
    Python runs in the other processes, where there are some."""
    desk = Desk(settings, runtime, store)
    if settings.workers > 1:
        desk.crew = Crew(settings, runtime, store, desk.metrics, crew)
    sip = Sip(desk)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        crashed = await asyncio.to_thread(store.close_crashed)
        if crashed:
            _log.warning("crashed_calls_closed", calls=crashed)
        await runtime.start()
        try:
            crew_serving = desk.crew.serving if desk.crew else nullcontext
            async with watched(), asyncio.TaskGroup() as group, crew_serving(group), sip.serving(group):
                chores = [
                    group.create_task(desk.metrics.watch_loop(runtime.pulse, desk.crew)),
                    group.create_task(look_at_dialplans(runtime)),
                    group.create_task(_purge(desk)),
                ]
                yield
                for chore in chores:
                    chore.cancel()
        finally:
            await runtime.close()

    app = FastAPI(
        title="voicebot", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None
    )
    app.state.desk, app.state.sip = desk, sip
    app.add_middleware(Shield)
    app.include_router(Twilio(desk).router())
    app.include_router(browser_routes.router(desk))

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "alive", "version": __version__}

    @app.get("/readyz")
    async def readyz() -> Response:
        why = desk.not_ready()
        return JSONResponse({"status": why or "ready", "calls": desk.calls}, 503 if why else 200)

    @app.get("/metrics")
    async def metrics(request: Request) -> Response:
        if not desk.console_open(request):
            return Response("The console token is needed.", 401, {"WWW-Authenticate": "Bearer"})
        return Response(desk.metrics.expose(), media_type="text/plain; version=0.0.4")

    return app


async def look_at_dialplans(runtime: Runtime) -> None:
    while True:
        await asyncio.sleep(RELOAD_EVERY_S)
        try:
            await runtime.reload()
        except Exception as error:  # a chore that fails must not end the calls; it is tried again
            _log.error("reload_failed", error=type(error).__name__)


async def _purge(desk: Desk) -> None:
    while True:
        try:
            if gone := await asyncio.to_thread(desk.store.purge, desk.settings.retention_days):
                _log.info("old_calls_deleted", calls=gone)
        except Exception as error:  # as above
            _log.error("purge_failed", error=type(error).__name__)
        await asyncio.sleep(PURGE_EVERY_S)
