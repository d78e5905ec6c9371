"""Reports shown by a small server on this machine, which can do what a page from disk cannot: keep what a reviewer says
of a call as `labels.json` beside the report.

It answers to this machine's own names only, and writes for the page that it served only (a token in it).
"""

from __future__ import annotations

import hmac
import os
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.applications import Starlette
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from voicebot.errors import UsageError
from voicebot.replay.page import labels

SHOWN = {
    "report.html": "text/html; charset=utf-8",
    "suite.html": "text/html; charset=utf-8",
    "report.json": "application/json",
    "suite.json": "application/json",
    "labels.json": "application/json",
    "timeline.jsonl": "application/x-ndjson",
    "new.wav": "audio/wav",
}
MAX_BODY_BYTES = 16_384
MAX_LABELS = 1000


class Label(BaseModel):
    """What a person thinks of a call, or of a moment of it."""

    model_config = ConfigDict(extra="forbid")
    call: str = Field(max_length=300)
    handled: Literal["well", "badly", "unsure"]
    tag: str = Field("", max_length=60)
    note: str = Field("", max_length=4000)
    at_ms: int | None = Field(None, ge=0)
    saved_at: str = ""


def front(folder: Path) -> str:
    """The page that a folder opens with. `UsageError` when it holds no report."""
    for name in ("suite.html", "report.html"):
        if (folder / name).is_file():
            return name
    raise UsageError(f"{folder} holds no report. Make one with `voicebot replay score FILE --out {folder}`.")


def app(folder: Path) -> Starlette:
    """The server of a folder of reports."""
    token, root = secrets.token_urlsafe(24), folder.resolve()
    first = front(folder)

    async def begin(request: Request) -> Response:
        return RedirectResponse(f"/{first}")

    async def show(request: Request) -> Response:
        path = _inside(root, request.path_params["path"])
        if path is None or path.name not in SHOWN or not path.is_file():
            return PlainTextResponse("There is no such report.", 404)
        body = path.read_bytes()
        if path.name == "report.html":  # the last of two keys counts: the token, and the labels as they are now
            fresh = orjson.dumps({"token": token, "labels": labels(path.parent)}).replace(b"<", b"\\u003c")
            body = body.replace(b'"token":""}', fresh[1:], 1)
        return Response(body, media_type=SHOWN[path.name], headers={"Cache-Control": "no-store"})

    async def keep(request: Request) -> Response:
        where = _inside(root, request.path_params["path"])
        if where is None or where.name != "labels" or not (where.parent / "report.html").is_file():
            return PlainTextResponse("There is no such report.", 404)
        if not hmac.compare_digest(request.headers.get("x-token", "").encode(), token.encode()):
            return PlainTextResponse("This page is not of this server: load it again.", 403)
        body = b""
        async for piece in request.stream():
            body += piece
            if len(body) > MAX_BODY_BYTES:
                return PlainTextResponse("A note may have 4000 letters.", 413)
        try:
            label = Label.model_validate_json(body)
        except ValidationError as error:
            return PlainTextResponse(f"This is no label: {error.errors()[0]['msg']}.", 422)
        try:
            return Response(orjson.dumps(_add(where.parent, label)), media_type="application/json")
        except OSError as error:
            return PlainTextResponse(f"labels.json cannot be written: {error.strerror}.", 507)

    routes = [
        Route("/", begin),
        Route("/{path:path}", show),
        Route("/{path:path}", keep, methods=["POST"]),
    ]
    made = Starlette(routes=routes)
    made.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])
    return made


def _inside(root: Path, path: str) -> Path | None:
    """A path under the folder; None for one that leads out of it."""
    found = (root / path).resolve()
    return found if found.is_relative_to(root) else None


def _add(folder: Path, label: Label) -> list[dict[str, Any]]:
    """All labels of the call, the new one last. Whole or not at all; `OSError` when it cannot be written."""
    label.saved_at = datetime.now(UTC).isoformat(timespec="seconds")
    kept = [*labels(folder), label.model_dump()][-MAX_LABELS:]
    fresh = folder / ".labels.json.new"
    fresh.write_bytes(orjson.dumps(kept, option=orjson.OPT_INDENT_2))
    os.replace(fresh, folder / "labels.json")
    return kept
