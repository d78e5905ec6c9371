"""`voicebot twilio`: point a number here, and see where numbers point."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated, Any

import httpx
import typer
import websockets
from rich.console import Console
from rich.table import Table
from twilio.base.exceptions import TwilioException, TwilioRestException

from voicebot.carriers.twilio import client
from voicebot.config import Settings
from voicebot.core.twilio_signature import signature
from voicebot.errors import UsageError

app = typer.Typer(help="Point Twilio numbers here.", no_args_is_help=True)
DEADLINE_S = 10.0


@app.command()
def configure(
    number: Annotated[str, typer.Argument(help="Your Twilio number, as +15551234567.")],
    url: Annotated[str, typer.Option(help="https URL of this service; default: VOICEBOT_PUBLIC_URL.")] = "",
    check: Annotated[bool, typer.Option(help="First see whether the URL answers and the stream upgrades.")] = True,
) -> None:
    """Set the number's voice URL, fallback and status callback to this service."""
    settings = Settings()
    url = (url or settings.public_url).rstrip("/")
    if not url.startswith("https://") and not url.startswith("http://127.0.0.1"):
        raise UsageError("Twilio needs an https URL that it can reach: --url https://… or VOICEBOT_PUBLIC_URL.")
    api, token = _api(settings)
    console = Console()
    if check:
        asyncio.run(_probe(url, token))
        console.print(f"✓ {url} answers, and a signed media stream upgrades.")
    found = _ask(lambda: api.incoming_phone_numbers.list(phone_number=number, limit=1))
    if not found:
        raise UsageError(f"Your Twilio account has no number {number}. See `voicebot twilio status`.")
    _ask(
        lambda: found[0].update(
            voice_url=f"{url}/twilio/voice",
            voice_method="POST",
            voice_fallback_url=f"{url}/twilio/after",
            voice_fallback_method="POST",
            status_callback=f"{url}/twilio/status",
            status_callback_method="POST",
        )
    )
    console.print(
        f"✓ {number} now calls {url}/twilio/voice. Start the service with VOICEBOT_PUBLIC_URL={url} and dial."
    )


@app.command()
def status(
    number: Annotated[str | None, typer.Argument(help="One number; default: all of the account.")] = None,
) -> None:
    """Show what numbers point at."""
    settings = Settings()
    api, _ = _api(settings)
    wanted = {"phone_number": number} if number else {}
    numbers = _ask(lambda: api.incoming_phone_numbers.list(limit=200, **wanted))
    if not numbers:
        raise UsageError(f"Your Twilio account has no number {number}." if number else "Your account has no numbers.")
    here = f"{settings.public_url}/twilio/voice" if settings.public_url else None
    table = Table(box=None, header_style="bold")
    for column in ("number", "voice URL", "fallback", "status callback", ""):
        table.add_column(column, overflow="fold")
    for each in numbers:
        mine = "[green]this service[/]" if here and each.voice_url == here else ""
        row = (each.phone_number, each.voice_url, each.voice_fallback_url, each.status_callback)
        table.add_row(*(str(text or "—") for text in row), mine)
    Console(width=None if sys.stdout.isatty() else 200).print(table)


def _api(settings: Settings) -> tuple[Any, str]:
    token = settings.twilio_auth_token.get_secret_value()
    if not settings.twilio_account_sid or not token:
        raise UsageError(
            "Set VOICEBOT_TWILIO_ACCOUNT_SID and VOICEBOT_TWILIO_AUTH_TOKEN (both are on the first page of the "
            "Twilio console), in the environment or in .env."
        )
    return client(settings.twilio_account_sid, token, settings.twilio_api_url), token


def _ask(question: Any) -> Any:
    try:
        return question()
    except TwilioException as error:
        status = _status(error)
        hint = "Check the account SID and the auth token." if status in (401, 403) else str(getattr(error, "msg", ""))
        raise UsageError(f"Twilio refused with {status}. {hint}".strip()) from error
    except OSError as error:  # requests' errors are
        raise UsageError(f"Twilio could not be reached: {type(error).__name__}.") from error


def _status(error: TwilioException) -> int | str:
    """HTTP status of a refusal; the client raises one of a list without it, but with the response."""
    if isinstance(error, TwilioRestException):
        return int(error.status)
    return next((each.status_code for each in error.args if hasattr(each, "status_code")), "an error")


async def _probe(url: str, token: str) -> None:
    """`UsageError` unless the service answers at `url` and lets a signed stream in as far as its `start`."""
    try:
        async with httpx.AsyncClient(timeout=DEADLINE_S) as web:
            answer = await web.get(f"{url}/healthz")
        alive = answer.status_code == 200 and answer.json().get("status") == "alive"
    except (httpx.HTTPError, ValueError):
        alive = False
    if not alive:
        raise UsageError(f"{url}/healthz does not answer. Start the service and see that the URL leads to it.")
    stream = url.replace("http", "ws", 1) + "/twilio/stream"
    headers = {"X-Twilio-Signature": signature(token, stream)}
    try:
        async with websockets.connect(stream, additional_headers=headers, open_timeout=DEADLINE_S):
            pass
    except (OSError, TimeoutError, websockets.WebSocketException) as error:
        raise UsageError(
            f"{stream} does not upgrade to a websocket ({type(error).__name__}). The service must run with the same "
            f"auth token and VOICEBOT_PUBLIC_URL={url}, and a proxy in front must pass websockets."
        ) from error
