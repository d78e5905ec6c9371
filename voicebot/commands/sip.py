"""`voicebot sip …`: what a proxy in front of several services needs to know, and where accounts are registered."""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import Annotated

import httpx
import typer
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console

from voicebot.commands import settings as listing
from voicebot.core import sip, sip_accounts
from voicebot.core.sip import Address, Response
from voicebot.errors import PeerError, UsageError

app = typer.Typer(no_args_is_help=True)
ANSWER_S = 2.0


@app.command()
def workers(
    addresses: Annotated[
        list[str] | None, typer.Argument(help="host:port of each service; this one's when left out.")
    ] = None,
    group: Annotated[int, typer.Option("--set", help="Number of the dispatcher's set.")] = 1,
) -> None:
    """Print Kamailio's dispatcher list, a line a service; on the terminal, how each answers OPTIONS just now."""
    known = listing.load()
    own = f"{known.sip_public_address or known.sip_host}:{known.sip_port}"
    console = Console(stderr=True)
    for place in [_address(each) for each in addresses or [own]]:
        most = known.sip_workers * known.sip_calls_per_worker
        print(f"{group} sip:{place.host}:{place.port} 0 0 duid={place.host}-{place.port};maxload={most}")
        console.print(f"[dim]  {place.host}:{place.port} {asyncio.run(_state(place))}[/]")


@app.command()
def accounts() -> None:
    """Say at which registrar each account of the running service is registered. Exits with 1 where one is at none."""
    settings = listing.load()
    try:
        known = sip_accounts.accounts(settings.sip_accounts.get_secret_value())
    except ValueError as error:
        raise UsageError(f"VOICEBOT_SIP_ACCOUNTS: {error}.") from None
    if not known:
        raise UsageError("There are no accounts. VOICEBOT_SIP_ACCOUNTS=sip:101:secret@pbx.example.com is one.")
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host
    used = _registrars(f"http://{host}:{settings.port}/metrics", settings.console_token.get_secret_value())
    for number, account in enumerate(known, 1):
        registrar = used.get(str(number), "")
        if not account.register:
            state = "not registered with, as it says"
        elif not registrar:
            state = "not registered"
        else:
            backup = "" if registrar == account.next_hop else ", a backup"
            state = f"registered at {registrar}{backup}"
        print(f"{account.name}: {state}")
    if any(account.register and str(number) not in used for number, account in enumerate(known, 1)):
        raise typer.Exit(1)


def _registrars(url: str, token: str) -> dict[str, str]:
    """Number of an account → the registrar that the service at `url` uses for it. `PeerError` where it cannot be
    asked."""
    try:
        answer = httpx.get(url, headers={"Authorization": f"Bearer {token}"} if token else {}, timeout=ANSWER_S)
        answer.raise_for_status()
    except httpx.HTTPError as error:
        raise PeerError(f"The service cannot be asked at {url}: {error}") from error
    samples = [each for family in text_string_to_metric_families(answer.text) for each in family.samples]
    used = [each.labels for each in samples if each.name == "voicebot_sip_registrar_in_use" and each.value]
    return {labels["account"]: labels["registrar"] for labels in used}


def _address(text: str) -> Address:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise UsageError(f"{text} is no address such as 192.0.2.7:5060.")
    return Address(host.strip("[]"), int(port))


async def _state(place: Address) -> str:
    """What it answers to OPTIONS."""
    loop = asyncio.get_running_loop()
    answers: asyncio.Queue[bytes] = asyncio.Queue(1)
    try:
        side, _ = await loop.create_datagram_endpoint(lambda: _Taker(answers), remote_addr=place)
    except OSError as error:
        return f"cannot be reached: {error.strerror or error}"
    started = time.monotonic()
    try:
        ours = Address(*side.get_extra_info("sockname")[:2])
        side.sendto(sip.options(place, ours, secrets.token_hex(8)).encode())
        async with asyncio.timeout(ANSWER_S):
            answer = sip.parse(await answers.get())
    except TimeoutError:
        return f"has not answered in {ANSWER_S:.0f} s"
    finally:
        side.close()
    took_ms = round((time.monotonic() - started) * 1000)
    return (
        f"answers {answer.code} {answer.reason} after {took_ms} ms" if isinstance(answer, Response) else "talks no SIP"
    )


class _Taker(asyncio.DatagramProtocol):
    def __init__(self, answers: asyncio.Queue[bytes]) -> None:
        self._answers = answers

    def datagram_received(self, data: bytes, addr: object) -> None:
        if not self._answers.full():
            self._answers.put_nowait(data)
