"""`voicebot dial TO`: the bot calls somebody, over SIP or through Twilio, and the conversation runs in this process
(SIP) or in the running service (Twilio)."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer
from rich.console import Console

from voicebot import log
from voicebot.call.runtime import Runtime, new_call_id
from voicebot.carriers.base import CallInfo
from voicebot.carriers.sip import DIGITS, SipLine
from voicebot.carriers.sip_process import Worker
from voicebot.carriers.twilio import client
from voicebot.commands.call import show
from voicebot.config import Settings
from voicebot.core.dialplan import Dialplan
from voicebot.core.sip_accounts import NUMBER, Account, Way, accounts, ways
from voicebot.core.timeline import EndReason
from voicebot.errors import PeerError, UsageError
from voicebot.service.sip import lacking, setup
from voicebot.service.store import Store

READY_S = 10.0
RING_S = 45.0


def dial(
    to: Annotated[str, typer.Argument(help="sip:user@host, or a number: +15551234567.")],
    dialplan: Annotated[str, typer.Option(help="Name of the dialplan that speaks.")] = "frontdesk",
    keys: Annotated[str, typer.Option(help="SIP: keys to press once they have answered, such as an extension.")] = "",
    caller: Annotated[str, typer.Option("--from", help="Twilio: the number of yours that calls.")] = "",
) -> None:
    """Call somebody and let a dialplan speak. A number goes out through the SIP accounts, the next where one cannot
    place it; without accounts through Twilio."""
    settings = Settings()
    log.configure(settings.log_format, "warning")
    if not set(keys) <= DIGITS:
        raise UsageError(f"{keys} are not all keys of a telephone: 0-9, *, #, A-D.")
    own = tuple(each for account in accounts(settings.sip_accounts.get_secret_value()) for each in account.apart)
    if NUMBER.fullmatch(to) and not own:
        _twilio(settings, to, caller)
        return
    found = ways(to, own)
    if lack := lacking(settings.model_copy(update={"sip_port": settings.sip_port or 1, "sip_workers": 1})):
        raise UsageError(f"SIP cannot be used here: {lack}")
    asyncio.run(_dial(settings, found, dialplan, keys))


async def _dial(settings: Settings, found: list[Way], name: str, keys: str) -> None:
    console, store = Console(), Store.at(settings.data_dir)
    runtime = Runtime(settings, store)
    changed = asyncio.Event()
    worker: Worker | None = None
    try:
        with console.status("Starting the engines…"):
            await runtime.start()
        plan = runtime.choose("", "", name)
        if plan is None:
            raise UsageError(f"There is no dialplan {name!r}. Use one of: {', '.join(runtime.dialplans)}.")
        own = tuple(account for _, account in found if account)
        worker = Worker(setup(settings, 0, own, dials=not own).facts, lambda *_: None, lambda _: changed.set())
        await _ready(worker, changed)
        line = await _reach(worker, found, own, console)
        line.press(keys)
        await _talk(runtime, line, plan, console)
    finally:
        if worker:
            worker.close()
        await runtime.close()
        store.close()


async def _ready(worker: Worker, changed: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(READY_S):
            while not worker.ready and not worker.fault:
                changed.clear()
                await changed.wait()
    except TimeoutError:
        pass
    if not worker.ready:
        raise UsageError(f"SIP cannot be used here: {worker.fault or 'its process did not start in time'}.")


def _line(worker: Worker, to: str, account: Account | None, own: tuple[Account, ...]) -> SipLine:
    """A call to `to`, from now on."""
    number = worker.dial(to, own.index(account) if account else -1, {})
    info = CallInfo(new_call_id(), "sip", account.name if account else "voicebot", to)
    line = SipLine(info, worker, number, lambda destination: account.address(destination) if account else destination)
    worker.calls[number] = line
    return line


async def _reach(worker: Worker, found: list[Way], own: tuple[Account, ...], console: Console) -> SipLine:
    """The line, once it is answered. `PeerError` with the reason when it is not: a way that is closed leads to the
    next, a person who does not want to talk does not."""
    for to, account in found:
        line = _line(worker, to, account, own)
        with console.status(f"Calling {to}…"):
            if await line.answered(RING_S):
                return line
        await line.hangup(EndReason.BOT_HANGUP.value)
        if not line.way_closed:
            break
    raise PeerError(f"{to} was not reached: {line.why_not or f'no answer in {RING_S:.0f} s'}.")


async def _talk(runtime: Runtime, line: SipLine, plan: Dialplan, console: Console) -> None:
    reason = EndReason.BOT_HANGUP
    try:
        reason = await runtime.run_call(line, plan, lambda record: show(record, console))
    finally:
        await line.hangup(reason.value)


def _twilio(settings: Settings, to: str, caller: str) -> None:
    """The running service gets the call's web hooks, as for a call in."""
    token = settings.twilio_auth_token.get_secret_value()
    if not (settings.twilio_account_sid and token and settings.public_url):
        raise UsageError(
            "A number needs a SIP account (VOICEBOT_SIP_ACCOUNTS), or Twilio: VOICEBOT_TWILIO_ACCOUNT_SID, "
            "VOICEBOT_TWILIO_AUTH_TOKEN and VOICEBOT_PUBLIC_URL."
        )
    if not NUMBER.fullmatch(caller):
        raise UsageError("Say which number of yours calls: --from +15551234567.")
    twilio = client(settings.twilio_account_sid, token, settings.twilio_api_url)
    try:
        call = twilio.calls.create(to=to, from_=caller, url=f"{settings.public_url}/twilio/voice")
    except Exception as error:  # Twilio's, requests', time-outs: each says itself what is wrong
        raise PeerError(f"Twilio did not place the call: {error}") from error
    print(call.sid)
