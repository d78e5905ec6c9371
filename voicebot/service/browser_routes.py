"""The web page's side of the service: the page, its calls, and the list of calls.

GET  /                        the page
GET  /api/dialplans           what may be called
POST /browser/call            {"dialplan": …} → {"token", "dialplan"}: leave to call once, for a minute
WS   /browser/stream          the call (see `carriers.browser`)
GET  /api/calls, /api/calls/ID, /api/calls/ID/timeline, /api/calls/ID/audio
POST /api/calls/ID/link       → {"url"}: the audio without a token, for five minutes, for an `<audio>` element

All but the page itself ask for the console token, where one is set, as `Authorization: Bearer …`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request, Response, WebSocket
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel

from voicebot.call.runtime import new_call_id
from voicebot.carriers.base import CallInfo
from voicebot.carriers.browser import browser_line, show
from voicebot.carriers.media_stream import close
from voicebot.core.timeline import decode, latencies
from voicebot.service.admission import Grant
from voicebot.service.desk import BUSY, POLICY_VIOLATION, Desk, same_origin
from voicebot.service.store import CallRow

STATIC = Path(__file__).parent / "static"


class CallRequest(BaseModel):
    dialplan: str = ""


def router(desk: Desk) -> APIRouter:
    """All of it, over the desk."""
    routes = APIRouter()

    def visitor(request: Request) -> None:
        if not desk.console_open(request):
            raise HTTPException(401, "This service asks for its console token.", {"WWW-Authenticate": "Bearer"})
        if not same_origin(request, desk.settings.public_url):
            raise HTTPException(403, "Requests from other sites are refused.")

    def row_of(call_id: str) -> CallRow:
        row = desk.store.get(call_id)
        if row is None:
            raise HTTPException(404, "There is no such call.")
        return row

    @routes.get("/", include_in_schema=False)
    def page() -> Response:
        return FileResponse(STATIC / "index.html", headers={"Cache-Control": "no-cache"})

    @routes.get("/api/dialplans")
    def dialplans(request: Request) -> list[dict[str, str]]:
        visitor(request)
        return [{"name": p.name, "description": p.description} for p in desk.runtime.dialplans.values()]

    @routes.post("/browser/call")
    def place(request: Request, wanted: CallRequest) -> dict[str, str]:
        visitor(request)
        caller = request.client.host if request.client else "browser"
        plan = desk.runtime.choose("", "", wanted.dialplan or desk.settings.default_dialplan)
        if (why := desk.refuses(caller) or (desk.refuses_to(plan) if plan else None)) is not None:
            raise HTTPException(503, f"No call can be taken now: {why}.", {"Retry-After": "10"})
        if plan is None:
            raise HTTPException(404, "There is no such dialplan.")
        token = desk.tokens.mint(Grant("", plan.name, caller, plan.name))
        return {"token": token, "dialplan": plan.name}

    @routes.websocket("/browser/stream")
    async def stream(socket: WebSocket) -> None:
        if not same_origin(socket, desk.settings.public_url):
            await close(socket, POLICY_VIOLATION, "")
            return
        admitted = await desk.admit("browser", socket)
        if admitted is None:
            return
        state, _, grant, plan = admitted
        if (why := desk.refuses(grant.caller, announced=True)) is not None:
            await desk.reject("browser", grant.caller, grant.called, "", plan.name, why)
            await close(socket, BUSY, why)
            return
        info = CallInfo(new_call_id(), "browser", grant.caller, grant.called)
        if away := desk.away(socket, info, plan):
            await desk.carry(away, plan)
            return
        line = browser_line(socket, state, info)
        try:
            reason = await desk.carry(line, plan, lambda record: show(line, record))
            await line.hangup(reason.value)
        finally:
            await line.close("call ended")

    @routes.get("/api/calls")
    def calls(request: Request, limit: int = 50) -> list[dict[str, Any]]:
        visitor(request)
        return [_public(row) for row in desk.store.list(min(max(limit, 1), 500))]

    @routes.get("/api/calls/{call_id}")
    def call(request: Request, call_id: str) -> dict[str, Any]:
        visitor(request)
        row = row_of(call_id)
        records = list(_records(row))
        found = [
            {"turn": each.turn, "voice_to_voice_ms": each.voice_to_voice_ms, "endpoint_ms": each.endpoint_ms}
            for each in latencies(records)
        ]
        return _public(row) | {"latencies": found}

    @routes.get("/api/calls/{call_id}/timeline")
    def timeline(request: Request, call_id: str) -> JSONResponse:
        visitor(request)
        return JSONResponse([{"ms": r.ms, "kind": r.kind, **r.fields} for r in _records(row_of(call_id))])

    @routes.post("/api/calls/{call_id}/link")
    def link(request: Request, call_id: str) -> dict[str, str]:
        visitor(request)
        row = row_of(call_id)
        return {"url": f"/api/calls/{row.id}/audio?pass={desk.links.sign(row.id)}"}

    @routes.get("/api/calls/{call_id}/audio")
    def audio(request: Request, call_id: str, shown: Annotated[str, Query(alias="pass")] = "") -> Response:
        if not (shown and desk.links.opens(shown, call_id)):
            visitor(request)
        row = row_of(call_id)
        file = Path(row.folder) / "audio.wav"
        if not row.folder or not file.is_file():
            raise HTTPException(404, "This call was not recorded.")
        return FileResponse(file, media_type="audio/wav")

    routes.mount("/static", StaticFiles(directory=STATIC, check_dir=False), name="static")
    return routes


def _public(row: CallRow) -> dict[str, Any]:
    return {
        "id": row.id, "carrier": row.carrier, "caller": row.caller, "called": row.called, "dialplan": row.dialplan,
        "responder": row.responder,
        "started_at": row.started_at.isoformat(), "seconds": row.seconds, "turns": row.turns,
        "end_reason": row.end_reason, "detail": row.detail,
    }  # fmt: skip


def _records(row: CallRow) -> Any:
    file = Path(row.folder) / "timeline.jsonl"
    return decode(file.read_bytes().splitlines()) if row.folder and file.is_file() else ()
