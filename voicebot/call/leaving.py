"""The last thing a call does: let its line go the way the call ended."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from voicebot import log
from voicebot.carriers.base import Line
from voicebot.core.dialplan import Dialplan
from voicebot.core.timeline import EndReason
from voicebot.errors import PeerError

AFTER_GOODBYE_S = 0.3
"""Between the last mark and the hang-up: the network behind the carrier holds a little more."""
_log = log.get("call")


async def leave(
    line: Line,
    dialplan: Dialplan,
    reason: EndReason,
    destination: str,
    note: Callable[..., None],
    apologise: Callable[[], Awaitable[None]],
) -> EndReason:
    """Hang up, or pass the caller on to the transfer named `destination`; where that does not work, `apologise` first.
    Returns why the call truly ended."""
    if reason in (EndReason.CALLER_HANGUP, EndReason.MEDIA_LOST):
        return reason
    await asyncio.sleep(AFTER_GOODBYE_S)
    if destination:
        try:
            await line.transfer(dialplan.transfers[destination].to)
            note("transfer", to=destination, ok=True)
            return reason
        except (PeerError, KeyError) as error:
            _log.warning("transfer_failed", call_id=line.info.call_id, error=type(error).__name__)
            note("transfer", to=destination, ok=False)
            reason = EndReason.ENGINE_FAILED
            await apologise()
    try:
        await line.hangup(reason)
    except PeerError as error:
        _log.warning("hangup_failed", call_id=line.info.call_id, error=str(error))
    return reason
