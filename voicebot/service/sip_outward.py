"""Calls that the service places itself while others are up: to whom a caller is to be put through.

With an account a call goes out by that account's own process. Without one, to an address, or to a number at the
exchange that the caller came from, by a process that only dials, which is started when somebody may need it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from voicebot import log
from voicebot.call.runtime import new_call_id
from voicebot.carriers.base import CallInfo, Line
from voicebot.carriers.sip import SipLine
from voicebot.carriers.sip_process import Worker
from voicebot.core.sip_accounts import NUMBER, Account, ways
from voicebot.core.timeline import EndReason
from voicebot.errors import CannotTransfer, PeerError, UsageError

READY_S = 5.0
"""For the process that dials, where it was not started before."""
RING_S = 30.0
NO_ACCOUNT = "a number cannot be called from here without a SIP account (VOICEBOT_SIP_ACCOUNTS)"
_log = log.get("sip")


class Outward:
    """`extensions` are the processes of `accounts`, in the same order; `start` makes the one that has none."""

    def __init__(
        self, accounts: tuple[Account, ...], extensions: Sequence[Worker], start: Callable[[], Worker]
    ) -> None:
        self._accounts, self._extensions, self._start = accounts, extensions, start
        self._direct: Worker | None = None

    def warm(self) -> None:
        """Somebody may want to dial soon."""
        self._direct = self._direct or self._start()

    def close(self) -> None:
        if self._direct:
            self._direct.close()

    async def dial(self, destination: str, exchange: str = "") -> Line:
        """A `Dial`. `exchange`: where a number is an address for want of an account. `CannotTransfer` where it is
        none."""
        line: SipLine | None = None
        for to, account in self._ways(destination, exchange):
            worker = await self._worker(account)
            if worker.free <= 0:
                continue
            line = self._call(worker, to, account)
            try:
                if await line.answered(RING_S):
                    return line
            except asyncio.CancelledError:
                await line.hangup(EndReason.BOT_HANGUP.value)
                raise
            await line.hangup(EndReason.BOT_HANGUP.value)
            _log.info("dial_failed", account=account.name if account else "", why=line.why_not or "no answer")
            if not line.way_closed:
                break
        if line is None:
            raise PeerError("no line is free to call them", retryable=True)
        raise PeerError(f"they were not reached: {line.why_not or f'no answer in {RING_S:.0f} s'}")

    def _ways(self, destination: str, exchange: str) -> list[tuple[str, Account | None]]:
        """Accounts that stand registered come first."""
        if NUMBER.fullmatch(destination) and not self._accounts:
            if not exchange:
                raise CannotTransfer(NO_ACCOUNT)
            return [(f"sip:{destination}@{exchange}", None)]
        try:
            return sorted(ways(destination, self._accounts), key=lambda way: not self._stands(way[1]))
        except UsageError as error:
            raise PeerError(str(error)) from error

    def _stands(self, account: Account | None) -> bool:
        if account is None or not account.register:
            return True
        return 200 in self._extensions[self._accounts.index(account)].registered.values()

    async def _worker(self, account: Account | None) -> Worker:
        """Ready, or as it is after a while."""
        if account:
            return self._extensions[self._accounts.index(account)]
        self.warm()
        assert self._direct
        try:
            async with asyncio.timeout(READY_S):
                while not self._direct.ready and not self._direct.fault:  # noqa: ASYNC110 - once in a process's life
                    await asyncio.sleep(0.05)
        except TimeoutError:
            pass
        return self._direct

    def _call(self, worker: Worker, to: str, account: Account | None) -> SipLine:
        number = worker.dial(to, 0 if account else -1, {})
        info = CallInfo(new_call_id(), "sip", account.name if account else "voicebot", to)
        line = SipLine(info, worker, number, partial(_at, account))
        worker.calls[number] = line
        return line


def _at(account: Account | None, destination: str) -> str:
    return account.address(destination) if account and NUMBER.fullmatch(destination) else destination
